"""What looks at the Targets while nobody does: long upgrades, foreign revisions, old backups, and how runs end.

What was told already is kept in each sensor's cursor: a tag written while its run goes on could undo the run's own status.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg

from migration_pipeline import errors, watch
from migration_pipeline.defs import dead_runs, jobs, run_notices
from migration_pipeline.defs.ops import TARGET_TAG
from migration_pipeline.defs.ticks import Cursor, Tick
from migration_pipeline.domain import notices, watching
from migration_pipeline.domain.backups import words
from migration_pipeline.domain.notices import Notice
from migration_pipeline.domain.watching import Activity, Standing, Told
from migration_pipeline.settings import Environment
from migration_pipeline.workplace import Workplace

UNDER_WAY = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
#: A nightly backup is older than a day when the next one begins: the one under way is waited for so long.
BACKUP_PATIENCE = timedelta(hours=12)
ENDS = {
    "failed": dg.DagsterEventType.RUN_FAILURE,
    "cancelled": dg.DagsterEventType.RUN_CANCELED,
    "succeeded": dg.DagsterEventType.RUN_SUCCESS,
}
MOST_ENDS = 10  #: that one tick tells of each kind
ONCE = Cursor(bool)  #: by run: told
WHERE = Cursor(Standing)  #: by Target
BACKUPS = Cursor(Told)  #: by Target
LAST = Cursor(int)  #: by kind of end: the last event that was seen
Watch = Callable[[dg.SensorEvaluationContext], dg.SkipReason]
UPGRADE = "upgrade"  #: the step
NO_UPGRADE = "No migration is in its upgrade now."
SEE = "just plan, which shows where the database is"


def _every(*, seconds: int) -> Callable[[Watch], dg.SensorDefinition]:
    """Make a sensor that is on by itself, described by its docstring."""

    def made(function: Watch) -> dg.SensorDefinition:
        on = dg.DefaultSensorStatus.RUNNING
        return dg.sensor(minimum_interval_seconds=seconds, default_status=on, description=function.__doc__)(function)

    return made


@_every(seconds=30)
def long_migration_alert(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Tell, once a run, of an upgrade whose transaction runs longer than alert_after_minutes: what it does, whom it blocks."""
    tick, upgrading = Tick(context), _upgrading(context.instance)
    told = ONCE.read(context)
    for name, place, found in tick.look(upgrading, watch.upgrade):
        run = upgrading[name]
        if found is None or found.running < place.target.alert_after:
            tick.say(name, _in_time(found, place.target.alert_after))
        elif run.run_id in told:
            tick.say(name, f"Its upgrade has been running for {words(found.running)}; that was told already.")
        else:
            notice = notices.runs_long(
                name,
                route=run_notices.route(context.instance, run.run_id),
                running=found.running,
                limit=place.target.cancel_after,
                doing={**found.doing, "run": run.run_id},
            )
            context.instance.report_engine_event(f"{notice.subject}\n{notice.text}", run)
            if tick.tell(place, notice):
                told[run.run_id] = True
    ONCE.write(context, told, {run.run_id for run in upgrading.values()})
    return tick.result(NO_UPGRADE)


