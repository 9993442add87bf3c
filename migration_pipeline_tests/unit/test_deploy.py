"""The files of deploy/: what Dagster and Compose would say of them."""

import re
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._config import validate_config
from dagster._core.instance.config import dagster_instance_config_schema

from migration_pipeline.cli.job import DAGSTER_YAML
from migration_pipeline.defs import run_queue
from migration_pipeline.defs.ops import TARGET_TAG

DEPLOY = Path(__file__).parents[2] / "deploy"
VARIANTS = sorted(DEPLOY.glob("dagster-*.yaml"))
OWN = {"storage", "run_launcher"}  #: what a variant has for itself


def read(path):
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("path", VARIANTS, ids=lambda path: path.stem)
def test_dagster_takes_each_variant(path):
    assert validate_config(dg.Shape(dagster_instance_config_schema()), read(path)).errors in (None, [])


def test_the_variants_differ_in_storage_and_launcher_alone_and_queue_one_run_a_target():
    assert [path.stem for path in VARIANTS] == ["dagster-celery", "dagster-one-machine", "dagster-team"]
    same = [{key: value for key, value in read(path).items() if key not in OWN} for path in VARIANTS]
    waiting = [one["run_monitoring"].pop("start_timeout_seconds") for one in same]
    at_once = [one["concurrency"]["runs"].pop("max_concurrent_runs") for one in same]
    assert same[0] == same[1] == same[2]
    assert waiting == [3600, 180, 180]
    assert at_once == [4, 16, 16]
    assert same[0]["concurrency"]["runs"]["tag_concurrency_limits"] == [
        {"key": TARGET_TAG, "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    ]
    assert same[0]["run_coordinator"] == yaml.safe_load(DAGSTER_YAML)["run_coordinator"]
    assert getattr(run_queue, same[0]["run_coordinator"]["class"]).__module__ == same[0]["run_coordinator"]["module"]
    assert same[0]["run_monitoring"]["max_resume_run_attempts"] == 0
    assert read(DEPLOY / "dagster-team.yaml")["storage"]["postgres"]["postgres_db"]["scheme"] == "postgresql+psycopg2"
    assert read(DEPLOY / "dagster-team.yaml")["storage"] == read(DEPLOY / "dagster-celery.yaml")["storage"]


def test_the_image_has_the_clients_of_every_supported_major_and_runs_as_nobody_special():
    text = (DEPLOY / "Dockerfile").read_text()
    assert re.findall(r"postgresql-client-(\d+)", text) == ["14", "15", "16", "17", "18"]
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["pipeline"]


def test_what_compose_mounts_and_copies_is_there_and_no_secret_is_in_it():
    for name in ("compose.yaml", "compose.celery.yaml"):
        services = read(DEPLOY / name)["services"]
        mounted = [one.split(":")[0] for service in services.values() for one in service.get("volumes", [])]
        assert all((DEPLOY / one).is_file() for one in mounted if one.startswith("./"))
        words = [
            value for service in services.values() for key, value in service.get("environment", {}).items() if "PASSWORD" in key
        ]
        assert all(value.startswith("${") for value in words)
