"""Indexes that a revision left half-made when it failed outside a transaction: found, and dropped.

PostgreSQL leaves them invalid: no query uses them, and every write still pays for them
(https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from psycopg import sql as texts

from migration_pipeline import errors
from migration_pipeline.adapters import postgres
from migration_pipeline.domain import sql
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.sql import Parsed

#: One that another session is building now is left to it.
INDEXES = """
SELECT i.indexrelid::text, n.nspname::text, c.relname::text, t.relname::text, i.indisvalid
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
WHERE c.relkind = 'i' AND NOT EXISTS (
  SELECT FROM pg_catalog.pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid AND p.datname = current_database()
)
"""
PENDING_DETACH = "SELECT inhrelid::regclass::text FROM pg_catalog.pg_inherits WHERE inhdetachpending"
WAIT_SECONDS = 10
#: What REINDEX CONCURRENTLY calls its new index, and afterwards the old one.
REINDEXED = re.compile(r"_cc(?:new|old)\d*$")


class Index(NamedTuple):
    """An index as the catalog has it."""

    schema: str
    name: str
    table: str
    is_valid: bool


def read(connection: Connection) -> dict[str, Index]:
    """Return the indexes by OID."""
    with postgres.session(connection, purpose="looks") as opened:
        return {oid: Index(*rest) for oid, *rest in postgres.rows(opened, INDEXES)}


def left_over(before: Mapping[str, Index], now: Mapping[str, Index], sent: Sequence[Parsed]) -> list[Index]:
    """Return the indexes that these statements left: the invalid ones, and the whole ones of a revision that is not applied."""
    built = [piece.statement for one in sent for piece in one.pieces if sql.kind(piece.statement) == "IndexStmt"]
    made, tables = {node.idxname for node in built if not node.if_not_exists}, {node.relation.relname for node in built}
    reindexes = any(sql.kind(piece.statement) == "ReindexStmt" for one in sent for piece in one.pieces)
    found = []
    for oid, index in now.items():
        was = before.get(oid)
        is_new = was is None and index.table in tables and (not index.is_valid or index.name in made)
        is_half_done = reindexes and not index.is_valid and (was is None or was.is_valid) and REINDEXED.search(index.name)
        if is_new or is_half_done:
            found.append(index)
    return sorted(found)


def drop(connection: Connection, found: Iterable[Index]) -> dict[str, str]:
    """Drop them without holding up anybody; return what became of each, as evidence."""
    dropped, left = [], []
    for index in found:
        name = texts.Identifier(index.schema, index.name)
        try:
            with postgres.session(connection, purpose="drops indexes") as opened:
                postgres.execute(opened, f"SET lock_timeout = '{WAIT_SECONDS}s'")
                postgres.execute(opened, texts.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(name))
            dropped.append(f"{index.schema}.{index.name}")
        except errors.MigrationPipelineError:
            left.append(f"{index.schema}.{index.name}: DROP INDEX CONCURRENTLY {name.as_string(None)}")
    return {**({"dropped": _names(dropped)} if dropped else {}), **({"left over": "\n".join(left)} if left else {})}


def _names(dropped: Sequence[str]) -> str:
    return f"{', '.join(dropped)}: what the failed revision left of its index{'es' if len(dropped) > 1 else ''}"


def pending_detach(connection: Connection) -> list[str]:
    """Return the partitions that a failed DETACH ... CONCURRENTLY left half attached."""
    with postgres.session(connection, purpose="looks") as opened:
        return [name for (name,) in postgres.rows(opened, PENDING_DETACH)]
