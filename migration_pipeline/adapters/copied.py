"""Copies of tables as they were before the plan, in temporary tables: each is one sheet or more of columns beside the key.

What reads the same is the same, whatever a type or a collation calls equal. Values of PostgreSQL's own types are copied as
they are, for two that lie there alike read alike; others as texts, so that a type that the plan drops stands in no way.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from migration_pipeline.adapters import whole_rows
from migration_pipeline.adapters.alembic_project import Session
from migration_pipeline.adapters.inventory import Thing
from migration_pipeline.adapters.transaction import quoted

PRIMARY_KEY = "SELECT unnest(indkey)::int FROM pg_index WHERE indrelid = {relation} AND indisprimary"
POPULATED = "SELECT relispopulated FROM pg_class WHERE oid = {relation}"

#: How a value reads depends on these, and a revision may set them (https://www.postgresql.org/docs/current/runtime-config-client.html).
READING = ("TimeZone", "DateStyle", "IntervalStyle", "extra_float_digits", "bytea_output", "lc_monetary", "search_path")
#: What tables are compared with: of a gigabyte, the keys fit in there. Nobody knows how many rows a copy has: the planner would
#: sort both sides.
COMPARING = {"extra_float_digits": "3", "work_mem": "256MB", "jit": "off", "enable_mergejoin": "off", "enable_nestloop": "off"}

INTEGERS = frozenset({"smallint", "integer", "bigint"})
#: Types of which two values that are equal read the same.
EQUAL_IS_SAME = INTEGERS | {
    "boolean", "uuid", "date", "timestamp without time zone", "timestamp with time zone", "time without time zone",
}  # fmt: skip
AS_THEY_ARE = EQUAL_IS_SAME | {
    "numeric", "real", "double precision", "jsonb", "json", "bytea", "interval", "inet", "cidr", "macaddr", "tsvector", "xml",
    "time with time zone",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Some columns of a table, and its key: a temporary table whose columns are named by their old numbers."""

    table: str
    columns: Mapping[int, Thing]
    is_text: bool  #: every value


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A table as it was before the plan. A column that is in no sheet cannot have changed."""

    relation: str  #: OID
    thing: Thing
    key: tuple[int, ...]  #: column numbers of the primary key; empty: rows are told apart by their values alone
    sheets: list[Sheet] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.thing.schema}.{self.thing.name}"

    @property
    def columns(self) -> set[int]:
        return {number for sheet in self.sheets for number in sheet.columns}


def kept_as_is(storage: str) -> bool:
    return _plain(storage) in AS_THEY_ARE


def equal_is_same(storage: str) -> bool:
    return _plain(storage) in EQUAL_IS_SAME


def _plain(storage: str) -> str:
    return re.sub(r"\([\d,]+\)", "", storage)


def columns_of(relation: str, base: Mapping[str, Thing]) -> dict[int, Thing]:
    return {int(key.partition(".")[2]): one for key, one in base.items() if key.startswith(f"{relation}.")}


def key_of(session: Session, relation: str) -> tuple[int, ...]:
    return tuple(row[0] for row in session.query(PRIMARY_KEY.format(relation=relation)))


def at_start(session: Session, relation: str, base: Mapping[str, Thing]) -> Copy | None:
    """Copy a whole table before anything was sent; None: it holds no rows that could be read."""
    thing, columns = base[relation], columns_of(relation, base)
    if not columns or not session.query(POPULATED.format(relation=relation))[0][0]:
        return None
    copy = Copy(relation=relation, thing=thing, key=key_of(session, relation))
    add_sheet(session, copy, columns, {number: one.name for number, one in columns.items()}, (thing.schema, thing.name))
    return copy


def add_sheet(
    session: Session, copy: Copy, columns: Mapping[int, Thing], names: Mapping[int, str], path: tuple[str, str]
) -> None:
    """Copy columns of a table; `names` and `path` are those that they have now."""
    is_text = not copy.key
    name = f"migration_pipeline_before_{copy.relation}_{len(copy.sheets)}"
    chosen = ", ".join(
        f"{quoted(None, names[number]) if kept_as_is(one.storage) and not is_text else whole_rows.as_text(names[number])}"
        f" AS c{number}"
        for number, one in columns.items()
    )
    session.query(f"CREATE TEMPORARY TABLE {name} ON COMMIT DROP AS SELECT {chosen} FROM ONLY {quoted(*path)}")
    copy.sheets.append(Sheet(table=f"pg_temp.{name}", columns=dict(columns), is_text=is_text))


def settings(session: Session) -> dict[str, str]:
    names = (*READING, *COMPARING)
    chosen = ", ".join(f"current_setting('{name}')" for name in names)
    return dict(zip(names, session.query(f"SELECT {chosen}")[0], strict=True))


def still_there(session: Session, copies: list[Copy]) -> list[Copy]:
    """Return those of which no sheet is gone with a savepoint that the plan went back to."""
    names = sorted({sheet.table for one in copies for sheet in one.sheets})
    if not names:
        return copies
    found = session.query("SELECT " + ", ".join(f"to_regclass('{name}') IS NOT NULL" for name in names))[0]
    there = dict(zip(names, found, strict=True))
    return [one for one in copies if all(there[sheet.table] for sheet in one.sheets)]
