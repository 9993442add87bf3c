"""Does once, for all the processes that are forked from here, what every run does at its start: above all it imports Dagster."""

import gc
import tempfile
from pathlib import Path

import dagster as dg

import migration_pipeline.cli
import migration_pipeline.definitions
from migration_pipeline.adapters import report_html
from migration_pipeline.defs import values
from migration_pipeline.domain.backups import Backup, VerifiedBackup
from migration_pipeline.domain.confirmation import Confirmation
from migration_pipeline.domain.effects import Rehearsal
from migration_pipeline.domain.results import Preflight, UpgradeResult
from migration_pipeline.domain.safety import SafetyReport

report_html.template()
for kind in (Preflight, Backup, VerifiedBackup, Rehearsal, SafetyReport, Confirmation, UpgradeResult):
    values.adapter(kind)
with tempfile.TemporaryDirectory() as folder:  # an instance imports as much again, at its first question
    Path(folder, "dagster.yaml").write_text(migration_pipeline.cli.job.DAGSTER_YAML)
    with dg.DagsterInstance.from_config(folder) as instance:
        instance.get_run_records(limit=1)
gc.collect()
gc.freeze()  # what is forked from here shares its memory
