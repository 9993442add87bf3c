"""Counts the rows and values that a plan loses in what it changes, by comparing it with copies of how it was.

What the plan does not change costs nothing, nor does a part that leaves a table alone. What is there again, value for value,
is not lost, whatever the counters of PostgreSQL say was deleted meanwhile.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from psycopg import sql

from migration_pipeline.adapters import copied, large_objects, whole_rows
from migration_pipeline.adapters.alembic_project import QueryFailed, Session
from migration_pipeline.adapters.copied import COMPARING, INTEGERS, Copy, Sheet
from migration_pipeline.adapters.inventory import LARGE_OBJECTS_OID, Thing
from migration_pipeline.adapters.measurement import Measured, Measurement
from migration_pipeline.adapters.transaction import quoted
from migration_pipeline.adapters.whole_rows import Column
from migration_pipeline.domain.effects import Loss, RowChange


@dataclass(frozen=True, kw_only=True)
class Found:
    """What reads differently than in the copy."""

    before: int = 0  #: rows
    after: int = 0  #: where they were counted
    missing: int = 0  #: old rows of which no row of the same key, or no row with the same values, is there
    #: How many old non-null values read differently, by column; without a key: in any row.
    values: Mapping[str, int] = field(default_factory=dict)
    is_keyed: bool = True

    @property
    def rows_at_most(self) -> int:
        """So many old rows are gone or changed, at most."""
        return self.missing + (sum(self.values.values()) if self.is_keyed else 0)


class Comparison:
    """Follows the tables that were copied, part by part."""

    def __init__(
        self, copies: Iterable[Copy], settings: Mapping[str, str], *, large_objects_copied: bool = False, may_vanish: bool = False
    ) -> None:
        self.copies = {one.relation: one for one in copies}
        self.settings = settings  #: under which they were made
        self.compared: set[str] = set()  #: relations of which a part has results
        self._rows: dict[str, int] = {}  #: of each copy
        self._large_objects_copied = large_objects_copied
        self._may_vanish = may_vanish  #: with a savepoint of the plan's own
        self._told: dict[tuple[str, str], int] = {}  #: kind and name of a loss → how much is told already
        #: relation → revision → rows that it emptied the table of; rows of before that are lost by that, or by deleting.
        self._emptied: dict[str, dict[str, int]] = {}
        self._gone: dict[str, dict[str, int]] = {}

    @property
    def has_copies(self) -> bool:
        return bool(self.copies) or self._large_objects_copied

    def measure(self, session: Session, run: Measurement, part: Measured) -> None:
        """Add to a part what reads differently since it began. What did not change since the last look is not read again."""
        touched = [one for one in self.copies.values() if one.sheets and one.relation in run.now and run.is_touched(one.relation)]
        if self._may_vanish:
            touched = copied.still_there(session, touched)
        if touched:
            now = copied.settings(session)
            change_settings(session, now, {**self.settings, **COMPARING})
            for one in touched:
                self._take(session, one, run, part)
            change_settings(session, {**self.settings, **COMPARING}, now)
        if self._large_objects_copied and LARGE_OBJECTS_OID in part.changes:
            part.rows_lost[LARGE_OBJECTS_OID] = large_objects.pages_lost(session)

    def _take(self, session: Session, one: Copy, run: Measurement, part: Measured) -> None:
        was_rewritten = run.was_rewritten(one.relation)
        found = self._compared(session, one, run.now, counts=was_rewritten)
        if found is None:
            return
        self.compared.add(one.relation)
        inserted, deleted = run.turnover(one.relation)
        # TRUNCATE and REFRESH are in no counter of deleted rows
        emptied = max(0, found.before + inserted - deleted - found.after) if was_rewritten else 0
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

    def _compared(self, session: Session, one: Copy, now: Mapping[str, Thing], *, counts: bool) -> Found | None:
        """Compare a table with its copy; None where it has none of the old columns: that is told as such."""
        table = now[one.relation]
        there = [_columns(sheet, one, now) for sheet in one.sheets]
        if not any(there):
            return None
        before = self._rows_of(session, one)
        if not session.query(copied.POPULATED.format(relation=one.relation))[0][0]:
            return Found(before=before, missing=before, is_keyed=False)
        source = f"FROM ONLY {quoted(table.schema, table.name)}"
        after = int(session.query(f"SELECT count(*) {source}")[0][0]) if counts else 0
        keyed = bool(one.key) and set(one.key) <= {column.number for columns in there for column in columns}
        missing = 0
        values: dict[str, int] = {}
        for sheet, columns in zip(one.sheets, there, strict=True):
            gone, *numbers = _count(session, one.key if keyed else (), sheet, columns, source)
            missing = max(missing, gone)
            for column, number in zip(columns, numbers, strict=True):
                values[column.before.name] = max(number, values.get(column.before.name, 0))
        return Found(before=before, after=after, missing=missing, values=values, is_keyed=keyed)

    def _rows_of(self, session: Session, one: Copy) -> int:
        if one.relation not in self._rows:
            self._rows[one.relation] = int(session.query(f"SELECT count(*) FROM {one.sheets[0].table}")[0][0])
        return self._rows[one.relation]


def copy(session: Session, relations: Iterable[str], base: Mapping[str, Thing]) -> Comparison:
    """Copy tables, at the start of the transaction."""
    wanted = set(relations)
    settings = copied.settings(session)
    copies = [made for key in sorted(wanted & base.keys()) if (made := copied.at_start(session, key, base)) is not None]
    return Comparison(copies, settings, large_objects_copied=LARGE_OBJECTS_OID in wanted and large_objects.copy(session))


def change_settings(session: Session, before: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    changed = [name for name, value in wanted.items() if before[name] != value]
    if changed:
        calls = (f"set_config('{name}', {sql.Literal(wanted[name]).as_string(None)}, true)" for name in changed)
        session.query(f"SELECT {', '.join(calls)}")


def _overwritten(one: Copy, found: Found, *, accounted: int) -> Iterable[Loss]:
    """Yield what is lost but for the rows that are accounted for: deleted, or the table emptied of them.

    Non-null values by column, or whole rows where no column can be named.
    """
    if one.thing.kind == "materialized view":
        if found.missing > accounted:
            yield Loss(kind="rows", name=one.name, how="refreshed", rows=found.missing - accounted)
        return
    rows = found.missing - accounted
    if not found.is_keyed and rows <= 0:
        return  # every other row is still there, as a whole
    by_column = {name: count for name, count in found.values.items() if count}
    if not found.is_keyed and accounted:
        # the values of rows that are accounted for are missing too; of the others, no more than there are such rows
        by_column = {name: min(count, rows) for name, count in by_column.items() if count > accounted}
    for name, count in by_column.items():
        yield Loss(kind="values", name=f"{one.name}.{name}", how="overwritten", values=count)
    is_told = not found.is_keyed and by_column and (not accounted or sum(by_column.values()) >= rows)
    if rows > 0 and not is_told:
        yield Loss(kind="rows", name=one.name, how="overwritten", rows=rows)


def _columns(sheet: Sheet, one: Copy, now: Mapping[str, Thing]) -> list[Column]:
    return [
        Column(number=number, name=new.name, before=thing, is_as_before=new.storage == thing.storage, storage=new.storage)
        for number, thing in sheet.columns.items()
        if (new := now.get(f"{one.relation}.{number}")) is not None
    ]


def _count(session: Session, key: tuple[int, ...], sheet: Sheet, columns: list[Column], source: str) -> list[int]:
    """Return how many old rows are missing, and each column's values."""

    def count(*, cast_back: bool) -> list[int]:
        if not key:
            return whole_rows.lost(session, as_texts(sheet), columns, source, cast_back=cast_back)
        return _by_key(session, key, sheet, columns, source, cast_back=cast_back)

    try:
        return count(cast_back=True)
    except QueryFailed:  # a value that cannot be cast back
        return count(cast_back=False)


