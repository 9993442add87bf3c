"""`migration-pipeline restore-db` and `drop-replaced`: the way back, and its end."""

from pathlib import Path

import click

from migration_pipeline import restoring
from migration_pipeline.cli import drawing_backups, job
from migration_pipeline.cli.options import json_option, load, target_option
from migration_pipeline.cli.terminal import Terminal
from migration_pipeline.domain import restoration
from migration_pipeline.workplace import Workplace


@click.command("restore-db")
@click.argument("backup", default="")
@target_option
@click.option("--yes", is_flag=True, help="Do not ask: for an incident's own job.")
@click.option(
    "--unverified",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Restore a plain dump from elsewhere, which no manifest vouches for. Its SQL runs with your role's rights.",
)
@json_option
def restore_db(backup: str, target: str | None, yes: bool, unverified: Path | None, as_json: bool) -> int:
    """Replace the database with BACKUP (default: the newest verified one); the replaced database stays beside it."""
    asked_for = str(unverified.absolute()) if unverified else backup
    config: dict[str, object] = {"backup": backup, "unverified_file": asked_for if unverified else ""}
    if yes:
        config["confirmation"] = restoration.phrase(asked_for)
    return job.run("restore_database", load(target), config, as_json=as_json)


@click.command("drop-replaced")
@click.argument("database", default="")
@target_option
@click.option("--end-sessions", is_flag=True, help="End the sessions that are still in it.")
@json_option
def drop_replaced(database: str, target: str | None, end_sessions: bool, as_json: bool) -> int:
    """Drop DATABASE, which a restore has put aside, for good; without a name: list those that there are."""
    if database:
        config: dict[str, object] = {"database": database, "end_sessions": end_sessions}
        return job.run("drop_replaced", load(target), config, as_json=as_json)
    place = Workplace(target=load(target), run_id="drop-replaced")
    found = restoring.replaced(place)
    terminal = Terminal(as_json=as_json)
    terminal.headline(place.target)
    terminal.tell(drawing_backups.replaced(found), drawing_backups.replaced_result(found))
    return 0
