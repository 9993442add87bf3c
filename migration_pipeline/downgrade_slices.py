"""The check of downgrades in slices side by side: each has a database of its own and brings up what comes before it.

Whoever checks comes in here; `downgrading` is what one slice does.
"""

import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from migration_pipeline import downgrading, errors
from migration_pipeline.adapters import made_roles, revision_files, scratch, throwaway
from migration_pipeline.adapters.check_steps import Steps
from migration_pipeline.adapters.made_roles import MadeRoles
from migration_pipeline.domain import annotations
from migration_pipeline.domain.downgrade_range import Range
from migration_pipeline.domain.downgrades import NOT_REACHED, Checked, Kind, Report
from migration_pipeline.downgrading import Asked
from migration_pipeline.workplace import Workplace

Part = tuple[Report, BaseException | None]
WORTH = 25  #: revisions: a slice of fewer takes less time than its start
MOST = 4  #: slices that nobody asked for; each takes three connections


def check(asked: Asked, jobs: int | None, planned: Callable[[int], None], done: Callable[[Checked], None]) -> Part:
    """Check the downgrades that are asked for in so many slices at once; None: in as many as are faster.

    Return what is known once all have ended, and what ended the first of those that did not come to their end. `planned` is
    told 0 where the check begins anew.
    """
    slices = _Slices(asked=asked, planned=planned, done=done)
    report, error = slices.check(jobs)
    is_whole = error is None and not any(one.result in {NOT_REACHED, Kind.UPGRADE_FAILS} for one in report.revisions)
    if jobs is None and slices.jobs > 1 and not (is_whole or _is_stop(error)):
        planned(0)  # side by side is no more than faster: what comes of it one after another counts
        return _Slices(asked=asked, planned=planned, done=done).check(1)
    return report, error


def check_target(place: Workplace, chosen: Range) -> Report:
    """Check the downgrades of a Target's project on its scratch server, or on a throw-away one; its live database is not met.

    Raise Refusal with what was found; with that, too, what ended the check before its end.
    """
    target = place.target
    source = revision_files.content(target.safety_file) if target.safety_file else None
    with contextlib.ExitStack() as opened:
        if target.scratch:
            scratch.refuse_live(target.scratch, target.connection)
        asked = Asked(
            project=place.project,
            server=target.scratch or opened.enter_context(throwaway.server()),
            is_throwaway=target.scratch is None,
            safety=annotations.from_safety_file((source or b"").decode("utf-8-sig", "replace")),
            range=chosen,
        )
        report, error = check(
            asked,
            None,
            lambda number: place.progress("revisions", 0, number),
            lambda one: place.progress(f"revision {one.revision}", 0, None),
        )
    found = {f"revision {one.revision}": _told(one) for one in report.failed}
    if isinstance(error, errors.MigrationPipelineError):
        error.evidence |= found
    if error is not None:
        raise error
    if not report.is_ok:
        raise errors.Refusal(
            f"Not every downgrade brings back what was there before: {report.summary}",
            evidence=found,
            next_step="mend them, then: just test-downgrades",
        )
    return report


def _told(one: Checked) -> str:
    return "\n".join(line.removeprefix("  ") for line in one.text.splitlines()[1:])


