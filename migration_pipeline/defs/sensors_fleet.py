"""Moves an open fleet on: looks at its runs, and submits what comes next. Dagster's queue and workers do the rest."""

import os
from pathlib import Path

import dagster as dg

from migration_pipeline import errors, settings_fleet
from migration_pipeline.defs import fleet_runs, jobs
from migration_pipeline.domain import fleet as fleets
from migration_pipeline.domain.fleet import Fleet, FleetRun, Move, Phase

SECONDS = 15


@dg.sensor(
    jobs=[jobs.migrate, jobs.show_fleet],
    minimum_interval_seconds=SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Submits one migration a Target, wave by wave, and none after a failure. It does nothing until somebody starts a "
    "fleet.",
)
def fleet_waves(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Submit one migration a Target, wave by wave; none after a failure. It does nothing until somebody starts a fleet."""
    try:
        fleet = fleet_runs.newest(context.instance, settings_fleet.read(os.environ, Path.cwd()))
    except errors.SettingsError as error:
        return _waits(context, f"The settings cannot be used: {error.what}")
    if fleet is None:
        return _waits(context, "No fleet was ever started; just migrate-fleet, or the job start_fleet, starts one.")
    runs = fleet_runs.runs_of(context.instance, fleet)
    move = fleets.next_move(fleet, runs)
    fleet_runs.hold_back(context.instance, move.hold_back)
    if move.submit:
        return dg.SensorResult(run_requests=[_request(fleet, move, target, runs.get(target)) for target in move.submit])
    ended = f"{fleet.id} {move.phase} {len(runs)}"
    if move.phase is Phase.UNDER_WAY or context.cursor == ended:
        return _waits(context, move.told)
    # the end of a fleet is looked at once: its table stands with the asset then
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=ended, job_name=jobs.show_fleet.name)], cursor=ended)


def _waits(context: dg.SensorEvaluationContext, why: str) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=why, cursor=context.cursor)


def _request(fleet: Fleet, move: Move, target: str, last: FleetRun | None) -> dg.RunRequest:
    """Ask for one run. Its key counts the Target's runs in this fleet: a tick that is cut off submits none twice."""
    return dg.RunRequest(
        run_key=f"{fleet.id} {target} {last.number if last else 0}",
        job_name=jobs.migrate.name,
        run_config={"target": target},
        tags={fleet_runs.FLEET_TAG: fleet.id, fleet_runs.WAVE_TAG: move.wave, fleet_runs.TARGET_TAG: target},
    )
