"""What happens: each of these does it to a run that is held, or to its place before the run starts."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from migration_pipeline import errors, workplace
from migration_pipeline.adapters import binaries, embedded, scratch
from migration_pipeline.domain.connection import Connection
from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import execute, missing
from migration_pipeline_tests.faults.happening import Happening
from migration_pipeline_tests.faults.network import Network

TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'migration_pipeline%'"


def nothing(happening): ...


# ── the server ──


def the_server_goes_away(happening):
    happening.place.server.stop("immediate")
    happening.later.callback(happening.place.server.launch)


def the_server_restarts(happening):
    happening.place.server.restart("fast")


def the_server_crashes(happening):
    execute(happening.place.server.url(), "ALTER SYSTEM RESET synchronous_standby_names")
    happening.place.server.restart("immediate")


def our_sessions_are_terminated(happening):
    execute(happening.place.server.url(), TERMINATE)


def over_a_network(happening):
    short_limit(happening)
    place = happening.place
    happening.network = Network(place.server.port)
    happening.later.callback(happening.network.close)
    place.more["CLINIC_URL"] = place.url.replace(f":{place.server.port}/", f":{happening.network.port}/")


def short_limit(happening):
    happening.place.setting("transaction_limit_minutes = 0.1")


def connections_are_cut(happening):
    happening.network.cut()


def connections_are_silent(happening):
    happening.network.swallow()


# ── signals ──


def signal_to_the_run(number):
    return lambda happening: happening.run.send(number)


def signal_to_the_child(number):
    return lambda happening: os.kill(happening.child, number)


# ── the project ──


def no_alembic_ini(happening):
    (happening.place.project / "alembic.ini").unlink()


def broken_revision(happening):
    projects.break_revision(happening.place.project, "0003")


def revision_that_raises(happening):
    with happening.place.revision_file("0003").open("a") as file:
        file.write("\n\ndrop = upgrade\n\n\ndef upgrade():\n    drop()\n    raise RuntimeError('half-way')\n")


def no_interpreter(happening):
    happening.place.setting('project_python = "/nowhere/python"')


def revision_is_changed(happening):
    with happening.place.revision_file("0003").open("a") as file:
        file.write("\n# one more line\n")


def spare_is_killed(happening):
    (pid,) = [pid for pid, command in happening.place.processes().items() if "runner.py" in command]
    os.kill(pid, signal.SIGKILL)


def runner_is_frozen(happening):
    os.kill(happening.child, signal.SIGSTOP)


# ── programs, disks and rights ──


def wrong_password(happening):
    happening.place.more["CLINIC_URL"] = happening.place.url.replace(happening.place.server.password, "wrong")


def no_createdb(happening):
    place = happening.place
    execute(place.server.url(), "CREATE ROLE reader LOGIN PASSWORD 'reader' IN ROLE pg_read_all_data")
    happening.later.callback(execute, place.server.url(), "DROP ROLE reader")
    place.more["CLINIC_URL"] = place.url.replace(f"postgres:{place.server.password}", "reader:reader")


def no_programs(happening):
    happening.place.setting(f'pg_bin = "{happening.place.folder}"')


def older_programs(happening):
    try:
        happening.place.setting(f'pg_bin = "{binaries.find(15)}"')
    except errors.ToolMissing:
        missing("PostgreSQL 15")


def disk(happening, folder, kilobytes):
    """Put a small disk in the place of a folder, with what is in the folder on it."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    kept = shutil.copytree(folder, folder.with_name(f"{folder.name}-kept"))
    happening.later.callback(shutil.rmtree, kept)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", folder], check=True)
    happening.later.callback(subprocess.run, ["umount", "-l", folder], check=True)
    shutil.copytree(kept, folder, dirs_exist_ok=True)


def fill(folder):
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))


def read_only_backups(happening):
    folder = happening.place.folder / "backups"
    disk(happening, folder, 10_000)
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)


def small_disk_for_backups(happening):
    disk(happening, happening.place.folder / "backups", 480)


def disk_for_backups(happening):
    disk(happening, happening.place.folder / "backups", 10_000)


def full_disk_for_backups(happening):
    fill(happening.place.folder / "backups")


def no_backup_folder(happening):
    folder = happening.place.folder / "backups"
    folder.rename(folder.with_name("unmounted"))
    happening.later.callback(_mount_again, folder)


