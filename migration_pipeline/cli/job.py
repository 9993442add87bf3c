"""Runs a Dagster job in this process, as an operator at a terminal sees it."""

import contextlib
import os
import signal
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from migration_pipeline import errors, restoring, settings, standing
from migration_pipeline.adapters import runner_process
from migration_pipeline.cli.terminal import Terminal
from migration_pipeline.operator import desk
from migration_pipeline.settings import Target
from migration_pipeline.workplace import Workplace

RUNS = {
    "migrate": 3,
    "rehearse_migration": 2,
    "backup_database": 1,
}  #: how often a job starts the project: plan, rehearsal, upgrade
NEXT = {"migrate": "just plan, then: just migrate", "backup_database": "just plan, then: just migrate"}
#: One run a Target: the others wait in the queue. Nothing leaves this machine, and the UI does not begin with an offer to join
#: a community. deploy/ has the same for longer lives.
DAGSTER_YAML = """\
run_coordinator:
  module: migration_pipeline.defs.run_queue
  class: QueueByTarget
concurrency:
  runs:
    tag_concurrency_limits:
      - key: migration/target
        value:
          applyLimitPerUniqueValue: true
        limit: 1
telemetry:
  enabled: false
nux:
  enabled: false
"""


def run(job_name: str, target: Target, config: dict[str, object], *, as_json: bool) -> int:
    """Run a job on a Target and return the exit code."""
    terminal = Terminal(as_json=as_json)
    terminal.headline(target)
    place = Workplace(target=target, run_id="")
    with interrupted_by_signals(), terminal, _runners_ahead(place, job_name):
        prepare_home(target.settings_folder)
        desk.present = terminal
        try:
            interrupted, success = _execute(job_name, target, config)
        except Exception as error:  # noqa: BLE001 - Dagster's own: its disk is full, its storage is damaged
            interrupted, success, reason = False, False, type(error).__name__
        else:
            reason = "Dagster ended the run"
    if interrupted:
        return terminal.interrupted(_standing(job_name, place, terminal), NEXT.get(job_name, "run the same command again"))
    if not success and not terminal.has_error:
        terminal.failed(terminal.step, _not_recorded(reason, _standing(job_name, place, terminal)))
    return terminal.finish(success=success)


def _standing(job_name: str, place: Workplace, terminal: Terminal) -> dict[str, str]:
    try:
        if job_name == "restore_database":
            return restoring.standing(place, terminal.cost)
        if job_name == "drop_replaced":
            return restoring.standing_aside(place)
        if job_name == "prune_backups":
            return {"state": "no database is touched by it; what was removed stays removed, and just garbage finds what is left"}
        return standing.of(place, terminal.plan, terminal.step)
    except KeyboardInterrupt:  # somebody has no patience with a server that does not answer
        return {"state": "unknown: it was not looked at"}


def _execute(job_name: str, target: Target, config: dict[str, object]) -> tuple[bool, bool]:
    """Run a job; return whether it was interrupted, and whether it succeeded."""
    import dagster as dg  # noqa: PLC0415 - 1.6 s that the other commands need not wait for

    from migration_pipeline.defs import dead_runs, jobs, watchdog  # noqa: PLC0415
    from migration_pipeline.defs.ops import TARGET_TAG  # noqa: PLC0415

    with dg.DagsterInstance.get() as instance:
        dead_runs.fail(instance)
        process = dead_runs.this_process()
        with watchdog.obeying(instance, process):
            result = dg.execute_job(
                dg.reconstructable(getattr(jobs, job_name)),
                instance=instance,
                run_config={**config, "target": target.name},
                tags={TARGET_TAG: target.name, dead_runs.TAG: process},
            )
        return _was_interrupted(instance, result), result.success


def _not_recorded(reason: str, standing: dict[str, str]) -> errors.Failure:
    """Return the failure of a run that no step of ours ended: what Dagster keeps of it is not whole."""
    return errors.Failure(
        "Dagster could not keep the record of this run, and ended it.",
        evidence={"reason": reason, "folder": os.environ["DAGSTER_HOME"], **standing},
        next_step="make room on the disk of that folder, then: just plan, which shows where the database is",
    )


def _was_interrupted(instance: Any, result: Any) -> bool:
    """Return whether the operator ended the run; between two steps Dagster takes that for a failure, so it is put right."""
    if result.dagster_run.status.value == "CANCELED":
        return True
    last = result.all_events[-1].event_specific_data
    reason = getattr(last, "failure_reason", None)
    if reason is None or reason.value != "UNEXPECTED_TERMINATION":
        return False
    instance.report_run_canceled(result.dagster_run)
    return True


@contextlib.contextmanager
def _runners_ahead(place: Workplace, job_name: str) -> Iterator[None]:
    """Start the project's interpreter while Dagster is imported; each run of the project finds one that is ready."""
    runner_process.spares.prepare(place.project, RUNS.get(job_name, 0))
    try:
        yield
    finally:
        runner_process.spares.discard()


def prepare_home(folder: Path) -> Path:
    """Make Dagster's folder and name it in the environment: without it, runs would go to a throw-away instance."""
    home = settings.dagster_home(os.environ, folder)
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)  # SQL and schema of every run are in it
        config = home / "dagster.yaml"
        if not config.exists():
            config.write_text(DAGSTER_YAML)
    except OSError as error:
        raise errors.SettingsError(
            "Dagster's folder cannot be made.",
            evidence={"folder": home, "reason": error.strerror},
            next_step="name a folder that can be written in DAGSTER_HOME",
        ) from None
    os.environ["DAGSTER_HOME"] = str(home)
    return home


@contextlib.contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the run as Ctrl-C does: rolled back, locks released, nothing left behind."""

    def interrupt(_number: int, _frame: types.FrameType | None) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
