"""A store with copies: a backup counts once every one of its stores holds it."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path

from migration_pipeline import errors
from migration_pipeline.adapters.storage import BackupStore, NewBackup
from migration_pipeline.domain.backups import Backup, Entry, Garbage, Manifest, Rejected


class CopiedStore:
    """A first store, which is asked, and others that hold the same."""

    def __init__(self, first: BackupStore, copies: Sequence[BackupStore]) -> None:
        self._first = first
        self._copies = copies

    @property
    def where(self) -> str:
        return self._first.where

    def check_room(self, needed: int) -> None:
        for store in (self._first, *self._copies):
            store.check_room(needed)

    def new(self, clock: Callable[[], datetime]) -> contextlib.AbstractContextManager[NewBackup]:
        return self._first.new(clock)

    def publish(self, new: NewBackup, manifest: Manifest) -> Backup:
        """Put the copies first: where one fails, there is no backup, and the copies that were made are taken back."""
        return self._everywhere(manifest, new.folder, lambda: self._first.publish(new, manifest))

    def take(self, folder: Path, manifest: Manifest) -> Backup:
        return self._everywhere(manifest, folder, lambda: self._first.take(folder, manifest))

    def rewrite(self, manifest: Manifest) -> Backup:
        """Replace it in the first store before the copies: a failed verification must count though a copy cannot be reached.

        A backup of a time before there was this copy is not in it.
        """
        rewritten = self._first.rewrite(manifest)
        for copy in self._copies:
            if copy.holds(manifest.id):
                copy.rewrite(manifest)
        return rewritten

    def holds(self, backup_id: str) -> bool:
        return self._first.holds(backup_id)

    def read(self, backup_id: str) -> Backup:
        return self._first.read(backup_id)

    def entries(self) -> tuple[list[Entry], list[Rejected]]:
        return self._first.entries()

    def is_intact(self, backup: Backup) -> bool:
        return self._first.is_intact(backup)

    def fetched(self, backup: Backup) -> contextlib.AbstractContextManager[Path]:
        return self._first.fetched(backup)

    def remove(self, backup_ids: Iterable[str]) -> dict[str, str]:
        """Remove from the first store, and then the copies of what it no longer has."""
        wanted = list(backup_ids)
        kept = self._first.remove(wanted)
        for copy in self._copies:
            for backup_id, reason in copy.remove([one for one in wanted if one not in kept]).items():
                kept.setdefault(backup_id, f"its copy in {copy.where}: {reason}")
        return kept

    def garbage(self) -> list[Garbage]:
        return self._first.garbage()

    def remove_garbage(self, found: Iterable[Garbage]) -> None:
        self._first.remove_garbage(found)

    def sweep(self) -> None:
        for store in (self._first, *self._copies):
            store.sweep()

    def keep(self, name: str, text: bytes) -> None:
        for store in (self._first, *self._copies):
            store.keep(name, text)

    def records(self, pattern: str) -> list[bytes]:
        return self._first.records(pattern)

    def _everywhere(self, manifest: Manifest, folder: Path, put_first: Callable[[], Backup]) -> Backup:
        made: list[BackupStore] = []
        try:
            for copy in self._copies:
                copy.take(folder, manifest)
                made.append(copy)
            return put_first()
        except BaseException:
            for copy in made:
                with contextlib.suppress(errors.MigrationPipelineError):
                    copy.remove([manifest.id])
            raise
