"""The runner as a process: the interpreter it is started with, what it is told at its start, and how it is ended.

Its environment leads nowhere: no PG* variable, no URL but that of the database that the pipeline named, no password.
"""

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migration_pipeline.domain.connection import Connection

RUNNER = Path(__file__).parent.parent / "runner.py"
#: A transaction that begins behind a hidden ROLLBACK, and autocommit after it, can write nothing; ours begins with READ WRITE.
SESSION_OPTIONS = "-c default_transaction_read_only=on"
#: On a scratch database, where many transactions are ours. Nobody else holds locks there: who waits for one waits for itself.
SCRATCH_OPTIONS = "-c default_transaction_read_only=off -c lock_timeout=5s"
END_SECONDS = 5  # how long a runner that was told to end has, before it is killed
DRIVERS = ("psycopg2", "psycopg", "asyncpg")

URL_SCHEME = re.compile(r"postgres(?:ql)?(?:\+(\w+))?://")


@dataclass(frozen=True, kw_only=True)
class Project:
    """An Alembic project, and the interpreter that its revisions are written for."""

    config: Path
    python: Path
    live: Connection  #: what the project must never reach by itself: its password leaves the runner's environment
    driver: str = ""  #: the driver that the project's own URL names; empty: the runner's choice
    target: str = ""  #: the Target's name, by which its connections are found on the server


class Spares:
    """Runners that are started before they are needed: an interpreter with Alembic takes most of a second to start."""

    def __init__(self) -> None:
        self._spares: list[tuple[Project, subprocess.Popen[bytes]]] = []
        self._more = 0
        self._is_on = False
        self._lock = threading.Lock()

    def prepare(self, project: Project, count: int) -> None:
        """Keep one runner ahead, for the next `count` runs of this project."""
        self._is_on, self._more = True, count
        if all(one[0] != project for one in self._spares):
            self._refill(project)

    def expect_more(self, project: Project, count: int) -> None:
        """Keep one ahead for so many runs more, where that is done at all."""
        if self._is_on:
            self.prepare(project, self._more + count)

    def take(self, project: Project) -> "subprocess.Popen[bytes]":
        """Return a runner that waits for its order."""
        with self._lock:
            found = next((one for one in self._spares if one[0] == project), None)
            if found is None:
                return spawn(project)
            self._spares.remove(found)
            self._refill(project)
        if found[1].poll() is None:
            return found[1]
        end(found[1], kill=True)  # somebody killed it while it waited
        return spawn(project)

    def discard(self) -> None:
        self._is_on, self._more = False, 0
        while self._spares:
            end(self._spares.pop()[1], kill=True)

    def _refill(self, project: Project) -> None:
        if self._more:
            self._more -= 1
            self._spares.append((project, spawn(project)))


spares = Spares()


def spawn(project: Project) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [str(project.python), str(RUNNER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # the project's own words may hold row values and passwords
        env=environment(os.environ, project.live),
        start_new_session=True,
    )


def order(project: Project, connection: Connection, *, mode: str, revision: str) -> dict[str, Any]:
    """Return what the runner is told at its start. It travels through a pipe: nothing of it is on a command line."""
    urls = {driver: connection.driver_url(driver) for driver in DRIVERS}
    return {
        "mode": mode,
        "config": str(project.config),
        "revision": revision,
        "driver": project.driver,
        "urls": urls,
        "connection": {
            **keywords(connection, SCRATCH_OPTIONS if mode == "check" else SESSION_OPTIONS),
            "application_name": f"migration_pipeline {mode} {project.target or connection.database}"[:63],
        },
        "asyncpg_url": connection.asyncpg_dsn(with_password=True),
        "environment": redirected(os.environ, connection) | {"DATABASE_URL": connection.driver_url(project.driver)},
    }


def keywords(connection: Connection, options: str = SESSION_OPTIONS) -> dict[str, str]:
    """Return how the runner connects. Read-only unless a transaction says otherwise, and only ours does."""
    found = connection.keywords(with_password=True) | passfile(connection, os.environ)
    return found | {"options": f"{found.get('options', '')} {options}".strip()}


def passfile(connection: Connection, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the passfile for a connection without a password: the runner's own environment does not lead to it."""
    if connection.password is not None or "passfile" in connection.parameters:
        return {}
    return {"passfile": environ.get("PGPASSFILE") or str(Path.home() / ".pgpass")}


def redirected(environ: Mapping[str, str], connection: Connection) -> dict[str, str]:
    """Return the environment's PostgreSQL URLs, each with the named database in the place of its own, without a password."""
    schemes = {name: URL_SCHEME.match(value) for name, value in environ.items()}
    return {name: connection.driver_url(found[1] or "") for name, found in schemes.items() if found}


def environment(environ: Mapping[str, str], live: Connection) -> dict[str, str]:
    """Return the environment without what could lead the project to the live database: PG* variables, URL and password."""
    password = live.password
    kept = {name: value for name, value in environ.items() if not (name.startswith("PG") or URL_SCHEME.match(value))}
    if password:
        kept = {name: value for name, value in kept.items() if password not in value}
    return {**kept, "PGPASSFILE": os.devnull, "PYTHONDONTWRITEBYTECODE": "1"}


def end(process: "subprocess.Popen[bytes]", *, kill: bool) -> None:
    """Wait for the runner's end; with `kill`, end it and its children now."""
    if process.stdin and not process.stdin.closed:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    if not kill:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # also when it has ended: what a revision started is in its group
    process.wait()
    if process.stdout:
        process.stdout.close()
