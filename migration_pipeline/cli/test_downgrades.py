"""`migration-pipeline test-downgrades`: every revision up, down and up again on a scratch database. For the project's own CI."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from migration_pipeline import downgrade_slices, errors, settings_source
from migration_pipeline.adapters import runner_process, scratch, throwaway
from migration_pipeline.cli import job
from migration_pipeline.cli.annotate import LineTerminal, place_of
from migration_pipeline.cli.options import here, target_option
from migration_pipeline.cli.wording import plain
from migration_pipeline.domain import downgrade_range, downgrade_report, proposals
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.downgrade_range import Range
from migration_pipeline.domain.downgrades import IRREVERSIBLE, Checked, Report
from migration_pipeline.downgrading import Asked
from migration_pipeline.settings import SAME_SERVER
from migration_pipeline.settings_source import Source
from migration_pipeline.settings_table import Table

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("test-downgrades")
@click.option("--from", "--since", "since", metavar="REV", help="Check what comes after REV; bring the database to REV before.")
@click.option("--to", metavar="REV", help="Check up to REV; without it, up to every head.")
@click.option("--shard", default="1/1", metavar="I/N", help="Check the I-th of N slices of the revisions.")
@click.option(
    "--jobs",
    metavar="N",
    type=click.IntRange(1, 16),
    help="Check N slices at once, each in a database; without it as many as help.",
)
@click.option("--baseline", type=FILE, help="SQL to begin with: a schema of pg_dump, empty or at the revision of --from.")
@click.option("--data", type=FILE, help="SQL to begin with, rows included, in the place of synthetic rows.")
@click.option("--limit", metavar="SECONDS", type=click.IntRange(1, 86_400), default=600, help="End a step after so long; 600.")
@click.option("--models", is_flag=True, help="Compare the last schema with the models too, as `alembic check` does.")
@click.option(
    "--write-expected", is_flag=True, help="Write what each revision changes into files to commit; later it is compared."
)
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write the results as JUnit XML.")
@click.option("--format", "form", type=click.Choice(["text", "github"]), default="text", help="How a finding is written.")
@target_option
def test_downgrades(
    since: str | None,
    to: str | None,
    shard: str,
    jobs: int | None,
    junit: Path | None,
    form: str,
    target: str | None,
    **files: Any,
) -> int:
    """Take every revision up, down and up again on a scratch database, and compare schema and rows with what was there before.

    Without SCRATCH_DATABASE_URL it starts a throw-away server. No other database is touched.
    """
    slice_of = downgrade_range.shard(shard)
    if slice_of is None:
        raise errors.SettingsError(f'"{shard}" is no slice.', next_step="use --shard I/N, such as --shard 1/3")
    if files["models"] and to:
        raise errors.SettingsError("--models compares the last schema, which --to leaves out.", next_step="use one of the two")
    files["limit"] = timedelta(seconds=files["limit"])
    _make_room(junit)
    place = place_of(target)
    if form == "github" and os.environ.get("GITHUB_WORKSPACE"):
        place.shown_from = Path(os.environ["GITHUB_WORKSPACE"])
    terminal = Drawing()
    runner_process.spares.prepare(place.project, jobs or 1)  # its imports take as long as the server's start
    try:
        with job.interrupted_by_signals(), _server(target) as (server, programs, is_throwaway):
            asked = Asked(
                project=place.project, server=server, safety=place.safety, shown=place.shown,
                range=Range(since=since, to=to, shard=slice_of), programs=programs, is_throwaway=is_throwaway, **files,
            )  # fmt: skip
            with terminal.drawn():
                report, error = downgrade_slices.check(asked, jobs, terminal.planned, terminal.done)
            if junit is not None:
                junit.write_text(downgrade_report.junit(report), "utf-8")
            if report.revisions or error is None:
                terminal.report(report, form)
    finally:
        runner_process.spares.discard()
    if error is not None:
        raise error
    return 0 if report.is_ok else errors.Refusal.exit_code


def _make_room(file: Path | None) -> None:
    """Make the folder of a file that is written in the end; raise SettingsError before the check where it cannot be written."""
    if file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        is_there = file.exists()
        file.open("a").close()
        if not is_there:
            file.unlink()  # an empty one is no report
    except OSError as error:
        raise errors.SettingsError(
            f'The file "{file}" cannot be written: {error.strerror}.', next_step="name another one by --junit"
        ) from None


@contextlib.contextmanager
def _server(target: str | None) -> Iterator[tuple[Connection, Path | None, bool]]:
    """Yield the scratch server that is set, or a throw-away one; the folder of its programs, where that is known; which it is."""
    source = settings_source.read(os.environ, here())
    values = source.tables[settings_source.choose(source, target)]
    table = _table(source, values, "scratch_database_url", "pg_bin")
    given = table.url("scratch_database_url", may_hold_password=True, word=SAME_SERVER)
    programs = table.path("pg_bin")
    if table.problems:
        raise settings_source.wrong_settings(table.problems, file=source.file, target=target)
    if given is not None:
        live = _table(source, values, "database_url").url("database_url", may_hold_password=True)
        if live is not None:  # CI need not have it, nor have it right
            scratch.refuse_live(given, live)
        yield given, programs, False
        return
    with throwaway.server() as server:
        yield server, throwaway.programs(), True


def _table(source: Source, values: Mapping[str, object], *keys: str) -> Table:
    wanted = {key: values[key] for key in keys if key in values}
    variables = {} if source.file else settings_source.VARIABLES
    return Table(wanted, folder=source.folder, environ=os.environ, variables=variables)


class Drawing(LineTerminal):
    """What a check looks like."""

    @contextlib.contextmanager
    def drawn(self) -> Iterator[None]:
        columns = (TextColumn("{task.description:<24}", markup=False), BarColumn(bar_width=24), MofNCompleteColumn())
        self._bar = Progress(*columns, TimeElapsedColumn(), console=self._err, transient=True, disable=not self._err.is_terminal)
        with self._bar:
            self._revisions = self._bar.add_task("begins", total=None)
            yield

    def planned(self, number: int) -> None:
        self._bar.update(self._revisions, total=number or None, completed=None if number else 0)

    def done(self, one: Checked) -> None:
        self._bar.update(self._revisions, advance=1, description=errors.printable(one.revision)[:24])

    def report(self, report: Report, form: str) -> None:
        """Print the table, then each failure, then the sum of it."""
        if form == "github":
            for fault in downgrade_report.faults(report):
                self.say(proposals.for_github(fault))
        self._table(report)
        for one in report.failed:
            if one.is_reached:
                self._out.print()
                for number, line in enumerate(one.text.splitlines()):
                    self._out.print(plain(line, "bold" if not number else ""), soft_wrap=True)
        if report.drift:
            self._out.print()
            self._out.print(plain("The models and the migrated database differ.", "bold"))
            for line in report.drift:
                self._out.print(plain(f"  {line}"), soft_wrap=True)
        for note in report.notes:
            self.note(f"note: {note}", "yellow")
        self._out.print()
        self._out.print(plain(report.summary, "green" if report.is_ok else "red"), soft_wrap=True)

    def _table(self, report: Report) -> None:
        width = max((len(one.revision) for one in report.revisions), default=0)
        widest = max((len(one.result) for one in report.revisions), default=0)
        for one in report.revisions:
            mark, style = ("✗", "red") if one.is_failed else ("-", "yellow") if one.result == IRREVERSIBLE else ("✓", "green")
            line = Text.assemble((f"  {mark} ", style), plain(f"{one.revision:<{width}}  ", "bold"))
            line.append(plain(f"{one.result:<{widest}}  ", style)).append(plain(one.title))
            self._out.print(line, soft_wrap=True)
            if not one.is_failed:
                for note in [*([one.reason] if one.reason else []), *one.notes]:
                    self._out.print(plain(f"    {' ' * width}  {note}", "dim"), soft_wrap=True)
