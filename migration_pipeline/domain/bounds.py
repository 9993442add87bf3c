"""Between which numbers of rows a physical backup lies: it has no snapshot of its own, so its rows are not counted but enclosed.

The instant that it restores to lies between two readings of the live database, one before the backup begins and one
after it has ended. A correct restore is never outside the bounds; how much they prove is how close together they are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from migration_pipeline.domain.schema import SchemaSnapshot

#: By table, the least and the most rows of a correct restore; no most: nobody knows.
Bounds = Mapping[str, tuple[int, int | None]]


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table in a reading."""

    rows: int
    kept: int  #: rows that a backup between the readings must hold: their version stood before the first one began
    inserted: int  #: the server's counters: attempts, those that were rolled back among them
    deleted: int
    storage: int  #: the number of its file: TRUNCATE and a rewrite give it another one


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The tables of a database in one snapshot."""

    tables: Mapping[str, Table]
    schema: SchemaSnapshot
    heads: tuple[str, ...]
    counts: bool  #: whether the server counts what is inserted and deleted
    reset: str  #: when the counters were set back last


def of(before: Reading, after: Reading) -> Bounds:
    """Return the bounds for what was restored from between two readings, both of the same tables.

    Least: a version of a row that was there before and is there afterwards was there all the time. That needs no counter.
    Most: what was there before and all that was inserted since, or what is there afterwards and all that was deleted; both
    are the same number, unless a counter comes late, and then the greater one is right.
    """
    is_counted = before.counts and after.counts and before.reset == after.reset
    return {name: _of_table(table, after.tables[name], is_counted=is_counted) for name, table in before.tables.items()}


def _of_table(before: Table, after: Table, *, is_counted: bool) -> tuple[int, int | None]:
    if before.storage != after.storage:
        return 0, None  # TRUNCATE shows an empty table to older snapshots too, so no count of it is good for anything
    inserted, deleted = after.inserted - before.inserted, after.deleted - before.deleted
    if not is_counted or inserted < 0 or deleted < 0:
        return after.kept, None
    return after.kept, max(before.rows + inserted, after.rows + deleted)


def counters_are_late(before: Reading, after: Reading) -> bool:
    """Tell whether the counters do not add up to the rows: some session has not told yet, or something was rolled back."""
    pairs = [(table, after.tables[name]) for name, table in before.tables.items() if name in after.tables]
    return any(
        now.rows - was.rows != (now.inserted - was.inserted) - (now.deleted - was.deleted)
        for was, now in pairs
        if now.storage == was.storage
    )


def violations(bounds: Bounds, rows: Mapping[str, int]) -> dict[str, str]:
    """Return what is wrong with the rows of a restored copy, as evidence for an error."""
    return dict(_violations(bounds, rows))


def _violations(bounds: Bounds, rows: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    for table in sorted(bounds.keys() | rows.keys()):
        least, most = bounds.get(table, (0, 0))
        found = rows.get(table)
        if found is None:
            yield f"rows of {table}", "the table is missing"
        elif table not in bounds:
            yield f"rows of {table}", f"{found:,}; the table was not there when the backup was taken"
        elif found < least or (most is not None and found > most):
            yield f"rows of {table}", f"{found:,}, right: {words(least, most)}"


def words(least: int, most: int | None) -> str:
    """Return a bound as a human says it."""
    if most is None:
        return f"at least {least:,}"
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def is_exact(bounds: Bounds) -> bool:
    """Tell whether a restore must have one certain number of rows in each table: nothing was written meanwhile."""
    return all(least == most for least, most in bounds.values())
