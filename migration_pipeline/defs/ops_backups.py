"""The ops that keep a store of backups in order."""

import dagster as dg
import pydantic

from migration_pipeline import housekeeping
from migration_pipeline.defs import checks
from migration_pipeline.defs.failures import told
from migration_pipeline.defs.ops import POSTGRES, TARGET_TAG, seen
from migration_pipeline.defs.resources import WorkplaceResource
from migration_pipeline.domain.backups import Level
from migration_pipeline.domain.results import Pruned, Verified


class VerifyConfig(dg.Config):
    backup: str = pydantic.Field(default="", description="The backup's id; empty: the newest one.")
    level: str = pydantic.Field(default="", description="checksum, restore or rows; empty: as the Target says.")


class PruneConfig(dg.Config):
    dry_run: bool = pydantic.Field(default=False, description="Only show what would be removed, and why.")


def look(_place: object) -> dict[str, str]:
    return {"state": "the database was only read"}


@dg.op(tags=POSTGRES)
def verify_stored(context: dg.OpExecutionContext, config: VerifyConfig, workplace: WorkplaceResource) -> Verified:
    """Prove a stored backup once more, and record in its manifest what came of it."""
    with told(context, workplace, look=look), checks.proving(context, workplace):
        context.instance.add_run_tags(context.run_id, {TARGET_TAG: workplace.place.target.name})
        level = Level(config.level) if config.level else None
        verified = housekeeping.verify_again(workplace.place, config.backup, level)
    checks.proved(context, verified)
    return seen(context, verified)  # type: ignore[no-any-return]


@dg.op(tags=POSTGRES)
def prune(context: dg.OpExecutionContext, config: PruneConfig, workplace: WorkplaceResource) -> Pruned:
    """Remove the backups that no rule of the retention policy keeps, each with its reason."""
    with told(context, workplace, look=look):
        context.instance.add_run_tags(context.run_id, {TARGET_TAG: workplace.place.target.name})
        pruned = housekeeping.prune(workplace.place, dry_run=config.dry_run)
    return seen(context, pruned)  # type: ignore[no-any-return]
