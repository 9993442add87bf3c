"""What the pending revisions should declare, measured on a restored backup. The live database is only read."""

from migration_pipeline import errors, steps
from migration_pipeline.adapters import pending
from migration_pipeline.domain import measured_proposals
from migration_pipeline.domain.proposals import Proposal
from migration_pipeline.workplace import Workplace

EVERYTHING = "heads"


def measured(place: Workplace) -> dict[str, Proposal]:
    """Rehearse what is pending on the newest backup, verified by that restore; return a proposal for each revision.

    Raise NoRecentBackup, and what a migration raises before its rehearsal is over.
    """
    checked = steps.preflight(place, EVERYTHING)
    plan, backup = checked.plan, checked.recent_backup
    if backup is None:
        return {}  # nothing is pending
    if backup.manifest.heads != plan.current:
        raise errors.NoRecentBackup(
            f'The database has been migrated since the newest backup, "{backup.id}": nothing can be rehearsed on it.',
            evidence={"revision then": ", ".join(backup.manifest.heads) or "none", "now": ", ".join(plan.current) or "none"},
            next_step="just backup-db, then: just annotate --measured",
        )
    rehearsal = steps.rehearse(place, plan, steps.verify_backup(place, backup, plan))
    return measured_proposals.proposed(
        rehearsal.revisions, version_table=plan.qualified_version_table, sources=pending.sources(plan)
    )
