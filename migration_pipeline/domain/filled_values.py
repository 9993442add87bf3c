"""Whether NULLs alone were filled, as the rows of a small table tell by hashes: each value of before stands where it stood."""

from collections.abc import Collection, Sequence

Row = tuple[int | None, ...]  #: a hash for each value, None for NULL
NO_ROW = -1


def is_filled(before: Sequence[Row], now: Sequence[Row], filled: Collection[int]) -> bool:
    """Tell whether each row of before is another row now, in which NULLs of the columns at these places alone have a value.

    Which row became which nothing says, so one way to tell them all must be found: a perfect matching.
    """
    candidates = [[place for place, new in enumerate(now) if _is_like(old, new, filled)] for old in before]
    taken = [NO_ROW] * len(now)
    return len(before) == len(now) and all(_place(row, candidates, taken, set()) for row in range(len(before)))


def _is_like(old: Row, new: Row, filled: Collection[int]) -> bool:
    return all(was == value or (was is None and place in filled) for place, (was, value) in enumerate(zip(old, new, strict=True)))


def _place(row: int, candidates: Sequence[Sequence[int]], taken: list[int], tried: set[int]) -> bool:
    """Find a place for a row, and another one for the row that has it (augmenting path)."""
    for place in candidates[row]:
        if place in tried:
            continue
        tried.add(place)
        if taken[place] == NO_ROW or _place(taken[place], candidates, taken, tried):
            taken[place] = row
            return True
    return False
