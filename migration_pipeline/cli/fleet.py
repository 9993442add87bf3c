"""`migration-pipeline migrate-fleet` and `fleet`: start the migration of every Target in waves, and see where each one is."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from migration_pipeline import errors, fleet_looks, settings_fleet
from migration_pipeline.cli.job import prepare_home
from migration_pipeline.cli.options import here, json_option
from migration_pipeline.cli.terminal import Terminal
from migration_pipeline.cli.wording import counted, plain
from migration_pipeline.domain import fleet_table
from migration_pipeline.domain.backups import words
from migration_pipeline.domain.fleet import State, Wave
from migration_pipeline.domain.fleet_table import Row
from migration_pipeline.operator import desk

SILENT_SECONDS = 120  #: a daemon reports every half minute
STYLES = {State.SUCCEEDED: "green", State.FAILED: "red", State.CANCELLED: "red", State.AWAITING: "bold yellow"}


@click.command("migrate-fleet")
@click.option("--wave", default="", metavar="NAME", help="The last wave to migrate, such as canary; without it, all of them.")
@click.option("--stop", is_flag=True, help="Let the fleet submit nothing more: what waits does not begin, what runs goes on.")
@json_option
def migrate_fleet(wave: str, stop: bool, as_json: bool) -> int:
    """Migrate every Target of pipeline.toml, wave by wave, through Dagster's queue; stop at the first failure.

    Started again, it goes on where it stopped: a Target that has nothing pending passes in seconds.
    """
    if stop and wave:
        raise click.UsageError("--stop stops the whole fleet: leave --wave out.")
    terminal = Terminal(as_json=as_json)
    waves = settings_fleet.read(os.environ, here())
    with _instance() as instance:
        from migration_pipeline.defs import fleet_runs  # noqa: PLC0415 - Dagster, as in job.py

        if stop:
            told = fleet_runs.stop(instance, waves)
            terminal.tell(plain(told), {"told": told})
            return 0
        chosen = fleet_runs.up_to(waves, wave)
        fleet_runs.refuse_second(instance, waves)
        _demand_daemon(instance)
        run_id = _start(instance, wave, terminal)
    fleet = run_id[: fleet_runs.ID_LENGTH]
    shown = {"fleet": fleet, "run": run_id, "waves": {one.name: list(one.targets) for one in chosen}}
    terminal.tell(_started(fleet, chosen), shown)
    return 0


@click.command("fleet")
@json_option
def fleet(as_json: bool) -> int:
    """Show every Target: its wave, at which revision it is, what is pending, its last migration, and what comes next."""
    waves = settings_fleet.read(os.environ, here())
    standings = fleet_looks.look(os.environ, here(), waves)
    with _instance() as instance:
        from migration_pipeline.defs import fleet_runs  # noqa: PLC0415

        rows = fleet_runs.table(instance, waves, standings)
        told = fleet_runs.told(instance, waves)
    counts = fleet_table.counts(rows)
    result = {"fleet": told, "counts": counts, "targets": [row.as_dict for row in rows]}
    Terminal(as_json=as_json).tell(_drawn(rows, told, counts), result)
    return 0


@contextmanager
def _instance() -> Iterator[Any]:
    prepare_home(here())
    import dagster as dg  # noqa: PLC0415

    with dg.DagsterInstance.get() as instance:
        yield instance


def _demand_daemon(instance: Any) -> None:
    """Raise Refusal where nobody would submit the runs: the start would lie there, and begin whenever a daemon comes."""
    heartbeat = instance.get_daemon_heartbeats().get("SENSOR")
    silent = time.time() - heartbeat.timestamp if heartbeat else None
    if silent is None or silent > SILENT_SECONDS:
        raise errors.Refusal(
            "No Dagster daemon runs on this instance, and it is the daemon that migrates a fleet; nothing was started.",
            evidence={
                "DAGSTER_HOME": os.environ["DAGSTER_HOME"],
                "last heard of": f"{words(timedelta(seconds=silent))} ago" if silent else "never",
            },
            next_step="just ui, or the daemon of your deployment (docs/deployment.md), then: just migrate-fleet",
        )


def _start(instance: Any, wave: str, terminal: Terminal) -> str:
    import dagster as dg  # noqa: PLC0415

    from migration_pipeline.defs import jobs  # noqa: PLC0415

    desk.present = terminal
    job = dg.reconstructable(jobs.start_fleet)
    result = dg.execute_job(job, instance=instance, run_config={"wave": wave})
    if not result.success:
        raise errors.Failure(
            "Dagster could not record the start of the fleet; nothing was started.",
            evidence={"run": result.run_id, "DAGSTER_HOME": os.environ["DAGSTER_HOME"]},
            next_step="look at that run in the UI, then: just migrate-fleet",
        )
    return result.run_id


def _started(fleet: str, waves: tuple[Wave, ...]) -> RenderableType:
    lines = [plain(f"  {one.name}: {', '.join(one.targets)}") for one in waves]
    return Group(
        plain(f"Fleet {fleet} is started. Its waves:"), *lines, Text("Next: just fleet, which shows where each Target is")
    )


def _drawn(rows: list[Row], told: str, counts: dict[str, int]) -> RenderableType:
    table = Table("Target", "wave", "at", "pending", "last run", "next", box=None, padding=(0, 3, 0, 0), header_style="dim")
    for row in rows:
        pending = "?" if row.pending is None else str(row.pending)
        at = plain(row.at, "red" if row.pending is None else "")
        table.add_row(plain(row.target, "cyan"), plain(row.wave), at, pending, _run(row), plain(row.next))
    failures = [plain(f"{row.target}: {row.run.why}", "red") for row in rows if row.run and row.run.why]
    summary = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
    return Group(table, Text(), plain(f"{counted(len(rows), 'Target')}: {summary}"), *failures, plain(told))


def _run(row: Row) -> Text:
    if row.run is None:
        return Text("none", style="dim")
    return plain(f"{row.run.state} ({row.run.short_id})", STYLES.get(row.run.state, ""))
