"""The seconds of a rehearsal against the limits of its Target, revision by revision."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from migration_pipeline.domain import ledger
from migration_pipeline.domain.effects import Rehearsal, RevisionEffects
from migration_pipeline.domain.locking import READS, WRITES, LockBudget, LockHeld
from migration_pipeline.domain.report_timeline import in_words


@dataclass(frozen=True, kw_only=True)
class Share:
    """A time, and how much of its limit it takes."""

    seconds: str
    limit: str
    percent: float  #: more than 100: it is over

    @property
    def is_over(self) -> bool:
        return self.percent > 100  # noqa: PLR2004 - percent

    @property
    def told(self) -> str:
        percent = "less than 1" if self.percent < 1 else f"{self.percent:,.0f}"
        return f"{self.seconds}, {percent} % of {self.limit}"


@dataclass(frozen=True, kw_only=True)
class Time:
    """What one revision takes; the last one is the whole plan."""

    name: str  #: the revision, or the whole plan
    run: Share
    reads: Share | None  #: the longest lock against them; None: there is none
    writes: Share | None
    rewritten: tuple[tuple[str, int], ...]  #: tables, and their bytes afterwards
    wal_bytes: int | None


def of(rehearsal: Rehearsal, transaction: timedelta, budget: LockBudget) -> tuple[Time, ...]:
    """Return a line for each revision, and one for all of them."""
    each = [
        Time(
            name=one.revision,
            run=_share(one.seconds, transaction),
            reads=_longest(one.locks, READS, budget),
            writes=_longest(one.locks, WRITES, budget),
            rewritten=tuple((ledger.short(name), size) for name, size in one.rewritten_bytes.items()),
            wal_bytes=one.wal_bytes,
        )
        for one in rehearsal.revisions
    ]
    total = Time(
        name="the whole plan" if len(rehearsal.segments) == 1 else "the longest segment",
        run=_share(max(one.seconds for one in rehearsal.segments), transaction),
        reads=_longest(rehearsal.locks, READS, budget),
        writes=_longest(rehearsal.locks, WRITES, budget),
        rewritten=(),
        wal_bytes=_sum(rehearsal.revisions),
    )
    return (*each, total)


def _share(seconds: float, limit: timedelta) -> Share:
    whole = limit.total_seconds()
    told = f"{whole / 60:g} min" if whole >= 120 else f"{whole:g} s"  # noqa: PLR2004 - as people say it
    return Share(seconds=in_words(seconds), limit=told, percent=100 * seconds / whole if whole else 0.0)


def _longest(locks: Sequence[LockHeld], what: str, budget: LockBudget) -> Share | None:
    seconds = [lock.seconds for lock in locks if what in lock.mode.stops]
    return _share(max(seconds), budget.limit(what)) if seconds else None


def _sum(revisions: Sequence[RevisionEffects]) -> int | None:
    read = [one.wal_bytes for one in revisions if one.wal_bytes is not None]
    return sum(read) if read else None
