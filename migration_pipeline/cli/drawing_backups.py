"""What the terminal shows of backups: lists, what a restore loses, what a pruning does, and the JSON of each."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from migration_pipeline.adapters.swap import Replaced
from migration_pipeline.cli.wording import ago, bytes_in_words, counted, plain
from migration_pipeline.domain import restoration
from migration_pipeline.domain.backups import Backup, Entry, Garbage, Level, Rejected, Verification, VerifiedBackup, words
from migration_pipeline.domain.restoration import Beside, Cost, Restored
from migration_pipeline.domain.results import Pruned, Verified

#: The table of backups asks no server: this machine's clock may stand a little before the one that stamped them.
CLOCKS_MAY_DIFFER = timedelta(minutes=5)


def backup(value: Backup) -> str:
    rows = f"{sum(value.manifest.rows.values()):,} rows in {counted(len(value.manifest.rows), 'table')}"
    return f"{value.id}: {bytes_in_words(value.manifest.bytes)}, {rows}"


def weighed(value: Cost) -> str:
    manifest = value.backup.manifest
    return f"{value.backup.id}: {bytes_in_words(manifest.bytes)}, of {restoration.told(manifest.snapshot_time)}"


def beside(value: Beside) -> str:
    return f"restored into {value.name}, compared with its manifest and analyzed"


def verified_again(value: Verified) -> str:
    return f"{value.backup.id}: {_proved(value.verification)}, in {value.verification.seconds:.1f} s"


def pruned(value: Pruned) -> str:
    verb = "would be removed" if value.dry_run else "removed"
    return f"{counted(len(value.removed), 'backup')} {verb}, {len(value.rows) - len(value.removed):,} stay"


def verified(value: VerifiedBackup) -> str:
    seconds = value.verification.seconds
    about = f"{seconds:.1f}" if seconds < 10 else f"{seconds:.0f}"  # noqa: PLR2004 - below, a second is a lot
    return f"a restore takes about {about} s and loses what was written in the last {words(value.age)}"


def restored(value: Restored) -> str:
    seconds = f"{value.seconds:.1f} s" if value.seconds < 10 else words(timedelta(seconds=value.seconds))  # noqa: PLR2004
    took = f"restored in {seconds} (the estimate is {words(restoration.ESTIMATE)})"
    shut = f"nobody could connect for {value.swap_seconds:.1f} s, {counted(value.ended_sessions, 'session')} ended"
    stays = f"; the replaced database stays as {value.replaced}" if value.replaced else ""
    return f"{took}; {shut}{stays}"


def _proved(verification: Verification) -> str:
    proved = {Level.CHECKSUM: "its bytes are whole, but it is not verified by restore", Level.RESTORE: "verified by restore"}
    return proved.get(verification.level, "verified row by row")


def cost(value: Cost) -> RenderableType:
    """Return what a restore loses."""
    return Group(Text(), *(plain(f"  {line}", "red") for line in value.lines), Text())


def retention(value: Pruned) -> RenderableType:
    """Return what becomes of each backup, and why."""
    table = Table("backup", "", "why", box=None, padding=(0, 3, 0, 0), header_style="dim")
    for row in value.rows:
        style = "" if row["what"] == "stays" else "yellow"
        table.add_row(plain(row["backup"], "cyan"), plain(row["what"], style), plain(row["why"]))
    return Padding(table, (0, 0, 0, 4))


def backups(found: Sequence[Entry], rejected: Sequence[Rejected], now: datetime) -> RenderableType:
    if not found and not rejected:
        return Text("No backups yet. Next: just backup-db")
    table = Table("backup", "age", "size", "revision", "verified", "", box=None, padding=(0, 3, 0, 0), header_style="dim")
    for one in found:
        age = now - one.snapshot_time
        in_future = age < -CLOCKS_MAY_DIFFER
        table.add_row(
            Text(one.id, style="cyan", no_wrap=True),
            Text("in the future", style="red") if in_future else ago(age),
            bytes_in_words(one.bytes),
            plain(", ".join(one.heads) or "none"),
            _verification(one, now),
            plain(f"pinned: {one.pinned.reason}" if one.pinned else ""),
        )
    lines = [plain(f"{one.id}: {one.reason}", "red") for one in rejected]
    return Group(table, *lines)


def _verification(entry: Entry, now: datetime) -> Text:
    if entry.failed is not None:
        return plain(f"no: {entry.failed}", "red")
    if entry.restored is None:
        return plain("not by restore", "yellow")
    how = "row by row" if entry.restored.level is Level.ROWS else "by restore"
    return Text(f"{how}, {ago(now - entry.restored.at)} ago, in {entry.restored.seconds:.1f} s", style="green")


def backups_result(found: Sequence[Entry], rejected: Sequence[Rejected]) -> dict[str, Any]:
    return {
        "backups": [entry_result(one) for one in found],
        "rejected": [{"id": one.id, "reason": one.reason} for one in rejected],
    }


def entry_result(entry: Entry) -> dict[str, Any]:
    restored = entry.restored
    return {
        "id": entry.id,
        "location": entry.location,
        "format": entry.layout,
        "snapshot_time": entry.snapshot_time.isoformat(),
        "bytes": entry.bytes,
        "rows": entry.rows,
        "revision": entry.heads,
        "verified": restored.at.isoformat() if restored else None,
        "level": restored.level if restored else None,
        "restore_seconds": restored.seconds if restored else None,
        "pinned": entry.pinned.reason if entry.pinned else None,
    }


def replaced(found: Sequence[Replaced]) -> RenderableType:
    if not found:
        return Text("No restore has put a database aside.")
    table = Table("replaced database", "put aside", "size", box=None, padding=(0, 3, 0, 0), header_style="dim")
    for one in found:
        size = "unknown" if one.bytes is None else bytes_in_words(one.bytes)
        table.add_row(plain(one.name, "cyan"), restoration.told(one.at), size)
    return Group(table, Text("Next: just drop-replaced <database>, once nothing of it is needed"))


def replaced_result(found: Sequence[Replaced]) -> dict[str, Any]:
    return {"replaced": [{"database": one.name, "at": one.at.isoformat(), "bytes": one.bytes} for one in found]}


def garbage(found: Sequence[Garbage], now: datetime, *, removed: bool) -> RenderableType:
    if not found:
        return Text("Nothing in the store belongs to no backup.")
    table = Table("garbage", "age", "size", box=None, padding=(0, 3, 0, 0), header_style="dim")
    for one in found:
        table.add_row(plain(one.name, "cyan"), ago(now - one.at), bytes_in_words(one.bytes))
    return Group(table, Text("removed" if removed else "Next: just garbage --remove"))


def garbage_result(found: Sequence[Garbage], *, removed: bool) -> dict[str, Any]:
    return {"garbage": [{"name": one.name, "bytes": one.bytes, "at": one.at.isoformat()} for one in found], "removed": removed}


def cost_result(value: Cost) -> dict[str, Any]:
    return {"backup": entry_result(value.backup.entry), "lost": value.lines}


def restored_result(value: Restored) -> dict[str, Any]:
    return {
        "database": value.database,
        "replaced_database": value.replaced,
        "restore_seconds": value.seconds,
        "swap_seconds": value.swap_seconds,
        "ended_sessions": value.ended_sessions,
        "notes": value.notes,
    }


def verified_result(value: Verified) -> dict[str, Any]:
    return {"backup": entry_result(value.backup.entry), "level": value.verification.level}


def pruned_result(value: Pruned) -> dict[str, Any]:
    return {"dry_run": value.dry_run, "backups": value.rows}
