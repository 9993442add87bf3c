"""What keeps a store of backups in order: verify again, prune, pin, and clear away what belongs to no backup."""

from collections.abc import Sequence
from dataclasses import replace

from migration_pipeline import errors, steps
from migration_pipeline.adapters import postgres
from migration_pipeline.domain import retention
from migration_pipeline.domain.backups import Backup, Garbage, Layout, Level, Pin
from migration_pipeline.domain.results import Pruned, Verified
from migration_pipeline.workplace import Workplace


def verify_again(place: Workplace, backup_id: str, level: Level | None) -> Verified:
    """Prove the named backup, or the newest one, once more: rot is found before the backup is needed."""
    backup = place.store.read(backup_id) if backup_id else _newest(place)
    asked = level or (place.target.backups.level if backup.manifest.row_hashes else Level.RESTORE)
    verified, verification = steps.verify(place, backup, asked)
    return Verified(backup=verified, verification=verification)


def prune(place: Workplace, *, dry_run: bool) -> Pruned:
    """Remove the backups that no rule keeps (B2); a dry run only says which."""
    place.hold_lock()
    entries, rejected = place.store.entries()
    migrations, unreadable = place.history.all()
    ours = [one for one in entries if one.layout is not Layout.OWN_SYSTEM]  # such a system has a retention of its own
    with postgres.session(place.admin, purpose="looks") as opened:
        now = min(place.clock(), postgres.now(opened))  # in doubt about the clocks, a backup is younger
    decided = retention.apply(ours, migrations, place.target.backups.retention, now, unreadable_records=unreadable)
    gone = [] if dry_run else [one.entry.id for one in decided.removed]
    refused = place.store.remove(gone) if gone else {}
    there = {one.id for one in place.store.entries()[0]} if refused else set()
    return Pruned(
        retention=decided,
        dry_run=dry_run,
        refused={name: reason for name, reason in refused.items() if name in there},
        in_part={name: reason for name, reason in refused.items() if name not in there},
        rejected=tuple(rejected),
    )


def pin(place: Workplace, backup_id: str, reason: str | None) -> Backup:
    """Keep a backup whatever its age, for a reason; None: let the retention policy decide again."""
    place.hold_lock()
    manifest = place.store.read(backup_id).manifest
    pinned = None if reason is None else Pin(at=place.clock(), reason=reason)
    return place.store.rewrite(replace(manifest, pinned=pinned))


def garbage(place: Workplace) -> list[Garbage]:
    """Return what lies in the store and belongs to no backup."""
    return place.store.garbage()


def remove_garbage(place: Workplace, found: Sequence[Garbage]) -> None:
    """Remove it."""
    place.hold_lock()
    place.store.remove_garbage(found)


def _newest(place: Workplace) -> Backup:
    found, _ = place.store.entries()
    if not found:
        raise errors.NotAllowed(
            "There is no backup to verify.", evidence={"backups": f"none in {place.store.where}"}, next_step="just backup-db"
        )
    return place.store.read(found[0].id)
