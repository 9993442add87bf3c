"""The safety report as a file beside the backups, and what a rehearsal without a migration needs besides the steps."""

import contextlib

from migration_pipeline import errors, steps
from migration_pipeline.adapters import comparison, report_html
from migration_pipeline.domain import report_page, report_results
from migration_pipeline.domain.backups import Backup
from migration_pipeline.domain.effects import Rehearsal
from migration_pipeline.domain.plan import Plan
from migration_pipeline.domain.report_results import KeptReport, Outlook, RehearsedOn
from migration_pipeline.domain.safety import SafetyReport
from migration_pipeline.settings import Environment
from migration_pipeline.workplace import Workplace


def keep(place: Workplace, plan: Plan, rehearsal: Rehearsal, report: SafetyReport) -> KeptReport:
    """Put the report beside the backup that it was rehearsed on. Where that fails it is said, and nothing else fails."""
    name = report_results.file_name(rehearsal.backup_id, plan.fingerprint)
    try:
        page = report_page.of(plan, rehearsal, report, _setting(place, rehearsal))
        place.store.keep(name, report_html.rendered(page))
    except errors.MigrationPipelineError as error:
        return KeptReport(note=f"the report could not be kept: {error.what}")
    except Exception as error:  # noqa: BLE001 - a page must not keep a migration from its end
        return KeptReport(note=f"the report could not be made ({type(error).__name__})")
    return KeptReport(location=f"{place.store.where}/{name}")


def _setting(place: Workplace, rehearsal: Rehearsal) -> report_page.Setting:
    target = place.target
    taken = None
    with contextlib.suppress(errors.Failure):
        taken = place.store.read(rehearsal.backup_id).manifest.snapshot_time
    return report_page.Setting(
        where=target.connection.where,
        environment=target.environment.value,
        guards_protection=target.environment is Environment.PRODUCTION,
        made=place.clock(),
        backup_taken=taken,
        transaction_limit=target.transaction_limit,
        budget=target.lock_budget,
    )


def backup_to_rehearse_on(place: Workplace, plan: Plan, recent: Backup) -> RehearsedOn:
    """Return the recent backup while the database is what it was then, by revision and schema; take another one otherwise."""
    place.hold_lock()
    place.sweep()
    why_new = ""
    if recent.manifest.heads != plan.current:
        why_new = f"the database was at {', '.join(recent.manifest.heads) or 'no revision'} in {recent.id}"
    elif comparison.of_live(place.live, recent.manifest.schema):
        why_new = f"the schema has changed since {recent.id}"
    backup = steps.backup(place, plan, protects=False) if why_new else recent
    return RehearsedOn(backup=backup, age=place.server_time() - backup.manifest.snapshot_time, why_new=why_new)


def outlook(place: Workplace, plan: Plan, rehearsal: Rehearsal, report: SafetyReport) -> Outlook:
    """Say what `just migrate` would do with the plan. Raise what it would refuse: ProtectionLost, NotAtomic, LocksTooLong."""
    steps.weigh_protection(place, report, accept=False)
    steps.weigh_atomicity(rehearsal, accept=False)
    steps.weigh_locks(place, rehearsal, accept=False)
    return Outlook(plan=plan, report=report)
