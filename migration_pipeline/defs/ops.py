"""One op a step, each thin: config, one step function, metadata, a value. No SQL here, and no decision about safety."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pydantic

from migration_pipeline import reporting, steps
from migration_pipeline.defs import checks, metadata, ops_confirm
from migration_pipeline.defs.failures import told
from migration_pipeline.defs.resources import WorkplaceResource
from migration_pipeline.domain import confirmation
from migration_pipeline.domain.backups import Backup, VerifiedBackup
from migration_pipeline.domain.confirmation import Confirmation
from migration_pipeline.domain.effects import Rehearsal
from migration_pipeline.domain.report_results import Classified
from migration_pipeline.domain.results import Preflight, UpgradeResult
from migration_pipeline.domain.safety import SafetyReport
from migration_pipeline.operator import desk

TARGET_TAG = "migration/target"
POSTGRES = {"kind": "postgres"}


class PreflightConfig(dg.Config):
    revision: str = pydantic.Field(default="head", description="Up to which revision: an id, head, +1.")
    without_concurrently: bool = pydantic.Field(
        default=False,
        description="Leave CONCURRENTLY out of what the revisions send, so that one transaction holds it; locks are measured.",
    )


class BackupConfig(dg.Config):
    reuse_recent_backup: bool = pydantic.Field(
        default=False, description="Use the verified backup that preflight found, if the database has not changed since."
    )


class ConfirmConfig(dg.Config):
    confirmation: str = pydantic.Field(
        default="", description="CONFIRM and the first 8 characters of the plan's fingerprint, as the ledger shows them."
    )
    wait_minutes: float | None = pydantic.Field(
        default=None,
        ge=0,
        le=1440,
        description="How long to wait for an answer from the job confirm_migration; 0: not at all. Without it, a run that "
        "Dagster's webserver or daemon launched waits for the Target's confirmation_minutes, and no other does.",
    )
    accept_locks: bool = pydantic.Field(
        default=False, description="Let tables be locked for longer than the Target allows; kept in the migration's record."
    )
    accept_non_transactional: bool = pydantic.Field(
        default=False,
        description="Run what no transaction holds by itself: it cannot be rolled back, the backup is the way back; kept in the "
        "migration's record.",
    )
    accept_protection_loss: bool = pydantic.Field(
        default=False,
        description="Let the plan take away what protects the data of a production Target; kept in the migration's record.",
    )


def seen(context: dg.OpExecutionContext, value: Any) -> Any:
    """Show a step's value: to the operator, and as metadata."""
    desk.present.see(context.op.name, value)
    context.add_output_metadata(metadata.of(value))
    return value


@dg.op(out=dg.Out(Preflight, is_required=False), tags=POSTGRES)
def preflight(context: dg.OpExecutionContext, config: PreflightConfig, workplace: WorkplaceResource) -> Iterator[Any]:
    """Look at the server, the role, the tools and the plan; demand a verified backup younger than 24 hours."""
    with told(context, workplace):
        context.instance.add_run_tags(context.run_id, {TARGET_TAG: workplace.place.target.name})
        found = steps.preflight(workplace.place, config.revision, without_concurrently=config.without_concurrently)
    desk.present.see(context.op.name, found)
    if found.plan.is_empty:
        at = ", ".join(found.plan.current) or "no revision"
        context.log.info("Nothing is pending: the database is at %s. The other steps are skipped.", at)
        return
    yield dg.Output(found, metadata=metadata.of(found))


@dg.op(tags=POSTGRES)
def backup(context: dg.OpExecutionContext, config: BackupConfig, workplace: WorkplaceResource, preflight: Preflight) -> Backup:
    """Take the pre-migration backup with pg_dump, and record in the same snapshot what it holds."""
    with told(context, workplace, preflight.plan):
        if config.reuse_recent_backup and preflight.recent_backup is not None:
            taken = steps.reuse_backup(workplace.place, preflight.plan, preflight.recent_backup)
        else:
            taken = steps.backup(workplace.place, preflight.plan, protects=True)
    return seen(context, taken)  # type: ignore[no-any-return]


@dg.op(tags=POSTGRES)
def backup_now(context: dg.OpExecutionContext, workplace: WorkplaceResource) -> VerifiedBackup:
    """Take a backup and verify it by a restore, whether or not a migration is pending."""
    with told(context, workplace), checks.proving(context, workplace):
        context.instance.add_run_tags(context.run_id, {TARGET_TAG: workplace.place.target.name})
        plan = steps.plan_for_backup(workplace.place)
        taken = steps.backup(workplace.place, plan, protects=False)
        desk.present.see("backup", taken)
        desk.present.started("verify_backup")
        if no_room := steps.why_not_by_restore(workplace.place):
            steps.verify_without_room(workplace.place, taken, no_room)
        verified = steps.verify_backup(workplace.place, taken, plan)
    context.log_event(metadata.materialized_backup(verified))
    checks.proved(context, verified)
    context.add_output_metadata(metadata.of(verified))
    desk.present.see("verify_backup", verified)
    return verified


