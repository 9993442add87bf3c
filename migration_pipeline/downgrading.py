"""The check of downgrades: every revision goes up, down and up again on a scratch database. No other database is touched."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from migration_pipeline import errors
from migration_pipeline.adapters import binaries, check_steps, postgres, revision_files, scratch, throwaway
from migration_pipeline.adapters.alembic_project import QueryFailed
from migration_pipeline.adapters.check_steps import Step, Steps
from migration_pipeline.adapters.examination import Examination
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.domain import annotations, downgrade_range, drift, expected
from migration_pipeline.domain.annotations import SafetyFile
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.downgrade_range import Range
from migration_pipeline.domain.downgrade_verdict import File, Raised, Seen, judge
from migration_pipeline.domain.downgrades import Checked, Report
from migration_pipeline.workplace import Workplace

EXPECTED = "expected"  #: the folder beside the revisions' own


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be checked, and where."""

    project: Project
    server: Connection  #: the scratch server, with the database to connect to for making another one
    safety: SafetyFile = field(default_factory=SafetyFile)
    shown: Callable[[Path], str] = str  #: how a file's path is told
    range: Range = field(default_factory=Range)
    baseline: Path | None = None  #: SQL that makes what the history begins with
    data: Path | None = None  #: SQL that makes rows, in the place of synthetic ones
    programs: Path | None = None  #: where psql is
    write_expected: bool = False
    models: bool = False


def check_target(place: Workplace, chosen: Range) -> Report:
    """Check the downgrades of a Target's project on its scratch server, or on a throw-away one; its live database is not met.

    Raise Refusal with what was found.
    """
    target = place.target
    source = revision_files.content(target.safety_file) if target.safety_file else None
    with contextlib.ExitStack() as opened:
        server = target.scratch or opened.enter_context(throwaway.server())
        asked = Asked(
            project=place.project,
            server=server,
            safety=annotations.from_safety_file((source or b"").decode("utf-8-sig", "replace")),
            range=chosen,
        )
        report = check(
            asked,
            lambda number: place.progress("revisions", 0, number),
            lambda one: place.progress(f"revision {one.revision}", 0, None),
        )
    if not report.is_ok:
        raise errors.Refusal(
            f"Not every downgrade brings back what was there before: {report.summary}",
            evidence={f"revision {one.revision}": _told(one) for one in report.failed},
            next_step="mend them, then: just test-downgrades",
        )
    return report


def _told(one: Checked) -> str:
    return "\n".join(line.removeprefix("  ") for line in one.text.splitlines()[1:])


def check(
    asked: Asked, planned: Callable[[int], None] = lambda _: None, done: Callable[[Checked], None] = lambda _: None
) -> Report:
    """Check the downgrades that are asked for. `planned` is told how many revisions these are, `done` each result.

    Raise ProjectFailed where the project cannot be started, NoPlan where a revision is not known.
    """
    start = time.monotonic()
    with _unreadable_is_told():
        scratch.sweep(asked.server, asked.server.database)
        made = _Check(asked=asked, planned=planned, done=done)
        made.run()
    return Report(revisions=tuple(made.results), unchecked=made.unchecked, drift=made.drift, seconds=time.monotonic() - start)


