"""`migration-pipeline plan`: what is pending and what it declares. Changes nothing, needs no backup."""

import click

from migration_pipeline import steps
from migration_pipeline.cli import drawing
from migration_pipeline.cli.options import json_option, load, target_option
from migration_pipeline.cli.terminal import Terminal
from migration_pipeline.workplace import Workplace


@click.command()
@click.argument("revision", default="head")
@target_option
@json_option
def plan(revision: str, target: str | None, as_json: bool) -> int:
    """Show the pending revisions up to REVISION (default: head), what they declare and what their SQL predicts."""
    place = Workplace(target=load(target), run_id="plan")
    terminal = Terminal(as_json=as_json)
    terminal.headline(place.target)
    preview = steps.preview(place, revision)
    terminal.tell(drawing.preview(preview), drawing.preview_result(preview))
    return 0
