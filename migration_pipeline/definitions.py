"""The code location: everything that Dagster is told of, in explicit lists. Dagster calls `defs` when it loads the location."""

import dagster as dg

from migration_pipeline.defs import assets
from migration_pipeline.defs.jobs import (
    backup_database,
    drop_replaced,
    migrate,
    prune_backups,
    rehearse_migration,
    restore_database,
    verify_newest_backup,
)
from migration_pipeline.defs.schedules import prune_backups_daily, verify_newest_backup_daily


@dg.definitions
def defs() -> dg.Definitions:
    return dg.Definitions(
        jobs=[
            migrate,
            rehearse_migration,
            backup_database,
            restore_database,
            verify_newest_backup,
            prune_backups,
            drop_replaced,
        ],
        schedules=[prune_backups_daily, verify_newest_backup_daily],
        assets=assets.known(),
    )
