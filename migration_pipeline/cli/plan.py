"""`migration-pipeline plan`: what is pending and what it declares. Changes nothing; without a rehearsal it needs no backup."""

import click

from migration_pipeline import steps
from migration_pipeline.cli import drawing, job
from migration_pipeline.cli.options import json_option, load, target_option
from migration_pipeline.cli.terminal import Terminal
from migration_pipeline.workplace import Workplace


@click.command()
@click.argument("revision", default="head")
@target_option
@click.option(
    "--rehearse",
    is_flag=True,
    help="Run them on a restored backup too: what they lose, lock and take is measured, and kept as a report beside the backup.",
)
@click.option(
    "--without-concurrently",
    is_flag=True,
    help="With --rehearse: leave CONCURRENTLY out of what the revisions send, so that one transaction holds it.",
)
@json_option
def plan(revision: str, target: str | None, rehearse: bool, without_concurrently: bool, as_json: bool) -> int:
    """Show the pending revisions up to REVISION (default: head), what they declare and what their SQL predicts.

    With --rehearse the exit code is 3 where `migrate` would refuse them.
    """
    if rehearse:
        config: dict[str, object] = {"revision": revision, "without_concurrently": without_concurrently}
        return job.run("rehearse_migration", load(target), config, as_json=as_json)
    if without_concurrently:
        raise click.UsageError("--without-concurrently changes what a rehearsal sends: add --rehearse.")
    place = Workplace(target=load(target), run_id="plan")
    terminal = Terminal(as_json=as_json)
    terminal.headline(place.target)
    preview = steps.preview(place, revision)
    terminal.tell(drawing.preview(preview), drawing.preview_result(preview))
    return 0
