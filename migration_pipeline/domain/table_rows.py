"""What is known of a table's rows at one moment, and what two moments say was lost between them. It holds no value."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from migration_pipeline.domain import filled_values
from migration_pipeline.domain.filled_values import Row


class ColumnValues(NamedTuple):
    """The values of a column: the same whatever order they lie in."""

    number: int  #: attnum: another one under the same name is another column
    values: int  #: that are not NULL
    digest: str


@dataclass(frozen=True, kw_only=True)
class TableRows:
    """The rows of a table."""

    oid: int
    name: str  #: as the catalog's snapshot names it: quoted where it must be
    path: tuple[str, str]  #: schema and table, as they are
    rows: int
    digest: str  #: of whole rows, their columns in the order of their names
    columns: Mapping[str, ColumnValues]  #: by their plain names, in the order of their numbers
    each: Sequence[Row] | None = field(default=None, compare=False)  #: the rows, columns in this order; None: they are too many

    @property
    def plain(self) -> str:
        return ".".join(self.path)

    def rows_of(self, columns: Collection[str]) -> list[Row]:
        places = [list(self.columns).index(name) for name in columns]
        return [tuple(row[place] for place in places) for row in self.each or ()]


Book = Mapping[str, TableRows]  #: by name
LARGE_OBJECTS = "large objects"  #: stand in a book as a table of this name, which no other one has
Spared = Mapping[str, Collection[str] | None]  #: columns that the check has written to, by table; None: it has put in rows


class Loss(StrEnum):
    """What has become of rows."""

    ROWS = "rows"  #: fewer than before
    MORE = "more"  #: more than before
    VALUES = "values"  #: fewer of a column than before
    CHANGED = "changed"  #: others than before, as many or more
    FILLED = "filled"  #: all that a column held, and more where it held none
    MIXED = "mixed"  #: every column holds what it held, but in other rows


@dataclass(frozen=True, kw_only=True)
class RowLoss:
    """One thing that is not as it was."""

    table: str
    loss: Loss
    column: str = ""
    number: int = 0
    by_upgrade: bool = False  #: it was so before the downgrade began
    is_kept: bool = False  #: the upgrade has left as many different values of the column, which may be turned back


def compare(before: Book, now: Book, upgraded: Book, spared: Spared, filled: Book) -> list[RowLoss]:
    """Return what is not in the rows as it was; a table that is not in `now` any more is gone.

    `upgraded` is how the rows were after the upgrade, `filled` after the check itself has then written to what is `spared`. Of
    that it is told alone that it holds less than before: what the check put in makes nothing fewer.
    """
    found: list[RowLoss] = []
    renamed = {one.oid: one for one in upgraded.values()}
    for name, was in sorted(before.items()):
        left_out, left = spared.get(name, ()), now.get(name)
        if name in spared and left is not None:
            left = _without_filling(left, filled[name], upgraded[name], left_out)
        found += _of_table(was, left, upgraded.get(name, renamed.get(was.oid)), left_out)
    return found


def _without_filling(left: TableRows, filled: TableRows, upgraded: TableRows, columns: Collection[str] | None) -> TableRows:
    """Take out what the check has put in, where the downgrade has left it as it was."""
    if columns is None:
        return upgraded if left == filled else left
    same = {name: upgraded.columns[name] for name in columns if left.columns.get(name) == filled.columns[name]}
    return replace(left, columns={**left.columns, **same})


def _of_table(
    was: TableRows, now: TableRows | None, upgraded: TableRows | None, left_out: Collection[str] | None
) -> Iterator[RowLoss]:
    number = was.rows - (now.rows if now else 0)
    left = upgraded.rows if upgraded else 0
    if number > 0:
        yield RowLoss(table=was.name, loss=Loss.ROWS, number=number, by_upgrade=was.rows - left >= number)
        return  # that their values are gone too goes without saying
    if now is None or left_out is None:
        return
    if number < 0:
        yield RowLoss(table=was.name, loss=Loss.MORE, number=-number)
        return
    filled = _filled(was, now, left_out)
    losses = [
        replace(loss, loss=Loss.FILLED, is_kept=False) if column in filled else loss
        for column, held in was.columns.items()
        if (loss := _of_column(was, column, held, now, upgraded)) and (column not in left_out or loss.loss is Loss.VALUES)
    ]
    yield from losses
    if not losses and not left_out and was.columns.keys() == now.columns.keys() and was.digest != now.digest:
        yield RowLoss(table=was.name, loss=Loss.MIXED, by_upgrade=upgraded is None or upgraded.digest == now.digest)


def _filled(was: TableRows, now: TableRows, left_out: Collection[str]) -> Collection[str]:
    """Return the columns of which NULLs alone have another value. Where the rows are not known one by one nobody can tell."""
    if was.each is None or now.each is None:
        return ()
    shared = [name for name in was.columns if name in now.columns and name not in left_out]
    more = [name for name in shared if now.columns[name].values > was.columns[name].values]
    more = [name for name in more if filled_values.is_filled(was.rows_of([name]), now.rows_of([name]), {0})]
    names = [*more, *(name for name in shared if _is_same(was.columns[name], now.columns[name]))]
    return more if more and filled_values.is_filled(was.rows_of(names), now.rows_of(names), range(len(more))) else ()


def _is_same(was: ColumnValues, now: ColumnValues) -> bool:
    return (was.digest, was.values) == (now.digest, now.values)


def _of_column(was: TableRows, column: str, held: ColumnValues, now: TableRows, upgraded: TableRows | None) -> RowLoss | None:
    left = now.columns.get(column)
    if left is not None and _is_same(held, left):
        return None
    between = _between(was, held, upgraded.columns.get(column), upgraded) if upgraded else None
    number = held.values - (left.values if left else 0)
    by_upgrade = between is None or not _is_same(held, between)
    by_upgrade &= number <= 0 or between is None or held.values - between.values >= number
    loss = Loss.VALUES if number > 0 else Loss.CHANGED
    if left is None and not number:
        return None  # an empty column is gone: that the catalog tells
    is_kept = loss is Loss.CHANGED and upgraded is not None and between is not None and _is_kept(was, held, upgraded, between)
    if is_kept and upgraded and between and left:
        by_upgrade &= _is_kept(upgraded, between, now, left)  # else the downgrade has lost them itself
    return RowLoss(table=was.name, column=column, loss=loss, number=abs(number), by_upgrade=by_upgrade, is_kept=is_kept)


def _is_kept(was: TableRows, held: ColumnValues, now: TableRows, left: ColumnValues) -> bool:
    """Tell whether a column's values have been left apart, as far as anybody knows."""
    before, after = _different(was, held), _different(now, left)
    return left.values >= held.values and (before is None or after is None or after >= before)


