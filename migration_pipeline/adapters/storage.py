"""The backup store: a folder with one folder a Target in it. What has no manifest is no backup.

A dump is written as `.partial`, flushed, and linked to its name, which must not exist yet; its manifest is written last.
"""

import contextlib
import fcntl
import fnmatch
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import pydantic

from migration_pipeline import errors
from migration_pipeline.domain import backups
from migration_pipeline.domain.backups import Backup, Manifest, Rejected, Verification

CHUNK = 1 << 20
manifests = pydantic.TypeAdapter(Manifest)


class FolderStore:
    """The backups of one Target in a folder."""

    def __init__(self, location: Path, target: str) -> None:
        self.folder = location / target

    @contextlib.contextmanager
    def new(self, clock: Callable[[], datetime]) -> Iterator[tuple[str, BinaryIO]]:
        """Yield the id of a new backup and the file to write its dump to; a failure leaves nothing behind."""
        self._prepare()
        name, partial, file = self._reserve(clock)
        try:
            with file:
                yield name, file
                file.flush()
                os.fsync(file.fileno())
                os.link(partial, self.dump(name))  # unlike a rename, it never replaces a file
        except OSError as error:
            raise errors.BackupFailed(
                "The dump cannot be written; no backup was made.",
                evidence={"folder": self.folder, "reason": error.strerror},
                next_step="make room or name another folder in BACKUP_LOCATION, then: just backup-db",
            ) from None
        finally:
            partial.unlink(missing_ok=True)
        self._sync_folder()

    def dump(self, backup_id: str) -> Path:
        return self.folder / f"{backup_id}.sql"

    def add(self, manifest: Manifest) -> Backup:
        """Write the manifest: from here on it is a backup."""
        self._write(self._manifest(manifest.id), manifests.dump_json(manifest, indent=1))
        return Backup(manifest=manifest, location=str(self.dump(manifest.id)))

    def record(self, backup: Backup, verification: Verification) -> Backup:
        """Add a verification to the manifest."""
        newest = self.read(backup.id).manifest
        return self.add(replace(newest, verifications=(*newest.verifications, verification)))

    def read(self, backup_id: str) -> Backup:
        """Return one backup; raise Failure when its manifest is missing or cannot be understood."""
        try:
            manifest = manifests.validate_json(_content(self._manifest(backup_id)))
        except (OSError, ValueError):
            raise errors.Failure(
                f'The manifest of backup "{backup_id}" is missing or damaged: it is no backup.',
                next_step="just backups",
            ) from None
        if manifest.format != backups.FORMAT or manifest.id != backup_id or not self.dump(backup_id).is_file():
            raise errors.Failure(f'Backup "{backup_id}" does not fit its manifest.', next_step="just backups")
        return Backup(manifest=manifest, location=str(self.dump(backup_id)))

    def all(self) -> tuple[list[Backup], list[Rejected]]:
        """Return the backups, newest first, and what looks like one and is none."""
        found, rejected = [], []
        for path in self._paths("backup_*.json"):
            try:
                found.append(self.read(path.stem))
            except errors.Failure as error:
                rejected.append(Rejected(id=errors.printable(path.stem), reason=errors.printable(error.what)))
        return backups.newest_first(found), rejected

    def is_intact(self, backup: Backup) -> bool:
        """Return whether the dump's bytes are those that the manifest names."""
        digest = hashlib.sha256()
        try:
            with self.dump(backup.id).open("rb") as file:
                while part := file.read(CHUNK):
                    digest.update(part)
        except OSError:
            return False
        return digest.hexdigest() == backup.manifest.checksum

    def sweep(self) -> None:
        """Remove what a dead run left: partial files that nobody has locked."""
        for partial in self._paths("*.partial"):
            with contextlib.suppress(OSError):
                if partial.is_file():
                    with partial.open("rb") as file:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        partial.unlink()

    def keep(self, name: str, text: bytes) -> None:
        """Keep a record beside the backups."""
        self._prepare()
        self._write(self.folder / name, text)

    def records(self, pattern: str) -> list[bytes]:
        """Return the records kept under names of this pattern, oldest first; one that cannot be read is empty."""
        texts = []
        for path in self._paths(pattern):
            try:
                texts.append(_content(path))
            except OSError:
                texts.append(b"")
        return texts

    def _paths(self, pattern: str) -> list[Path]:
        """Return what lies in the folder under names of this pattern, in order; nothing where there is no folder yet."""
        try:
            return sorted(path for path in self.folder.iterdir() if fnmatch.fnmatchcase(path.name, pattern))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise errors.Failure(
                "The backup folder cannot be read.",
                evidence={"folder": self.folder, "reason": error.strerror},
                next_step="name a folder that can be read in BACKUP_LOCATION, then: just backups",
            ) from None

    def _manifest(self, backup_id: str) -> Path:
        return self.folder / f"{backup_id}.json"

    def _prepare(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise errors.BackupFailed(
                "The backup folder cannot be made.",
                evidence={"folder": self.folder, "reason": error.strerror},
                next_step="name a folder that can be written in BACKUP_LOCATION",
            ) from None

    def _reserve(self, clock: Callable[[], datetime]) -> tuple[str, Path, BinaryIO]:
        """Take the name of this second, or wait for the next one that is free."""
        while True:
            name = backups.name_at(clock())
            partial = self.folder / f"{name}.partial"
            if not self.dump(name).exists() and not self._manifest(name).exists():
                try:
                    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
                except FileExistsError:
                    pass
                except OSError as error:
                    raise errors.BackupFailed(
                        "The backup folder cannot be written.",
                        evidence={"folder": self.folder, "reason": error.strerror},
                        next_step="name a folder that can be written in BACKUP_LOCATION, then: just backup-db",
                    ) from None
                else:
                    fcntl.flock(descriptor, fcntl.LOCK_EX)  # lives as long as we do: a sweep sees that it is ours
                    return name, partial, os.fdopen(descriptor, "r+b", buffering=0)
            time.sleep(0.1)

    def _write(self, path: Path, text: bytes) -> None:
        """Replace a small file whole or not at all."""
        unfinished = path.with_suffix(".partial")
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise errors.BackupFailed(
                f'"{path.name}" cannot be written.',
                evidence={"folder": self.folder, "reason": error.strerror},
                next_step="make room in the backup folder, then run the same command again",
            ) from None
        self._sync_folder()

    def _sync_folder(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _content(path: Path) -> bytes:
    """Return what a file holds; a pipe under its name would be waited for, and a device read for ever."""
    if not path.is_file():
        raise FileNotFoundError(path)
    return path.read_bytes()
