"""Counts the rows and values that a plan loses in what it changes: copies it at the start of the transaction, and compares.

What the plan does not change costs nothing: which tables it does is known from a first run of the rehearsal. Copies hold
texts: what reads the same is the same, whatever a type or a collation calls equal, and a type that the plan drops stands in
no way. What is there again, value for value, is not lost, whatever the counters of PostgreSQL say was deleted meanwhile.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from psycopg import sql

from migration_pipeline.adapters import large_objects, whole_rows
from migration_pipeline.adapters.alembic_project import QueryFailed, Session
from migration_pipeline.adapters.inventory import LARGE_OBJECTS_OID, Thing
from migration_pipeline.adapters.measurement import Measured, Measurement
from migration_pipeline.adapters.transaction import quoted
from migration_pipeline.adapters.whole_rows import Column
from migration_pipeline.domain.effects import Loss, RowChange

PRIMARY_KEY = "SELECT unnest(indkey)::int FROM pg_index WHERE indrelid = {relation} AND indisprimary"
POPULATED = "SELECT relispopulated FROM pg_class WHERE oid = {relation}"

#: How a value reads depends on these, and a revision may set them (https://www.postgresql.org/docs/current/runtime-config-client.html).
READING = ("TimeZone", "DateStyle", "IntervalStyle", "extra_float_digits", "bytea_output", "lc_monetary", "search_path")


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A table as it was before the plan: a temporary table of texts whose columns are named by their old numbers."""

    relation: str  #: OID
    thing: Thing
    key: tuple[int, ...]  #: column numbers of the primary key; empty: rows are told apart by their values alone
    columns: Mapping[int, Thing]

    @property
    def table(self) -> str:
        return f"pg_temp.migration_pipeline_before_{self.relation}"

    @property
    def name(self) -> str:
        return f"{self.thing.schema}.{self.thing.name}"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What reads differently than in the copy."""

    before: int = 0  #: rows
    after: int = 0
    missing: int = 0  #: old rows of which no row of the same key, or no row with the same values, is there
    #: How many old non-null values read differently, by column; without a key: in any row.
    values: Mapping[str, int] = field(default_factory=dict)
    is_keyed: bool = True

    @property
    def rows_at_most(self) -> int:
        """So many old rows are gone or changed, at most."""
        return self.missing + (sum(self.values.values()) if self.is_keyed else 0)


class Comparison:
    """Follows the tables that were copied at the start of a run, part by part."""

    def __init__(self, copies: Iterable[Copy], settings: tuple[str, ...], *, large_objects_copied: bool) -> None:
        self._copies = tuple(copies)
        self._settings = settings  #: under which they were made
        self._large_objects_copied = large_objects_copied
        self._told: dict[tuple[str, str], int] = {}  #: kind and name of a loss → how much is told already
        #: relation → revision → rows that it emptied the table of; rows of before that are lost by that, or by deleting.
        self._emptied: dict[str, dict[str, int]] = {}
        self._gone: dict[str, dict[str, int]] = {}

    def measure(self, session: Session, run: Measurement, part: Measured) -> None:
        """Add to a part what reads differently since it began. What it did not touch is not read again.

        What has a new storage already is read each time: TRUNCATE empties that in place, and no counter tells.
        """
        touched = [
            one
            for one in self._copies
            if one.relation in run.now and (one.relation in part.changes or run.was_rewritten(one.relation))
        ]
        now = _settings(session)
        _set(session, now, self._settings)
        for one in touched:
            self._take(session, one, run, part)
        _set(session, self._settings, now)
        if self._large_objects_copied and LARGE_OBJECTS_OID in part.changes:
            part.rows_lost[LARGE_OBJECTS_OID] = large_objects.pages_lost(session)

    def _take(self, session: Session, one: Copy, run: Measurement, part: Measured) -> None:
        found = _compared(session, one, run.now)
        if found is None:
            return
        inserted, deleted = run.turnover(one.relation)
        # TRUNCATE and REFRESH are in no counter of deleted rows
        emptied = max(0, found.before + inserted - deleted - found.after) if run.was_rewritten(one.relation) else 0
        by_part, gone = self._emptied.setdefault(one.relation, {}), self._gone.setdefault(one.relation, {})
        emptied_before = sum(rows for other, rows in by_part.items() if other != part.revision)
        here = part.changes.get(one.relation, RowChange(table=one.name))
        by_part[part.revision] = max(0, emptied - emptied_before)
        # an old row that is whole again was not lost, and no more can have been than differ now
        gone[part.revision] = part.rows_lost[one.relation] = min(by_part[part.revision] + here.deleted, found.rows_at_most)
        if by_part[part.revision]:
            added_before = (inserted - here.inserted) - (deleted - here.deleted)
            part.rows_held[one.relation] = found.before + added_before - emptied_before
        part.overwritten += self._new(_overwritten(one, found, accounted=sum(gone.values())))

    def _new(self, losses: Iterable[Loss]) -> Iterable[Loss]:
        """Yield what was not told of an earlier part."""
        for loss in losses:
            count, told = (loss.values or 0) + (loss.rows or 0), self._told.get((loss.kind, loss.name), 0)
            self._told[loss.kind, loss.name] = max(count, told)
            if count > told:
                amount = count - told
                yield replace(loss, values=amount) if loss.kind == "values" else replace(loss, rows=amount)


def copy(session: Session, relations: Iterable[str], base: Mapping[str, Thing]) -> Comparison:
    """Copy tables, at the start of the transaction."""
    wanted = set(relations)
    copies = [made for key in sorted(wanted & base.keys()) if (made := _copy(session, key, base)) is not None]
    copied = LARGE_OBJECTS_OID in wanted and large_objects.copy(session)
    return Comparison(copies, _settings(session), large_objects_copied=copied)


def _settings(session: Session) -> tuple[str, ...]:
    chosen = ", ".join(f"current_setting('{name}')" for name in READING)
    return tuple(session.query(f"SELECT {chosen}")[0])


def _set(session: Session, before: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    for name, was, value in zip(READING, before, wanted, strict=True):
        if was != value:
            session.query(f"SELECT set_config('{name}', {sql.Literal(value).as_string(None)}, true)")


def _copy(session: Session, relation: str, base: Mapping[str, Thing]) -> Copy | None:
    thing = base[relation]
    columns = {int(key.partition(".")[2]): one for key, one in base.items() if key.startswith(f"{relation}.")}
    if not columns or not session.query(POPULATED.format(relation=relation))[0][0]:
        return None
    key = tuple(row[0] for row in session.query(PRIMARY_KEY.format(relation=relation)))
    chosen = ", ".join(f"{whole_rows.as_text(one.name)} AS c{number}" for number, one in columns.items())
    table = quoted(thing.schema, thing.name)
    session.query(
        f"CREATE TEMPORARY TABLE migration_pipeline_before_{relation} ON COMMIT DROP AS SELECT {chosen} FROM ONLY {table}"
    )
    return Copy(relation=relation, thing=thing, key=key, columns=columns)


def _overwritten(one: Copy, found: Found, *, accounted: int) -> Iterable[Loss]:
    """Yield what is lost but for the rows that are accounted for: deleted, or the table emptied of them.

    Non-null values by column, or whole rows where no column can be named.
    """
    if one.thing.kind == "materialized view":
        if found.missing > accounted:
            yield Loss(kind="rows", name=one.name, how="refreshed", rows=found.missing - accounted)
        return
    if not found.is_keyed and found.missing <= accounted:
        return  # every other row is still there, as a whole
    by_column = {name: count for name, count in found.values.items() if count}
    for name, count in by_column.items():
        yield Loss(kind="values", name=f"{one.name}.{name}", how="overwritten", values=count)
    if found.missing > accounted and (found.is_keyed or not by_column):
        yield Loss(kind="rows", name=one.name, how="overwritten", rows=found.missing - accounted)


def _compared(session: Session, one: Copy, now: Mapping[str, Thing]) -> Found | None:
    """Compare a table with its copy; None where it has none of the old columns: that is told as such."""
    table = now[one.relation]
    columns = [
        Column(number=number, name=now[key].name, before=thing, is_as_before=now[key].storage == thing.storage)
        for number, thing in one.columns.items()
        if (key := f"{one.relation}.{number}") in now
    ]
    if not columns:
        return None
    if not session.query(POPULATED.format(relation=one.relation))[0][0]:
        ((before,),) = session.query(f"SELECT count(*) FROM {one.table}")
        return Found(before=before, missing=before, is_keyed=False)
    ((before, after),) = session.query(
        f"SELECT (SELECT count(*) FROM {one.table}), (SELECT count(*) FROM ONLY {quoted(table.schema, table.name)})"
    )
    keyed = bool(one.key) and set(one.key) <= {column.number for column in columns}
    count = _by_key if keyed else _as_multisets
    try:
        missing, *counts = count(session, one, columns, table, cast_back=True)
    except QueryFailed:  # a value that cannot be cast back
        missing, *counts = count(session, one, columns, table, cast_back=False)
    values = {column.before.name: number for column, number in zip(columns, counts, strict=True)}
    return Found(before=before, after=after, missing=missing, values=values, is_keyed=keyed)


def _by_key(session: Session, one: Copy, columns: list[Column], table: Thing, *, cast_back: bool) -> list[int]:
    """Compare row by row: first how many old rows have no row of their key now, then each column's changed values."""
    now = ", ".join(f"{column.now(cast_back=cast_back)} AS n{column.number}" for column in columns)
    on = " AND ".join(f"a.n{number} = b.c{number}" for number in one.key)
    tests = [
        f"count(*) FILTER (WHERE a.here AND {column.old} IS NOT NULL AND a.n{column.number} IS DISTINCT FROM {column.old})"
        for column in columns
    ]
    source = f"SELECT true AS here, {now} FROM ONLY {quoted(table.schema, table.name)}"
    sentence = (
        f"SELECT count(*) FILTER (WHERE a.here IS NULL), {', '.join(tests)} FROM {one.table} b LEFT JOIN ({source}) a ON {on}"
    )
    with whole_rows.savepoint(session):
        ((*counts,),) = session.query(sentence)
    return counts


def _as_multisets(session: Session, one: Copy, columns: list[Column], table: Thing, *, cast_back: bool) -> list[int]:
    """Compare without a key: first how many old rows no row holds all values of, then each column's values."""
    source = f"FROM ONLY {quoted(table.schema, table.name)}"
    return whole_rows.lost(session, one.table, columns, source, cast_back=cast_back)
