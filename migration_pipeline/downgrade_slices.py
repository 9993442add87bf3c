"""The check of downgrades in slices side by side: each has a database of its own and brings up what comes before it."""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

from migration_pipeline import downgrading, errors
from migration_pipeline.adapters import made_roles
from migration_pipeline.adapters.made_roles import MadeRoles
from migration_pipeline.domain.downgrades import Checked, Report
from migration_pipeline.downgrading import Asked

Part = tuple[Report, BaseException | None]


def check(asked: Asked, jobs: int, planned: Callable[[int], None], done: Callable[[Checked], None]) -> Part:
    """Check the downgrades that are asked for in so many slices at once.

    Return what is known once all have ended, and what ended the first of those that did not come to their end.
    """
    start = time.monotonic()
    number, of = asked.range.shard
    roles = made_roles.before(asked.server, is_throwaway=asked.is_throwaway) if jobs > 1 else None
    totals: list[int] = []
    stopping = threading.Event()

    def count(number_of_slice: int) -> None:
        totals.append(number_of_slice)
        planned(sum(totals))

    def one(place: int) -> Part:
        known: list[Checked] = []

        def told(result: Checked) -> None:
            known.append(result)
            done(result)
            if stopping.is_set():
                raise errors.Interrupted

        shard = ((number - 1) * jobs + place + 1, of * jobs)
        part = dataclasses.replace(asked, roles=roles, range=dataclasses.replace(asked.range, shard=shard))
        try:
            return downgrading.check(part, count, told), None
        except BaseException as error:  # noqa: BLE001 - what is known is told first
            return _ended(error, known), error

    ended = _side_by_side(one, jobs, stopping)
    refusal = _refusal(roles) if roles else None
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
    stopped = [error for error in found if isinstance(error, errors.Interrupted) or not isinstance(error, Exception)]
    return report, next(iter([*stopped, *([refusal] if refusal else []), *found]), None)


def _side_by_side(one: Callable[[int], Part], jobs: int, stopping: threading.Event) -> list[Part]:
    if jobs == 1:
        return [one(0)]  # in this thread, the only one that Ctrl-C reaches
    with ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(one, place) for place in range(jobs)]
        try:
            wait(running)
        except BaseException as error:  # noqa: BLE001 - each slice ends with the revision that it is at
            stopping.set()
            return [*(future.result() for future in running), (_ended(error, []), error)]
        return [future.result() for future in running]


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
