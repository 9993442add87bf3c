"""pg_dump and psql: takes a dump and restores one. With the runner and the embedded server, the only subprocesses.

The password is in a 0600 passfile in a 0700 folder; on no command line, in no environment variable.
"""

import contextlib
import hashlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from migration_pipeline import errors
from migration_pipeline.adapters import belongings
from migration_pipeline.domain import redaction
from migration_pipeline.domain.connection import Connection

CHUNK = 1 << 20
POLL_SECONDS = 0.05
END_SECONDS = 2  # how long a program that was told to end has, before it is killed
LOCK_WAIT = "10s"  # a dump that waits behind somebody's ACCESS EXCLUSIVE lock makes everybody wait behind itself
SERVICE = "migration_pipeline"
ERROR_LINE = re.compile(r"(?:ERROR|FATAL|PANIC):\s+(?:([0-9A-Z]{5}): )?(.*)")
#: The server notices that its client is gone, and not only when it has something to send.
NOTICE = "-c client_connection_check_interval=1000"
#: A restore into a copy that nobody relies on need not wait for its commits to reach the disk.
RESTORE_OPTIONS = f"{NOTICE} -c synchronous_commit=off -c maintenance_work_mem=256MB"


@contextlib.contextmanager
def environment(connection: Connection, **more: str) -> Iterator[dict[str, str]]:
    """Yield the environment in which libpq's programs reach a database, through a service file."""
    with belongings.private_folder() as folder:
        passfile, service = folder / "passfile", folder / "service"
        for path, text in ((passfile, connection.passfile_line()), (service, connection.service_file(passfile))):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG") and "://" not in value}
        yield {**kept, "PGSERVICEFILE": str(service), "PGSERVICE": SERVICE, "LC_ALL": "C", "PGAPPNAME": SERVICE, **more}


def dump(
    connection: Connection,
    programs: Path,
    *,
    snapshot: str,
    into: BinaryIO,
    progress: Callable[[int], None],
    started: Callable[["subprocess.Popen[bytes]"], None],
) -> tuple[int, str]:
    """Write a plain dump of a snapshot to a file, hashing on the way; return its bytes and SHA-256. Raise BackupFailed.

    pg_dump writes the file itself and we read behind it, from the page cache: through a pipe, its small writes cost twice
    the CPU of the whole dump (measured on 1 GB).
    """
    command: list[str | Path] = [
        programs / "pg_dump",
        "--no-password",
        f"--snapshot={snapshot}",
        f"--lock-wait-timeout={LOCK_WAIT}",
    ]
    behind = _Digest(into.fileno())
    environ_of = environment(connection, PGOPTIONS=NOTICE)
    with environ_of as environ, _process(command, environ, stdout=into.fileno()) as (process, stderr):
        started(process)
        while process.poll() is None:
            progress(behind.catch_up())
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(POLL_SECONDS)
        written = behind.catch_up()
        if process.returncode:
            raise errors.BackupFailed(
                "pg_dump failed; no backup was made.",
                evidence=_evidence(process, stderr),
                next_step="mend what is named above, then run the same command again",
            )
    return written, behind.hexdigest


class _Digest:
    """The SHA-256 of a file that is still being written."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._digest = hashlib.sha256()
        self._read = 0

    def catch_up(self) -> int:
        """Read what has come; return the bytes read so far."""
        while part := os.pread(self._descriptor, CHUNK, self._read):
            self._digest.update(part)
            self._read += len(part)
        return self._read

    @property
    def hexdigest(self) -> str:
        return self._digest.hexdigest()


@contextlib.contextmanager
def in_background(
    connection: Connection, programs: Path, *, snapshot: str, into: BinaryIO, progress: Callable[[int], None]
) -> Iterator["Future[tuple[int, str]]"]:
    """Dump in a thread while the caller reads the same snapshot; leaving the block in any way ends the dump."""
    stop = threading.Event()
    running: list[subprocess.Popen[bytes]] = []

    def started(process: "subprocess.Popen[bytes]") -> None:
        running.append(process)
        if stop.is_set():
            raise errors.BackupFailed("The backup was stopped; no backup was made.")

    with ThreadPoolExecutor(1, thread_name_prefix="dump") as pool:
        future = pool.submit(dump, connection, programs, snapshot=snapshot, into=into, progress=progress, started=started)
        try:
            yield future
        finally:
            stop.set()
            for process in running:  # the thread itself may be waiting for bytes that are long in coming
                _end(process)


def version(programs: Path) -> str:
    """Return what pg_dump says of its version."""
    done = subprocess.run([programs / "pg_dump", "--version"], capture_output=True, text=True, check=True)
    return done.stdout.strip().rpartition("PostgreSQL) ")[2]


def restore(connection: Connection, programs: Path, source: BinaryIO, *, progress: Callable[[int], None]) -> None:
    """Restore a plain dump into an empty database in one transaction. Raise VerificationFailed.

    Only what a manifest vouches for comes here: a dump from elsewhere could run any command through psql's backslashes.
    """
    command: list[str | Path] = [programs / "psql", "--no-psqlrc", "--no-password", "--quiet", "--single-transaction"]
    command += ["--output=/dev/null", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose", "--file=-"]
    sent = 0
    environ_of = environment(connection, PGOPTIONS=RESTORE_OPTIONS)
    with environ_of as environ, _process(command, environ, stdin=subprocess.PIPE) as (process, stderr):
        assert process.stdin is not None  # noqa: S101
        with contextlib.suppress(BrokenPipeError):  # psql has ended: its exit code tells
            while part := source.read(CHUNK):
                process.stdin.write(part)
                sent += len(part)
                progress(sent)
            process.stdin.close()
        if process.wait():
            raise errors.VerificationFailed(
                "The backup could not be restored into the scratch database.", evidence=_evidence(process, stderr)
            )


@contextlib.contextmanager
def _process(
    command: list[str | Path], environ: dict[str, str], *, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL
) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """Start a program in a group of its own; whatever happens, nothing of it is left running."""
    with belongings.private_folder() as folder:
        stderr = folder / "stderr"
        with stderr.open("wb") as errors_file:
            process = subprocess.Popen(
                belongings.tethered([str(part) for part in command]),
                env=environ,
                stdin=stdin,
                stdout=stdout,
                stderr=errors_file,
                bufsize=0,
                pipesize=CHUNK,
                start_new_session=True,
            )
        try:
            yield process, stderr
        finally:
            _end(process)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
            process.wait()


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a program that still runs. Told to, pg_dump cancels what the server does for it; what does not listen is killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            if process.poll() is None:
                os.killpg(process.pid, number)
                process.wait(END_SECONDS)


def _evidence(process: "subprocess.Popen[bytes]", stderr: Path) -> dict[str, object]:
    """Return how a program ended, and the first error that it told: its primary message, redacted."""
    code = process.returncode
    evidence: dict[str, object] = {"ended by": signal.Signals(-code).name if code < 0 else f"exit code {code}"}
    for line in stderr.read_text("utf-8", "replace").splitlines():
        if line.startswith(("pg_dump: error:", "psql: error:")):  # these read the catalog and never a row
            evidence["error"] = line.partition("error:")[2].strip()
            break
        if found := ERROR_LINE.search(line):
            evidence["server"] = redaction.server_message(found[1] or "", found[2])
            break
    return evidence
