"""Our own sessions on a PostgreSQL server, and what is asked there."""

import contextlib
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from migration_pipeline import errors
from migration_pipeline.domain import redaction
from migration_pipeline.domain.connection import Connection

# https://www.postgresql.org/docs/current/errcodes-appendix.html
LOCK_NOT_AVAILABLE = "55P03"
UNSAFE_NEW_LABEL = "55P04"  # an enum label that was added in the same transaction is used in it
CONNECTION_LOST = ("08", "57P01", "57P02", "57P03", "57P05")  #: what such a code begins with: an administrator, a crash
LOST = "The connection to the server was lost."
TRY_AGAIN = "find out what ended it, then run the same command again"
CONNECT_SECONDS = 10
APPLICATION_NAME = "migration_pipeline"
#: A session that holds a lock for half an hour must not be forgotten by a firewall on its way.
KEEPALIVES = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}

SERVER = """
SELECT current_setting('server_version_num')::int, (SELECT system_identifier::text FROM pg_control_system()),
       current_database()::text, pg_database_size(current_database()),
       (SELECT oid::bigint FROM pg_database WHERE datname = current_database())
"""

#: Tables whose rows a dump holds: no foreign tables, no members of an extension, no parents of partitions.
TABLES = """
SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (
  SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""
TABLES_A_QUERY = 100

EXTENSIONS = "SELECT extname::text, extversion FROM pg_extension ORDER BY 1"

#: Roles that own or were granted something here: a dump names them and does not hold them.
ROLES = """
SELECT DISTINCT r.rolname::text FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid
WHERE s.refclassid = 'pg_authid'::regclass AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND r.rolname !~ '^pg_' ORDER BY 1
"""

#: Tables of one name in other schemas, as far as our role may read them.
NAMESAKES = """
SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = %s AND n.nspname IS DISTINCT FROM %s AND c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_'
  AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') ORDER BY 1
"""

XACT_STATUS = "SELECT pg_xact_status(%s::text::xid8)"

#: A backend is known by its process and its transaction, never by the number alone: numbers are given out again.
#: backend_xid is the lower half of the 64 bits that pg_current_xact_id() returns.
BACKEND = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND backend_xid::text::numeric = %s::numeric %% 4294967296"

BACKEND_BY_START = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND extract(epoch FROM backend_start)::text = %s"

#: Limits that an application's role or database has are not meant for us: a snapshot is idle while pg_dump works in it.
NO_LIMITS = """
SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('statement_timeout', 'transaction_timeout',
  'idle_in_transaction_session_timeout', 'idle_session_timeout') AND setting <> '0'
"""

#: Without those that somebody is building now.
INVALID_INDEXES = """
SELECT indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE NOT indisvalid AND c.relkind = 'i' AND NOT EXISTS (
  SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid AND p.datname = current_database()
) ORDER BY 1
"""


@dataclass(frozen=True, kw_only=True)
class Server:
    """What a server says of itself."""

    version: int  #: as server_version_num: 150018, 180006
    system_identifier: str
    database: str
    database_bytes: int
    database_oid: int

    @property
    def major(self) -> int:
        return self.version // 10_000


@contextlib.contextmanager
def session(connection: Connection, *, purpose: str, autocommit: bool = True) -> Iterator["psycopg.Connection[Any]"]:
    """Open a session; raise ServerUnreachable. Errors of the server inside the block are told without DETAIL and CONTEXT."""
    keywords = connection.keywords(with_password=True)
    keywords.setdefault("connect_timeout", str(CONNECT_SECONDS))
    keywords = {**KEEPALIVES, **keywords}
    keywords["application_name"] = f"{APPLICATION_NAME} {purpose}"[:63]
    opened = None
    try:
        opened = psycopg.connect(**cast("dict[str, Any]", keywords), autocommit=True)
        _end_with_us(opened)
        opened.autocommit = autocommit
    except psycopg.OperationalError as error:
        raise unreachable(connection, error) from None
    except BaseException as error:
        # The frames of an interrupted handshake keep its socket open, and PostgreSQL waits a minute for its password before it
        # can drop any database: https://www.postgresql.org/docs/current/runtime-config-connection.html, authentication_timeout.
        traceback.clear_frames(error.__traceback__)
        if opened is not None:
            opened.close()
        raise
    with told(connection), opened, _cancelled_when_interrupted(opened):
        yield opened


def _end_with_us(opened: "psycopg.Connection[Any]") -> None:
    """Let the server notice that we are gone, and not only when it has an answer; an old or odd server cannot."""
    with contextlib.suppress(psycopg.ProgrammingError, psycopg.DataError):
        opened.execute("SET client_connection_check_interval = 1000")
    opened.execute(NO_LIMITS)


@contextlib.contextmanager
def _cancelled_when_interrupted(opened: "psycopg.Connection[Any]") -> Iterator[None]:
    """Let no statement of ours work on for nobody: psycopg cancels it for KeyboardInterrupt, and Dagster raises its own."""
    try:
        yield
    except Exception:
        raise
    except BaseException:
        if opened.pgconn.transaction_status == TransactionStatus.ACTIVE:
            with contextlib.suppress(psycopg.Error):
                opened.cancel_safe(timeout=CONNECT_SECONDS)
        raise


@contextlib.contextmanager
def told(connection: Connection) -> Iterator[None]:
    """Turn the driver's errors into ours; the message that PostgreSQL gives is redacted, DETAIL and CONTEXT are dropped."""
    try:
        yield
    except psycopg.Error as error:
        message = redaction.server_message(error.sqlstate or "", error.diag.message_primary or "the connection was lost")
        evidence = {"database": connection.where, "server": f"{error.sqlstate or ''} {message}".strip()}
        if is_connection_lost(error.sqlstate, type(error).__name__):
            raise errors.ServerUnreachable(LOST, evidence=evidence, next_step=TRY_AGAIN) from None
        raise errors.Failure("PostgreSQL answered with an error.", evidence=evidence) from None


