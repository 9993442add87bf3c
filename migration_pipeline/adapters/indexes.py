"""Indexes that a revision left half-made when it failed outside a transaction: found, and dropped.

PostgreSQL leaves them invalid: no query uses them, and every write still pays for them
(https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY).
Whose an index is, its table and name say, as they were looked up in the run's own session just before its statement.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from psycopg import sql as texts

from migration_pipeline import errors
from migration_pipeline.adapters import postgres
from migration_pipeline.domain import sql
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.sql import Parsed

INDEXES = """
SELECT i.indexrelid::text, n.nspname::text, c.relname::text, i.indrelid::text, i.indisvalid
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'i'
"""
#: What sessions build now. Of others a role without pg_read_all_stats sees only that they do.
BUILDING = "SELECT index_relid::text FROM pg_catalog.pg_stat_progress_create_index WHERE datname = pg_catalog.current_database()"
PENDING_DETACH = "SELECT inhrelid::regclass::text FROM pg_catalog.pg_inherits WHERE inhdetachpending"
WAIT_SECONDS = 10
#: What REINDEX CONCURRENTLY calls its new index, and afterwards the old one.
REINDEXED = re.compile(r"_cc(?:new|old)\d*$")


class Index(NamedTuple):
    """An index as the catalog has it."""

    schema: str
    name: str
    table: str  #: its OID
    is_valid: bool


@dataclass(frozen=True, kw_only=True)
class Built:
    """An index that a statement was sent for."""

    table: str  #: OID of the table; of the index, where REINDEX names one
    name: str = ""  #: as CREATE INDEX calls it
    verb: str  #: CREATE or REINDEX


def read(connection: Connection) -> dict[str, Index]:
    """Return the indexes by OID."""
    with postgres.session(connection, purpose="looks") as opened:
        return {oid: Index(*rest) for oid, *rest in postgres.rows(opened, INDEXES)}


def lookup(parsed: Parsed) -> str | None:
    """Return the query that says, just before such a statement is sent, what it is about: (table, whether the index is there)."""
    node = parsed.pieces[0].statement
    match sql.kind(node):
        case "IndexStmt":
            schema = f"(SELECT relnamespace FROM pg_catalog.pg_class WHERE oid = {_oid(node.relation)})"
            there = (
                f"EXISTS (SELECT FROM pg_catalog.pg_class WHERE relname = {_literal(node.idxname)} AND relnamespace = {schema})"
            )
            return f"SELECT {_oid(node.relation)}::text, {there}"
        case "ReindexStmt" if node.HasField("relation"):
            return f"SELECT {_oid(node.relation)}::text, false"
        case _:
            return None


def built(parsed: Parsed, table: str | None, *, is_there: bool) -> Built | None:
    """Return the index that a statement is about to make, with the answer of `lookup`; None: one that is there already."""
    node = parsed.pieces[0].statement
    if table is None or is_there:
        return None
    if sql.kind(node) == "IndexStmt":
        return Built(table=table, name=node.idxname, verb="CREATE")
    return Built(table=table, verb="REINDEX")


def left_over(
    before: Mapping[str, Index], now: Mapping[str, Index], sent: Sequence[Built], building: Iterable[str | None]
) -> list[Index]:
    """Return the indexes that these statements left: the invalid ones, and the whole ones of a revision that is not applied."""
    at_work = set(building)
    found = []
    for oid, index in now.items():
        was = before.get(oid)
        if oid in at_work:
            continue
        is_made = was is None and any(one.verb == "CREATE" and (one.table, one.name) == (index.table, index.name) for one in sent)
        is_half_done = (
            REINDEXED.search(index.name)
            and not index.is_valid
            and (was is None or was.is_valid)
            and None not in at_work
            and any(one.verb == "REINDEX" and one.table in {index.table, oid, *_tables(before, one.table)} for one in sent)
        )
        if is_made or is_half_done:
            found.append(index)
    return sorted(found)


def _tables(before: Mapping[str, Index], index: str) -> list[str]:
    return [before[index].table] if index in before else []


def now_invalid(before: Mapping[str, Index], now: Mapping[str, Index]) -> list[Index]:
    """Return the indexes that were valid and are not: a DROP INDEX CONCURRENTLY that did not come to its end."""
    return sorted(now[oid] for oid, was in before.items() if was.is_valid and oid in now and not now[oid].is_valid)


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
            left.append(by_hand(index))
    return {**({"dropped": _names(dropped)} if dropped else {}), **({"left over": "\n".join(left)} if left else {})}


def by_hand(index: Index) -> str:
    return f"{index.schema}.{index.name}: DROP INDEX CONCURRENTLY {texts.Identifier(index.schema, index.name).as_string(None)}"


def _names(dropped: Sequence[str]) -> str:
    return f"{', '.join(dropped)}: what the failed revision left of its index{'es' if len(dropped) > 1 else ''}"


def _oid(relation: sql.Node) -> str:
    name = sql.relation(relation)
    written = texts.Identifier(*([name.schema] if name.schema else []), name.name).as_string(None)
    return f"pg_catalog.to_regclass({_literal(written)})::oid"


def _literal(text: str) -> str:
    return texts.Literal(text).as_string(None)


def building(connection: Connection) -> list[str | None]:
    """Return the OIDs of the indexes that sessions build now; None for one that this role may not see."""
    with postgres.session(connection, purpose="looks") as opened:
        return [oid for (oid,) in postgres.rows(opened, BUILDING)]


def pending_detach(connection: Connection) -> list[str]:
    """Return the partitions that a failed DETACH ... CONCURRENTLY left half attached."""
    with postgres.session(connection, purpose="looks") as opened:
        return [name for (name,) in postgres.rows(opened, PENDING_DETACH)]
