"""Counts the values that a plan overwrites: copies the tables that it changes, inside its transaction, and compares.

A table that the plan does not update costs nothing: which ones it does is known from a first run of the rehearsal.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from psycopg import sql

from migration_pipeline.adapters.alembic_project import QueryFailed, Session
from migration_pipeline.adapters.measurement import Thing
from migration_pipeline.adapters.transaction import quoted
from migration_pipeline.domain.effects import Loss

PRIMARY_KEY = "SELECT unnest(indkey)::int FROM pg_index WHERE indrelid = {relation} AND indisprimary"


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A table as it was before the plan: a temporary table whose columns are named by their old numbers."""

    relation: str  #: OID
    key: tuple[int, ...]  #: column numbers of the primary key; empty: rows are told apart by their values alone
    columns: Mapping[int, Thing]

    @property
    def table(self) -> str:
        return f"pg_temp.migration_pipeline_before_{self.relation}"


def copy(session: Session, relations: Iterable[str], base: Mapping[str, Thing]) -> list[Copy]:
    """Copy tables, at the start of the transaction."""
    copies = []
    for relation in relations:
        columns = {int(key.partition(".")[2]): thing for key, thing in base.items() if key.startswith(f"{relation}.")}
        key = tuple(row[0] for row in session.query(PRIMARY_KEY.format(relation=relation)))
        one = Copy(relation=relation, key=key, columns=columns)
        chosen = ", ".join(f"{_name(thing.name)} AS c{number}" for number, thing in columns.items())
        table = quoted(base[relation].schema, base[relation].name)
        session.query(f"CREATE TEMPORARY TABLE migration_pipeline_before_{relation} ON COMMIT DROP AS SELECT {chosen} FROM ONLY {table}")
        copies.append(one)
    return copies


def compare(session: Session, copies: Iterable[Copy], now: Mapping[str, Thing]) -> list[Loss]:
    """Return the non-null values that read differently now, column by column; for rows that are still there."""
    found = []
    for one in copies:
        if one.relation not in now:
            continue  # dropped: its rows are counted as such
        try:
            found += _compared(session, one, now, as_text=False)
        except QueryFailed:  # a type without equality, or a value that cannot be cast back
            found += _compared(session, one, now, as_text=True)
    return found


def _compared(session: Session, one: Copy, now: Mapping[str, Thing], *, as_text: bool) -> list[Loss]:
    table = now[one.relation]
    kept = {number: now[key] for number in one.columns if (key := f"{one.relation}.{number}") in now}
    pairs = {number: _pair(one.columns[number], kept[number], number, as_text=as_text) for number in kept}
    if not pairs:
        return []
    source = f"FROM ONLY {quoted(table.schema, table.name)} a"
    if one.key and all(number in kept for number in one.key):
        on = " AND ".join(f"{pairs[number][1]} = {pairs[number][0]}" for number in one.key)
        tests = [f"count(*) FILTER (WHERE b.c{n} IS NOT NULL AND {new} IS DISTINCT FROM {old})" for n, (old, new) in pairs.items()]
        sentence = f"SELECT {', '.join(tests)} {source} JOIN {one.table} b ON {on}"
    else:
        tests = [
            f"(SELECT count(*) FROM (SELECT {old} FROM {one.table} b WHERE b.c{n} IS NOT NULL EXCEPT ALL SELECT {new} {source}) x)"
            for n, (old, new) in pairs.items()
        ]
        sentence = f"SELECT {', '.join(tests)}"
    counts = _guarded(session, sentence)
    names = [f"{table.schema}.{table.name}.{kept[number].name}" for number in pairs]
    return [
        Loss(kind="values", name=name, how="overwritten", values=count) for name, count in zip(names, counts, strict=True) if count
    ]


def _pair(before: Thing, after: Thing, number: int, *, as_text: bool) -> tuple[str, str]:
    """Return the old and the new value as comparable expressions: a value is kept if casting it back gives the old one."""
    old, new = f"b.c{number}", f"a.{_name(after.name)}"
    if before.storage != after.storage and not as_text:
        new = f"({new})::{before.storage}"
    return (f"{old}::text", f"{new}::text") if as_text else (old, new)


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
