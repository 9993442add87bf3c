"""What a backup store can do, and how a manifest is written. What has no manifest is no backup.

A backup's files come first, each whole or not at all; its manifest is written last and removed first.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import pydantic

from migration_pipeline import errors
from migration_pipeline.domain import backups
from migration_pipeline.domain.backups import Backup, Entry, Garbage, Manifest, Rejected

CHUNK = 1 << 20
#: The next dump may be larger than the last one; less room than this is too little to begin.
ROOM = 1.5
_manifests = pydantic.TypeAdapter(Manifest)


@dataclass(frozen=True, kw_only=True)
class NewBackup:
    """A backup that is being taken: its id, and the private folder on this machine in which its files are made."""

    id: str
    folder: Path


class BackupStore(Protocol):
    """The backups of one Target. Every error is ours, and names no secret."""

    @property
    def where(self) -> str:
        """The folder or bucket, for a human."""

    def check_room(self, needed: int) -> None:
        """Raise BackupFailed where this many bytes cannot be written."""

    def new(self, clock: Callable[[], datetime]) -> contextlib.AbstractContextManager[NewBackup]:
        """Yield a new backup under the id of this second, or of the next that is free; what is not published is removed."""

    def publish(self, new: NewBackup, manifest: Manifest) -> Backup:
        """Put a new backup's files in their place and then its manifest: from here on it is a backup. Raise BackupFailed."""

    def take(self, folder: Path, manifest: Manifest) -> Backup:
        """Take a backup of another store: its files lie in the folder. Raise BackupFailed."""

    def rewrite(self, manifest: Manifest) -> Backup:
        """Replace the manifest of a backup that is here. Raise BackupFailed."""

    def holds(self, backup_id: str) -> bool:
        """Return whether there is a manifest of this backup."""

    def read(self, backup_id: str) -> Backup:
        """Return one backup; raise Failure when its manifest is missing, or cannot be understood."""

    def entries(self) -> tuple[list[Entry], list[Rejected]]:
        """Return what is known of each backup, newest first, and what looks like a backup and is none."""

    def is_intact(self, backup: Backup) -> bool:
        """Return whether the files are those that the manifest names, by the strongest proof that needs no transfer."""

    def fetched(self, backup: Backup) -> contextlib.AbstractContextManager[Path]:
        """Yield a folder on this machine with the backup's files, their bytes proved. Raise VerificationFailed."""

    def remove(self, backup_ids: Iterable[str]) -> dict[str, str]:
        """Remove backups, manifests first; return those that the store keeps, each with the reason."""

    def garbage(self) -> list[Garbage]:
        """Return what belongs to no backup and to nobody who is alive."""

    def remove_garbage(self, found: Iterable[Garbage]) -> None:
        """Remove what `garbage` returned."""

    def sweep(self) -> None:
        """Remove what a dead run left unfinished on this machine."""

    def keep(self, name: str, text: bytes) -> None:
        """Keep a record beside the backups, whole or not at all."""

    def records(self, pattern: str) -> list[bytes]:
        """Return the records kept under names of this pattern, oldest first; one that cannot be read is empty."""


def dumped(manifest: Manifest) -> bytes:
    """Return a manifest as it is written."""
    return _manifests.dump_json(manifest, indent=1)


def understood(text: bytes, backup_id: str) -> Manifest:
    """Return the manifest that a text is; raise Failure."""
    try:
        manifest = _manifests.validate_json(text)
    except ValueError:
        manifest = _of_format_1(text, backup_id)
    if manifest.format != backups.FORMAT or manifest.id != backup_id:
        raise does_not_fit(backup_id)
    return manifest


def no_backup(backup_id: str) -> errors.Failure:
    return errors.Failure(
        f'The manifest of backup "{backup_id}" is missing or damaged: it is no backup.', next_step="just backups"
    )


def removed_meanwhile(backup_id: str, where: str) -> errors.BackupFailed:
    return errors.BackupFailed(
        f'Backup "{backup_id}" was removed meanwhile; its manifest is not written anew.',
        evidence={"store": where},
        next_step="just backups",
    )


def does_not_fit(backup_id: str) -> errors.Failure:
    return errors.Failure(f'Backup "{backup_id}" does not fit its manifest.', next_step="just backups")


def not_intact(backup: Backup, name: str) -> errors.VerificationFailed:
    return errors.VerificationFailed(
        f'The dump of backup "{backup.id}" is not what its manifest says.',
        evidence={"file": name, "store": backup.location},
        next_step="just backup-db",
    )


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def differing_file(folder: Path, manifest: Manifest) -> str | None:
    """Return the first file whose bytes are not those that the manifest names."""
    for one in manifest.files:
        try:
            if (folder / one.name).stat().st_size != one.bytes or checksum(folder / one.name) != one.checksum:
                return one.name
        except OSError:
            return one.name
    return None


def _of_format_1(text: bytes, backup_id: str) -> Manifest:
    """Read a manifest of format 1, which knew one plain file alone. Raise Failure."""
    try:
        written: Any = json.loads(text)
        if not isinstance(written, Mapping) or written.get("format") != 1:
            raise no_backup(backup_id)
        only = {"name": f"{backup_id}.sql", "bytes": written.get("bytes"), "checksum": written.get("checksum")}
        return _manifests.validate_python({**written, "format": backups.FORMAT, "files": [only]})
    except (ValueError, RecursionError):
        raise no_backup(backup_id) from None
