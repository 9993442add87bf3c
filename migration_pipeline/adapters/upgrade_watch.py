"""Looks each second at the upgrade that runs: says how far it is, and ends it where too many wait for it for too long.

It looks from a thread and a session of its own. An upgrade that is done within the first second costs neither.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Self

import psycopg

from migration_pipeline import errors
from migration_pipeline.adapters import activity, postgres
from migration_pipeline.domain import progress
from migration_pipeline.domain.backups import words
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.effects import Rehearsal
from migration_pipeline.domain.progress import QueueLimit, Way
from migration_pipeline.domain.watching import Activity

LOOK_SECONDS = 1.0
END_SECONDS = 10.0  # how long the last look may take: it may be ending the upgrade


class UpgradeWatch:
    """Somebody who watches one upgrade of a Target, as long as the context is open."""

    def __init__(
        self,
        live: Connection,
        target: str,
        rehearsal: Rehearsal,
        *,
        limit: QueueLimit | None,
        say: Callable[[str], None],
        show: Callable[[str], None],
    ) -> None:
        self._live = live
        self._target = target
        self._way = Way.rehearsed(rehearsal)
        self._limit = limit
        self._say = say
        self._show = show
        self._place = "before the first revision"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._said_at: float | None = None
        self._queued_since: float | None = None
        self._why: dict[str, str] | None = None  #: why the upgrade was ended

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(END_SECONDS)

    def progress(self, revision: str, statement: int) -> None:
        """Be told what is sent next."""
        self._place = self._way.at(revision, statement)
        self._show(self._place)

    def explain(self, error: errors.MigrationPipelineError) -> None:
        """Say in an upgrade's failure that it was ended from here, where it was."""
        if self._why is not None:
            error.what = "The upgrade was ended: too many sessions waited for it for too long."
            told = {name: value for name, value in error.evidence.items() if name != "server"}
            error.evidence = {**self._why, **told}
            error.next_step = "choose a time when fewer work with these tables, or split the revision, then: just migrate"

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            with contextlib.suppress(errors.MigrationPipelineError, psycopg.Error):  # the next look may succeed
                self._look_on()

    def _look_on(self) -> None:
        with postgres.session(self._live, purpose="looks") as opened:
            self._look(opened)
            while not self._ended.wait(LOOK_SECONDS):
                self._look(opened)

    def _look(self, opened: "psycopg.Connection[Any]") -> None:
        found = activity.look(opened, self._target)
        if found is None:
            self._queued_since = None
            return
        now = time.monotonic()
        since = None if self._said_at is None else timedelta(seconds=now - self._said_at)
        if progress.is_due(found.running, since):
            self._said_at = now
            self._tell(progress.line(self._place, self._way, found))
        if self._limit and len(found.blocks) > self._limit.sessions:
            self._queued_since = self._queued_since or now
            if now - self._queued_since >= self._limit.span.total_seconds():
                self._end(found, self._limit, timedelta(seconds=now - self._queued_since))
        else:
            self._queued_since = None

    def _end(self, found: Activity, limit: QueueLimit, waited: timedelta) -> None:
        allowed = f"abort_queue allows {limit.sessions:,} for {words(limit.span)}"
        self._why = {
            "waited": f"{len(found.blocks):,} sessions for {words(waited)}; {allowed}",
            "at": self._place,
        }
        self._tell("Too many sessions wait for the upgrade; it is ended.")
        postgres.end_backend(self._live, found.pid, found.started, is_start=True)

    def _tell(self, what: str) -> None:
        with contextlib.suppress(Exception):  # whoever keeps the log has a full disk, say: the watch goes on
            self._say(what)
