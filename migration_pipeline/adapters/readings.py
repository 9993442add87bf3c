"""Reads the live database before and after a physical backup, and holds a restored copy against the bounds that follow.

A restore to the backup's own end lies between the two readings. What was in flight when the backup ended is waited for,
and so are the counters of other sessions; what comes later still makes a correct restore fail, never a wrong one pass.
"""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from migration_pipeline import errors
from migration_pipeline.adapters import comparison, postgres, snapshot
from migration_pipeline.domain import bounds
from migration_pipeline.domain.backups import Manifest
from migration_pipeline.domain.bounds import Bounds, Reading, Table
from migration_pipeline.domain.connection import Connection

POLL_SECONDS = 0.2
#: A commit is on its way from the log to other sessions' eyes for milliseconds; behind a synchronous standby, for longer.
SETTLE_SECONDS = 10.0
#: A session tells what it has counted 10 s after it went idle at the latest (pgstat.c, PGSTAT_IDLE_INTERVAL).
COUNTERS_SECONDS = 11.0

#: Transactions of this session's snapshot: the oldest that is under way, the one after the last that is over, and the next
#: to begin; an age is counted from that.
HORIZON = """
SELECT xmin, xmax, xmax + age(mod(xmax, 4294967296)::text::xid), clock_timestamp()
FROM (SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint FROM pg_current_snapshot() s) AS s (xmin, xmax)
"""
IS_OVER = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= %s"
#: Transaction numbers in rows have 32 bits; their age is what can be compared, and a frozen row has the greatest.
AGE = "SELECT age(mod(%s::bigint, 4294967296)::text::xid)"

