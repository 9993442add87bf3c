"""What a migration does on its server now, as PostgreSQL's own views tell it: its statement, what it waits for, whom it blocks.

https://www.postgresql.org/docs/current/monitoring-stats.html, https://www.postgresql.org/docs/current/progress-reporting.html
"""

import time
from datetime import timedelta
from typing import Any

import psycopg

from migration_pipeline.adapters import alembic_project, postgres
from migration_pipeline.domain import redaction, statements
from migration_pipeline.domain.backups import words
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.watching import Activity

POLL_SECONDS = 0.25

#: The session of an upgrade with a transaction. A command that is run in none, such as CREATE INDEX CONCURRENTLY, opens one
#: after the other: it runs since its statement began. backend_xid is the lower half of the number that xmax has whole.
UPGRADE = """
SELECT pid, extract(epoch FROM backend_start)::text,
       (xid + (xmax >> 32 << 32) - CASE WHEN xid > xmax & 4294967295 THEN 4294967296 ELSE 0 END)::text,
       extract(epoch FROM clock_timestamp() - least(xact_start, CASE state WHEN 'active' THEN query_start END))::float8,
       coalesce(query, ''), extract(epoch FROM clock_timestamp() - CASE state WHEN 'active' THEN query_start END)::float8,
       pg_blocking_pids(pid)
FROM (SELECT *, backend_xid::text::bigint AS xid, pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xmax
      FROM pg_stat_activity) AS sessions
WHERE datname = current_database() AND application_name = %s AND xact_start IS NOT NULL ORDER BY 4 DESC LIMIT 1
"""
WAITS = "SELECT mode, locktype, relation::regclass::text FROM pg_locks WHERE pid = %s AND NOT granted"
BLOCKED = "SELECT DISTINCT pid FROM pg_locks WHERE NOT granted AND %s = ANY (pg_blocking_pids(pid)) ORDER BY 1"
SESSIONS = """
SELECT coalesce(nullif(application_name, ''), backend_type, 'no name'), pid, usename::text, state,
       extract(epoch FROM clock_timestamp() - xact_start)::float8
FROM pg_stat_activity WHERE pid = ANY (%s) ORDER BY xact_start NULLS LAST, pid
"""
PREPARED = 0  #: the number under which pg_blocking_pids tells of a prepared transaction
PROGRESS = """
SELECT command || ', ' || phase, blocks_done, blocks_total, 'blocks' FROM pg_stat_progress_create_index
 WHERE pid = %(pid)s AND blocks_total > 0
UNION ALL SELECT command || ', ' || phase, tuples_done, tuples_total, 'rows' FROM pg_stat_progress_create_index
 WHERE pid = %(pid)s AND blocks_total = 0
UNION ALL SELECT command || ', ' || phase, heap_blks_scanned, heap_blks_total, 'blocks' FROM pg_stat_progress_cluster
 WHERE pid = %(pid)s
UNION ALL SELECT 'VACUUM, ' || phase, heap_blks_scanned, heap_blks_total, 'blocks' FROM pg_stat_progress_vacuum
 WHERE pid = %(pid)s
UNION ALL SELECT 'ANALYZE, ' || phase, sample_blks_scanned, sample_blks_total, 'blocks' FROM pg_stat_progress_analyze
 WHERE pid = %(pid)s
UNION ALL SELECT command, tuples_processed, 0, 'rows' FROM pg_stat_progress_copy WHERE pid = %(pid)s
"""
IS_THERE = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s AND extract(epoch FROM backend_start)::text = %s)"


def application_name(target: str) -> str:
    """Return the name under which a Target's upgrade connects."""
    return f"{postgres.APPLICATION_NAME} upgrade {target}"[:63]


def of_upgrade(live: Connection, target: str) -> Activity | None:
    """Return what a Target's upgrade does now; None: it has no transaction open. Raise ServerUnreachable."""
    with postgres.session(live, purpose="looks") as opened:
        return look(opened, target)


def look(opened: "psycopg.Connection[Any]", target: str) -> Activity | None:
    """Return the same, seen from a session that is open. Raise psycopg.Error."""
    found = postgres.rows(opened, UPGRADE, application_name(target))
    if not found:
        return None
    pid, started, xid, running, query, in_statement, blockers = found[0]
    blocked = [row[0] for row in postgres.rows(opened, BLOCKED, pid)]
    return Activity(
        pid=pid,
        started=started,
        xid=xid,
        running=timedelta(seconds=max(0.0, running)),
        statement=_statement(query),
        in_statement=None if in_statement is None else timedelta(seconds=max(0.0, in_statement)),
        waits_for=", ".join(_lock(*row) for row in postgres.rows(opened, WAITS, pid)),
        blocked_by=_sessions(opened, blockers),
        blocks=_sessions(opened, blocked),
        alone=statements.runs_alone(statements.parse(query)) if in_statement is not None else "",
        progress="; ".join(_progress(*row) for row in opened.execute(PROGRESS, {"pid": pid}).fetchall()),
    )


def _statement(query: str) -> str:
    """Return what the server shows of a statement, which may be cut in the middle of a value."""
    if query.startswith(alembic_project.OWN):
        return "none of the project's: the pipeline measures what the last one did"
    return redaction.one_line(redaction.statement(query, "")) or "none"


def is_gone(live: Connection, found: Activity, *, within: timedelta) -> bool:
    """Wait until the session of an upgrade has ended; return whether it has."""
    end = time.monotonic() + within.total_seconds()
    with postgres.session(live, purpose="looks") as opened:
        while postgres.one(opened, IS_THERE, found.pid, found.started) == (True,):
            if time.monotonic() >= end:
                return False
            time.sleep(POLL_SECONDS)
    return True


def _lock(mode: str, kind: str, relation: str | None) -> str:
    return f"{mode} on {relation}" if relation else f"{mode} on a {kind}"


def _sessions(opened: "psycopg.Connection[Any]", pids: list[int]) -> tuple[str, ...]:
    prepared = ("a prepared transaction",) if PREPARED in pids else ()
    return (*prepared, *(_session(*row) for row in postgres.rows(opened, SESSIONS, pids)))


def _session(name: str, pid: int, role: str | None, state: str | None, seconds: float | None) -> str:
    facts = [f"process {pid}", *([f"role {role}"] if role else []), *([state] if state else [])]
    since = [] if seconds is None else [f"in its transaction for {words(timedelta(seconds=max(0.0, seconds)))}"]
    return f"{name} ({', '.join([*facts, *since])})"


def _progress(what: str, done: int, total: int, unit: str) -> str:
    of = f" of {total:,}" if total else ""
    return f"{what}: {done:,}{of} {unit}"
