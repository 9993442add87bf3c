"""Synthetic rows: which tables first, and which value for which column of which row.

Deterministic: the same schema gives the same rows. Nothing here knows a real row, and the server has the last word.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice, product

from migration_pipeline.domain import seed_checks, seed_values
from migration_pipeline.domain.seed_checks import Alternative
from migration_pipeline.domain.seed_conditions import holds
from migration_pipeline.domain.seed_values import Kind

SPARE = 12  #: values of a column beyond one a row
MOST_TRIED = 600  #: combinations for one row
MOST_JOINED = 200  #: combinations of parents
APART = 40  #: how much further the greater of two compared columns is

Key = tuple[str | None, ...]
Row = dict[str, str | None]
Slots = Mapping[tuple[str, ...], Sequence[Key]]  #: columns that are chosen together, and their combinations


class NoRows(Exception):
    """There is no row for a table; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column that a row has a value for: no generated one, no identity, no serial."""

    name: str
    kind: Kind
    required: bool = False
    first: int = 0  #: the number of its first value


@dataclass(frozen=True, kw_only=True)
class Link:
    """A foreign key."""

    columns: tuple[str, ...]
    parent: int
    parent_columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table as far as its rows are bound by it; a partition with what its bounds ask, under its own OID."""

    oid: int
    name: str  #: schema-qualified, for people
    columns: tuple[Column, ...] = ()
    checks: tuple[str, ...] = ()
    keys: tuple[tuple[str, ...], ...] = ()
    links: tuple[Link, ...] = ()
    #: Columns that the server fills, with the sequence that it takes the number from.
    sequences: Mapping[str, str] = field(default_factory=dict)

    def column(self, name: str) -> Column | None:
        return next((one for one in self.columns if one.name == name), None)

    def nullable(self, link: Link) -> tuple[str, ...]:
        """Return the columns of a link that may be NULL: with one that is, it asks for no parent."""
        found = [self.column(name) for name in link.columns]
        return tuple(one.name for one in found if one and not one.required)


@dataclass(frozen=True, kw_only=True)
class Seeded:
    """What was inserted, and what was not."""

    rows_by_table: Mapping[str, int]
    refused: Mapping[str, str]  #: table → why it has no rows
    unfilled: Mapping[str, str] = field(default_factory=dict)  #: column → why it holds nothing


def rows(
    table: Table, parents: Mapping[Link, Sequence[Key]], number: int, *, first: int = 0, slots: Slots | None = None
) -> list[Row]:
    """Return rows for a table, `number` at most; raise NoRows. `parents` holds for each link the keys there are.

    `first` is the number of the first row's values; `slots` are combinations that the server has accepted for some columns.
    """
    links = [link for link in table.links if parents.get(link)]
    empty = {name for link in table.links if link not in links for name in _emptied(table, link, links)}
    shapes = list(_shapes(table, links, parents, empty, number, first, slots or {}))
    if not shapes:
        raise NoRows("no value is known that its types and check constraints allow")
    found: list[Row] = []
    used: list[set[Key]] = [set() for _ in table.keys]
    for position in range(number):
        row = _row(shapes[position % len(shapes)], position, table.keys, used)
        if row is not None:
            found.append(row)
    if not found:
        raise NoRows("its check constraints and foreign keys leave no row")
    return found


def _emptied(table: Table, link: Link, others: Sequence[Link]) -> tuple[str, ...]:
    """Return the columns that are NULL because a link has no parent."""
    nullable = table.nullable(link)
    if not nullable:
        raise NoRows("a table that it references has no rows")
    free = tuple(name for name in nullable if not any(name in other.columns for other in others))
    return free or nullable


@dataclass(frozen=True)
class Shape:
    """One way that rows may be: the alternatives of every check that were chosen, and the values that they leave."""

    conditions: Alternative
    slots: Slots
    free: frozenset[tuple[str, ...]]  #: slots without an end, whose values are numbered by the row


def _shapes(
    table: Table,
    links: Sequence[Link],
    parents: Mapping[Link, Sequence[Key]],
    empty: set[str],
    number: int,
    first: int,
    accepted: Slots,
) -> Iterator[Shape]:
    given = {name for names in accepted for name in names}
    parts = [seed_checks.alternatives(check) for check in table.checks]
    parts += [
        seed_checks.renamed(seed_checks.alternatives(check), one.name)
        for one in table.columns
        if one.name not in given
        for check in one.kind.checks
    ]
    chosen = [tuple(one for part in combination for one in part) for combination in islice(product(*parts), seed_checks.MOST * 8)]
    chosen.sort(key=lambda conditions: sum(one.test == "null" for one in conditions))
    for conditions in _varied(list(dict.fromkeys(chosen))[: seed_checks.MOST]):
        slots = dict(accepted)
        joined = _joined(links, parents, conditions)
        if any(not keys for keys in joined.values()):
            continue
        slots |= {names: keys for names, keys in joined.items() if not given & set(names)}
        linked = {name for names in slots for name in names}
        for one in table.columns:
            if one.name not in linked:
                slots[one.name,] = [(None,)] if one.name in empty else _choices(one, conditions, number, first)
        if all(slots.values()):
            free = frozenset(names for names, keys in slots.items() if names not in accepted and len(keys) >= number + SPARE)
            yield Shape(() if accepted else conditions, slots, free - set(joined))


