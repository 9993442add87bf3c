"""What the wrapping costs: the whole `migrate` job, on the demo's clinic, against a shell script of the same bare tools.

    python benchmarks/overhead.py migrate

Machines are noisy: both sides run in turn, and the ratio of each pair is what counts. These are no tests.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from migration_pipeline.adapters import binaries, embedded

CLINIC = Path(__file__).parents[1] / "examples" / "clinic"
BARE = """
set -e
"$PG_BIN/pg_dump" -f "$OUT" "$LIVE"
"$PG_BIN/psql" -qc 'CREATE DATABASE bare_scratch' "$ADMIN"
"$PG_BIN/psql" -q1 -v ON_ERROR_STOP=1 -o /dev/null -f "$OUT" "$SCRATCH"
DATABASE_URL="$SCRATCH" "$PYTHON" -m alembic upgrade head
DATABASE_URL="$LIVE" "$PYTHON" -m alembic upgrade head
"$PG_BIN/psql" -qc 'DROP DATABASE bare_scratch' "$ADMIN"
"""


def timed(command, environ, cwd, answer=None):
    """Return wall seconds and CPU seconds of a command and its children."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=environ, cwd=cwd, input=answer, text=True, capture_output=True)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stdout}\n{done.stderr}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(name, ours, bare, runs):
    """Run the two in turn and print what each pair says."""
    pairs = [(bare(), ours()) for _ in range(runs)]
    for index, what in enumerate(("wall", "CPU of the clients", "CPU of clients and server")[: len(pairs[0][0])]):
        ratios = [one[index] / other[index] for other, one in pairs]
        mine, theirs = (statistics.median(pair[side][index] for pair in pairs) for side in (1, 0))
        print(
            f"{name}: {what} {mine:.2f} s, bare {theirs:.2f} s, ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )


def migrate(runs):
    folder = Path(tempfile.mkdtemp(prefix="migration_pipeline-benchmark-", dir=embedded.HOME))
    folder.chmod(0o755)
    server = embedded.start(folder / "server", binaries.find(18), options={"fsync": "off"})
    environ = {
        **os.environ,
        "ALEMBIC_CONFIG": str(CLINIC / "alembic.ini"),
        "MIGRATION_ENVIRONMENT": "development",
        "BACKUP_LOCATION": str(folder / "backups"),
        "DAGSTER_HOME": str(folder / "dagster"),
        "PG_BIN": str(server.binaries),
        "PYTHON": sys.executable,
        "OUT": str(folder / "bare.sql"),
        "ADMIN": server.url(),
        "SCRATCH": server.url("bare_scratch"),
    }
    pipeline = [sys.executable, "-m", "migration_pipeline.cli"]
    try:
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute("CREATE DATABASE template_clinic")
            timed(
                [sys.executable, "-m", "alembic", "upgrade", "0018"],
                {**environ, "DATABASE_URL": server.url("template_clinic")},
                CLINIC,
            )
            with psycopg.connect(server.url("template_clinic")) as session:
                session.execute((CLINIC / "seed.sql").read_bytes())

            def fresh(name):
                admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
                admin.execute(f"CREATE DATABASE {name} TEMPLATE template_clinic")
                return {**environ, "DATABASE_URL": server.url(name), "LIVE": server.url(name)}

            def ours():
                # its own backup first, so that the job finds a recent one; only the job is timed
                ready = fresh("ours")
                timed([*pipeline, "backup-db"], ready, CLINIC)
                return timed([*pipeline, "migrate"], ready, CLINIC, answer="CONFIRM\n")

            def bare():
                return timed(["sh", "-c", BARE], fresh("bare"), CLINIC)

            compare("migrate", ours, bare, runs)
    finally:
        server.stop("immediate")
        shutil.rmtree(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["migrate"])
    parser.add_argument("--runs", type=int, default=3)
    migrate(parser.parse_args().runs)
