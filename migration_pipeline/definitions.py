"""The code location: everything that Dagster is told of, in explicit lists."""

import dagster as dg

from migration_pipeline.defs.jobs import backup_database, migrate

defs = dg.Definitions(jobs=[migrate, backup_database])