@dg.op(tags=POSTGRES)
def verify_backup(
    context: dg.OpExecutionContext, workplace: WorkplaceResource, preflight: Preflight, backup: Backup
) -> VerifiedBackup:
    """Restore the backup into a scratch database; compare row counts and schema with what was recorded."""
    with told(context, workplace, preflight.plan), checks.proving(context, workplace):
        verified = steps.verify_backup(workplace.place, backup, preflight.plan)
    if (
        preflight.recent_backup is None or backup.id != preflight.recent_backup.id
    ):  # one that is used again is in the asset's history already
        context.log_event(metadata.materialized_backup(verified))
    checks.proved(context, verified)
    return seen(context, verified)  # type: ignore[no-any-return]


@dg.op(tags=POSTGRES)
def rehearse(
    context: dg.OpExecutionContext, workplace: WorkplaceResource, preflight: Preflight, verified: VerifiedBackup
) -> Rehearsal:
    """Run the pending revisions on the restored copy and measure what they do."""
    with told(context, workplace, preflight.plan):
        rehearsal = steps.rehearse(workplace.place, preflight.plan, verified)
    return seen(context, rehearsal)  # type: ignore[no-any-return]


@dg.op
def classify_safety(
    context: dg.OpExecutionContext, workplace: WorkplaceResource, preflight: Preflight, rehearsal: Rehearsal
) -> SafetyReport:
    """Hold together what each revision declares, what its SQL predicts and what was measured; keep the report of it."""
    with told(context, workplace, preflight.plan):
        report = steps.classify_safety(workplace.place, preflight.plan, rehearsal)
        kept = reporting.keep(workplace.place, preflight.plan, rehearsal, report)
        found = Classified(report=report, kept=kept)
        context.add_output_metadata(metadata.of(found))
        desk.present.see(context.op.name, found)
        found.raise_if_refused()
    return report


@dg.op
def confirm(
    context: dg.OpExecutionContext,
    config: ConfirmConfig,
    workplace: WorkplaceResource,
    preflight: Preflight,
    verified: VerifiedBackup,
    rehearsal: Rehearsal,
    report: SafetyReport,
) -> Confirmation:
    """Refuse lost protection and locks over the budget unless they are accepted; ask for CONFIRM where data is lost."""

    def answer(fingerprint: str) -> Confirmation:
        if config.confirmation:
            return confirmation.from_config(config.confirmation, fingerprint)
        limit = ops_confirm.limit(context, config.wait_minutes, workplace.place.target.confirmation)
        if desk.is_taken or not limit:
            return desk.present.confirm(preflight.plan, report)
        good_for = steps.look_again(workplace.place, preflight.plan, verified)
        return ops_confirm.ask(context, preflight.plan, report, limit=limit, good_for=good_for)

    with told(context, workplace, preflight.plan):
        accepted = (
            *steps.weigh_protection(workplace.place, report, accept=config.accept_protection_loss),
            *steps.weigh_atomicity(rehearsal, accept=config.accept_non_transactional),
            *steps.weigh_locks(workplace.place, rehearsal, accept=config.accept_locks),
        )
        consent = steps.confirm(preflight.plan, report, answer, accepted=accepted)
    return seen(context, consent)  # type: ignore[no-any-return]


@dg.op(tags=POSTGRES)
def upgrade(
    context: dg.OpExecutionContext,
    workplace: WorkplaceResource,
    preflight: Preflight,
    verified: VerifiedBackup,
    rehearsal: Rehearsal,
    confirmation: Confirmation,
) -> UpgradeResult:
    """Run the revisions on the live database in one transaction; commit when it did what the rehearsal did."""
    with told(context, workplace, preflight.plan):
        result = steps.upgrade(workplace.place, preflight.plan, verified, rehearsal, confirmation, say=context.log.info)
    context.log_event(metadata.materialized_schema(preflight.plan, rehearsal, result))
    return seen(context, result)  # type: ignore[no-any-return]


@dg.op(tags=POSTGRES)
def post_check(
    context: dg.OpExecutionContext,
    workplace: WorkplaceResource,
    preflight: Preflight,
    rehearsal: Rehearsal,
    result: UpgradeResult,
) -> None:
    """Look at the live database once more: the planned heads, the rehearsed schema, nothing invalid."""
    with told(context, workplace, preflight.plan), checks.comparing(context, workplace):
        checked = steps.post_check(workplace.place, preflight.plan, rehearsal, result)
    checks.matched(context, workplace, checked)
    seen(context, checked)
