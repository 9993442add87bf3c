"""A safety report as people read it: in one line, revision by revision, and as rows of a table."""

from collections.abc import Iterable

from migration_pipeline.domain import ledger
from migration_pipeline.domain.annotations import Declared
from migration_pipeline.domain.effects import Rehearsal, RevisionEffects
from migration_pipeline.domain.locking import READS, WRITES, LockHeld
from migration_pipeline.domain.report_refusals import OUTSIDE
from migration_pipeline.domain.safety import SafetyReport

Row = dict[str, str]
CHART = 40  #: characters of the axis
MOST_BARS = 40


def summary(report: SafetyReport) -> str:
    """Return the report in one line."""
    refused = len(report.refused)
    destructive = sum(1 for verdict in report.verdicts if verdict.declared is Declared.DESTRUCTIVE)
    if refused:
        return f"{refused} of {len(report.verdicts)} revisions refused"
    outside = [f"{OUTSIDE} itself loses data"] if report.lost_outside else []
    told = [f"{destructive} of {len(report.verdicts)} DESTRUCTIVE"] if destructive else []
    return ", and ".join(told + outside) or "no data is lost"


def by_revision(report: SafetyReport) -> dict[str, tuple[str, ...]]:
    """Return what each destructive revision loses, as sentences, and below "env.py" what that loses outside any of them."""
    lost = {
        verdict.revision: verdict.ledger or ("nothing is lost that is there today",)
        for verdict in report.verdicts
        if verdict.declared is Declared.DESTRUCTIVE
    }
    return {**lost, OUTSIDE: report.lost_outside} if report.lost_outside else lost


def lost(rehearsal: Rehearsal) -> list[str]:
    """Return everything that the rehearsal lost, as sentences; what env.py itself lost comes last."""
    return [line for one in (*rehearsal.revisions, rehearsal.outside) for line in ledger.data_lost(one.lost, one.rows)]


def verdict_rows(report: SafetyReport) -> list[Row]:
    """Return the three witnesses side by side."""
    return [
        {
            "revision": verdict.revision,
            "declared": verdict.declared or verdict.annotation.problem or "",
            "predicted": "; ".join(f"{one.name}: {', '.join(one.objects)}" for one in verdict.predicted) or "nothing",
            "measured": "; ".join(verdict.ledger) or "nothing lost",
            "verdict": verdict.refusal or ("needs CONFIRM" if verdict.needs_confirmation else "passes"),
        }
        for verdict in report.verdicts
    ]


def effect_rows(revisions: Iterable[RevisionEffects]) -> list[Row]:
    """Return what each revision did, in numbers."""
    return [
        {
            "revision": one.revision,
            "statements": str(len(one.statements)),
            "rows": "; ".join(f"{row.table}: +{row.inserted:,} ~{row.updated:,} -{row.deleted:,}" for row in one.rows) or "none",
            "seconds": f"{one.seconds:.2f}",
        }
        for one in revisions
    ]


def lock_chart(locks: Iterable[LockHeld]) -> list[str]:
    """Return the lock timeline as lines of one width: a bar a lock, full where reads wait too, half where only writes do."""
    shown = sorted((lock for lock in locks if lock.mode.stops), key=lambda lock: lock.taken)
    if not shown:
        return []
    end = max(lock.released for lock in shown) or 1.0
    wide = max(len(ledger.short(lock.relation)) for lock in shown[:MOST_BARS])
    more = [f"and {len(shown) - MOST_BARS:,} more"] if len(shown) > MOST_BARS else []
    lines = [f"{'':<{wide}}  █ reads and writes wait  ▒ writes wait"]
    return (
        lines + [f"{ledger.short(lock.relation):<{wide}} |{_bar(lock, end)}| {_span(lock)}" for lock in shown[:MOST_BARS]] + more
    )


def _bar(lock: LockHeld, end: float) -> str:
    start = min(int(CHART * lock.taken / end), CHART - 1)
    width = max(1, round(CHART * lock.released / end) - start)
    mark = {READS: "█", WRITES: "▒"}[lock.mode.stops[0]]
    return f"{' ' * start}{mark * width}"[:CHART].ljust(CHART)


def _span(lock: LockHeld) -> str:
    return f"{lock.taken:.2f} to {lock.released:.2f} s, {lock.mode.value} from {lock.revision}"
