"""Imports once, for all the processes that are forked from here, what every run of Dagster imports."""

import tempfile
from pathlib import Path

import dagster as dg

import migration_pipeline.cli
import migration_pipeline.definitions

with tempfile.TemporaryDirectory() as folder:  # an instance imports as much again, at its first question
    Path(folder, "dagster.yaml").write_text(migration_pipeline.cli.job.DAGSTER_YAML)
    with dg.DagsterInstance.from_config(folder) as instance:
        instance.get_run_records(limit=1)
