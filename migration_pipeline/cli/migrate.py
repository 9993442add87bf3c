"""`migration-pipeline migrate`: the main job, with its one question."""

import click

from migration_pipeline.cli import job
from migration_pipeline.cli.options import json_option, load, target_option


@click.command()
@click.argument("revision", default="head")
@target_option
@click.option(
    "--reuse-recent-backup", is_flag=True, help="Use the verified backup that preflight finds, if nothing has changed since."
)
@json_option
def migrate(revision: str, target: str | None, reuse_recent_backup: bool, as_json: bool) -> int:
    """Migrate the database up to REVISION (default: head)."""
    config: dict[str, object] = {"revision": revision, "reuse_recent_backup": reuse_recent_backup}
    return job.run("migrate", load(target), config, as_json=as_json)