#: The tables that postgres.TABLES names, with their counters and files, and whether the log knows what is in them.
COUNTERS = (
    "SELECT t.schema, t.name, c.relpersistence = 'p', coalesce(pg_relation_filenode(c.oid), 0)::bigint,"
    " coalesce(pg_stat_get_tuples_inserted(c.oid), 0), coalesce(pg_stat_get_tuples_deleted(c.oid), 0) FROM ("
    + postgres.TABLES.rstrip()
    + ") AS t (schema, name) JOIN pg_namespace n ON n.nspname = t.schema JOIN pg_class c ON c.relname = t.name"
    " AND c.relnamespace = n.oid ORDER BY 1, 2"
)
IS_COUNTED = """
SELECT current_setting('track_counts')::bool, coalesce(stats_reset::text, '')
FROM pg_stat_database WHERE datname = current_database()
"""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A reading with its place in time."""

    reading: Reading
    contents: snapshot.Contents
    time: datetime  #: the server's clock
    oldest: int  #: the oldest transaction that was under way
    past: int  #: the transaction after the last that was over
    following: int  #: the next one to begin


@dataclass(frozen=True, kw_only=True)
class Counter:
    """What the server knows of a table without reading it."""

    is_logged: bool  #: a physical backup holds an unlogged table without its rows
    storage: int
    inserted: int
    deleted: int


def before(live: Connection, version_table: tuple[str | None, str]) -> Moment:
    """Read the database before a backup begins. The counters come first: none may hold what the snapshot does not."""
    counters, is_counted, reset = _counters(live)
    with postgres.session(live, purpose="backup") as opened:
        postgres.execute(opened, snapshot.BEGIN)
        oldest, past, following, moment = postgres.one(opened, HORIZON)
        contents = snapshot.contents(opened, version_table)
    tables = {name: _table(counters.get(name), rows, rows) for name, rows in contents.rows.items()}
    reading = Reading(tables=tables, schema=contents.schema, heads=contents.heads, counts=is_counted, reset=reset)
    return Moment(reading=reading, contents=contents, time=moment, oldest=oldest, past=past, following=following)


def after(live: Connection, version_table: tuple[str | None, str], since: Moment) -> Moment:
    """Read the database when a backup has ended. The counters come last: all that the snapshot holds must be in them."""
    with postgres.session(live, purpose="backup") as opened:
        _settle(opened)
        postgres.execute(opened, snapshot.BEGIN)
        oldest, past, following, moment = postgres.one(opened, HORIZON)
        end = time.monotonic() + COUNTERS_SECONDS
        contents = snapshot.contents(opened, version_table)
        kept = _count_kept(opened, since.oldest)
    while True:
        counters, is_counted, reset = _counters(live)
        tables = {name: _table(counters.get(name), rows, kept.get(name, 0)) for name, rows in contents.rows.items()}
        reading = Reading(tables=tables, schema=contents.schema, heads=contents.heads, counts=is_counted, reset=reset)
        if not bounds.counters_are_late(since.reading, reading) or time.monotonic() > end:
            return Moment(reading=reading, contents=contents, time=moment, oldest=oldest, past=past, following=following)
        time.sleep(POLL_SECONDS)


def enclose(first: Moment, last: Moment) -> Bounds:
    """Return the bounds of a backup taken between two readings; raise BackupFailed where they are of two schemas."""
    changed = comparison.of_schemas(first.reading.schema, last.reading.schema)
    if not changed and first.reading.heads != last.reading.heads:
        changed = {"revision before": ", ".join(first.reading.heads), "after": ", ".join(last.reading.heads)}
    if changed or first.reading.tables.keys() != last.reading.tables.keys():
        raise errors.BackupFailed(
            "The schema changed while the backup was taken: nobody knows which of the two it holds.",
            evidence=changed,
            next_step="just backup-db, while nobody changes the schema",
        )
    return bounds.of(first.reading, last.reading)


def check_copy(manifest: Manifest, copy: Connection) -> None:
    """Raise VerificationFailed when a restored copy is outside the bounds, or has another schema or revision."""
    heads = manifest.heads
    with postgres.session(copy, purpose="verifies", autocommit=False) as opened:
        rows = postgres.count_rows(opened)
        restored = snapshot.schema_of(opened)
        at = postgres.version_rows(opened, manifest.version_table_schema, manifest.version_table)
    wrong = bounds.violations(manifest.bounds, rows) | comparison.of_schemas(manifest.schema.as_restored, restored.as_restored)
    if at != heads:
        wrong["revision"] = f"{', '.join(at) or 'none'}, right: {', '.join(heads) or 'none'}"
    if wrong:
        raise errors.VerificationFailed("The restored copy is not what the database was at the backup.", evidence=wrong)


def _settle(opened: "psycopg.Connection[Any]") -> None:
    """Wait for what is under way: a transaction in the middle of its commit is in the backup and not yet in a snapshot."""
    following = postgres.one(opened, HORIZON)[2]
    end = time.monotonic() + SETTLE_SECONDS
    while not postgres.one(opened, IS_OVER, following)[0] and time.monotonic() < end:
        time.sleep(POLL_SECONDS)


def _counters(live: Connection) -> tuple[dict[str, Counter], bool, str]:
    with postgres.session(live, purpose="backup") as opened:
        is_counted, reset = postgres.one(opened, IS_COUNTED)
        found = {
            f"{schema}.{table}": Counter(is_logged=is_logged, storage=storage, inserted=inserted, deleted=deleted)
            for schema, table, is_logged, storage, inserted, deleted in postgres.rows(opened, COUNTERS)
        }
    return found, is_counted, reset


def _table(counter: Counter | None, rows: int, kept: int) -> Table:
    if counter is None:  # made or dropped between the two: the schemas differ, and that is told
        counter = Counter(is_logged=False, storage=0, inserted=0, deleted=0)
    kept = kept if counter.is_logged else 0
    return Table(rows=rows, kept=kept, inserted=counter.inserted, deleted=counter.deleted, storage=counter.storage)


def _count_kept(opened: "psycopg.Connection[Any]", oldest: int) -> dict[str, int]:
    """Return, by table, the rows in a version older than any transaction that was under way at the first reading."""
    (age,) = postgres.one(opened, AGE, oldest)
    names = [(schema, table) for schema, table in postgres.rows(opened, postgres.TABLES)]
    kept: dict[str, int] = {}
    for start in range(0, len(names), postgres.TABLES_A_QUERY):
        some = names[start : start + postgres.TABLES_A_QUERY]
        counts = [
            sql.SQL("(SELECT count(*) FROM ONLY {} WHERE age(xmin) > {})").format(sql.Identifier(*name), sql.Literal(age))
            for name in some
        ]
        (found,) = postgres.rows(opened, sql.SQL("SELECT ") + sql.SQL(", ").join(counts))
        kept |= {f"{schema}.{table}": count for (schema, table), count in zip(some, found, strict=True)}
    return kept
