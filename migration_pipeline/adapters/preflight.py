"""Asks the server whether a safe migration is possible at all: one function a condition, each answer a sentence or nothing."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from migration_pipeline import errors
from migration_pipeline.adapters import postgres, roles
from migration_pipeline.domain.connection import Connection

OLDEST_SUPPORTED = 14
LONG_TRANSACTION_MINUTES = 5

LONG_TRANSACTIONS = """
SELECT pid, application_name, extract(epoch FROM now() - xact_start)::int / 60 FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
  AND xact_start < now() - make_interval(mins => %s) ORDER BY xact_start
"""
PREPARED = "SELECT gid, extract(epoch FROM now() - prepared)::int / 60 FROM pg_prepared_xacts WHERE database = current_database()"

#: Row level security that applies to this role would make pg_dump fail, or its copy incomplete.
#: https://www.postgresql.org/docs/current/ddl-rowsecurity.html
HIDDEN_ROWS = (
    "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p') AND relrowsecurity AND row_security_active(oid)"
)

UNREADABLE = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'S', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT (has_schema_privilege(n.oid, 'USAGE') AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT')
           ELSE has_table_privilege(c.oid, 'SELECT') END)
ORDER BY 1
"""
ROLE = """
SELECT current_user::text, rolsuper, rolcreatedb, has_database_privilege(current_database(), 'TEMPORARY'),
       has_database_privilege(current_database(), 'CREATE'), pg_is_in_recovery(), current_setting('track_counts') = 'on'
FROM pg_roles WHERE rolname = current_user
"""
DAGSTER = "SELECT to_regclass('public.event_logs') IS NOT NULL AND to_regclass('public.run_tags') IS NOT NULL"

#: The settings a restored copy needs disk for; empty where this role may not read them.
DATA_FOLDER = "SELECT setting FROM pg_settings WHERE name = 'data_directory'"


class NoRoom(errors.NotAllowed):
    """The scratch server has everything that a restored copy needs, but room."""


def examine(connection: Connection) -> postgres.Server:
    """Return what the server is; raise ServerUnreachable, or NotAllowed with every condition that is not met."""
    with postgres.session(connection, purpose="preflight") as opened:
        if opened.info.backend_pid != postgres.one(opened, "SELECT pg_backend_pid()")[0]:
            raise errors.NotAllowed(
                "A connection pooler stands between us and the server: sessions and locks would not be ours.",
                evidence={"database": connection.where},
                next_step="set DATABASE_URL to the server itself",
            )
        server = postgres.server(opened)
        problems = dict(_problems(opened, server))
    if problems:
        raise errors.NotAllowed(
            "The database does not meet the conditions of a safe migration; nothing was changed.",
            evidence={"database": connection.where, **problems},
            next_step="mend what is named above, then run the same command again",
        )
    return server


def _problems(opened: "psycopg.Connection[Any]", server: postgres.Server) -> Iterator[tuple[str, str]]:  # noqa: C901 - a list
    role, _, _, may_use_temporary, _, is_standby, counts = postgres.one(opened, ROLE)
    if server.major < OLDEST_SUPPORTED:
        yield "version", f"PostgreSQL {server.major}; {OLDEST_SUPPORTED} is the oldest that is supported"
    if is_standby:
        yield "standby", "this server is a standby; name the primary"
    if not may_use_temporary:
        yield "right", f'role "{role}" lacks TEMPORARY on the database: GRANT TEMPORARY ON DATABASE {server.database} TO {role}'
    if not counts:
        yield "track_counts", "is off: what the revisions do could not be counted"
    if unreadable := [row[0] for row in postgres.rows(opened, UNREADABLE)]:
        yield "right", f'role "{role}" lacks SELECT on {_some(unreadable)}: the backup would not be whole'
    if hidden := [row[0] for row in postgres.rows(opened, HIDDEN_ROWS)]:
        yield "row level security", f'hides rows of {_some(hidden)} from role "{role}": the backup would not be whole'
    if invalid := [row[0] for row in postgres.rows(opened, postgres.INVALID_INDEXES)]:
        yield "invalid indexes", f"{_some(invalid)}: a dump leaves them out; REINDEX or DROP INDEX"
    if prepared := [f"{gid} ({minutes} min old)" for gid, minutes in postgres.rows(opened, PREPARED)]:
        yield "prepared transactions", f"{_some(prepared)} hold locks: COMMIT PREPARED or ROLLBACK PREPARED them"
    for pid, name, minutes in postgres.rows(opened, LONG_TRANSACTIONS, LONG_TRANSACTION_MINUTES):
        yield f"process {pid}", f'a transaction of "{name}" is {minutes} min old; the migration would wait behind its locks'
    if postgres.one(opened, DAGSTER)[0]:
        yield "dagster", "this database is Dagster's own storage: its migrations belong to Dagster"


def examine_scratch(server: Connection, live: Connection, maintenance: str, needed_bytes: int, major: int) -> None:
    """Raise NotAllowed when a copy of this size cannot be made on the scratch server."""
    admin = server.replace(database=maintenance)
    needed_roles = roles.needed(live)
    with _reaching_scratch(), postgres.session(admin, purpose="preflight") as opened:
        roles.become_login(opened)
        role, is_superuser, may_create, *_ = postgres.one(opened, ROLE)
        found = postgres.server(opened)
        problems: dict[str, str] = {}
        if not (is_superuser or may_create):
            problems["right"] = f'role "{role}" lacks CREATEDB: ALTER ROLE {role} CREATEDB'
        if found.major != major:
            problems["version"] = f"PostgreSQL {found.major}, the database's server is {major}: a copy would behave differently"
        free = free_bytes(opened, server)
        if free is not None and free < needed_bytes:
            problems["disk"] = f"{free:,} bytes are free, the copy needs about {needed_bytes:,}"
        problems |= dict(roles.problems(opened, needed_roles))
    if problems:
        raise (NoRoom if [*problems] == ["disk"] else errors.NotAllowed)(
            "The scratch server cannot hold a restored copy; nothing was changed.",
            evidence={"scratch server": admin.where, **problems},
            next_step="mend what is named above, or name another server in SCRATCH_DATABASE_URL",
        )


@contextlib.contextmanager
def _reaching_scratch() -> Iterator[None]:
    """Say that it is the scratch server that cannot be reached: the live one was a moment ago."""
    try:
        yield
    except errors.ServerUnreachable as error:
        error.what = "The scratch server cannot be reached."
        error.next_step = "check SCRATCH_DATABASE_URL and that the server runs, then run the same command again"
        raise


def free_bytes(opened: "psycopg.Connection[Any]", server: Connection) -> int | None:
    """Return the free bytes of the server's disk, where it is this machine's and the role may know its folder."""
    local = {"", "localhost", "127.0.0.1", "::1"}
    if not all(host in local or host.startswith("/") for host, _ in server.addresses):
        return None
    found = postgres.rows(opened, DATA_FOLDER)
    if not found:
        return None
    try:
        return _disk(Path(found[0][0]))
    except OSError:
        return None


def _disk(folder: Path) -> int | None:
    for place in (folder, *folder.parents):
        try:
            status = os.statvfs(place)
        except OSError:
            continue
        return status.f_bavail * status.f_frsize if place == folder else None
    return None


def _some(names: list[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
