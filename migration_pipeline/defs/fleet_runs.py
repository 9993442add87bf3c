"""A fleet as Dagster's own records tell it: the run that started it, and the runs of `migrate` that carry its tag.

There is no other record: who reads these two knows where the fleet stands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import dagster as dg

from migration_pipeline import errors
from migration_pipeline.defs import ops_confirm
from migration_pipeline.domain import fleet as fleets
from migration_pipeline.domain import fleet_table
from migration_pipeline.domain.fleet import Fleet, FleetRun, Phase, State, Wave
from migration_pipeline.domain.fleet_table import Standing

FLEET_TAG = "migration/fleet"
WAVE_TAG = "migration/wave"
LAST_WAVE_TAG = "migration/fleet_last_wave"  #: of the run that started it
STOPPED_TAG = "migration/fleet_stopped"  #: of the run that started it, once an operator has stopped it
HELD_BACK_TAG = "migration/fleet_held_back"  #: the id of the run that was held back; whoever re-executes it inherits the tag
TARGET_TAG = "migration/target"
START, MIGRATE = "start_fleet", "migrate"
ID_LENGTH = 8  #: characters of the starting run's id, as the UI shows it
STATES = {
    dg.DagsterRunStatus.NOT_STARTED: State.QUEUED,
    dg.DagsterRunStatus.QUEUED: State.QUEUED,
    dg.DagsterRunStatus.SUCCESS: State.SUCCEEDED,
    dg.DagsterRunStatus.FAILURE: State.FAILED,
    dg.DagsterRunStatus.CANCELED: State.CANCELLED,
}  #: every other one is a run that goes on


def newest(instance: dg.DagsterInstance, waves: Sequence[Wave]) -> Fleet | None:
    """Return the fleet that was started last, with the waves that it goes through; None if none ever was."""
    run = _newest_start(instance)
    if run is None:
        return None
    last = run.tags.get(LAST_WAVE_TAG, "")
    gone_through = up_to(waves, last) if last in {"", *(wave.name for wave in waves)} else ()  # it was renamed meanwhile
    return Fleet(id=run.tags[FLEET_TAG], waves=gone_through, is_stopped=STOPPED_TAG in run.tags)


def up_to(waves: Sequence[Wave], last: str) -> tuple[Wave, ...]:
    """Return the waves up to the named one, or all of them. Raise SettingsError where none of that name holds a Target."""
    names = [wave.name for wave in waves]
    if last and last not in names:
        raise errors.SettingsError(
            f'There is no Target in a wave "{last}"; nothing was started.',
            evidence={"waves": ", ".join(names) or "none"},
            next_step="name one of these, or give a Target this wave in pipeline.toml",
        )
    return tuple(waves[: names.index(last) + 1] if last else waves)


def runs_of(instance: dg.DagsterInstance, fleet: Fleet) -> dict[str, FleetRun]:
    """Return the newest run of each Target in this fleet; the reason of those that failed is read too."""
    records = instance.get_run_records(dg.RunsFilter(tags={FLEET_TAG: fleet.id}))  # by the tag alone: it has an index
    found = [_of(record.dagster_run) for record in records if record.dagster_run.job_name == MIGRATE]
    of_each = fleets.newest_of_each(found)
    return {target: _explained(instance, run) for target, run in of_each.items()}


def elsewhere(instance: dg.DagsterInstance, waves: Sequence[Wave], runs: Mapping[str, FleetRun]) -> dict[str, FleetRun]:
    """Return the newest migration of each Target that has no run in the fleet, whoever started it."""
    found = {}
    for target in [target for wave in waves for target in wave.targets if target not in runs]:
        filters = dg.RunsFilter(job_name=MIGRATE, tags={TARGET_TAG: target})
        for record in instance.get_run_records(filters, limit=1):
            found[target] = _explained(instance, _of(record.dagster_run))
    return found


def table(instance: dg.DagsterInstance, waves: Sequence[Wave], standings: Mapping[str, Standing]) -> list[fleet_table.Row]:
    """Return the whole fleet as one table."""
    fleet = newest(instance, waves)
    runs = runs_of(instance, fleet) if fleet else {}
    return fleet_table.rows(waves, fleet, runs, elsewhere(instance, waves, runs), standings)


def told(instance: dg.DagsterInstance, waves: Sequence[Wave]) -> str:
    """Return what the newest fleet does now, in a sentence."""
    fleet = newest(instance, waves)
    return fleets.next_move(fleet, runs_of(instance, fleet)).told if fleet else "No fleet was ever started here."


def refuse_second(instance: dg.DagsterInstance, waves: Sequence[Wave]) -> None:
    """Raise Refusal while the runs of a fleet wait or go on: two would overtake each other."""
    fleet = newest(instance, waves)
    if fleet is None:
        return
    runs = runs_of(instance, fleet)
    move = fleets.next_move(fleet, runs)
    busy = [run.target for run in runs.values() if run.state in fleets.BUSY]
    if move.phase is Phase.UNDER_WAY or busy:
        raise errors.Refusal(
            f"Fleet {fleet.id} is still under way; no other one was started.",
            evidence={"state": move.told},
            next_step="just fleet, which shows it; just migrate-fleet --stop, which lets it submit nothing more",
        )


def stop(instance: dg.DagsterInstance, waves: Sequence[Wave]) -> str:
    """Stop the newest fleet: what waits in the queue does not begin, what runs goes on. Return what is so now."""
    run = _newest_start(instance)
    if run is None:
        raise errors.Refusal("No fleet was ever started here.", next_step="just migrate-fleet, which starts one")
    instance.add_run_tags(run.run_id, {STOPPED_TAG: "by an operator"})
    fleet = replace(newest(instance, waves) or Fleet(id=run.tags[FLEET_TAG], waves=()), is_stopped=True)
    move = fleets.next_move(fleet, runs_of(instance, fleet))
    hold_back(instance, move.hold_back)
    return move.told


def hold_back(instance: dg.DagsterInstance, runs: Sequence[FleetRun]) -> None:
    """Take runs out of the queue, unless they have begun meanwhile; marked, so that the fleet can submit them again."""
    for one in runs:
        run = instance.get_run_by_id(one.run_id)
        if run is None or STATES.get(run.status) is not State.QUEUED:
            continue
        instance.add_run_tags(run.run_id, {HELD_BACK_TAG: run.run_id})
        instance.report_run_canceling(run, message="The fleet has stopped: this run does not begin.")
        instance.report_run_canceled(run)


def _newest_start(instance: dg.DagsterInstance) -> dg.DagsterRun | None:
    filters = dg.RunsFilter(job_name=START, statuses=[dg.DagsterRunStatus.SUCCESS])
    found = instance.get_run_records(filters, limit=1)
    return found[0].dagster_run if found else None


def _of(run: dg.DagsterRun) -> FleetRun:
    was_held_back = run.tags.get(HELD_BACK_TAG) == run.run_id
    state = State.HELD_BACK if was_held_back and run.is_finished else STATES.get(run.status, State.RUNNING)
    if state is State.RUNNING and _asks(run):
        state = State.AWAITING
    return FleetRun(run_id=run.run_id, target=run.tags.get(TARGET_TAG, ""), state=state)


def _asks(run: dg.DagsterRun) -> bool:
    asked_for = run.tags.get(ops_confirm.AWAITED, "").partition(" ")[0]  # a re-execution inherits the tags
    return asked_for == run.run_id and run.tags.get(ops_confirm.DECISION) == ops_confirm.IS_AWAITED


def _explained(instance: dg.DagsterInstance, run: FleetRun) -> FleetRun:
    """Add the first line of the failure, which is our message."""
    if run.state is not State.FAILED:
        return run
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        event = entry.dagster_event
        if event is not None and event.step_failure_data.error is not None:
            return replace(run, why=event.step_failure_data.error.message.splitlines()[0])
    return run
