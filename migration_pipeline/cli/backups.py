"""`migration-pipeline backups`: this Target's backups."""

import click

from migration_pipeline.cli import drawing
from migration_pipeline.cli.options import json_option, load, target_option
from migration_pipeline.cli.terminal import Terminal
from migration_pipeline.workplace import Workplace


@click.command()
@target_option
@json_option
def backups(target: str | None, as_json: bool) -> int:
    """List the Target's backups: id, age, size, revision, how and when verified."""
    place = Workplace(target=load(target), run_id="backups")
    found, rejected = place.store.all()
    terminal = Terminal(as_json=as_json)
    terminal.headline(place.target)
    terminal.tell(drawing.backups(found, rejected, place.clock()), drawing.backups_result(found, rejected))
    return 0
