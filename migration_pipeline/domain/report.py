"""A safety report as people read it: in one line, revision by revision, and as rows of a table."""

from collections.abc import Iterable

from migration_pipeline.domain import ledger
from migration_pipeline.domain.annotations import Declared
from migration_pipeline.domain.effects import Rehearsal, RevisionEffects
from migration_pipeline.domain.safety import SafetyReport

Row = dict[str, str]


def summary(report: SafetyReport) -> str:
    """Return the report in one line."""
    refused = len(report.refused)
    destructive = sum(1 for verdict in report.verdicts if verdict.declared is Declared.DESTRUCTIVE)
    if refused:
        return f"{refused} of {len(report.verdicts)} revisions refused"
    if destructive:
        return f"{destructive} of {len(report.verdicts)} DESTRUCTIVE"
    return "no data is lost"


def by_revision(report: SafetyReport) -> dict[str, tuple[str, ...]]:
    """Return what each destructive revision loses, as sentences."""
    return {
        verdict.revision: verdict.ledger or ("nothing is lost that is there today",)
        for verdict in report.verdicts
        if verdict.declared is Declared.DESTRUCTIVE
    }


def lines(report: SafetyReport) -> list[str]:
    return [f"{revision}: {line}" for revision, found in by_revision(report).items() for line in found]


def lost(rehearsal: Rehearsal) -> list[str]:
    """Return everything that the rehearsal lost, as sentences."""
    return [line for one in rehearsal.revisions for line in ledger.data_lost(one.lost, one.rows)]


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
