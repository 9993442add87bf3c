"""Dagster's own door: the same jobs through `dagster job execute` and Dagster's API, with the answer in the run's config."""

import json
import subprocess

import dagster as dg
import pytest
import yaml

from migration_pipeline.adapters import locks
from migration_pipeline.definitions import defs
from migration_pipeline.defs import assets, checks, jobs
from migration_pipeline.domain.connection import Connection
from migration_pipeline_tests import projects
from migration_pipeline_tests.pipeline.conftest import BIN

STEPS = ["preflight", "backup", "verify_backup", "rehearse", "classify_safety", "confirm", "upgrade", "post_check"]


class House:
    """A site's Dagster instance, in this process."""

    def __init__(self, site, instance):
        self.site = site
        self.instance = instance

    def run(self, job, options=None, **config):
        return dg.execute_job(dg.reconstructable(job), instance=self.instance, run_config=config, reexecution_options=options)

    def again(self, run, **config):
        """Re-execute from failure, as the UI's button does, with another config."""
        return self.run(jobs.migrate, dg.ReexecutionOptions.from_failure(run.run_id, self.instance), **config)

    def fingerprint(self):
        done = self.site.just("plan", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["fingerprint"]

    def log(self, run):
        return [entry.user_message for entry in self.instance.all_logs(run.run_id)]


@pytest.fixture
def house(make_site18, monkeypatch):
    """A destructive plan, a recent backup, and this process in the site's place."""
    site = make_site18("drops_table", at="0001")
    site.query("INSERT INTO alerts (message) SELECT 'm' FROM generate_series(1, 7)")
    site.enter(monkeypatch)
    with dg.DagsterInstance.get() as instance:
        house = House(site, instance)
        assert house.run(jobs.backup_database).success
        yield house


def failure(run, step):
    (event,) = [event for event in run.all_events if event.is_step_failure and event.step_key == step]
    return event.step_failure_data


def started(run):
    return [event.step_key for event in run.all_events if event.event_type_value == "STEP_START"]


def confirmation(house):
    return f"CONFIRM {house.fingerprint()[:8]}"


def test_dagster_job_execute_runs_a_destructive_plan_that_its_config_confirms(house):
    site = house.site
    config = {"target": "default", "revision": "head", "confirmation": confirmation(house), "reuse_recent_backup": True}
    (site.folder / "run.yaml").write_text(yaml.safe_dump(config))

    done = subprocess.run(
        [BIN / "dagster", "job", "execute", "-m", "migration_pipeline.definitions", "-j", "migrate", "-c", "run.yaml"],
        cwd=site.folder, env={**site.environ, "PYTHONWARNINGS": "default"}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "RUN_SUCCESS" in done.stderr
    assert site.revision == ["0002"]
    assert not site.has_table("alerts")
    warned = [line for line in done.stderr.splitlines() if "Warning:" in line]
    assert [line for line in warned if "SupersessionWarning: Function `job_execute_command`" not in line] == []


def test_a_bare_confirm_in_the_config_is_refused_with_the_words_to_type_and_those_words_go_on_from_there(house):
    site, right = house.site, confirmation(house)

    refused = house.run(jobs.migrate, confirmation="CONFIRM")

    assert not refused.success
    found = failure(refused, "confirm")
    assert f"expected: {right}" in found.error.message
    assert f'launch it again with confirmation: "{right}"' in found.error.message
    assert found.error.stack == []
    assert found.error.cls_name == "Declined"
    assert right in found.user_failure_data.metadata["next"].value
    assert found.user_failure_data.metadata["evidence"].records[0].data == {"what": "expected", "found": right}
    assert site.has_table("alerts")
    assert site.scratch_databases == []

    done = house.again(refused, confirmation=right)

    assert done.success
    assert started(done) == ["confirm", "upgrade", "post_check"]
    assert site.revision == ["0002"]
    assert not site.has_table("alerts")


def test_what_goes_on_from_a_failure_takes_the_lock_and_looks_at_everything_again(house, monkeypatch):
    site = house.site
    refused = house.run(jobs.migrate)
    right = failure(refused, "confirm").user_failure_data.metadata["evidence"].records[0].data["found"]
    connection = Connection.from_url(site.url)
    lock = locks.AdvisoryLock(connection.replace(database="postgres"), f"database {connection.database}", "another run")
    assert lock.try_acquire()
    acquire = locks.acquire
    monkeypatch.setattr(locks, "acquire", lambda lock, wait: acquire(lock, wait=wait / 20))

    locked = house.again(refused, confirmation=right)

    assert failure(locked, "upgrade").error.cls_name == "Locked"
    assert "another run" in failure(locked, "upgrade").error.message
    lock.release()
    site.query("ALTER TABLE patients ADD COLUMN by_hand text")

    stale = house.again(locked)

    assert started(stale) == ["upgrade"]
    assert "The live schema has changed since the backup; nothing was changed." in failure(stale, "upgrade").error.message
    assert site.has_table("alerts")
    site.query("ALTER TABLE patients DROP COLUMN by_hand")
    file = projects.revision_file(site.project, "0002")
    file.write_text(file.read_text() + "\n# edited\n")

    edited = house.again(stale)

    assert not edited.success
    assert site.has_table("alerts")
    assert site.revision == ["0001"]


def test_a_rehearsal_that_is_tried_again_restores_its_copy_again(house):
    site = house.site
    marker = site.folder / "marker"
    file = projects.revision_file(site.project, "0002")
    failing = f"if __import__('os').path.exists({str(marker)!r}): raise RuntimeError('not now')"
    file.write_text(file.read_text().replace("def upgrade():", f"def upgrade():\n    {failing}"))
    marker.touch()

    failed = house.run(jobs.migrate)

    assert failure(failed, "rehearse").error.message.startswith("The rehearsal failed.")
    assert site.scratch_databases == []
    marker.unlink()

    asked = house.again(failed)

    assert started(asked) == ["rehearse", "classify_safety", "confirm"]
    assert "expected: CONFIRM " in failure(asked, "confirm").error.message
    assert site.scratch_databases == []


def test_a_confirmation_of_another_plan_is_refused_and_what_was_found_is_kept_as_json_for_its_owner_alone(house):
    run = house.run(jobs.migrate, confirmation="CONFIRM 12345678")

    assert "The confirmation was given for another plan; nothing was changed." in failure(run, "confirm").error.message
    assert house.site.has_table("alerts")
    folder = house.site.folder / "dagster" / "storage" / run.run_id
    files = {path.parent.name: path for path in folder.glob("*/result*")}
    assert set(files) == set(STEPS[:5])
    for path in files.values():
        assert path.name == "result.json"
        assert isinstance(json.loads(path.read_bytes()), dict)
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700


def test_with_nothing_pending_the_run_succeeds_and_the_log_says_why_it_did_nothing(house):
    done = house.run(jobs.migrate, revision="0001")

    assert done.success
    assert started(done) == ["preflight"]
    assert {event.step_key for event in done.all_events if event.event_type_value == "STEP_SKIPPED"} == set(STEPS[1:])
    assert "Nothing is pending: the database is at 0001. The other steps are skipped." in house.log(done)


def test_numbers_are_plotted_the_ledger_is_on_the_run_and_the_checks_say_what_was_proved(house):
    done = house.run(jobs.migrate, confirmation=confirmation(house), reuse_recent_backup=True)

    assert done.success
    (backup,) = history(house, assets.backup_key("default"))
    assert {name: type(backup[name]) for name in ("bytes", "rows", "dump seconds", "restore seconds")} == {
        "bytes": int, "rows": int, "dump seconds": float, "restore seconds": float,
    }  # fmt: skip
    (schema,) = history(house, assets.schema_key("default"))
    assert schema["rows lost"] == 7
    assert schema["values lost"] == 0
    assert schema["lost"] == "- 7 rows of alerts are lost"
    assert 0 < schema["upgrade seconds"] < 60
    assert 0 < schema["rehearsal seconds"] < 60
    (restored,) = evaluations(house, assets.backup_key("default"), checks.RESTORABLE)[:1]
    assert (restored.passed, restored.metadata["backup"].value) == (True, schema["backup"])
    assert {type(restored.metadata[name].value) for name in ("bytes", "rows")} == {int}
    assert restored.metadata["restore seconds"].value > 0
    (matches,) = evaluations(house, assets.schema_key("default"), checks.MATCHES)
    assert (matches.passed, matches.metadata["heads"].value) == (True, "0002")
    outputs = {event.step_key: event.step_output_data.metadata for event in done.all_events if event.is_successful_output}
    assert outputs["classify_safety"]["ledger"].value == "**0002**\n- 7 rows of alerts are lost"
    assert outputs["preflight"]["plan"].records[0].data["revision"] == "0002"
    assert outputs["preflight"]["fingerprint"].value == schema["plan"]
    assert outputs["post_check"]["heads"].value == "0002"
    assert house.instance.get_run_by_id(done.run_id).tags["migration/target"] == "default"

    house.site.query("ALTER TABLE patients ADD COLUMN by_hand text")

    again = house.run(jobs.migrate, dg.ReexecutionOptions(done.run_id, step_selection=["post_check"]))

    assert not again.success
    told, _ = evaluations(house, assets.schema_key("default"), checks.MATCHES)
    first_line = failure(again, "post_check").error.message.splitlines()[0]
    assert (told.passed, told.severity, told.description) == (False, dg.AssetCheckSeverity.ERROR, first_line)
    evidence = [record.data for record in told.metadata["evidence"].records]
    assert {"what": "state", "found": "the upgrade is committed; the database is at 0002"} in evidence


def evaluations(house, key, name):
    """Return how a check ended, the newest first."""
    found = house.instance.event_log_storage.get_asset_check_execution_history(dg.AssetCheckKey(key, name), limit=10)
    return [record.evaluation for record in found]


def history(house, key):
    records = house.instance.fetch_materializations(key, limit=10).records
    return [{name: one.value for name, one in record.asset_materialization.metadata.items()} for record in records]


def test_wrong_settings_fail_the_first_step_in_their_own_words(nowhere, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "mysql://app:hunter2@db/clinic")
    monkeypatch.setenv("MIGRATION_ENVIRONMENT", "prod")
    monkeypatch.setenv("SCRATCH_DATABASE_URL", "same-server")
    (nowhere / "alembic.ini").touch()
    (nowhere / "dagster.yaml").write_text("telemetry: {enabled: false}")
    monkeypatch.setenv("DAGSTER_HOME", str(nowhere))

    with dg.DagsterInstance.get() as instance:
        failed = dg.execute_job(dg.reconstructable(jobs.migrate), instance=instance)

    error = failure(failed, "preflight").error
    assert error.message.startswith('2 settings of Target "default" are wrong; nothing was started.\n')
    assert "\n  DATABASE_URL: " in error.message
    assert "\n  MIGRATION_ENVIRONMENT: " in error.message
    assert (error.cls_name, error.stack, error.cause) == ("SettingsError", [], None)
    assert "hunter2" not in str(failed.all_events)


def test_a_run_that_would_be_kept_nowhere_is_not_started(nowhere, monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)

    with dg.DagsterInstance.local_temp(str(nowhere)) as instance:
        failed = dg.execute_job(dg.reconstructable(jobs.migrate), instance=instance)

    message = failure(failed, "preflight").error.message
    assert message.startswith(
        "DAGSTER_HOME is not set: this run would be kept nowhere; nothing was started.\nNext: export DAGSTER_HOME="
    )


def specs():
    return {spec.key.to_user_string(): spec for spec in defs().resolve_all_asset_specs()}


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    for name in ("DATABASE_URL", "PIPELINE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_target_of_the_settings_has_its_assets(nowhere):
    (nowhere / "pipeline.toml").write_text("[targets.staging]\n[targets.live-2]\n")

    found = specs()

    assert sorted(found) == ["live-2/backup", "live-2/schema", "staging/backup", "staging/schema"]
    assert found["live-2/schema"].group_name == "live_2"
    assert found["live-2/schema"].kinds == {"postgres", "alembic"}
    assert all(spec.description for spec in found.values())


@pytest.mark.parametrize("text", [None, "not [toml", "[targets.'no name']\n"])
def test_settings_that_cannot_be_read_leave_the_jobs_in_place(nowhere, text):
    if text:
        (nowhere / "pipeline.toml").write_text(text)

    assert specs() == {}
    assert {job.name for job in defs().resolve_all_job_defs() if not job.name.startswith("__")} == {
        "migrate",
        "confirm_migration",
        "rehearse_migration",
        "backup_database",
        "restore_database",
        "verify_newest_backup",
        "prune_backups",
        "drop_replaced",
        "check_downgrades",
        "start_fleet",
        "stop_fleet",
        "show_fleet",
    }
