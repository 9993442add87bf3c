"""The ops of a fleet: record its start or its stop, and look at every Target. Which runs follow, the sensor says."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pydantic

from migration_pipeline import errors, fleet_looks, settings_fleet
from migration_pipeline.defs import fleet_runs
from migration_pipeline.defs.failures import ToldFailure
from migration_pipeline.defs.metadata_values import Metadata, table
from migration_pipeline.domain import fleet_table

FLEET = dg.AssetKey("fleet")


class StartFleetConfig(dg.Config):
    wave: str = pydantic.Field(default="", description="The last wave to migrate, such as canary; empty: all of them.")


@dg.op
def open_fleet(context: dg.OpExecutionContext, config: StartFleetConfig) -> None:
    """Check the waves in the settings and record the start; the sensor fleet_waves submits the runs."""
    with _told():
        waves = settings_fleet.read(os.environ, Path.cwd())
        gone_through = fleet_runs.up_to(waves, config.wave)
        fleet_runs.refuse_second(context.instance, waves)
    fleet = context.run_id[: fleet_runs.ID_LENGTH]
    tags = {fleet_runs.FLEET_TAG: fleet, **({fleet_runs.LAST_WAVE_TAG: config.wave} if config.wave else {})}
    context.instance.add_run_tags(context.run_id, tags)
    rows = [{"wave": wave.name, "target": target} for wave in gone_through for target in wave.targets]
    context.add_output_metadata({"fleet": fleet, "Targets": len(rows), "waves": table(rows)})


@dg.op
def close_fleet(context: dg.OpExecutionContext) -> None:
    """Let the newest fleet submit nothing more: what waits in the queue does not begin, what runs goes on."""
    with _told():
        context.log.info(fleet_runs.stop(context.instance, settings_fleet.read(os.environ, Path.cwd())))


@dg.op
def look_at_fleet(context: dg.OpExecutionContext) -> None:
    """Look at the database of every Target, and at its newest migration; the table is kept with the asset `fleet`."""
    with _told():
        waves = settings_fleet.read(os.environ, Path.cwd())
        found = fleet_runs.table(context.instance, waves, fleet_looks.look(os.environ, Path.cwd(), waves))
    shown: Metadata = {"fleet": table([row.as_dict for row in found]), **fleet_table.counts(found)}
    context.add_output_metadata(shown)
    context.log_event(dg.AssetMaterialization(FLEET, metadata=shown))


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except errors.MigrationPipelineError as error:
        raise ToldFailure(error) from None
