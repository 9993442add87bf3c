"""What runs every night for every Target that the settings name. When, the environment can say: a hospital's nights differ."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg

from migration_pipeline import errors, settings
from migration_pipeline.defs import jobs
from migration_pipeline.defs.ops import TARGET_TAG

BACK_UP_AT = os.environ.get("BACKUP_CRON") or "30 1 * * *"
PRUNE_AT = os.environ.get("PRUNE_BACKUPS_CRON") or "30 3 * * *"
VERIFY_AT = os.environ.get("VERIFY_BACKUP_CRON") or "30 4 * * *"

Requests = Iterator[dg.RunRequest | dg.SkipReason]
Evaluation = Callable[[dg.ScheduleEvaluationContext], Requests]


def _at(cron: str, job: dg.JobDefinition, *, is_on: bool) -> Callable[[Evaluation], dg.ScheduleDefinition]:
    """Make a schedule, described by its docstring."""
    status = dg.DefaultScheduleStatus.RUNNING if is_on else dg.DefaultScheduleStatus.STOPPED

    def made(function: Evaluation) -> dg.ScheduleDefinition:
        return dg.schedule(job=job, cron_schedule=cron, default_status=status, description=function.__doc__)(function)

    return made


def _requests(context: dg.ScheduleEvaluationContext) -> Requests:
    try:
        names = settings.names(os.environ, Path.cwd())
    except errors.SettingsError as error:
        yield dg.SkipReason(f"The settings cannot be read: {error.what}")
        return
    if not names:
        yield dg.SkipReason("The settings name no Target: there is no pipeline.toml, and no DATABASE_URL.")
    for name in names:
        when = context.scheduled_execution_time.isoformat()
        yield dg.RunRequest(run_key=f"{name} {when}", run_config={"target": name}, tags={TARGET_TAG: name})


@_at(BACK_UP_AT, jobs.backup_database, is_on=False)
def back_up_nightly(context: dg.ScheduleEvaluationContext) -> Requests:
    """Take a backup of each Target every night and verify it by a restore. Off until the store has room for a month of them."""
    yield from _requests(context)


@_at(PRUNE_AT, jobs.prune_backups, is_on=True)
def prune_backups_daily(context: dg.ScheduleEvaluationContext) -> Requests:
    """Remove what the retention policy of each Target lets go, every night (B2)."""
    yield from _requests(context)


@_at(VERIFY_AT, jobs.verify_newest_backup, is_on=True)
def verify_newest_backup_daily(context: dg.ScheduleEvaluationContext) -> Requests:
    """Restore the newest backup of each Target every night: rot is found before the backup is needed."""
    yield from _requests(context)
