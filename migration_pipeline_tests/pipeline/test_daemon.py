"""The sensors where they live: Dagster's own daemon ticks them, and a migration that it launched is told and cancelled."""

import contextlib
import os
import signal
import subprocess
import time

import dagster as dg
import pytest
import yaml
from dagster import DagsterRunStatus as Status

from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import wait_until
from migration_pipeline_tests.pipeline.conftest import BIN
from migration_pipeline_tests.pipeline.test_sensors import UPGRADE, watched, web  # noqa: F401 - fixtures

LOCATION = ["-m", "migration_pipeline.definitions"]


@contextlib.contextmanager
def daemon(site):
    with (site.folder / "daemon.log").open("wb") as log:
        process = subprocess.Popen(
            [BIN / "dagster-daemon", "run", *LOCATION],
            cwd=site.folder, env=site.environ, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            yield
            process.send_signal(signal.SIGINT)
            process.wait(60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.control("B4")
@pytest.mark.long
def test_the_daemon_ticks_the_sensors_and_a_run_that_it_launched_is_told_cancelled_and_rolled_back(watched):  # noqa: F811
    site, instance = watched.site, watched.instance
    site.take_backup()
    file = projects.revision_file(site.project, "0002")
    sleeps = "SELECT CASE WHEN left(current_database(), 10) <> 'mp_scratch' THEN pg_sleep(150) END"
    nothing_lost = (
        f'def upgrade():\n    op.execute("ALTER TABLE patients ADD COLUMN x int")\n    op.execute("{sleeps}")\n\n\ndef was():'
    )
    text = file.read_text().replace("SAFETY: DESTRUCTIVE", "SAFETY: NON_DESTRUCTIVE")
    file.write_text(text.replace("def upgrade():", nothing_lost))
    (site.folder / "run.yaml").write_text(yaml.safe_dump({"reuse_recent_backup": True}))

    with daemon(site):
        launched = subprocess.run(
            [BIN / "dagster", "job", "launch", *LOCATION, "-j", "migrate", "-c", "run.yaml"],
            cwd=site.folder, env={**site.environ, "PYTHONWARNINGS": "default"}, capture_output=True, text=True,
        )  # fmt: skip
        assert launched.returncode == 0, launched.stderr
        asleep = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{UPGRADE}' AND wait_event = 'PgSleep'"
        wait_until(lambda: site.query(asleep) == [(1,)], lambda: watched.log(run(instance))[-3:], 120)
        started = time.monotonic()
        wait_until(lambda: run(instance).status == Status.CANCELED, lambda: run(instance).status, 100)
        took = time.monotonic() - started
        wait_until(lambda: len(watched.received) >= 1, lambda: watched.received, 30)

    print(f"cancelled by the daemon's sensor {took:.0f} s after its statement began")
    assert site.query(asleep) == [(0,)]
    assert site.revision == ["0001"]
    assert not site.has_column("patients", "x")
    cancelled = watched.received[-1]
    assert cancelled["title"] == "default: the migration was cancelled"
    assert "\n  state: rolled back; the database is at 0001; its session is gone, and its locks with it\n" in cancelled["message"]


def run(instance):
    (record,) = instance.get_run_records(dg.RunsFilter(job_name="migrate"))
    return record.dagster_run
