"""What the wrapping costs: the whole `migrate` job against a shell script of the same bare tools, and a backup against pg_dump.

    python benchmarks/overhead.py migrate          on the demo's clinic
    python benchmarks/overhead.py backup URL       on a database of yours; make one of 1 GB or more

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

from migration_pipeline import settings, steps
from migration_pipeline.adapters import binaries, embedded
from migration_pipeline.workplace import Workplace

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


def server_cpu(url):
    """Return the CPU seconds of a server on this machine: its postmaster, the backends that ended and those that run."""
    with psycopg.connect(url) as session:
        (folder,) = session.execute("SHOW data_directory").fetchone()
        session.execute("SELECT 1")
        postmaster = int(Path(folder, "postmaster.pid").read_text().split()[0])
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(stat.parent.name) == postmaster:
            total += sum(map(int, fields[11:15]))
        elif int(fields[1]) == postmaster:
            total += sum(map(int, fields[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


def with_server(url, run):
    before = server_cpu(url)
    wall, cpu = run()
    time.sleep(0.5)  # a backend that has just ended is counted once the postmaster has noticed
    return wall, cpu, cpu + server_cpu(url) - before


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


def backup(url, runs):
    """Time the step `backup` (dump, counts, schema, checksum, fsync, manifest); verifying by restore is another step."""
    folder = Path(tempfile.mkdtemp(prefix="migration_pipeline-benchmark-"))
    with psycopg.connect(url) as session:
        programs = binaries.find(session.info.server_version // 10_000)
    environ = {
        "DATABASE_URL": url,
        "ALEMBIC_CONFIG": str(CLINIC / "alembic.ini"),
        "MIGRATION_ENVIRONMENT": "development",
        "BACKUP_LOCATION": str(folder / "backups"),
        "PG_BIN": str(programs),
    }
    place = Workplace(target=settings.load(environ, folder), run_id="benchmark")
    plan = steps.plan_for_backup(place)

    def ours():
        before, started = used(), time.perf_counter()
        steps.backup(place, plan, protects=False)
        return time.perf_counter() - started, used() - before

    def used():
        own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime

    try:
        compare(
            "backup",
            lambda: with_server(url, ours),
            lambda: with_server(
                url, lambda: timed([str(programs / "pg_dump"), "-f", str(folder / "bare.sql"), url], os.environ, folder)
            ),
            runs,
        )
    finally:
        place.close()
        shutil.rmtree(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["migrate", "backup"])
    parser.add_argument("url", nargs="?")
    parser.add_argument("--runs", type=int, default=3)
    chosen = parser.parse_args()
    migrate(chosen.runs) if chosen.what == "migrate" else backup(chosen.url, chosen.runs)
