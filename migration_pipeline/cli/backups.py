"""`migration-pipeline backups` and what keeps them in order: verify, prune, pin, and clear away."""

import click

from migration_pipeline import housekeeping
from migration_pipeline.cli import drawing_backups, job
from migration_pipeline.cli.options import json_option, load, target_option
from migration_pipeline.cli.terminal import Terminal
from migration_pipeline.domain.backups import Level
from migration_pipeline.workplace import Workplace


@click.command()
@target_option
@json_option
def backups(target: str | None, as_json: bool) -> int:
    """List the Target's backups: id, age, size, revision, how and when verified."""
    place, terminal = _begun(target, as_json=as_json)
    found, rejected = place.store.entries()
    terminal.tell(drawing_backups.backups(found, rejected, place.clock()), drawing_backups.backups_result(found, rejected))
    return 0


@click.command("verify-backup")
@click.argument("backup", default="")
@target_option
@click.option("--level", type=click.Choice([one.value for one in Level]), default=None, help="Default: as the Target says.")
@json_option
def verify_backup(backup: str, target: str | None, level: str | None, as_json: bool) -> int:
    """Prove BACKUP (default: the newest one) once more: by its checksum, by a restore, or row by row."""
    return job.run("verify_newest_backup", load(target), {"backup": backup, "level": level or ""}, as_json=as_json)


@click.command("prune-backups")
@target_option
@click.option("--dry-run", is_flag=True, help="Only show what would be removed, and why.")
@json_option
def prune_backups(target: str | None, dry_run: bool, as_json: bool) -> int:
    """Remove the backups that no rule of the retention policy keeps."""
    return job.run("prune_backups", load(target), {"dry_run": dry_run}, as_json=as_json)


@click.command("pin-backup")
@click.argument("backup")
@target_option
@click.option("--reason", default="", help="Why it stays; it is shown wherever the backup is.")
@click.option("--remove", is_flag=True, help="Take the pin away: the retention policy decides again.")
@json_option
def pin_backup(backup: str, target: str | None, reason: str, remove: bool, as_json: bool) -> int:
    """Keep BACKUP whatever its age."""
    place, terminal = _begun(target, as_json=as_json)
    try:
        pinned = housekeeping.pin(place, backup, None if remove else reason)
    finally:
        place.close()
    terminal.tell(drawing_backups.backups([pinned.entry], [], place.clock()), drawing_backups.backups_result([pinned.entry], []))
    return 0


@click.command("garbage")
@target_option
@click.option("--remove", is_flag=True, help="Remove it.")
@json_option
def garbage(target: str | None, remove: bool, as_json: bool) -> int:
    """List what lies in the store and belongs to no backup: what dead runs left."""
    place, terminal = _begun(target, as_json=as_json)
    try:
        found = housekeeping.garbage(place)
        if remove:
            housekeeping.remove_garbage(place, found)
    finally:
        place.close()
    terminal.tell(
        drawing_backups.garbage(found, place.clock(), removed=remove), drawing_backups.garbage_result(found, removed=remove)
    )
    return 0


def _begun(target: str | None, *, as_json: bool) -> tuple[Workplace, Terminal]:
    place = Workplace(target=load(target), run_id="backups")
    terminal = Terminal(as_json=as_json)
    terminal.headline(place.target)
    return place, terminal