def _different(table: TableRows, column: ColumnValues) -> int | None:
    if table.each is None:
        return None
    place = list(table.columns.values()).index(column)
    return len({row[place] for row in table.each} - {None})


def _between(was: TableRows, held: ColumnValues, same: ColumnValues | None, upgraded: TableRows) -> ColumnValues | None:
    """Return a column as the upgrade left it, under another name perhaps."""
    renamed = (one for one in upgraded.columns.values() if one.number == held.number and was.oid == upgraded.oid)
    return same or next(renamed, None)


def emptied(before: Book, now: Book) -> dict[str, Collection[str]]:
    """Return the columns that held values and hold none any more, by table: what took them is to bring them back.

    A table or a column that was made anew has not been emptied, and one that has another name is the same one.
    """
    were = {one.oid: one for one in before.values() if one.rows}
    found = {name: _emptied(were[one.oid], one) for name, one in now.items() if one.oid in were}
    return {name: columns for name, columns in found.items() if columns or not now[name].rows}


def _emptied(was: TableRows, now: TableRows) -> list[str]:
    had = {held.number for held in was.columns.values() if held.values}
    return [name for name, held in now.columns.items() if held.number in had and not held.values]


def added_again(was: TableRows, upgraded: TableRows | None, now: TableRows | None) -> list[str]:
    """Return the columns that were dropped and added again, and so stand last; none where the downgrade made the table.

    A table that the upgrade made anew counts as the same one: what it left out was dropped.
    """
    same = next((one for one in (was, upgraded) if one and now and one.oid == now.oid), None)
    if same is None or now is None:
        return []
    numbers = {name: held.number for name, held in same.columns.items()}
    return [name for name in was.columns if name in now.columns and now.columns[name].number != numbers.get(name)]


def changed(was: TableRows, now: TableRows) -> Collection[str] | None:
    """Return the columns that hold something else; None where there are other rows."""
    if was.rows != now.rows:
        return None
    return [name for name, column in now.columns.items() if was.columns.get(name) != column]
