"""What Dagster lists of us: everything says what it does, and the queue knows which jobs work on a Target."""

import dagster as dg
import pytest

from migration_pipeline.definitions import defs
from migration_pipeline.defs import assets, checks, ops, run_queue


@pytest.fixture
def found(monkeypatch, tmp_path):
    monkeypatch.delenv("PIPELINE_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.toml").write_text("[targets.one]\n[targets.live-2]\n")
    return defs()


def all_jobs(found):
    return [job for job in found.resolve_all_job_defs() if not job.name.startswith("__")]


def test_every_op_job_sensor_schedule_asset_and_check_says_what_it_does(found):
    nodes = {node.name: node.description for job in all_jobs(found) for node in job.all_node_defs}
    listed = {one.name: one.description for one in (*all_jobs(found), *found.sensors, *found.schedules)}
    specs = {spec.key.to_user_string(): spec.description for spec in found.resolve_all_asset_specs()}
    proofs = {spec.key.to_user_string(): spec.description for one in found.asset_checks for spec in one.check_specs}
    assert sorted(proofs) == [
        "live-2/backup:backup_restorable",
        "live-2/schema:schema_matches_rehearsal",
        "one/backup:backup_restorable",
        "one/schema:schema_matches_rehearsal",
    ]
    assert len(nodes) > 15
    assert len(specs) == 4
    everything = {**nodes, **listed, **specs, **proofs}
    assert [name for name, description in everything.items() if not description] == []


def test_all_but_the_nightly_backup_is_switched_on_by_itself(found):
    on = {one.name for one in found.schedules if one.default_status is dg.DefaultScheduleStatus.RUNNING}
    assert on == {"prune_backups_daily", "verify_newest_backup_daily"}
    assert {one.name for one in found.schedules} - on == {"back_up_nightly"}
    assert {one.default_status for one in found.sensors} == {dg.DefaultSensorStatus.RUNNING}


def test_the_queue_tags_the_runs_of_every_job_that_works_on_a_target(found):
    of_none = {job.name for job in all_jobs(found) if "workplace" not in job.resource_defs}
    assert of_none == run_queue.OF_NO_TARGET
    assert run_queue.TARGET_TAG == ops.TARGET_TAG


def test_a_check_that_somebody_executes_by_hand_claims_nothing(found):
    only = dg.Definitions(assets=assets.of_target("one"), asset_checks=[checks.of_target("one")], executor=dg.in_process_executor)
    with dg.DagsterInstance.ephemeral() as instance:
        run = only.resolve_implicit_global_asset_job_def().execute_in_process(instance=instance)
        messages = [entry.user_message for entry in instance.all_logs(run.run_id)]
    assert run.get_asset_check_evaluations() == []
    assert f"Nothing was looked at: {checks.PROVING} evaluate these checks." in messages
