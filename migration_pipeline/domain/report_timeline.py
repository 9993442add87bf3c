"""The lock timeline as a picture: where each bar of it lies. A row a lock, in groups by revision, on one axis of seconds."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from migration_pipeline.domain import ledger
from migration_pipeline.domain.locking import READS, WRITES, LockBudget, LockHeld

WIDTH = 1000.0  #: of the picture, in its own units; so are all that follow
LEFT, RIGHT = 300.0, 800.0  #: between which the axis lies: names stand before it, seconds behind it
TOP, GROUP, ROW, BOTTOM = 12.0, 30.0, 36.0, 34.0
LEAST = 3.0  #: of a bar, so that it is seen
MOST_BARS = 40
MOST_TICKS = 6
LONGEST_NAME = 34
STRETCH = 2.5  #: so many times longer the axis may become for a limit to be in sight


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One lock."""

    name: str  #: of the relation, cut where it is long
    mode: str
    blocks: str  #: "reads and writes", "writes", "nothing"
    kind: str  #: of the pattern: both, writes, nothing
    y: float
    x: float
    width: float
    limit_x: float | None  #: where the budget ends, if that is in sight
    over_x: float | None  #: from where the lock is over the budget
    over_width: float
    seconds: str
    limit: str
    told: str  #: everything, for whoever points at the bar


@dataclass(frozen=True, kw_only=True)
class Group:
    """The locks of one revision."""

    revision: str
    title: str
    y: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """The whole picture."""

    groups: tuple[Group, ...]
    ticks: tuple[tuple[float, str], ...]
    height: float
    more: int  #: locks that have no room in it
    shows_limit: bool
    limits: str  #: the budget in words
    width: float = WIDTH
    left: float = LEFT
    right: float = RIGHT
    bottom: float = BOTTOM


def of(locks: Sequence[LockHeld], budget: LockBudget, titles: Mapping[str, str]) -> Timeline:
    """Lay out the locks: the longest that block most where there are too many, in the order in which they were taken."""
    shown = sorted(sorted(locks, key=_weight)[:MOST_BARS], key=lambda one: _place(one, titles))
    end = _end(shown, budget)
    groups, y = [], TOP
    for revision, of_revision in groupby(shown, key=lambda one: one.revision):
        held = list(of_revision)
        bars = tuple(_bar(lock, budget, end, y + GROUP + ROW * number) for number, lock in enumerate(held))
        groups.append(Group(revision=revision, title=titles.get(revision, ""), y=y, bars=bars))
        y += GROUP + ROW * len(held)
    return Timeline(
        groups=tuple(groups),
        ticks=tuple(_ticks(end)),
        height=y + BOTTOM,
        more=len(locks) - len(shown),
        shows_limit=any(bar.limit_x is not None for group in groups for bar in group.bars),
        limits=f"reads {budget.reads.total_seconds():g} s, writes {budget.writes.total_seconds():g} s",
    )


def in_words(seconds: float) -> str:
    """Return a time as it is read: 12 ms, 0.52 s, 8.3 s, 140 s."""
    if seconds < 0.1:  # noqa: PLR2004 - from there on two digits say as much
        return f"{seconds * 1000:.0f} ms"
    digits = 2 if seconds < 1 else 1 if seconds < 100 else 0  # noqa: PLR2004
    return f"{seconds:.{digits}f} s"


def strictest(lock: LockHeld, budget: LockBudget) -> float | None:
    """Return the seconds that a lock may last, by the strictest of its limits; None: it blocks nothing that has one."""
    return min((budget.limit(what).total_seconds() for what in lock.mode.stops), default=None)


def _weight(lock: LockHeld) -> tuple[int, float]:
    return -len(lock.mode.stops), -lock.seconds


def _place(lock: LockHeld, titles: Mapping[str, str]) -> tuple[int, float]:
    order = list(titles)
    return order.index(lock.revision) if lock.revision in titles else -1, lock.taken


def _end(locks: Iterable[LockHeld], budget: LockBudget) -> float:
    """Return where the axis ends: with the last lock, or with the first limit behind that if it is not far."""
    listed = list(locks)
    end = max((lock.released for lock in listed), default=0.0) or 0.001
    limits = [lock.taken + limit for lock in listed if (limit := strictest(lock, budget)) is not None]
    nearest = min(limits, default=math.inf)
    return max(end, nearest * 1.04) if nearest <= end * STRETCH else end


def _x(seconds: float, end: float) -> float:
    return LEFT + (RIGHT - LEFT) * min(max(seconds, 0.0) / end, 1.0)


def _bar(lock: LockHeld, budget: LockBudget, end: float, y: float) -> Bar:
    x, until = _x(lock.taken, end), _x(lock.released, end)
    limit = strictest(lock, budget)
    limit_at = math.inf if limit is None else lock.taken + limit
    over_x = _x(limit_at, end) if lock.released > limit_at else None
    name = ledger.short(lock.relation)
    return Bar(
        name=name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…",
        mode=lock.mode.value,
        blocks=lock.mode.blocks,
        kind="both" if READS in lock.mode.stops else "writes" if WRITES in lock.mode.stops else "nothing",
        y=y,
        x=min(x, RIGHT - LEAST),
        width=max(until - x, LEAST),
        limit_x=_x(limit_at, end) if limit_at <= end else None,
        over_x=over_x,
        over_width=0.0 if over_x is None else max(until - over_x, LEAST),
        seconds=in_words(lock.seconds),
        limit="no limit" if limit is None else f"{'OVER the' if over_x is not None else 'of the'} limit of {limit:g} s",
        told=_told(lock, name),
    )


def _told(lock: LockHeld, name: str) -> str:
    until = "the transaction's end" if lock.until_end else "the end of its savepoint"
    span = f"from {in_words(lock.taken)} to {in_words(lock.released)} ({until})"
    return f"{name}: {lock.mode.value} blocks {lock.mode.blocks}, {span}\n{lock.statement}"


def _ticks(end: float) -> Iterator[tuple[float, str]]:
    rough = end / MOST_TICKS
    size: float = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    digits = max(0, -math.floor(math.log10(step)))
    for number in range(int(end / step + 1e-9) + 1):
        yield _x(number * step, end), f"{number * step:.{digits}f} s"
