"""The ops of a restore, one a step."""

from dataclasses import replace
from pathlib import Path

import dagster as dg
import pydantic

from migration_pipeline import restoring
from migration_pipeline.defs import downtime
from migration_pipeline.defs.failures import told
from migration_pipeline.defs.ops import POSTGRES, TARGET_TAG, seen
from migration_pipeline.defs.resources import WorkplaceResource
from migration_pipeline.domain import restoration
from migration_pipeline.domain.restoration import Beside, Cost, RestoreConfirmation, Restored
from migration_pipeline.operator import desk


class WeighConfig(dg.Config):
    backup: str = pydantic.Field(default="", description="The backup's id; empty: the newest verified one of this database.")

    unverified_file: str = pydantic.Field(default="", description="In its place: a plain dump that no manifest vouches for.")


class ConfirmRestoreConfig(dg.Config):
    backup: str = pydantic.Field(default="", description="As above.")
    unverified_file: str = pydantic.Field(default="", description="As above.")
    confirmation: str = pydantic.Field(default="", description='"RESTORE" and the backup\'s id, or "RESTORE newest".')


@dg.op(tags=POSTGRES)
def weigh_restore(context: dg.OpExecutionContext, config: WeighConfig, workplace: WorkplaceResource) -> Cost:
    """Choose the backup, and look at what is lost by going back to it."""
    with told(context, workplace, look=lambda place: restoring.standing(place, None)):
        context.instance.add_run_tags(context.run_id, {TARGET_TAG: workplace.place.target.name})
        place = workplace.place
        elsewhere = Path(config.unverified_file) if config.unverified_file else None
        backup = restoring.from_elsewhere(place, elsewhere) if elsewhere else restoring.choose(place, config.backup)
        cost = restoring.weigh(place, backup)
    return seen(context, cost)  # type: ignore[no-any-return]


@dg.op
def confirm_restore(
    context: dg.OpExecutionContext, config: ConfirmRestoreConfig, workplace: WorkplaceResource, cost: Cost
) -> RestoreConfirmation:
    """Ask for RESTORE: what was written since the backup is lost to the application."""
    with told(context, workplace, look=lambda place: restoring.standing(place, cost)):
        asked_for = config.unverified_file or config.backup
        if config.confirmation:
            consent = restoration.from_config(config.confirmation, asked_for, cost)
        else:
            consent = desk.present.confirm_restore(cost, asked_for)
    return seen(context, consent)  # type: ignore[no-any-return]


@dg.op(tags=POSTGRES)
def restore_beside(
    context: dg.OpExecutionContext, workplace: WorkplaceResource, cost: Cost, consent: RestoreConfirmation
) -> Beside:
    """Restore the backup into a new database beside the live one, compare it with its manifest, and ANALYZE it."""
    with told(context, workplace, look=lambda place: restoring.standing(place, cost)):
        notes = downtime.started(context, workplace.place, cost)
        with downtime.or_given_up(context, workplace.place, cost):
            beside = restoring.restore_beside(workplace.place, cost, consent)
        beside = replace(beside, notes=(*notes, *beside.notes))
    return seen(context, beside)  # type: ignore[no-any-return]


@dg.op(tags=POSTGRES)
def swap_names(
    context: dg.OpExecutionContext, workplace: WorkplaceResource, cost: Cost, beside: Beside, consent: RestoreConfirmation
) -> Restored:
    """Give the restored database the live one's name; the replaced one stays under another."""
    with told(context, workplace, look=lambda place: restoring.standing(place, cost)):
        with downtime.or_given_up(context, workplace.place, cost):
            restored = restoring.swap_names(workplace.place, cost, beside, consent)
        notes = downtime.done(context, workplace.place, cost, restored)
        restored = replace(restored, notes=(*restored.notes, *notes))
    return seen(context, restored)  # type: ignore[no-any-return]


class DropReplacedConfig(dg.Config):
    database: str = pydantic.Field(description="The replaced database, as the restore named it.")
    end_sessions: bool = pydantic.Field(default=False, description="End the sessions that are still in it.")


@dg.op(tags=POSTGRES)
def drop_replaced_database(context: dg.OpExecutionContext, config: DropReplacedConfig, workplace: WorkplaceResource) -> None:
    """Drop a database that a restore has put aside."""
    with told(context, workplace, look=restoring.standing_aside):
        context.instance.add_run_tags(context.run_id, {TARGET_TAG: workplace.place.target.name})
        restoring.drop_replaced(workplace.place, config.database, end_sessions=config.end_sessions)
    context.log.info("Database %s was dropped.", config.database)
    desk.present.see(context.op.name, f"{config.database} is gone")