def _mount_again(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_name("unmounted").rename(folder)


def disk_for_dagster(happening):
    disk(happening, happening.place.folder / "dagster", 100_000)


def full_disk_for_dagster(happening):
    fill(happening.place.folder / "dagster")


def no_scratch_server(happening):
    happening.place.setting('scratch_database_url = "postgresql://postgres:none@127.0.0.1:1/postgres"')


SCRATCH = Path(embedded.HOME, f"mp-tests-scratch-{os.getpid()}")


def scratch_server(happening):
    """Start a scratch server on a disk of its own."""
    place, folder = happening.place, SCRATCH
    folder.mkdir(mode=0o755)
    happening.later.callback(shutil.rmtree, folder)
    disk(happening, folder, 150_000)
    folder.chmod(0o755)
    options = {"fsync": "off", "max_wal_size": "32MB", "min_wal_size": "32MB", "shared_buffers": "16MB"}
    server = embedded.start(folder / "server", place.server.binaries, options=options)
    happening.later.callback(server.stop, "immediate")
    place.setting(f'scratch_database_url = "{server.url()}"')


def full_scratch_server(happening):
    scratch_server(happening)
    fill(SCRATCH)


def scratch_server_fills_up(happening):
    fill(SCRATCH)


def flipped_byte(happening):
    path = max((happening.place.folder / "backups").rglob("backup_*-[0-9][0-9].sql"), key=lambda path: path.name)
    happening.place.damaged = path.stem
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def row_is_missing(happening):
    (copy,) = happening.place.scratch_databases()
    execute(happening.place.server.url(copy), "DELETE FROM alerts WHERE id = 1")


class TwoDaysAgo(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) - timedelta(days=2)


def clock_two_days_back():
    workplace.datetime = TwoDaysAgo


# ── others at work ──


def another_run_waits(happening):
    other = Happening(happening.place, "confirm", name="other")
    other.start()
    happening.later.callback(_succeed, other)


def _succeed(other):
    other.release()
    assert other.run.wait() == 0, other.run.said


def another_run_is_ahead(happening):
    other = Happening(happening.place, "rehearse", name="other")
    other.start()
    happening.later.callback(_succeed, other)


def another_run_overtakes(happening):
    other = happening.place.start("migrate", name="other")
    assert other.wait() == 0, other.said


def another_database_is_rehearsed(happening):
    """A run of another Target is alive: its scratch database and its unfinished dump are not ours to sweep."""
    place = happening.place
    server = Connection.from_url(place.server.url())
    living = happening.later.enter_context(contextlib.ExitStack())
    copy = living.enter_context(scratch.database(server, server, "other", "postgres"))
    unfinished = living.enter_context(place.store.new(workplace.utc_now))

    def look():
        assert copy.database in place.scratch_databases()
        assert f"{unfinished.id}.partial" in place.partials()

    happening.later.callback(look)


def application_holds_a_lock(happening):
    application = psycopg.connect(happening.place.url)
    application.execute("LOCK TABLE alerts IN ACCESS SHARE MODE")
    happening.later.callback(application.close)


def alembic(place, **options):
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    return subprocess.Popen(command, cwd=place.project, env={**place.environ, "DATABASE_URL": place.url}, **options)


def application_migrates(happening):
    assert alembic(happening.place).wait() == 0


def application_tries_to_migrate(happening):
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    happening.later.callback(alembic(happening.place, **quiet).wait)


def writer_that_never_stops(happening):
    stop = threading.Event()
    written = []

    def write():
        with psycopg.connect(happening.place.url, autocommit=True) as application:
            while not stop.is_set():
                written.append(application.execute("INSERT INTO patients (name) VALUES ('new') RETURNING id").fetchone()[0])
                stop.wait(0.05)

    def look():
        stop.set()
        writer.join()
        rows = execute(happening.place.url, "SELECT id FROM patients WHERE name = 'new' ORDER BY id")
        assert [identifier for (identifier,) in rows] == written
        assert len(written) > 10
        execute(happening.place.url, "DELETE FROM patients WHERE name = 'new'", "SELECT setval('patients_id_seq', 2000)")

    writer = threading.Thread(target=write)
    writer.start()
    happening.later.callback(look)


def wrong_answer(happening):
    happening.answer = "confirm\n"


def no_answer(happening):
    happening.answer = ""
