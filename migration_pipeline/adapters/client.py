"""Runs PostgreSQL's client programs. With the runner and the embedded server, the only subprocesses.

The password is in a 0600 passfile in a 0700 folder; on no command line, in no environment variable.
"""

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from migration_pipeline import errors
from migration_pipeline.adapters import belongings
from migration_pipeline.domain import redaction
from migration_pipeline.domain.connection import Connection

CHUNK = 1 << 20
POLL_SECONDS = 0.05
END_SECONDS = 2  # how long a program that was told to end has, before it is killed
SERVICE = "migration_pipeline"
ERROR_LINE = re.compile(r"(?:ERROR|FATAL|PANIC):\s+(?:([0-9A-Z]{5}): )?(.*)")
PROGRAM_ERROR = re.compile(r"(?:pg_dump|pg_dumpall|pg_restore|psql): error: (.*)")
RESTRICTED = "backslash commands are restricted"  # of psql's other errors, some repeat the line that they are about
#: The server notices that its client is gone, and not only when it has something to send.
NOTICE = "-c client_connection_check_interval=1000"

Process = subprocess.Popen[bytes]


@contextlib.contextmanager
def environment(connection: Connection, **more: str) -> Iterator[dict[str, str]]:
    """Yield the environment in which libpq's programs reach a database, through a service file."""
    with contextlib.ExitStack() as opened:
        with _room_is_told():
            folder = opened.enter_context(belongings.private_folder())
            passfile, service = folder / "passfile", folder / "service"
            for path, text in ((passfile, connection.passfile_line()), (service, connection.service_file(passfile))):
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(text)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG") and "://" not in value}
        yield {**kept, "PGSERVICEFILE": str(service), "PGSERVICE": SERVICE, "LC_ALL": "C", "PGAPPNAME": SERVICE, **more}


@contextlib.contextmanager
def _room_is_told() -> Iterator[None]:
    """Tell a full disk of this machine as what it is: neither the backup nor the server has failed."""
    try:
        yield
    except OSError as error:
        raise errors.Failure(
            "The temporary files that PostgreSQL's programs need cannot be written.",
            evidence={"folder": tempfile.gettempdir(), "reason": error.strerror},
            next_step="make room, or set TMPDIR to a folder with more of it, then run the same command again",
        ) from None


@contextlib.contextmanager
def started(
    command: Sequence[str | Path],
    connection: Connection,
    *,
    options: str = NOTICE,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
) -> Iterator[tuple[Process, Path]]:
    """Start a program in a group of its own; yield it and the file of its stderr. Whatever happens, nothing is left running."""
    with environment(connection, PGOPTIONS=options) as environ, contextlib.ExitStack() as opened:
        with _room_is_told():
            stderr = opened.enter_context(belongings.private_folder()) / "stderr"
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
            end(process)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
            process.wait()
            if process.returncode:
                _end_workers(process)


def end(process: Process) -> None:
    """End a program that still runs. Told to, pg_dump cancels what the server does for it; what does not listen is killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            if process.poll() is None:
                os.killpg(process.pid, number)
                process.wait(END_SECONDS)


def _end_workers(process: Process) -> None:
    """End what is left of a dead program's group: the workers of pg_dump and pg_restore go on without it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        limit = time.monotonic() + END_SECONDS
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
            while time.monotonic() < limit:
                os.killpg(process.pid, 0)
                time.sleep(POLL_SECONDS / 10)
            continue
        return


def evidence(process: Process, stderr: Path) -> dict[str, object]:
    """Return how a program ended, and the first error that it told: its primary message, redacted."""
    code = process.returncode
    found: dict[str, object] = {"ended by": signal.Signals(-code).name if code < 0 else f"exit code {code}"}
    with stderr.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if server := ERROR_LINE.search(line):  # a server's words, whoever repeats them, may hold a row
                found["server"] = redaction.server_message(server[1] or "", server[2])
                break
            if RESTRICTED in line:
                found["error"] = f"the dump holds commands of psql's own: {RESTRICTED}"
                break
            if told := PROGRAM_ERROR.match(line):
                found["error"] = told[1].strip()
                break
    return found
