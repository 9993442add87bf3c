"""What a plan's table locks hold up, and for how long: PostgreSQL's lock modes, what was held, and the limits of a Target.

https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

READS, WRITES = "reads", "writes"


class Mode(StrEnum):
    """PostgreSQL's eight modes of a table lock, the weakest first."""

    ACCESS_SHARE = "ACCESS SHARE"
    ROW_SHARE = "ROW SHARE"
    ROW_EXCLUSIVE = "ROW EXCLUSIVE"
    SHARE_UPDATE_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE"
    SHARE = "SHARE"
    SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE"
    EXCLUSIVE = "EXCLUSIVE"
    ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE"

    @property
    def stops(self) -> tuple[str, ...]:
        """What of an application's work waits for the end of such a lock. A plain SELECT is a read, all else a write."""
        return STOPS.get(self, ())

    @property
    def blocks(self) -> str:
        """The same in words: "reads and writes", "writes", "nothing"."""
        return " and ".join(self.stops) or "nothing"

    @property
    def on_server(self) -> str:
        """What the mode is called in pg_locks."""
        return f"{self.title().replace(' ', '')}Lock"


STOPS = {
    Mode.SHARE: (WRITES,),
    Mode.SHARE_ROW_EXCLUSIVE: (WRITES,),
    Mode.EXCLUSIVE: (WRITES,),
    Mode.ACCESS_EXCLUSIVE: (READS, WRITES),
}
#: Those that an application's own statements never take: VACUUM and other schema changes wait for the first of them.
STRONG = tuple(Mode)[list(Mode).index(Mode.SHARE_UPDATE_EXCLUSIVE) :]


@dataclass(frozen=True, kw_only=True)
class LockHeld:
    """A lock on a relation that was there before the plan; the times are seconds from the transaction's begin."""

    relation: str  #: schema-qualified, as it was called before the plan; a lock on its index or its toast counts for it
    mode: Mode
    revision: str
    statement: str  #: the one that took it, on one line: no literal that is not the revision's own
    taken: float  #: when that statement began
    released: float  #: when the transaction ended, or the savepoint behind which it was taken
    until_end: bool = True
    rows: int | None = None  #: of the relation in the backup; None: nobody counted
    rows_are_estimated: bool = False

    @property
    def seconds(self) -> float:
        return self.released - self.taken


@dataclass(frozen=True, kw_only=True)
class LockBudget:
    """For how long a plan may hold up the application on one relation."""

    reads: timedelta = timedelta(seconds=2)
    writes: timedelta = timedelta(seconds=10)

    def limit(self, what: str) -> timedelta:
        return self.reads if what == READS else self.writes


def over_budget(locks: Iterable[LockHeld], budget: LockBudget) -> tuple[str, ...]:
    """Return a sentence for each relation that is locked for longer than the budget allows, with the statement that does it."""
    return tuple(
        f"{_short(lock.relation)} is locked against {what} for {_words(lock.seconds)} (limit {_limit(budget.limit(what))}) "
        f"from: {lock.statement}"
        for lock, what in _worst(locks, budget)
    )


def told(locks: Iterable[LockHeld]) -> tuple[str, ...]:
    """Return a line for each relation that is held up, the worst first."""
    found = sorted(_worst(locks, None), key=lambda one: (one[1] != READS, -one[0].seconds))
    return tuple(f"{_short(lock.relation)}: locked against {what} for {_words(lock.seconds)}" for lock, what in found)


def rows(locks: Iterable[LockHeld]) -> list[dict[str, str]]:
    """Return the locks as rows of a table, in the order in which they were taken."""
    return [
        {
            "relation": _short(lock.relation),
            "rows": _rows(lock),
            "lock": lock.mode.value,
            "blocks": lock.mode.blocks,
            "from": f"{lock.taken:.3f} s",
            "to": f"{lock.released:.3f} s" + (" (end)" if lock.until_end else ""),
            "seconds": f"{lock.seconds:.3f}",
            "revision": lock.revision,
            "statement": lock.statement,
        }
        for lock in sorted(locks, key=lambda one: one.taken)
    ]


def _worst(locks: Iterable[LockHeld], budget: LockBudget | None) -> list[tuple[LockHeld, str]]:
    """Return for each relation its longest lock against reads, and the one against writes where that is another one.

    With a budget, only those that are longer than it allows.
    """
    longest: dict[tuple[str, str], LockHeld] = {}
    for lock in locks:
        for what in lock.mode.stops:
            known = longest.get((lock.relation, what))
            if known is None or lock.seconds > known.seconds:
                longest[lock.relation, what] = lock
    if budget is not None:
        longest = {key: lock for key, lock in longest.items() if lock.seconds > budget.limit(key[1]).total_seconds()}
    return [
        (lock, what) for (relation, what), lock in longest.items() if what == READS or longest.get((relation, READS)) is not lock
    ]


def _short(name: str) -> str:
    return name.removeprefix("public.")


def _words(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 0.1 else f"{seconds:.1f} s"  # noqa: PLR2004 - then a tenth says too little


def _limit(limit: timedelta) -> str:
    return f"{limit.total_seconds():g} s"


def _rows(lock: LockHeld) -> str:
    if lock.rows is None:
        return "unknown"
    return f"about {lock.rows:,}" if lock.rows_are_estimated else f"{lock.rows:,}"
