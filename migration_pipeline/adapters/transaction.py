"""The transaction that a plan runs in: its limits, the lock on the version table, and the commit fuse.

All of it is SQL that the runner executes for us on its one connection, before `env.py` sends its first statement.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta

from psycopg import sql

from migration_pipeline.adapters.alembic_project import Session, Stop
from migration_pipeline.adapters.failed_run import FUSE_SQLSTATE

FUSE = "pg_temp.migration_pipeline_fuse"
SETTING = "migration_pipeline.commit"

#: A deferred constraint trigger fires at COMMIT, whoever sends it, and raises unless our secret is set. ENABLE ALWAYS, so
#: that session_replication_role = replica does not silence it; a temporary table, so that PREPARE TRANSACTION is refused.
#: https://www.postgresql.org/docs/current/sql-createtrigger.html
LIGHT_THE_FUSE = """
CREATE TEMPORARY TABLE migration_pipeline_fuse (lit boolean PRIMARY KEY) ON COMMIT DROP;
CREATE FUNCTION {fuse}() RETURNS trigger LANGUAGE plpgsql AS $fuse$
BEGIN
  IF encode(sha256(convert_to(coalesce(current_setting({setting}, true), ''), 'UTF8')), 'hex') <> {hash} THEN
    RAISE EXCEPTION 'only the migration pipeline commits this transaction' USING ERRCODE = '{sqlstate}';
  END IF;
  RETURN NULL;
END $fuse$;
CREATE CONSTRAINT TRIGGER migration_pipeline_fuse AFTER INSERT ON {fuse}
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {fuse}();
ALTER TABLE {fuse} ENABLE ALWAYS TRIGGER migration_pipeline_fuse;
INSERT INTO {fuse} VALUES (true)
"""

STILL = "SELECT pg_backend_pid(), pg_current_xact_id_if_assigned()::text, current_setting('track_counts')"
WHO = "SELECT pg_backend_pid(), pg_current_xact_id()::text, current_setting('track_counts')"
#: The runner's session is read-only by default; our transaction alone is not. It must be its first statement.
READ_WRITE = "SET TRANSACTION READ WRITE"

#: Deferred triggers fire now, while what they do can still be measured; the fuse is one of them and needs the secret.
FIRE_DEFERRED = f"SET LOCAL {SETTING} = '{{secret}}'; SET CONSTRAINTS ALL IMMEDIATE"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long the transaction may wait and run."""

    lock_timeout: timedelta
    transaction: timedelta

    def statements(self, server_version: int, scope: str = "LOCAL") -> list[str]:
        """Return the SET statements; `scope`: LOCAL for the transaction, SESSION where there is none."""
        whole = _milliseconds(self.transaction)
        settings = {
            "lock_timeout": _milliseconds(self.lock_timeout),
            "statement_timeout": whole,
            "idle_in_transaction_session_timeout": whole,
            # the server notices between two rows that the runner is gone, not only at the statement's end
            "client_connection_check_interval": 1000,
        }
        if server_version >= 170000:  # noqa: PLR2004 - PostgreSQL 17 has transaction_timeout
            settings["transaction_timeout"] = whole
        return [f"SET {scope} {name} = {value}" for name, value in settings.items()]


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The transaction as the server knows it, by which others look it up."""

    pid: int
    xid: str
    secret: str


def open_for_writing(
    session: Session, limits: Limits, *, server_version: int, version_table: tuple[str | None, str] | None, role: str | None
) -> Opened:
    """Prepare the runner's transaction: its role, limits, the version table's lock, the fuse. Raise QueryFailed, Stop.

    The lock also stops an `alembic upgrade` that knows nothing of us: it conflicts with the ROW EXCLUSIVE that every write
    to the version table takes (https://www.postgresql.org/docs/current/explicit-locking.html).
    """
    secret = secrets.token_hex(16)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    lock = [f"LOCK TABLE {quoted(*version_table)} IN SHARE ROW EXCLUSIVE MODE"] if version_table else []
    fuse = LIGHT_THE_FUSE.format(fuse=FUSE, sqlstate=FUSE_SQLSTATE, setting=f"'{SETTING}'", hash=f"'{digest}'")
    become = [f"SET LOCAL ROLE {quoted(None, role)}"] if role else []
    session.query("; ".join([READ_WRITE, *become, *limits.statements(server_version), *lock, fuse]))
    ((pid, xid, counting),) = session.query(WHO)
    if counting != "on":
        raise Stop("track_counts", "track_counts is off on this server: what the revisions do cannot be counted")
    return Opened(pid=pid, xid=xid, secret=secret)


def check_is_ours(session: Session, opened: Opened) -> None:
    """Raise Stop when the transaction is no longer the one that was opened: something has ended it behind our back."""
    ((pid, xid, counting),) = session.query(STILL)
    if counting != "on":
        raise Stop("track_counts", "it switches track_counts off: what it does cannot be counted")
    if (pid, xid) != (opened.pid, opened.xid):
        raise Stop("ends transaction", "it ends the transaction behind the pipeline's back")


def fire_deferred(session: Session, opened: Opened) -> None:
    """Let the deferred triggers do their work before it is measured; from here on COMMIT passes the fuse.

    Nothing of the project runs any more: env.py has ended. Raise QueryFailed when a deferred constraint is violated.
    """
    check_is_ours(session, opened)
    session.query(FIRE_DEFERRED.format(secret=opened.secret))


def quoted(schema: str | None, name: str) -> str:
    return sql.Identifier(*([schema] if schema else []), name).as_string(None)


def _milliseconds(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)
