"""The code location: everything that Dagster is told of, in explicit lists. Dagster calls `defs` when it loads the location."""

import dagster as dg

from migration_pipeline.defs import assets
from migration_pipeline.defs.jobs import backup_database, migrate


@dg.definitions
def defs() -> dg.Definitions:
    return dg.Definitions(jobs=[migrate, backup_database], assets=assets.known())
