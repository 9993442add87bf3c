"""Dagster's queue as the UI, the schedules and `dagster job launch` fill it: each run has the tag of its Target."""

import subprocess

import dagster as dg
import pytest

from migration_pipeline.cli.job import DAGSTER_YAML
from migration_pipeline_tests.pipeline.conftest import BIN


@pytest.mark.long
def test_a_run_enters_the_queue_with_the_target_of_its_config_whatever_was_typed(tmp_path, monkeypatch):
    monkeypatch.delenv("PIPELINE_CONFIG", raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dagster.yaml").write_text(DAGSTER_YAML)
    (tmp_path / "pipeline.toml").write_text("[targets.clinic]\n")
    (tmp_path / "named.yaml").write_text("target: clinic\n")
    answer = 'run_id: "1"\nfingerprint: "2"\n'
    (tmp_path / "answer.yaml").write_text(answer)

    named = launched("migrate", "-c", "named.yaml", "--tags", '{"migration/target": "other"}')
    only = launched("prune_backups")
    none = launched("confirm_migration", "-c", "answer.yaml")

    assert [run.status for run in (named, only, none)] == [dg.DagsterRunStatus.QUEUED] * 3
    assert [run.tags.get("migration/target") for run in (named, only, none)] == ["clinic", "clinic", None]


def launched(job, *options):
    """Launch a job as the UI does, into the queue; there is no daemon that takes it out."""
    command = [BIN / "dagster", "job", "launch", "-m", "migration_pipeline.definitions", "-j", job, *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with dg.DagsterInstance.get() as instance:
        return instance.get_runs(limit=1)[0]
