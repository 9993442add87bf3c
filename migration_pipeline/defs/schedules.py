"""What runs every day for every Target that the settings name. When, the environment can say: a hospital's nights differ."""

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from migration_pipeline import errors, settings
from migration_pipeline.defs import jobs
from migration_pipeline.defs.ops import TARGET_TAG

PRUNE_AT = os.environ.get("PRUNE_BACKUPS_CRON") or "30 3 * * *"
VERIFY_AT = os.environ.get("VERIFY_BACKUP_CRON") or "30 4 * * *"


def _requests(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    try:
        names = settings.names(os.environ, Path.cwd())
    except errors.SettingsError as error:
        yield dg.SkipReason(f"The settings cannot be read: {error.what}")
        return
    if not names:
        yield dg.SkipReason("The settings name no Target: there is no pipeline.toml, and no DATABASE_URL.")
    for name in names:
        target = "" if name == "default" else name
        when = context.scheduled_execution_time.isoformat()
        yield dg.RunRequest(run_key=f"{name} {when}", run_config={"target": target}, tags={TARGET_TAG: name})


@dg.schedule(job=jobs.prune_backups, cron_schedule=PRUNE_AT, default_status=dg.DefaultScheduleStatus.RUNNING)
def prune_backups_daily(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Remove what the retention policy of each Target lets go, every night (B2)."""
    yield from _requests(context)


@dg.schedule(job=jobs.verify_newest_backup, cron_schedule=VERIFY_AT, default_status=dg.DefaultScheduleStatus.RUNNING)
def verify_newest_backup_daily(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Restore the newest backup of each Target every night: rot is found before the backup is needed."""
    yield from _requests(context)
