"""The one sentence at the top of the safety report: what is lost, how long what is locked, and what follows."""

from collections.abc import Sequence
from enum import StrEnum

from migration_pipeline.domain import ledger
from migration_pipeline.domain.locking import READS, WRITES, LockHeld
from migration_pipeline.domain.report_timeline import in_words
from migration_pipeline.domain.safety import SafetyReport

MOST_TOLD = 3  #: losses; the ledger has them all


class Outcome(StrEnum):
    """What `just migrate` does with the plan."""

    REFUSED = "Refused"
    UNTIL_ACCEPTED = "Refused until accepted"
    ASKS = "Asks for CONFIRM"
    PASSES = "Goes on without a question"


def sentence(
    report: SafetyReport, lost: Sequence[str], locks: Sequence[LockHeld], outcome: Outcome, options: Sequence[str] = ()
) -> str:
    """Return the answer. `lost` is what was measured as lost, a clause each; `options` is what accepts the plan."""
    told = f"{_lost(report, lost)}; {_locked(locks)}; {_then(report, outcome, options)}."
    return told[0].upper() + told[1:]


def _then(report: SafetyReport, outcome: Outcome, options: Sequence[str]) -> str:
    if outcome is Outcome.REFUSED:
        return "this plan is refused"
    asks = "an operator types CONFIRM" if report.needs_confirmation else ""
    if outcome is Outcome.UNTIL_ACCEPTED:
        return f"this plan is refused until it is accepted by {_and(options)}" + (f" and {asks}" if asks else "")
    return f"it goes on once {asks}" if asks else "it goes on without a question"


def _lost(report: SafetyReport, lost: Sequence[str]) -> str:
    if lost:
        more = len(lost) - MOST_TOLD
        others = [f"{more:,} more {'loss is' if more == 1 else 'losses are'} in the ledger"] if more > 0 else []
        return _and([*lost[:MOST_TOLD], *others])
    if doubtful := [verdict.revision for verdict in report.verdicts if verdict.counted]:
        which = _and(doubtful) if len(doubtful) <= MOST_TOLD else f"{len(doubtful):,} revisions"
        return f"no loss was measured, but {which} may lose data on other rows"
    return "no data is lost"


def _locked(locks: Sequence[LockHeld]) -> str:
    reads, writes = _longest(locks, READS), _longest(locks, WRITES)
    if writes is None:
        return "no table is locked against reads or writes"
    of_writes = f"writes to {ledger.short(writes.relation)} wait for up to {in_words(writes.seconds)}"
    if reads is None:
        return f"{of_writes}, and no reads do"
    of_reads = f"of {ledger.short(reads.relation)} wait for up to {in_words(reads.seconds)}"
    return f"reads and writes {of_reads}" if reads is writes else f"reads {of_reads}, {of_writes}"


def _longest(locks: Sequence[LockHeld], what: str) -> LockHeld | None:
    return max((lock for lock in locks if what in lock.mode.stops), key=lambda lock: lock.seconds, default=None)


def _and(told: Sequence[str]) -> str:
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"
