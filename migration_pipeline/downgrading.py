"""The check of downgrades: every revision goes up, down and up again on a scratch database. No other database is touched."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg

from migration_pipeline.adapters import (
    check_steps,
    expected_files,
    made_roles,
    model_drift,
    postgres,
    scratch,
    throwaway,
)
from migration_pipeline.adapters.check_steps import Step, Steps
from migration_pipeline.adapters.examination import Examination
from migration_pipeline.adapters.made_roles import MadeRoles
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.domain import downgrade_range, downgrade_verdict, expected
from migration_pipeline.domain.annotations import SafetyFile
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.downgrade_range import Chosen, Range
from migration_pipeline.domain.downgrade_verdict import File, Raised, Seen, judge
from migration_pipeline.domain.downgrades import Checked, Report


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
    limit: timedelta = timedelta(minutes=10)  #: how long one step up or down may take
    write_expected: bool = False
    models: bool = False
    is_throwaway: bool = False  #: the server is the check's own
    roles: MadeRoles | None = None  #: of slices side by side
    narrow: Callable[[int], Range] | None = None  #: what is left of the range, given the number of revisions in it
    opened: Callable[[Steps], None] = lambda _: None  #: told of each run of the project


def check(
    asked: Asked, planned: Callable[[int], None] = lambda _: None, done: Callable[[Checked], None] = lambda _: None
) -> Report:
    """Check the downgrades that are asked for. `planned` is told how many revisions these are, `done` each result.

    Raise ProjectFailed where the project cannot be started, NoPlan where a revision is not known.
    """
    start = time.monotonic()
    with check_steps.unreadable_is_told():
        scratch.sweep(asked.server, asked.server.database)
        roles = asked.roles or made_roles.before(asked.server, is_throwaway=asked.is_throwaway)
        made = _Check(asked=asked, roles=roles, planned=planned, done=done)
        with roles.told():
            made.run()
    results, seconds = (*made.results, *made.stale), time.monotonic() - start
    return Report(revisions=results, unchecked=made.unchecked, drift=made.drift, notes=roles.left, seconds=seconds)


@dataclass(kw_only=True)
class _Check:
    """One check. A database that is spoiled gives way to another one, in which it goes on with the next revision."""

    asked: Asked
    roles: MadeRoles
    planned: Callable[[int], None]
    done: Callable[[Checked], None]
    results: list[Checked] = field(default_factory=list)
    unchecked: int = 0
    drift: tuple[str, ...] | None = None
    stale: list[Checked] = field(default_factory=list)  #: committed changes of revisions that are gone
    _range: Range | None = None  #: what of the range is checked here
    _on_rows: Raised | None = None  #: why the next revision is checked without rows: what its upgrade raised on them
    _is_over: bool = False

    def run(self) -> None:
        while not self._is_over:
            with self._database() as (steps, own):
                self._in_one_database(steps, own)

    @contextlib.contextmanager
    def _database(self) -> Iterator[tuple[Steps, "psycopg.Connection[Any]"]]:
        try:
            with self._empty_database() as opened:
                yield opened
        finally:
            if not self.roles.is_shared:
                self.roles.drop()  # the next database would meet them

    @contextlib.contextmanager
    def _empty_database(self) -> Iterator[tuple[Steps, "psycopg.Connection[Any]"]]:
        asked = self.asked
        with scratch.database(asked.server, asked.server, "downgrades", asked.server.database) as made:
            for file in (asked.baseline, asked.data):
                if file is not None:
                    throwaway.load(made, file, asked.programs)
            with check_steps.opened(asked.project, made, asked.limit) as steps, postgres.session(made, purpose="checks") as own:
                own.execute("SET synchronous_commit = off")
                asked.opened(steps)
                yield steps, own
                if self._is_over and self._range and self._range.is_last:
                    paths = {one.id: Path(one.path) for one in steps.history}
                    self.stale = expected_files.tidy(Path(steps.folder), paths, asked.shown, write=asked.write_expected)

    def _in_one_database(self, steps: Steps, own: "psycopg.Connection[Any]") -> None:
        """Bring the database to where the check stands, and go on from there until it is spoiled or all is done."""
        asked = self.asked
        if asked.baseline is not None and not steps.heads and asked.range.since:
            since = downgrade_range.find(asked.range.since, {one.id: one.down for one in steps.history})
            error = steps.stamp(since) or steps.end(commit=True)
            if error:
                raise error
            steps.heads = [since]
        chosen = self._choose(steps)
        by_id = {one.id: one for one in steps.history}
        examination = Examination(steps=steps, own=own, seeds=asked.data is None)
        for revision in (*chosen.before, *chosen.checked[: len(self.results)]):
            self._bring_up(examination, by_id[revision])
        examination.begin(seeds=self._on_rows is None)
        for revision in chosen.checked[len(self.results) :]:
            if not self._check(examination, by_id[revision]):
                break
        else:
            self._is_over = True
            if asked.models and self._range and self._range.is_to_the_end:
                self.drift = tuple(model_drift.found(examination))
        if self._is_over:
            self._not_reached([by_id[revision] for revision in chosen.checked[len(self.results) :]])

    def _choose(self, steps: Steps) -> Chosen:
        history = {one.id: one.down for one in steps.history}
        whole = downgrade_range.chosen(history, steps.heads, self._range or self.asked.range)
        if self._range is not None:
            return whole
        files = [Path(one.path) for one in steps.history if one.id in {*whole.before, *whole.checked}]
        self.roles.may_come_from([*files, *([self.asked.baseline] if self.asked.baseline else [])])
        self._range = self.asked.narrow(len(whole.checked)) if self.asked.narrow else self.asked.range
        chosen = downgrade_range.chosen(history, steps.heads, self._range)
        self.unchecked = len(chosen.before)
        self.planned(len(chosen.checked))
        return chosen

    def _bring_up(self, examination: Examination, step: Step) -> None:
        error = examination.bring_up(step)
        if error:
            error.next_step = error.next_step or downgrade_verdict.next_step(error.evidence.get("server", ""))
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
        folder = Path(examination.steps.folder)
        if not (self.asked.write_expected or expected_files.is_there(folder)):
            return
        text = expected.text(*examination.change(), examination.own.info.user)
        if self.asked.write_expected:
            expected_files.write(folder, step.id, text)
        else:
            seen.unexpected = expected_files.compare(folder, step.id, text, self.asked.shown)

    def _not_reached(self, steps: Sequence[Step]) -> None:
        for step in steps:
            file = self._file(step)
            self.results.append(Checked(revision=step.id, title=step.title, file=file.shown, line=1, is_reached=False))
            self.done(self.results[-1])
