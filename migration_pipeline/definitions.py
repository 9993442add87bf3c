"""The code location: everything that Dagster is told of, in explicit lists. Dagster calls `defs` when it loads the location."""

import dagster as dg

from migration_pipeline.defs import assets, checks, sensors
from migration_pipeline.defs.jobs import (
    backup_database,
    check_downgrades,
    confirm_migration,
    drop_replaced,
    migrate,
    prune_backups,
    rehearse_migration,
    restore_database,
    show_fleet,
    start_fleet,
    stop_fleet,
    verify_newest_backup,
)
from migration_pipeline.defs.schedules import back_up_nightly, prune_backups_daily, verify_newest_backup_daily
from migration_pipeline.defs.sensors_fleet import fleet_waves


@dg.definitions
def defs() -> dg.Definitions:
    return dg.Definitions(
        jobs=[
            migrate,
            confirm_migration,
            rehearse_migration,
            backup_database,
            restore_database,
            verify_newest_backup,
            prune_backups,
            drop_replaced,
            check_downgrades,
            start_fleet,
            stop_fleet,
            show_fleet,
        ],
        schedules=[back_up_nightly, prune_backups_daily, verify_newest_backup_daily],
        sensors=[fleet_waves, *sensors.ALL],
        assets=assets.known(),
        asset_checks=checks.known(),
    )
