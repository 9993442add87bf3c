"""Counts the values that a plan overwrites: copies the tables that it changes, inside its transaction, and compares.

A table that the plan does not change costs nothing: which ones it does is known from a first run of the rehearsal. Copies
hold texts: what reads the same is the same, whatever a type calls equal, and a type that the plan drops stands in no way.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from psycopg import sql

from migration_pipeline.adapters.alembic_project import QueryFailed, Session
from migration_pipeline.adapters.measurement import Thing
from migration_pipeline.adapters.transaction import quoted
from migration_pipeline.domain.effects import Loss

PRIMARY_KEY = "SELECT unnest(indkey)::int FROM pg_index WHERE indrelid = {relation} AND indisprimary"


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A table as it was before the plan: a temporary table of texts whose columns are named by their old numbers."""

    relation: str  #: OID
    name: tuple[str, str]  #: as it was called before the plan
    key: tuple[int, ...]  #: column numbers of the primary key; empty: rows are told apart by their values alone
    columns: Mapping[int, Thing]

    @property
    def table(self) -> str:
        return f"pg_temp.migration_pipeline_before_{self.relation}"


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A column that was there before and still is: how its value is read from the copy, and from the table now."""

    number: int
    before: Thing
    now: Thing

    @property
    def old(self) -> str:
        return f"b.c{self.number}"

    @property
    def text(self) -> str:
        return f"{_name(self.now.name)}::text"

    @property
    def cast_back(self) -> str:
        """The value in its old type: 1.50 that is 1.500 now is the same number."""
        return self.text if self.before.storage == self.now.storage else f"({_name(self.now.name)}::{self.before.storage})::text"


def copy(session: Session, relations: Iterable[str], base: Mapping[str, Thing]) -> list[Copy]:
    """Copy tables, at the start of the transaction."""
    copies = []
    for relation in relations:
        thing = base[relation]
        columns = {int(key.partition(".")[2]): one for key, one in base.items() if key.startswith(f"{relation}.")}
        if not columns:
            continue
        key = tuple(row[0] for row in session.query(PRIMARY_KEY.format(relation=relation)))
        chosen = ", ".join(f"{_name(one.name)}::text AS c{number}" for number, one in columns.items())
        table = quoted(thing.schema, thing.name)
        session.query(
            f"CREATE TEMPORARY TABLE migration_pipeline_before_{relation} ON COMMIT DROP AS SELECT {chosen} FROM ONLY {table}"
        )
        copies.append(Copy(relation=relation, name=(thing.schema, thing.name), key=key, columns=columns))
    return copies


def compare(
    session: Session, copies: Iterable[Copy], now: Mapping[str, Thing], turnover: Callable[[str], tuple[int, int]]
) -> list[Loss]:
    """Return what reads differently now: non-null values by column, or whole rows where no column can be named.

    `turnover` tells the rows of a table that were inserted and deleted: what was deleted or truncated is counted as such.
    """
    found = []
    for one in copies:
        if one.relation not in now:
            continue  # dropped, and counted as such
        columns = [
            _Column(number=number, before=thing, now=now[key])
            for number, thing in one.columns.items()
            if (key := f"{one.relation}.{number}") in now
        ]
        if columns:
            found += _compared(session, one, columns, now[one.relation], *turnover(one.relation))
    return found


def _compared(session: Session, one: Copy, columns: list[_Column], table: Thing, inserted: int, deleted: int) -> list[Loss]:
    keyed = bool(one.key) and set(one.key) <= {column.number for column in columns}
    statement = _with_key if keyed else _without_key
    try:
        before, after, missing, *counts = _guarded(session, statement(one, columns, table, cast_back=True))
    except QueryFailed:  # a value that cannot be cast back
        before, after, missing, *counts = _guarded(session, statement(one, columns, table, cast_back=False))
    deleted += max(0, before + inserted - deleted - after)  # TRUNCATE is in no counter
    schema, name = one.name
    if not keyed and missing <= deleted:
        return []  # every row is still there, as a whole, or was deleted
    losses = [
        Loss(kind="values", name=f"{schema}.{name}.{column.before.name}", how="overwritten", values=count)
        for column, count in zip(columns, counts, strict=True)
        if count
    ]
    if missing > deleted and (keyed or not losses):
        losses.append(Loss(kind="rows", name=f"{schema}.{name}", how="overwritten", rows=missing - deleted))
    return losses


def _with_key(one: Copy, columns: list[_Column], table: Thing, *, cast_back: bool) -> str:
    """Compare row by row: first how many old rows have no row of their key now, then each column's changed values."""
    now = ", ".join(f"{_now(column, cast_back=cast_back)} AS n{column.number}" for column in columns)
    on = " AND ".join(f"a.n{number} = b.c{number}" for number in one.key)
    tests = [
        f"count(*) FILTER (WHERE a.here AND {column.old} IS NOT NULL AND a.n{column.number} IS DISTINCT FROM {column.old})"
        for column in columns
    ]
    source = f"SELECT true AS here, {now} FROM ONLY {quoted(table.schema, table.name)}"
    return (
        f"SELECT {_sizes(one, table)}, count(*) FILTER (WHERE a.here IS NULL), {', '.join(tests)} "
        f"FROM {one.table} b LEFT JOIN ({source}) a ON {on}"
    )


def _without_key(one: Copy, columns: list[_Column], table: Thing, *, cast_back: bool) -> str:
    """Compare as multisets: first the whole rows that are gone, then each column's values."""
    source = f"FROM ONLY {quoted(table.schema, table.name)}"

    def gone(some: list[_Column], condition: str) -> str:
        old = ", ".join(column.old for column in some)
        now = ", ".join(_now(column, cast_back=cast_back) for column in some)
        return f"(SELECT count(*) FROM (SELECT {old} FROM {one.table} b{condition} EXCEPT ALL SELECT {now} {source}) x)"

    by_column = [gone([column], f" WHERE {column.old} IS NOT NULL") for column in columns]
    return f"SELECT {', '.join([_sizes(one, table), gone(columns, ''), *by_column])}"


def _sizes(one: Copy, table: Thing) -> str:
    """Return how many rows there were, and how many there are."""
    return f"(SELECT count(*) FROM {one.table}), (SELECT count(*) FROM ONLY {quoted(table.schema, table.name)})"


def _now(column: _Column, *, cast_back: bool) -> str:
    return column.cast_back if cast_back else column.text


def _guarded(session: Session, sentence: str) -> list[int]:
    """Run a query that may fail without ending the transaction."""
    session.query("SAVEPOINT migration_pipeline_compare")
    try:
        ((*counts,),) = session.query(sentence)
    except QueryFailed:
        session.query("ROLLBACK TO SAVEPOINT migration_pipeline_compare")
        raise
    session.query("RELEASE SAVEPOINT migration_pipeline_compare")
    return counts


def _name(name: str) -> str:
    return sql.Identifier(name).as_string(None)
