"""What `just migrate` refuses of a rehearsed plan, as the safety report tells it, and what would let it pass."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from migration_pipeline import errors
from migration_pipeline.domain import locking
from migration_pipeline.domain.effects import Rehearsal
from migration_pipeline.domain.locking import LockBudget
from migration_pipeline.domain.safety import SafetyReport, lines

OUTSIDE = "env.py"


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why the plan is refused, and what would let it pass."""

    what: str
    lines: tuple[str, ...]
    remedy: str
    option: str = ""  #: of `just migrate`, which accepts it; "": nothing does


def of(rehearsal: Rehearsal, report: SafetyReport, budget: LockBudget, *, guards_protection: bool) -> Iterator[Refusal]:
    """Yield what `just migrate` refuses, in the order in which it does."""
    try:
        report.raise_if_refused()
    except errors.Refusal as error:
        too = error.evidence.get("refused too", "").splitlines()
        yield Refusal(what=error.what, lines=tuple(too), remedy=error.next_step or "")
    protection = [f"{one.revision or OUTSIDE}: {one.told}" for one in report.protection]
    if protection and guards_protection:
        yield Refusal(
            what="It takes away what protects the data of a production Target.",
            lines=_few(protection),
            remedy="leave what protects the data in its place, or accept it",
            option="--accept-protection-loss",
        )
    if rehearsal.why_not_atomic:
        yield Refusal(
            what="It cannot be rolled back as a whole.",
            lines=_few(rehearsal.why_not_atomic),
            remedy="leave CONCURRENTLY out by --without-concurrently, or accept that the backup is the way back",
            option="--accept-non-transactional",
        )
    if too_long := locking.over_budget(rehearsal.locks, budget):
        yield Refusal(
            what="It locks tables for longer than this Target allows.",
            lines=_few(too_long),
            remedy="split the revision, write it with weaker locks, or accept them",
            option="--accept-locks",
        )


def _few(told: Sequence[str]) -> tuple[str, ...]:
    return tuple(lines(told).split("\n"))
