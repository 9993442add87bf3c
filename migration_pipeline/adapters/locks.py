"""The migration lock: one run at a time on a database, from backup to post-check.

An advisory lock in the maintenance database: held in the target it would block a restore's swap of names, and be killed
by it. It binds only runs of this pipeline; the version table's lock binds the others.
"""

import contextlib
import hashlib
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg

from migration_pipeline import errors
from migration_pipeline.adapters import postgres
from migration_pipeline.domain.backups import words
from migration_pipeline.domain.connection import Connection

POLL_SECONDS = 0.5

#: Who holds an advisory lock; its key stands in two halves (https://www.postgresql.org/docs/current/view-pg-locks.html).
HOLDER = """
SELECT a.application_name, a.pid, coalesce(host(a.client_addr), 'a socket'), now() - a.backend_start
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (l.classid::bigint << 32 | l.objid::bigint) = %s::bigint
"""


#: The same key in whichever database: Targets may name different maintenance databases on one server.
HELD_ANYWHERE = """
SELECT EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
               AND pid <> pg_backend_pid() AND (l.classid::bigint << 32 | l.objid::bigint) = %s::bigint)
"""


class AdvisoryLock:
    """One advisory lock on a session of its own; it lives as long as the session does."""

    def __init__(self, maintenance: Connection, name: str, purpose: str) -> None:
        self._maintenance = maintenance
        self._purpose = purpose
        self._stack = contextlib.ExitStack()
        self._session: psycopg.Connection[Any] | None = None
        self.key = key(name)

    def try_acquire(self) -> bool:
        """Return whether the lock is ours now."""
        if self.is_held():
            return True
        self.release()
        opened = self._stack.enter_context(postgres.session(self._maintenance, purpose=self._purpose))
        (got,) = postgres.one(opened, "SELECT pg_try_advisory_lock(%s)", self.key)
        if got:
            postgres.execute(opened, "SET idle_session_timeout = 0")  # it is idle while a human thinks
            self._session = opened
        else:
            self._stack.close()
        return bool(got)

    def is_held(self) -> bool:
        """Return whether the session that holds the lock still answers."""
        if self._session is None or self._session.closed:
            return False
        try:
            self._session.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def release(self) -> None:
        self._session = None
        with contextlib.suppress(errors.MigrationPipelineError, psycopg.Error):
            self._stack.close()

    def holder(self) -> dict[str, object]:
        with postgres.session(self._maintenance, purpose="looks") as opened:
            found = postgres.rows(opened, HOLDER, self.key)
        if not found:
            return {}
        name, pid, address, since = found[0]
        return {"holder": f"{name} (process {pid}, from {address})", "since": f"{words(since)} ago"}


def key(name: str) -> int:
    """Return a lock's key: 63 bits, so that its two halves in pg_locks add up to it."""
    return int.from_bytes(hashlib.sha256(f"migration_pipeline {name}".encode()).digest()[:8]) >> 1


def acquire(lock: AdvisoryLock, *, wait: timedelta, clock: Callable[[], float] = time.monotonic) -> None:
    """Take the migration lock, polling: a session that waits inside the server would stall concurrent index builds."""
    end = clock() + wait.total_seconds()
    while not lock.try_acquire():
        if clock() >= end:
            raise errors.Locked(
                "Another run is migrating, backing up or restoring this database; nothing was changed.",
                evidence=lock.holder(),
                next_step="wait until it has ended, then run the same command again",
            )
        time.sleep(POLL_SECONDS)