@_every(seconds=30)
def migration_timeout(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Cancel an upgrade whose transaction runs longer than cancel_after_minutes: its run, then its session on the server."""
    dead_runs.fail(context.instance)
    tick, upgrading = Tick(context), _upgrading(context.instance)
    told, overdue = ONCE.read(context), {}
    for name, place, found in tick.look(upgrading, watch.upgrade):
        if found is None or found.running < place.target.cancel_after:
            tick.say(name, _in_time(found, place.target.cancel_after))
        else:
            overdue[name] = found
            _cancel(context, upgrading[name], _why(found, place))
    for name, place, state in tick.look(overdue, lambda place: watch.end(place, overdue[place.target.name])):
        run = upgrading[name]
        evidence = {**overdue[name].doing, **state, "run": run.run_id}
        error = errors.Interrupted(_why(overdue[name], place), evidence=evidence, next_step=SEE)
        context.instance.report_engine_event(str(error), run)
        if run.run_id in told:
            tick.say(name, f"It was cancelled before: {state['state']}.")
        elif tick.tell(place, notices.cancelled(name, error)):
            told[run.run_id] = True
    ONCE.write(context, told, {run.run_id for run in upgrading.values()})
    return tick.result(NO_UPGRADE)


@_every(seconds=60)
def foreign_revision(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Tell, once, of a revision in a Target's database that no run of ours applied: somebody ran alembic by hand."""
    tick = Tick(context)
    names, seen = tick.targets(), WHERE.read(context)
    busy = {run.tags.get(TARGET_TAG, "") for job in run_notices.TASKS for run in _under_way(context.instance, job)}
    for name in busy & set(names):
        tick.say(name, "A run of ours is under way; its revision is looked at when that has ended.")
    idle = [name for name in names if name not in busy]
    for name, place, found in tick.look(idle, lambda place: watch.revision(place, seen.get(place.target.name))):
        if found.error is None:
            seen[name] = found.standing
            tick.say(name, f"{found.reason[:1].upper()}{found.reason[1:]}.")
        elif tick.tell(place, notices.warned(name, found.error)):
            seen[name] = found.standing
    WHERE.write(context, seen, names)
    return tick.result("")


@_every(seconds=600)
def old_backup(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Tell, once a day, of a Target whose newest verified backup is older than max_backup_age_hours, or that has none."""
    tick, under_way = Tick(context), _backups_under_way(context.instance)
    names, told = tick.targets(), BACKUPS.read(context)
    for name, place, (found, error) in tick.look(names, watch.newest_backup):
        about, now = found.id if found else "", place.clock()
        if error is None:
            told.pop(name, None)
            tick.say(name, f"{about} is verified, and young enough.")
        elif found and name in under_way:
            tick.say(name, f"{error.what} The next one is under way.")
        elif not watching.is_due(about, told.get(name), now):
            tick.say(name, f"{error.what} That was told already.")
        elif tick.tell(place, notices.warned(name, error)):
            told[name] = Told(about=about, at=now)
    BACKUPS.write(context, told, names)
    return tick.result("")


@_every(seconds=10)
def migration_ended(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Tell of each migration or restore that failed or was cancelled, in a terminal too, and of production's successes."""
    tick, last = Tick(context), LAST.read(context)
    for end, kind in ENDS.items():
        if end not in last:  # of what ended before there was this sensor, nothing is told
            newest = context.instance.fetch_run_status_changes(kind, limit=1).records
            last[end] = newest[0].storage_id if newest else 0
        asked = dg.RunStatusChangeRecordsFilter(kind, after_storage_id=last[end])  # type: ignore[arg-type]
        for record in context.instance.fetch_run_status_changes(asked, limit=MOST_ENDS, ascending=True).records:
            last[end] = record.storage_id
            run = context.instance.get_run_by_id(record.run_id)
            if run is not None and run.job_name in run_notices.TASKS:
                _tell_end(context, tick, run, end)
    LAST.write(context, last, ENDS)
    return tick.result("No migration and no restore has ended since the last tick.")


def _under_way(instance: dg.DagsterInstance, job_name: str) -> list[dg.DagsterRun]:
    found = instance.get_run_records(filters=dg.RunsFilter(job_name=job_name, statuses=UNDER_WAY))
    return [record.dagster_run for record in found]


def _backups_under_way(instance: dg.DagsterInstance) -> set[str | None]:
    """Return the Targets whose next backup has begun, or waits in the queue, and not for too long."""
    found = dg.RunsFilter(
        job_name=jobs.backup_database.name,
        statuses=[dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, *UNDER_WAY],
        created_after=datetime.now(UTC) - BACKUP_PATIENCE,
    )
    return {run.tags.get(TARGET_TAG) for run in instance.get_runs(found)}


def _upgrading(instance: dg.DagsterInstance) -> Mapping[str, dg.DagsterRun]:
    """Return, by Target, the run whose upgrade began last and has not ended: an older one that seems to go on is dead."""
    began: dict[str, tuple[float, dg.DagsterRun]] = {}
    for run in _under_way(instance, jobs.migrate.name):
        target = run.tags.get(TARGET_TAG)
        for step in instance.get_run_step_stats(run.run_id, [UPGRADE]):
            if target and step.start_time and not step.end_time and step.start_time >= began.get(target, (0.0, run))[0]:
                began[target] = (step.start_time, run)
    return {target: run for target, (_, run) in began.items()}


def _in_time(found: Activity | None, limit: timedelta) -> str:
    if found is None:
        return "Its upgrade has no transaction open now."
    return f"Its upgrade has been running for {words(found.running)}; the limit is {words(limit)}."


def _why(found: Activity, place: Workplace) -> str:
    limit = words(place.target.cancel_after)
    return f"{run_notices.OVERDUE} {words(found.running)}; the limit is {limit}, and it is cancelled."


def _cancel(context: dg.SensorEvaluationContext, run: dg.DagsterRun, why: str) -> None:
    """Ask a run to end: Dagster's launcher where it launched it; a run in a terminal watches its own status."""
    now = context.instance.get_run_by_id(run.run_id)
    if now is None or now.is_finished:
        return
    if now.status != dg.DagsterRunStatus.CANCELING:
        context.instance.report_run_canceling(now, why)
    if now.remote_job_origin is None:
        return
    try:
        is_asked = context.instance.run_launcher.terminate(now.run_id)
    except Exception as error:  # noqa: BLE001 - the session on the server is ended all the same
        context.log.error("Dagster could not end run %s (%s).", now.run_id, type(error).__name__)  # noqa: TRY400
    else:
        if not is_asked:
            context.log.error("Dagster could not end run %s: its process does not answer.", now.run_id)


def _tell_end(context: dg.SensorEvaluationContext, tick: Tick, run: dg.DagsterRun, end: str) -> None:
    name = run.tags.get(TARGET_TAG) or str(run.run_config.get("target") or "")
    for _, place, notice in tick.look([name], lambda place: _end(context.instance, place, run, end)):
        if notice is None:
            tick.say(place.target.name, f"Run {run.run_id[:8]} {end}; that is told to nobody, or was told already.")
        else:
            tick.tell(place, notice)


def _end(instance: dg.DagsterInstance, place: Workplace, run: dg.DagsterRun, end: str) -> Notice | None:
    name, task = place.target.name, run_notices.TASKS[run.job_name]
    if end == "succeeded":
        is_production = place.target.environment is Environment.PRODUCTION
        return run_notices.success(instance, run, name) if is_production else None
    if end == "cancelled" and run_notices.was_overdue(instance, run):
        return None
    error = run_notices.failure(instance, run)
    if error is None:
        what = f"The {task} was cancelled." if end == "cancelled" else f"The {task} ended, and no step of it said why."
        error = errors.Failure(what, evidence=watch.standing(place), next_step=SEE)
        if not run_notices.says_where_it_ended(instance, run):  # it was killed, or it ended between two steps
            instance.report_engine_event(str(error), run)
    error.evidence["run"] = run.run_id
    return notices.cancelled(name, error, task=task) if end == "cancelled" else notices.failed(name, error, task=task)


ALL = [long_migration_alert, migration_timeout, foreign_revision, old_backup, migration_ended]
