"""What a revision should declare, judged by what a rehearsal of it measured.

It fails closed as a prediction does: what the rehearsal could not answer is DESTRUCTIVE. That is what was not measured, and
what a revision does to an object that an earlier one of the same plan made: elsewhere that one may have run already, and
there are rows.
"""

from collections.abc import Mapping, Sequence

from migration_pipeline.domain import effects, proposals, safety
from migration_pipeline.domain.annotations import Declared
from migration_pipeline.domain.prediction import Finding
from migration_pipeline.domain.proposals import NEEDS_A_REHEARSAL, Proposal
from migration_pipeline.domain.safety import Verdict


def proposed(
    measured: Sequence[effects.RevisionEffects], *, version_table: str, sources: Mapping[str, str]
) -> dict[str, Proposal]:
    """Return a proposal for each revision of a rehearsed plan. `sources` holds the text of each revision's file."""
    report = safety.classify(
        annotations={},
        files={one.revision: "" for one in measured},
        statements=[statement for one in measured for statement in one.statements],
        measured=measured,
        version_table=version_table,
        sources=sources,
    )
    return {
        one.revision: propose(
            verdict,
            proposals.predicted(one.revision, one.statements, version_table=version_table, source=sources.get(one.revision, "")),
            sent=len(one.statements),
        )
        for one, verdict in zip(measured, report.verdicts, strict=True)
    }


def propose(verdict: Verdict, alone: Sequence[Finding], *, sent: int) -> Proposal:
    """Propose what was measured of a revision; `alone` is what its SQL predicts where no other one of its plan runs."""
    in_plan = {(one.rule, one.statement) for one in verdict.predicted}
    unanswered = [one for one in alone if (one.rule, one.statement) not in in_plan]
    sure = [one for one in (*verdict.counted, *unanswered) if proposals.is_sure(one)]
    if verdict.ledger:
        return proposals.destructive(f"rehearsed: {_first(verdict.ledger)}")
    if sure:
        return proposals.destructive(proposals.clause(sure))
    if verdict.counted:
        return proposals.destructive(f"{NEEDS_A_REHEARSAL}{_first(verdict.unmeasured)}")
    if unanswered:
        return proposals.destructive(
            f"{NEEDS_A_REHEARSAL}{proposals.clause(unanswered)}, of what an earlier pending revision makes"
        )
    statements = f"{sent:,} statement{'' if sent == 1 else 's'}"
    return Proposal(
        declared=Declared.NON_DESTRUCTIVE,
        reason=f"rehearsed: its {statements} lost nothing" if sent else "rehearsed: it sent no SQL",
    )


def _first(sentences: Sequence[str]) -> str:
    more = len(sentences) - 1
    return proposals.shortened(sentences[0]) + (f", and {more:,} more" if more else "")