def is_connection_lost(sqlstate: str | None, kind: str, *, said_by_server: bool = False) -> bool:
    """Return whether the server or somebody ended the connection; where a driver noticed, there is only its class of error.

    A server that says 08... speaks of another connection, that of a foreign table.
    """
    if not sqlstate:
        return kind == "OperationalError"
    return sqlstate.startswith(CONNECTION_LOST) and not (sqlstate.startswith("08") and said_by_server)


def unreachable(connection: Connection, error: psycopg.OperationalError) -> errors.ServerUnreachable:
    reason = str(error).splitlines()[0] if str(error) else "no reason given"
    if connection.password:
        reason = reason.replace(connection.password, "***")
    return errors.ServerUnreachable(
        "The PostgreSQL server cannot be reached.",
        evidence={"database": connection.where, "reason": reason},
        next_step="check DATABASE_URL and that the server runs, then run the same command again",
    )


def server(opened: "psycopg.Connection[Any]") -> Server:
    version, system_identifier, database, size, oid = one(opened, SERVER)
    return Server(version=version, system_identifier=system_identifier, database=database, database_bytes=size, database_oid=oid)


def now(opened: "psycopg.Connection[Any]") -> datetime:
    """Return the server's clock: what it stamped is compared with it, for this machine's clock may stand elsewhere."""
    (moment,) = one(opened, "SELECT clock_timestamp()")
    return cast("datetime", moment)


def one(opened: "psycopg.Connection[Any]", query: str, *parameters: object) -> tuple[Any, ...]:
    """Return the one row of a query."""
    (row,) = rows(opened, query, *parameters)
    return row


def rows(opened: "psycopg.Connection[Any]", query: str | sql.Composed, *parameters: object) -> list[tuple[Any, ...]]:
    return opened.execute(query, parameters or None).fetchall()


def execute(opened: "psycopg.Connection[Any]", statement: str | sql.Composed, *parameters: object) -> None:
    opened.execute(statement, parameters or None)


def count_rows(opened: "psycopg.Connection[Any]") -> dict[str, int]:
    """Return the rows of each table, counted in the session's snapshot."""
    names = [(schema, table) for schema, table in rows(opened, TABLES)]
    counted: dict[str, int] = {}
    for start in range(0, len(names), TABLES_A_QUERY):
        some = names[start : start + TABLES_A_QUERY]
        counts = [sql.SQL("(SELECT count(*) FROM ONLY {})").format(sql.Identifier(*name)) for name in some]
        (found,) = rows(opened, sql.SQL("SELECT ") + sql.SQL(", ").join(counts))
        counted |= {f"{schema}.{table}": count for (schema, table), count in zip(some, found, strict=True)}
    return counted


def version_rows(opened: "psycopg.Connection[Any]", schema: str | None, table: str) -> tuple[str, ...]:
    """Return the rows of the version table; none where it does not exist."""
    name = sql.Identifier(*([schema] if schema else []), table)
    (exists,) = one(opened, "SELECT to_regclass(%s) IS NOT NULL", name.as_string(None))
    if not exists:
        return ()
    return tuple(sorted(row[0] for row in rows(opened, sql.SQL("SELECT version_num FROM {}").format(name))))


def namesakes_with_rows(opened: "psycopg.Connection[Any]", schema: str | None, table: str) -> list[str]:
    """Return the other schemas that have a table of this name with rows in it."""
    names = [name for (name,) in rows(opened, NAMESAKES, table, schema)]
    has_rows = sql.SQL("SELECT EXISTS (SELECT FROM {})")
    return [name for name in names if rows(opened, has_rows.format(sql.Identifier(name, table))) == [(True,)]]


def catalog_query(opened: "psycopg.Connection[Any]", query: str) -> Sequence[Sequence[Any]]:
    """Run one text of `catalog.read`."""
    cursor = opened.execute(query)
    return cursor.fetchall() if cursor.description else []


def outcome(connection: Connection, xid: str) -> str:
    """Return what became of a transaction: committed, aborted or in progress. Looked at, not guessed.

    https://www.postgresql.org/docs/current/functions-info.html, pg_xact_status.
    """
    with session(connection, purpose="looks") as opened:
        (status,) = one(opened, XACT_STATUS, xid)
    return str(status)


def end_backend(
    connection: Connection, pid: int, known_by: str, *, is_start: bool = False, patience_seconds: float = 10.0
) -> bool:
    """Cancel, then terminate a backend of ours, known by its transaction, or by its start; return whether it was seen gone."""
    query = BACKEND_BY_START if is_start else BACKEND
    with session(connection, purpose="ends a backend") as opened:
        end = time.monotonic() + patience_seconds
        for attempt in range(1000):
            (alive,) = one(opened, query, pid, known_by)
            if not alive:
                return True
            if time.monotonic() > end:
                return False
            function = "pg_cancel_backend" if attempt == 0 else "pg_terminate_backend"
            execute(opened, f"SELECT {function}(%s)", pid)
            time.sleep(0.2)
    return False