def _varied(found: list[Alternative]) -> Iterator[Alternative]:
    """Yield alternatives so that columns of which only some may hold a value hold one as early as possible, each in its row."""
    left = [(conditions, {one.column for one in conditions if one.test == "null"}) for conditions in found]
    empty = set().union(*(nulls for _, nulls in left))
    while left:
        conditions, nulls = min(left, key=lambda one: len(one[1] & empty))
        empty &= nulls
        left.remove((conditions, nulls))
        yield conditions


def _choices(column: Column, conditions: Alternative, number: int, first: int) -> Sequence[Key]:
    mine = tuple(one for one in conditions if one.column == column.name)
    start = first + column.first + APART * _rank(column.name, conditions)
    return _chosen(column, tuple(one for one in mine if one.test != "column"), number + SPARE, start)


@lru_cache(maxsize=10_000)
def _chosen(column: Column, conditions: Alternative, number: int, first: int) -> tuple[Key, ...]:
    asked = {one.test for one in conditions}
    if "null" in asked:
        return () if column.required or "not null" in asked else ((None,),)
    found = tuple((value,) for value in islice(seed_values.values(column.kind, column.name, conditions, first), number))
    if found and ("in" in asked or column.kind.form == "enum" or column.kind.name == "bool"):
        turn = first % len(found)
        found = found[turn:] + found[:turn]
    return found if found or column.required or "not null" in asked else ((None,),)


def _rank(name: str, conditions: Alternative) -> int:
    """Return how many columns must be less than this one, one below the other."""
    below: dict[str, set[str]] = {}
    for one in conditions:
        if one.test == "column":
            operator, other = one.operand
            if operator in {"<", "<=", "<>"}:
                below.setdefault(other, set()).add(one.column)
            elif operator in {">", ">="}:
                below.setdefault(one.column, set()).add(other)
    rank, level = 0, {name}
    while level and rank < len(below):
        level = {lower for upper in level for lower in below.get(upper, ())} - {name}
        rank += bool(level)
    return rank


def _joined(
    links: Sequence[Link], parents: Mapping[Link, Sequence[Key]], conditions: Alternative
) -> dict[tuple[str, ...], list[Key]]:
    """Return the combinations of parents' keys: links that share a column are chosen together."""
    groups: list[list[Link]] = []
    for link in links:
        touching = [group for group in groups if any(set(link.columns) & set(other.columns) for other in group)]
        groups = [group for group in groups if group not in touching]
        groups.append([*(other for group in touching for other in group), link])
    found = {}
    for group in groups:
        partial: list[Row] = [{}]
        for link in group:
            keys = [dict(zip(link.columns, key, strict=True)) for key in parents[link]]
            fitting = (
                one | key for one in partial for key in keys if all(one.get(name, value) == value for name, value in key.items())
            )
            partial = list(islice(fitting, MOST_JOINED))
        names = tuple(dict.fromkeys(name for link in group for name in link.columns))
        partial = [one for one in partial if all(holds(condition, one) for condition in conditions)]
        found[names] = [tuple(one[name] for name in names) for one in partial]
    return found


def _row(shape: Shape, position: int, keys: Sequence[tuple[str, ...]], used: list[set[Key]]) -> Row | None:
    """Return the row of this number: its values side by side, then other combinations of what has an end."""
    bounded = [names for names in shape.slots if names not in shape.free]
    for tried in range(MOST_TRIED):
        left = tried
        row: Row = {}
        for names, choices in shape.slots.items():
            turn = 0
            if names in bounded:
                left, turn = divmod(left, len(choices))
            row.update(zip(names, choices[(position + turn) % len(choices)], strict=True))
        if left:
            return None
        unique = [tuple(row[name] for name in key) if set(key) <= row.keys() else (None,) for key in keys]
        clashes = any(None not in value and value in seen for value, seen in zip(unique, used, strict=True))
        if not clashes and all(holds(one, row) for one in shape.conditions):
            for value, seen in zip(unique, used, strict=True):
                seen.add(value)
            return row
    return None