@dataclass(kw_only=True)
class _Check:
    """One check. A database that is spoiled gives way to another one, in which it goes on with the next revision."""

    asked: Asked
    planned: Callable[[int], None]
    done: Callable[[Checked], None]
    results: list[Checked] = field(default_factory=list)
    unchecked: int = 0
    drift: tuple[str, ...] | None = None
    _on_rows: Raised | None = None  #: why the next revision is checked without rows: what its upgrade raised on them
    _is_over: bool = False

    def run(self) -> None:
        while not self._is_over:
            with self._database() as (steps, own):
                self._in_one_database(steps, own)

    @contextlib.contextmanager
    def _database(self) -> Iterator[tuple[Steps, "psycopg.Connection[Any]"]]:
        asked = self.asked
        with scratch.database(asked.server, asked.server, "downgrades", asked.server.database) as made:
            for file in (asked.baseline, asked.data):
                if file is not None:
                    throwaway.load(made, file, asked.programs or self._programs(made))
            with check_steps.opened(asked.project, made) as steps, postgres.session(made, purpose="checks") as own:
                own.execute("SET synchronous_commit = off")
                yield steps, own

    def _programs(self, made: Connection) -> Path:
        with postgres.session(made, purpose="looks") as opened:
            return binaries.find(postgres.server(opened).major)

    def _in_one_database(self, steps: Steps, own: "psycopg.Connection[Any]") -> None:
        """Bring the database to where the check stands, and go on from there until it is spoiled or all is done."""
        asked = self.asked
        if asked.baseline is not None and not steps.heads and asked.range.since:
            since = downgrade_range.find(asked.range.since, {one.id: one.down for one in steps.history})
            steps.stamp(since)
            steps.end(commit=True)
            steps.heads = [since]
        chosen = downgrade_range.chosen({one.id: one.down for one in steps.history}, steps.heads, asked.range)
        by_id = {one.id: one for one in steps.history}
        if not self.results and self._on_rows is None:
            self.unchecked = len(chosen.before)
            self.planned(len(chosen.checked))
        examination = Examination(steps=steps, own=own, seeds=asked.data is None)
        for revision in (*chosen.before, *chosen.checked[: len(self.results)]):
            self._bring_up(examination, by_id[revision])
        examination.begin(seeds=self._on_rows is None)
        for revision in chosen.checked[len(self.results) :]:
            if not self._check(examination, by_id[revision]):
                break
        else:
            self._is_over = True
            if asked.models and asked.range.is_to_the_end:
                self.drift = tuple(_drift(examination))
        if self._is_over:
            self._not_reached([by_id[revision] for revision in chosen.checked[len(self.results) :]])

    def _bring_up(self, examination: Examination, step: Step) -> None:
        error = examination.bring_up(step)
        if error:
            error.next_step = error.next_step or (
                "give what the history begins with by --baseline, written by pg_dump --schema-only, or begin later by --from"
            )
            raise error

    def _check(self, examination: Examination, step: Step) -> bool:
        """Check one revision; return whether the database is fit for the next."""
        file = self._file(step)
        seen = examination.check(step, file, on_rows=self._on_rows)
        if seen.upgrade and self._on_rows is None and any(one.rows for one in examination.rows.values()) and not self.asked.data:
            self._on_rows = seen.upgrade  # it may run on tables that hold nothing, but for what the revisions put there
            return False
        self._on_rows = None
        if not seen.upgrade:
            self._compare_expected(examination, step, seen)
        result = judge(seen, file)
        self.results.append(result)
        self.done(result)
        if seen.upgrade:
            self._is_over = True
            return False
        if seen.on_rows and not examination.is_spoiled:
            examination.begin()
        return not examination.is_spoiled

    def _file(self, step: Step) -> File:
        path = Path(step.path)
        source = path.read_bytes()
        declared = self.asked.safety.annotation(step.id, source).declared
        return File(revision=step.id, title=step.title, shown=self.asked.shown(path), source=source, declared=declared)

    def _compare_expected(self, examination: Examination, step: Step, seen: Seen) -> None:
        folder = Path(examination.steps.folder) / EXPECTED
        if not (self.asked.write_expected or folder.is_dir()):
            return
        file = folder / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', step.id)}.txt"
        text = expected.text(*examination.change(), examination.own.info.user)
        if self.asked.write_expected:
            folder.mkdir(exist_ok=True)
            file.write_text(text, "utf-8")
        elif not file.is_file():
            seen.unexpected = [f"there is no {self.asked.shown(file)}; next: migration-pipeline test-downgrades --write-expected"]
        else:
            seen.unexpected = expected.differences(file.read_text("utf-8"), text)

    def _not_reached(self, steps: Sequence[Step]) -> None:
        for step in steps:
            file = self._file(step)
            self.results.append(Checked(revision=step.id, title=step.title, file=file.shown, line=1, is_reached=False))
            self.done(self.results[-1])


def _drift(examination: Examination) -> Iterator[str]:
    """Tell what the models have otherwise; what was made for that is rolled back."""
    steps = examination.steps
    told = steps.models()
    database, models = examination.beside()
    steps.end(commit=False)
    if not told["models"]:
        raise errors.NoPlan(
            "env.py gives Alembic no target_metadata: there are no models to compare with.",
            next_step="run it without --models",
        )
    yield from map(drift.of_alembic, told["drift"])
    yield from drift.of_schemas(database, models, steps.version_table)


@contextlib.contextmanager
def _unreadable_is_told() -> Iterator[None]:
    try:
        yield
    except QueryFailed as error:
        raise errors.Failure(
            "The scratch database cannot be read.",
            evidence={"server": f"{error.sqlstate or ''} {error}".strip()},
            next_step="look into the server's log, then run the same command again",
        ) from None