@dataclass(kw_only=True)
class _Slices:
    """Slices side by side. The first runs in this thread, which Ctrl-C reaches, and learns how many revisions there are."""

    asked: Asked
    planned: Callable[[int], None]
    done: Callable[[Checked], None]
    jobs: int = 1
    _totals: list[int] = field(default_factory=list)
    _opened: list[Steps] = field(default_factory=list)
    _others: list[Future[Part]] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def check(self, jobs: int | None) -> Part:
        start = time.monotonic()
        asked, self.jobs = self.asked, jobs or 1
        self._roles = made_roles.before(asked.server, is_throwaway=asked.is_throwaway)
        with ThreadPoolExecutor(16) as self._pool:
            self._start_others()
            ended = self._all(self._one(0, narrow=None if jobs else self._split))
        refusal = _refusal(self._roles) if self.jobs > 1 else None
        parts = [part for part, _ in ended] if refusal is None else [_ended(refusal, [])]
        drift = [part.drift for part in parts if part.drift is not None]
        report = Report(
            revisions=tuple(one for part in parts for one in part.revisions),
            unchecked=parts[0].unchecked,
            drift=drift[0] if drift else None,
            notes=(*dict.fromkeys(note for part in parts for note in part.notes), *_notes(asked)),
            ended_by=next((part.ended_by for part in parts if part.ended_by is not None), None),
            seconds=time.monotonic() - start,
        )
        found = [error for _, error in ended if error]
        stopped = [error for error in found if _is_stop(error)]
        return report, next(iter([*stopped, *([refusal] if refusal else []), *found]), None)

    def _split(self, revisions: int) -> Range:
        """Start as many others as help; return what is left of the range."""
        jobs = min(os.cpu_count() or 1, MOST, revisions // WORTH)
        if jobs > 1 and not self._roles.are_expected:
            self.jobs = jobs
            self._start_others()
        return self._slice(0)

    def _start_others(self) -> None:
        self._roles.is_shared = self.jobs > 1
        self._others = [self._pool.submit(self._one, place) for place in range(1, self.jobs)]

    def _slice(self, place: int) -> Range:
        number, of = self.asked.range.shard
        return dataclasses.replace(self.asked.range, shard=((number - 1) * self.jobs + place + 1, of * self.jobs))

    def _one(self, place: int, *, narrow: Callable[[int], Range] | None = None) -> Part:
        known: list[Checked] = []

        def count(revisions: int) -> None:
            self._totals.append(revisions)
            self.planned(sum(self._totals))

        def told(result: Checked) -> None:
            if self._stopping.is_set():  # its runner was ended by us
                raise errors.Interrupted
            known.append(result)
            self.done(result)

        part = dataclasses.replace(
            self.asked, range=self._slice(place), roles=self._roles, narrow=narrow, opened=self._remember
        )  # fmt: skip
        try:
            return downgrading.check(part, count, told), None
        except BaseException as error:  # noqa: BLE001 - what is known is told first
            return _ended(error, known), error

    def _remember(self, steps: Steps) -> None:
        self._opened.append(steps)
        if self._stopping.is_set():
            raise errors.Interrupted

    def _all(self, first: Part) -> list[Part]:
        """Return the parts of all slices; where this thread was told to stop, the others are ended."""
        try:
            if _is_stop(first[1]):
                self._stop()
            wait(self._others)
        except BaseException as error:  # noqa: BLE001 - what the others know is told first
            self._stop()
            return [first, *(other.result() for other in self._others), (_ended(error, []), error)]
        return [first, *(other.result() for other in self._others)]

    def _stop(self) -> None:
        self._stopping.set()
        for steps in list(self._opened):
            steps.kill()


def _is_stop(error: BaseException | None) -> bool:
    return isinstance(error, errors.Interrupted) or not isinstance(error, Exception | None)


def _refusal(roles: MadeRoles) -> errors.NotAllowed | None:
    """Drop the roles that the slices have made; where there are any, no result can be trusted, and no error."""
    names: list[str] = []
    with contextlib.suppress(errors.MigrationPipelineError):
        names = roles.made()
    roles.drop()
    if not names:
        return None
    return errors.NotAllowed(
        "The revisions make roles, which belong to the server: slices side by side on one server are in each other's way.",
        evidence={"roles": ", ".join(names), **({"left there": "\n".join(roles.left)} if roles.left else {})},
        next_step="run it without --jobs, or in shards that have a server each",
    )


def _notes(asked: Asked) -> list[str]:
    of = asked.range.shard[1]
    is_left_out = asked.models and not asked.range.is_to_the_end
    return [f"the models are compared in the last slice alone: --shard {of}/{of}"] if is_left_out else []


def _ended(error: BaseException, known: list[Checked]) -> Report:
    """Return what is known of a slice that did not come to its end; what no error of ours says is not told."""
    said = str(error) if isinstance(error, errors.MigrationPipelineError) else type(error).__name__
    return Report(revisions=tuple(known), ended_by=said)
