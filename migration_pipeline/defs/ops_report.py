"""The ops of a rehearsal without a migration: the backup that it takes, and what a migration would do."""

import dagster as dg

from migration_pipeline import reporting
from migration_pipeline.defs.failures import told
from migration_pipeline.defs.ops import POSTGRES, seen
from migration_pipeline.defs.resources import WorkplaceResource
from migration_pipeline.domain.backups import Backup
from migration_pipeline.domain.effects import Rehearsal
from migration_pipeline.domain.results import Preflight
from migration_pipeline.domain.safety import SafetyReport


@dg.op(tags=POSTGRES)
def backup_to_rehearse_on(context: dg.OpExecutionContext, workplace: WorkplaceResource, preflight: Preflight) -> Backup:
    """Use the recent backup again while the database is what it was then; take another one otherwise."""
    with told(context, workplace, preflight.plan):
        if preflight.recent_backup is None:
            message = "preflight lets no pending plan pass without a recent backup"
            raise dg.DagsterInvariantViolationError(message)
        chosen = reporting.backup_to_rehearse_on(workplace.place, preflight.plan, preflight.recent_backup)
    seen(context, chosen)
    return chosen.backup


@dg.op
def outlook(
    context: dg.OpExecutionContext,
    workplace: WorkplaceResource,
    preflight: Preflight,
    rehearsal: Rehearsal,
    report: SafetyReport,
) -> None:
    """Say whether `just migrate` would refuse the plan, ask for CONFIRM, or go on without a question."""
    with told(context, workplace, preflight.plan):
        found = reporting.outlook(workplace.place, preflight.plan, rehearsal, report)
    seen(context, found)
