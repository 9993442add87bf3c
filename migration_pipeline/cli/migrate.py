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
@click.option(
    "--accept-locks", is_flag=True, help="Let tables be locked for longer than the Target allows; kept in the migration's record."
)
@click.option(
    "--accept-non-transactional",
    is_flag=True,
    help="Run what no transaction holds by itself: it cannot be rolled back, the backup is the way back; kept in the record.",
)
@click.option(
    "--accept-protection-loss",
    is_flag=True,
    help="Let the plan take away what protects the data of a production Target; kept in the migration's record.",
)
@click.option(
    "--without-concurrently",
    is_flag=True,
    help="Leave CONCURRENTLY out of what the revisions send, so that one transaction holds it; its locks are measured.",
)
@json_option
def migrate(revision: str, target: str | None, as_json: bool, **options: bool) -> int:
    """Migrate the database up to REVISION (default: head)."""
    config: dict[str, object] = {"revision": revision, **options}
    return job.run("migrate", load(target), config, as_json=as_json)
