"""Lets a run at a terminal obey a cancel from Dagster's UI: nobody can signal it from there, so it looks at its own status."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

import dagster as dg

from migration_pipeline.defs import dead_runs
from migration_pipeline.operator import desk

POLL_SECONDS = 1.0
CANCELLED = frozenset({dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED})


@contextlib.contextmanager
def obeying(instance: dg.DagsterInstance, process: str) -> Iterator[None]:
    """Interrupt this process, as Ctrl-C does, once somebody cancels the run that it executes meanwhile."""
    ended = threading.Event()
    threading.Thread(target=_watch, args=(instance, process, ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _watch(instance: dg.DagsterInstance, process: str, ended: threading.Event) -> None:
    while not ended.wait(POLL_SECONDS):
        with contextlib.suppress(Exception):  # Dagster's disk is full, its database restarts: the next look may succeed
            records = instance.get_run_records(filters=dg.RunsFilter(tags={dead_runs.TAG: process}), limit=1)
            if records and records[0].dagster_run.status in CANCELLED:
                if not (desk.is_ending or ended.is_set()):  # what the operator began here is on its way already
                    os.kill(os.getpid(), signal.SIGINT)
                return
