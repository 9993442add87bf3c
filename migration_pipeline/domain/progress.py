"""How far an upgrade is, in words for the run's log; and when the queue of those that it keeps waiting is too long."""

from dataclasses import dataclass
from datetime import timedelta

from migration_pipeline.domain.effects import Rehearsal
from migration_pipeline.domain.watching import Activity

OFTEN = timedelta(seconds=5)  #: between two lines in the first minute
SELDOM = timedelta(seconds=30)  #: and later
FIRST_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class QueueLimit:
    """How long how many sessions may wait for the upgrade before it is ended."""

    sessions: int
    span: timedelta


@dataclass(frozen=True)
class Way:
    """What lies before an upgrade, as it was rehearsed."""

    before: dict[str, int]  #: how many statements were sent before each revision
    statements: int
    seconds: float

    @classmethod
    def rehearsed(cls, rehearsal: Rehearsal) -> "Way":
        before, sent = {}, 0
        for one in rehearsal.revisions:
            before[one.revision] = sent
            sent += len(one.statements)
        return cls(before, sent, rehearsal.seconds)

    def at(self, revision: str, statement: int) -> str:
        """Name a place on the way by the number of a revision's statement; 0: it has sent none."""
        number = self.before.get(revision, 0) + statement
        if number > self.statements:
            return f"revision {revision}, statement {number:,} ({self.statements:,} in the rehearsal)"
        return f"revision {revision}, statement {number:,} of {self.statements:,}"


def line(place: str, way: Way, found: Activity) -> str:
    """Say how far an upgrade is, what it does now, and whom it keeps waiting."""
    times = f"after {found.running.total_seconds():.0f} s (the whole rehearsal took {way.seconds:.1f} s)"
    return "\n".join([f"{place}, {times}", *(f"  {name}: {told}" for name, told in found.doing.items())])


def is_due(running: timedelta, since_last: timedelta | None) -> bool:
    """Return whether it is time for a line again; `since_last`: None, where there was none."""
    return since_last is None or since_last >= (OFTEN if running <= FIRST_MINUTE else SELDOM)