def as_texts(sheet: Sheet) -> str:
    """Return the table, or query, that has a sheet's values as texts."""
    if sheet.is_text:
        return sheet.table
    columns = ", ".join(f"{whole_rows.as_text(f'c{number}')} AS c{number}" for number in sheet.columns)
    return f"(SELECT {columns} FROM {sheet.table}) x"


def _by_key(
    session: Session, key: tuple[int, ...], sheet: Sheet, columns: list[Column], source: str, *, cast_back: bool
) -> list[int]:
    """Compare row by row: first how many old rows have no row of their key now, then each column's changed values."""
    pairs = {column.number: _Pair(column, sheet, cast_back=cast_back) for column in columns}
    now = ", ".join(f"{pair.now} AS n{number}" for number, pair in pairs.items())
    counts = ", ".join(f"count(*) FILTER (WHERE {pair.lost})" for pair in pairs.values())
    on = " AND ".join(pairs[number].same for number in key)
    new = f"SELECT true AS here, {now} {source}"
    missing = "count(*) FILTER (WHERE a.here IS NULL)"
    sentence = f"SELECT {missing}, {counts} FROM {sheet.table} b LEFT JOIN ({new}) a ON {on}"
    with whole_rows.savepoint(session):
        ((*found,),) = session.query(sentence)
    return found


class _Pair:
    """A column's value now, as `a.n1`, and its old one, as `b.c1`: both in their own type, or both as texts."""

    def __init__(self, column: Column, sheet: Sheet, *, cast_back: bool) -> None:
        kept = not sheet.is_text and copied.kept_as_is(column.before.storage)
        is_integer = {column.before.storage, column.storage} <= INTEGERS
        self.is_own = kept and (column.is_as_before or is_integer)
        self.is_equal_same = self.is_own and copied.equal_is_same(column.before.storage)
        self.now = quoted(None, column.name) if self.is_own else column.now(cast_back=cast_back)
        self._new = f"a.n{column.number}"
        self._raw = column.old
        self._old = column.old if self.is_own or not kept else f'{column.old}::text COLLATE "C"'

    @property
    def same(self) -> str:
        return f"{self._new} = {self._old}"

    @property
    def lost(self) -> str:
        differs = f"{self._new} IS DISTINCT FROM {self._old}"
        if self.is_own and not self.is_equal_same:  # what lies there alike reads alike
            image = f"record_image_ne(ROW({self._new}), ROW({self._old}))"
            differs = f"{image} AND {self._new}::text IS DISTINCT FROM {self._old}::text"
        return f"a.here AND {self._raw} IS NOT NULL AND {differs}"
