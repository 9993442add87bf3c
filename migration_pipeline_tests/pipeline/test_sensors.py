"""Each sensor, ticked as Dagster's daemon ticks it: a real instance, a real server, and notices that a real one receives."""

import contextlib
import json
import threading
import time
from datetime import timedelta
from http.server import ThreadingHTTPServer

import dagster as dg
import psycopg
import pytest
from dagster import DagsterRunStatus as Status
from dagster._core.execution.plan.objects import StepSuccessData

from migration_pipeline import watch
from migration_pipeline.defs import jobs, sensors
from migration_pipeline.defs.ops import TARGET_TAG
from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import wait_until
from migration_pipeline_tests.door import Run
from migration_pipeline_tests.integration.test_notify import Receiver, free_port
from migration_pipeline_tests.pipeline.conftest import start

UPGRADE = "migration_pipeline upgrade default"
SECRET = "s3cr3t-t0k3n"
PATIENT = "Jane Roe"


class Watched:
    """A site whose Target is watched, its Dagster instance, and who is told."""

    def __init__(self, site, instance, web):
        self.site, self.instance, self.web = site, instance, web
        self.cursors = {}

    def tick(self, sensor):
        """Evaluate a sensor as the daemon does, from where it was left; return the result's sentences."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursors.get(sensor.name))
        done = sensor.evaluate_tick(context)
        self.cursors[sensor.name] = done.cursor
        assert done.run_requests == []
        return done.skip_message

    @property
    def received(self):
        return [json.loads(body) for _, body in self.web.received]

    def begin(self, step="upgrade", status=Status.STARTED):
        """Record a run of a terminal that is in a step."""
        run = self.instance.create_run_for_job(jobs.migrate, status=status, tags={TARGET_TAG: "default"})
        self.event(run, dg.DagsterEventType.STEP_START, step)
        return run

    def event(self, run, kind, step=None, content=None):
        event = dg.DagsterEvent(event_type_value=kind.value, job_name=run.job_name, step_key=step, event_specific_data=content)
        self.instance.report_dagster_event(event, run.run_id)

    def status(self, run):
        return self.instance.get_run_by_id(run.run_id).status

    def log(self, run):
        return [entry.dagster_event.message for entry in self.instance.all_logs(run.run_id) if entry.dagster_event]


@pytest.fixture
def web():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.received, server.ended = [], threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def watched(make_site18, web, monkeypatch):
    """A database at 0001, one that somebody began to use the pipeline with; limits in the hundredths of a second."""
    site = make_site18("drops_table", at="0001")
    site.more["HOOK_URL"] = f"json://127.0.0.1:{web.server_port}/{SECRET}"
    site.configure(alerts=["env:HOOK_URL"], alert_after_minutes=0.001, cancel_after_minutes=0.002)
    site.enter(monkeypatch)
    with dg.DagsterInstance.get() as instance:
        yield Watched(site, instance, web)


@contextlib.contextmanager
def session(site, name, statement):
    """Hold a transaction open under a name, after a statement."""
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(site.url, application_name=name) as opened:
        opened.execute(statement)
        yield opened


@contextlib.contextmanager
def waiting(site, name, statement):
    """Let a session wait for a lock meanwhile."""

    def wait():
        with contextlib.suppress(psycopg.Error), psycopg.connect(site.url, application_name=name, autocommit=True) as opened:
            opened.execute(statement)

    thread = threading.Thread(target=wait)
    thread.start()
    locked = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}' AND wait_event_type = 'Lock'"
    wait_until(lambda: site.query(locked) == [(1,)], lambda: "it waits for nothing", 10)
    yield
    thread.join()


def of_upgrade(site):
    return site.query(f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{UPGRADE}'")[0][0]


@pytest.mark.control("B4")
def test_a_long_upgrade_is_told_once_with_what_it_does_and_whom_it_keeps_waiting(watched):
    site = watched.site
    update = f"UPDATE patients SET name = '{PATIENT}'"
    run = watched.begin()
    ((role,),) = site.query("SELECT current_user")
    with session(site, UPGRADE, update) as upgrade, waiting(site, "ward app", "BEGIN; LOCK TABLE patients; ROLLBACK"):
        time.sleep(0.1)
        said = watched.tick(sensors.long_migration_alert)
        again = watched.tick(sensors.long_migration_alert)
        (pid,) = upgrade.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'ward app'").fetchone()
        upgrade.rollback()

    (notice,) = watched.received
    assert said == f"{notice['title']}; told to HOOK_URL."
    assert notice["title"] == "default: the migration has been running for 0 s"
    assert notice["message"].splitlines() == [
        "plan: unknown",
        "statement: UPDATE patients SET name = '…' (done; it is between two statements)",
        f"keeps waiting: ward app (process {pid}, role {role}, active, in its transaction for 0 s)",
        f"run: {run.run_id}",
        "limit: it is cancelled after 0 s",
        "Next: look at its run; cancel it there if it must not go on. A cancelled migration is rolled back.",
    ]
    assert again.startswith("default: Its upgrade has been running for ")
    assert again.endswith(" s; that was told already.")
    assert watched.log(run)[-1] == f"{notice['title']}\n{notice['message']}"
    assert PATIENT not in str(watched.received) + str(watched.log(run))


def test_what_a_long_upgrade_waits_for_is_told_with_who_holds_it(watched):
    site = watched.site
    watched.begin()
    with session(site, "psql", "LOCK TABLE patients") as holder, waiting(site, UPGRADE, "ALTER TABLE patients ADD COLUMN x int"):
        time.sleep(0.1)
        watched.tick(sensors.long_migration_alert)
        holder.rollback()

    (notice,) = watched.received
    assert "\nwaits for: AccessExclusiveLock on patients, held by psql (process " in notice["message"]
    assert "statement: ALTER TABLE patients ADD COLUMN x int (for " in notice["message"]
    assert "\nkeeps waiting: nobody\n" in notice["message"]


@pytest.mark.control("B4")
def test_the_clock_is_the_upgrade_transaction_and_neither_the_queue_nor_a_question_nor_another_session_counts(watched):
    site = watched.site
    assert watched.tick(sensors.long_migration_alert) == "No migration is in its upgrade now."
    watched.begin("confirm")
    waits = watched.begin(status=Status.NOT_STARTED)
    over = watched.begin()
    watched.event(over, dg.DagsterEventType.STEP_SUCCESS, "upgrade", StepSuccessData(duration_ms=1.0))
    with session(site, UPGRADE, "LOCK TABLE patients"):
        time.sleep(0.15)
        for sensor in (sensors.long_migration_alert, sensors.migration_timeout):
            assert watched.tick(sensor) == "No migration is in its upgrade now."
    watched.begin()
    with session(site, "migration_pipeline rehearse default", "LOCK TABLE patients"):
        time.sleep(0.15)
        for sensor in (sensors.long_migration_alert, sensors.migration_timeout):
            assert watched.tick(sensor) == "default: Its upgrade has no transaction open now."
    assert watched.received == []
    assert watched.status(waits) == Status.NOT_STARTED


def test_an_upgrade_in_time_is_left_alone(watched):
    watched.site.configure(alert_after_minutes=5, cancel_after_minutes=30)
    run = watched.begin()
    with session(watched.site, UPGRADE, "LOCK TABLE patients"):
        told = [watched.tick(one) for one in (sensors.long_migration_alert, sensors.migration_timeout)]
        assert of_upgrade(watched.site) == 1

    assert told == [
        "default: Its upgrade has been running for 0 s; the limit is 5 min.",
        "default: Its upgrade has been running for 0 s; the limit is 30 min.",
    ]
    assert watched.status(run) == Status.STARTED


@pytest.mark.control("B4")
def test_an_upgrade_over_its_limit_is_cancelled_in_dagster_and_a_run_that_obeys_rolls_back_by_itself(watched):
    site, run = watched.site, watched.begin()

    def obey(upgrade):
        wait_until(lambda: watched.status(run) == Status.CANCELING, lambda: watched.status(run), 10)
        upgrade.rollback()
        upgrade.close()

    with session(site, UPGRADE, "ALTER TABLE patients ADD COLUMN x int") as upgrade:
        time.sleep(0.2)
        thread = threading.Thread(target=obey, args=(upgrade,))
        thread.start()
        said = watched.tick(sensors.migration_timeout)
        thread.join()

    (notice,) = watched.received
    assert said == "default: the migration was cancelled; told to HOOK_URL."
    assert notice["message"].splitlines() == [
        "The upgrade has been running for 0 s; the limit is 0 s, and it is cancelled.",
        "  statement: ALTER TABLE patients ADD COLUMN x int (done; it is between two statements)",
        "  keeps waiting: nobody",
        "  state: rolled back; the database is at 0001; its session is gone, and its locks with it",
        f"  run: {run.run_id}",
        "Next: just plan, which shows where the database is",
    ]
    assert not site.has_column("patients", "x")
    watched.instance.report_run_canceled(watched.instance.get_run_by_id(run.run_id))
    watched.cursors["migration_ended"] = '{"failed": 0, "cancelled": 0, "succeeded": 0}'
    assert watched.tick(sensors.migration_ended) == (
        f"default: Run {run.run_id[:8]} cancelled; that is told to nobody, or was told already."
    )
    assert len(watched.received) == 1


@pytest.mark.control("B4")
def test_a_migration_in_a_terminal_is_told_and_cancelled_and_its_end_says_so(watched):
    site = watched.site
    site.take_backup()
    file = projects.revision_file(site.project, "0002")
    sleeps = "SELECT CASE WHEN left(current_database(), 10) <> 'mp_scratch' THEN pg_sleep(60) END"
    file.write_text(file.read_text().replace("def upgrade():", f'def upgrade():\n    op.execute("{sleeps}")'))
    site.configure(alerts=["env:HOOK_URL"], alert_after_minutes=0.001, cancel_after_minutes=0.002)
    started = time.monotonic()
    run = Run(["migrate", "--reuse-recent-backup"], site.environ, site.folder, answer="CONFIRM\n")
    asleep = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{UPGRADE}' AND wait_event = 'PgSleep'"
    wait_until(lambda: site.query(asleep) == [(1,)], lambda: run.said, 60)
    time.sleep(0.2)
    watched.tick(sensors.long_migration_alert)
    watched.tick(sensors.migration_timeout)

    assert run.wait() == 130
    assert time.monotonic() - started < 60
    assert site.has_table("alerts")
    assert site.revision == ["0001"]
    (record,) = watched.instance.get_run_records(dg.RunsFilter(job_name="migrate"))
    assert record.dagster_run.status == Status.CANCELED
    alert, cancelled = watched.received
    assert alert["message"].startswith("plan: 0001")
    assert "\nstatement: SELECT CASE WHEN left(current_database(), …) <> '…' THEN pg_sleep(…) END (for " in alert["message"]
    assert cancelled["title"] == "default: the migration was cancelled"
    assert "\n  state: rolled back; the database is at 0001; its session is gone, and its locks with it\n" in cancelled["message"]
    assert watched.tick(sensors.foreign_revision) == "default: It is at 0001: nothing of it was known before."


@pytest.mark.control("B4")
def test_the_session_of_a_run_that_does_not_obey_is_ended_on_the_server_and_told_once(watched, monkeypatch):
    monkeypatch.setattr(watch, "GRACE", timedelta(seconds=0.5))
    site, run = watched.site, watched.begin()
    with session(site, UPGRADE, "ALTER TABLE patients ADD COLUMN x int") as upgrade:
        pid = upgrade.info.backend_pid
        time.sleep(0.2)
        watched.tick(sensors.migration_timeout)

    assert of_upgrade(site) == 0
    assert not site.has_column("patients", "x")
    assert watched.status(run) == Status.CANCELING
    (notice,) = watched.received
    assert (
        f"state: rolled back, after the server was told to end its session (process {pid}); the database is at 0001; "
        "its session is gone, and its locks with it\n"
    ) in notice["message"]
    with session(site, UPGRADE, "ALTER TABLE patients ADD COLUMN y int"):
        time.sleep(0.2)
        assert watched.tick(sensors.migration_timeout).startswith("default: It was cancelled before: rolled back, after ")
    assert of_upgrade(site) == 0
    assert len(watched.received) == 1
    assert watched.tick(sensors.migration_timeout) == "default: Its upgrade has no transaction open now."


@pytest.mark.control("B4")
def test_what_runs_in_no_transaction_is_not_told_to_be_rolled_back(watched, monkeypatch):
    monkeypatch.setattr(watch, "GRACE", timedelta(seconds=0.2))
    site = watched.site
    watched.begin()

    def build():
        with (
            contextlib.suppress(psycopg.Error),
            psycopg.connect(site.url, application_name=UPGRADE, autocommit=True) as opened,
        ):
            opened.execute("CREATE INDEX CONCURRENTLY ON patients (name)")

    with session(site, "ward app", "UPDATE patients SET name = name"):
        thread = threading.Thread(target=build)
        thread.start()
        wait_until(lambda: of_upgrade(site) == 1, lambda: "it has not begun", 10)
        time.sleep(0.2)
        watched.tick(sensors.migration_timeout)
        thread.join()

    (notice,) = watched.received
    assert (
        "state: CREATE INDEX CONCURRENTLY was cut off, which PostgreSQL does not roll back: just plan says what it left, after "
        "the server was told to end its session"
    ) in notice["message"]


def test_a_channel_that_fails_is_reported_and_the_others_are_told(watched, monkeypatch):
    site = watched.site
    monkeypatch.setenv("PAGER_URL", f"json://127.0.0.1:{free_port()}/{SECRET}")
    site.configure(alerts=["env:PAGER_URL", "env:HOOK_URL"], alert_after_minutes=0.001)
    watched.begin()
    with session(site, UPGRADE, "LOCK TABLE patients"):
        time.sleep(0.1)
        said = watched.tick(sensors.long_migration_alert)
        again = watched.tick(sensors.long_migration_alert)

    assert said.endswith("; told to HOOK_URL; not delivered: PAGER_URL: it cannot be reached.")
    assert again.endswith("that was told already.")
    assert len(watched.received) == 1
    assert SECRET not in said


def test_what_nobody_was_told_is_told_by_the_next_tick(watched, monkeypatch):
    site = watched.site
    hook = site.more["HOOK_URL"]
    monkeypatch.setenv("HOOK_URL", f"json://127.0.0.1:{free_port()}/{SECRET}")
    watched.begin()
    with session(site, UPGRADE, "LOCK TABLE patients"):
        time.sleep(0.1)
        failed = watched.tick(sensors.long_migration_alert)
        monkeypatch.setenv("HOOK_URL", hook)
        told = watched.tick(sensors.long_migration_alert)

    assert failed.endswith("; nobody was told; not delivered: HOOK_URL: it cannot be reached.")
    assert told.endswith("; told to HOOK_URL.")
    assert len(watched.received) == 1


def test_a_revision_that_somebody_applied_by_hand_is_told_once_and_what_we_applied_is_not(watched):
    site = watched.site
    first = watched.tick(sensors.foreign_revision)
    start(site, "0002")
    said = watched.tick(sensors.foreign_revision)
    again = watched.tick(sensors.foreign_revision)

    assert first == "default: It is at 0001: nothing of it was known before."
    (notice,) = watched.received
    assert said == f"{notice['title']}; told to HOOK_URL."
    assert notice["title"] == "default: The database is at revision 0002, and no run of this pipeline brought it there."
    assert notice["message"].splitlines() == [
        "  before: revision 0001",
        "Next: find out who migrated it, take a backup (just backup-db), then: just plan",
    ]
    assert again == "default: It is at 0002, as before."


def test_a_revision_that_changes_while_a_run_of_ours_is_under_way_is_judged_when_that_has_ended(watched):
    watched.tick(sensors.foreign_revision)
    run = watched.begin()
    start(watched.site, "0002")

    meanwhile = watched.tick(sensors.foreign_revision)
    watched.instance.report_run_failed(run)
    watched.tick(sensors.foreign_revision)

    assert meanwhile == "default: A run of ours is under way; its revision is looked at when that has ended."
    assert len(watched.received) == 1


def test_a_migration_of_ours_is_no_foreign_revision_and_its_success_is_told_in_production(watched):
    site = watched.site
    site.query("INSERT INTO alerts (message) VALUES ('m'), ('n')")
    site.configure(alerts=["env:HOOK_URL"], environment="production", scratch="same-server", keep_newest=1)
    for sensor in (sensors.foreign_revision, sensors.migration_ended, sensors.old_backup):
        watched.tick(sensor)
    assert [one["title"] for one in watched.received] == ["default: There is no verified backup of this database."]
    site.take_backup()
    plan = json.loads(site.run("plan", "--json").stdout)

    done = dg.execute_job(
        dg.reconstructable(jobs.migrate),
        instance=watched.instance,
        run_config={"confirmation": f"CONFIRM {plan['fingerprint'][:8]}", "reuse_recent_backup": True},
        raise_on_error=False,
    )

    assert done.success
    assert watched.tick(sensors.foreign_revision) == "default: It is at 0002: a migration of ours left it there."
    assert watched.tick(sensors.migration_ended) == "default: the database was migrated; told to HOOK_URL."
    assert watched.tick(sensors.migration_ended) == "No migration and no restore has ended since the last tick."
    notice = watched.received[-1]
    lines = notice["message"].splitlines()
    assert notice["title"] == "default: the database was migrated"
    assert lines[0].startswith("plan: 0001")
    assert "lost: 2 rows of alerts are lost" in lines
    assert lines[-1].startswith("backup: backup_")
    assert watched.tick(sensors.old_backup).startswith("default: backup_")
    assert len(watched.received) == 2


def test_an_old_backup_is_told_once_and_no_more_when_there_is_a_newer_one(watched):
    site = watched.site
    site.configure(alerts=["env:HOOK_URL"], max_backup_age_hours=0.001)
    site.take_backup()
    time.sleep(3.7)

    said = [watched.tick(sensors.old_backup), watched.tick(sensors.old_backup)]
    site.configure(alerts=["env:HOOK_URL"])
    young = watched.tick(sensors.old_backup)

    (notice,) = watched.received
    assert said[0] == f"{notice['title']}; told to HOOK_URL."
    assert notice["title"].startswith("default: The newest verified backup is ")
    assert notice["message"].splitlines()[-1] == "Next: just backup-db"
    assert said[1].endswith(" That was told already.")
    assert young.startswith("default: backup_")
    assert young.endswith(" is verified, and young enough.")


def test_an_old_backup_is_not_told_while_the_next_one_is_under_way(watched, monkeypatch):
    site = watched.site
    site.configure(alerts=["env:HOOK_URL"], max_backup_age_hours=0.001)
    site.take_backup()
    time.sleep(3.7)
    for status in (Status.STARTING, Status.STARTED):
        run = watched.instance.create_run_for_job(jobs.backup_database, status=status, tags={TARGET_TAG: "default"})
        assert watched.tick(sensors.old_backup).endswith(" The next one is under way.")
        watched.instance.delete_run(run.run_id)
    watched.instance.create_run_for_job(jobs.backup_database, status=Status.STARTED, tags={TARGET_TAG: "default"})
    assert watched.received == []

    monkeypatch.setattr(sensors, "BACKUP_PATIENCE", timedelta(0))
    assert watched.tick(sensors.old_backup).endswith("; told to HOOK_URL.")


@pytest.mark.control("B5")
def test_a_migration_that_fails_in_a_terminal_is_told_in_its_own_words(watched):
    watched.tick(sensors.migration_ended)
    refused = watched.site.run("migrate")
    assert refused.returncode == 3

    said = watched.tick(sensors.migration_ended)

    (notice,) = watched.received
    assert said == "default: the migration failed; told to HOOK_URL."
    lines = notice["message"].splitlines()
    assert lines[0] == "No recent backup found. Create backup before running migration: just backup-db"
    assert "  state: nothing was begun; the database was only read" in lines
    (run,) = watched.instance.get_runs()
    assert f"  run: {run.run_id}" in lines


def test_a_run_that_ended_without_a_word_is_told_with_the_state_as_looked_at_now(watched):
    watched.tick(sensors.migration_ended)
    dead, cancelled = watched.begin(), watched.begin("backup")
    watched.instance.report_run_failed(dead)
    watched.instance.report_run_canceled(cancelled)

    watched.tick(sensors.migration_ended)

    state = "  state: the database is at 0001; no upgrade has a session on the server"
    next_step = "Next: just plan, which shows where the database is"
    assert [(one["title"], one["message"].splitlines()) for one in watched.received] == [
        (
            "default: the migration failed",
            ["The migration ended, and no step of it said why.", state, f"  run: {dead.run_id}", next_step],
        ),
        (
            "default: the migration was cancelled",
            ["The migration was cancelled.", state, f"  run: {cancelled.run_id}", next_step],
        ),
    ]
    last_words = [watched.log(run)[-1].splitlines() for run in (dead, cancelled)]
    assert last_words == [
        ["The migration ended, and no step of it said why.", state, next_step],
        ["The migration was cancelled.", state, next_step],
    ]


def test_a_target_that_cannot_be_looked_at_is_a_sentence_and_a_settings_file_that_cannot_be_read_too(watched, monkeypatch):
    run = watched.begin()
    monkeypatch.setenv("DATABASE_URL", f"postgresql://app:{SECRET}@127.0.0.1:{free_port()}/clinic")
    everything = [watched.tick(one) for one in (sensors.long_migration_alert, sensors.migration_timeout, sensors.old_backup)]
    watched.instance.report_run_failed(run)
    everything.append(watched.tick(sensors.foreign_revision))
    assert everything == ["default: The PostgreSQL server cannot be reached."] * 4
    (watched.site.folder / "pipeline.toml").write_text("[targets")
    for sensor in (sensors.foreign_revision, sensors.old_backup):
        assert watched.tick(sensor) == "The settings cannot be read: 1 setting is wrong; nothing was started."
    assert watched.received == []


@pytest.mark.long
def test_ten_thousand_runs_that_have_ended_do_not_slow_a_tick_down(watched, capsys):
    def seconds():
        watched.begin()
        with session(watched.site, UPGRADE, "LOCK TABLE patients"):
            took = {}
            for sensor in sensors.ALL:
                started = time.monotonic()
                watched.tick(sensor)
                took[sensor.name] = time.monotonic() - started
        return took

    watched.site.configure()
    seconds()  # what is loaded at first
    before = seconds()
    (one,) = watched.instance.get_runs(limit=1)
    with watched.instance.run_storage.connect() as connection:
        connection.exec_driver_sql(
            """
            WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10000)
            INSERT INTO runs (run_id, snapshot_id, pipeline_name, status, run_body, create_timestamp, update_timestamp)
            SELECT 'ended-' || n, snapshot_id, pipeline_name, CASE n % 3 WHEN 0 THEN 'FAILURE' ELSE 'SUCCESS' END, run_body,
                   create_timestamp, update_timestamp FROM runs, numbers WHERE run_id = ?""",
            (one.run_id,),
        )
    watched.event(one, dg.DagsterEventType.RUN_SUCCESS)
    with watched.instance.event_log_storage.index_connection() as connection:
        connection.exec_driver_sql(
            """
            WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10000)
            INSERT INTO event_logs (run_id, event, dagster_event_type, timestamp)
            SELECT 'ended-' || n, event, dagster_event_type, timestamp FROM event_logs, numbers
            WHERE dagster_event_type = 'PIPELINE_SUCCESS'"""
        )
    watched.cursors["migration_ended"] = None
    watched.tick(sensors.migration_ended)

    after = seconds()

    assert watched.instance.get_runs_count() > 10_000
    with capsys.disabled():
        for name in after:
            print(f"\n{name}: {before[name]:.3f} s, and {after[name]:.3f} s beside 10,000 runs that have ended", end="")
    for name in after:
        assert after[name] < before[name] + 0.5
