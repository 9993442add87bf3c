"""`migration-pipeline backup-db`: a verified backup now."""

import click

from migration_pipeline.cli import job
from migration_pipeline.cli.options import json_option, load, target_option


@click.command("backup-db")
@target_option
@json_option
def backup_db(target: str | None, as_json: bool) -> int:
    """Take a backup of the database and verify it by restoring it."""
    return job.run("backup_database", load(target), {}, as_json=as_json)
