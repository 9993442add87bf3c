"""The check of downgrades in slices side by side: each has a database of its own and brings up what comes before it."""

import dataclasses
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from migration_pipeline import downgrading
from migration_pipeline.domain.downgrades import Checked, Report
from migration_pipeline.downgrading import Asked


def check(asked: Asked, jobs: int, planned: Callable[[int], None], done: Callable[[Checked], None]) -> Report:
    """Check the downgrades that are asked for in so many slices at once. What one raises is raised once all have ended."""
    start = time.monotonic()
    number, of = asked.range.shard
    totals: list[int] = []

    def count(number_of_slice: int) -> None:
        totals.append(number_of_slice)
        planned(sum(totals))

    def one(place: int) -> Report:
        shard = ((number - 1) * jobs + place + 1, of * jobs)
        part = dataclasses.replace(asked, range=dataclasses.replace(asked.range, shard=shard))
        return downgrading.check(part, count, done)

    with ThreadPoolExecutor(jobs) as pool:
        parts = list(pool.map(one, range(jobs)))
    drift = [part.drift for part in parts if part.drift is not None]
    return Report(
        revisions=tuple(one for part in parts for one in part.revisions),
        unchecked=parts[0].unchecked,
        drift=drift[0] if drift else None,
        seconds=time.monotonic() - start,
    )
