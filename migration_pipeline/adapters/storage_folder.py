"""Backups in a folder: one folder a Target in it, dump, manifest and what belongs to them side by side."""

import contextlib
import fcntl
import fnmatch
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from migration_pipeline import errors
from migration_pipeline.adapters import storage
from migration_pipeline.adapters.storage import NewBackup
from migration_pipeline.domain import backups
from migration_pipeline.domain.backups import Backup, Entry, Garbage, Manifest, Rejected

PARTIAL = ".partial"
OWNER = "owner"  # the file in a partial folder that its run holds a lock on


class FolderStore:
    """The backups of one Target in a folder."""

    def __init__(self, location: Path, target: str) -> None:
        self.folder = location / target

    @property
    def where(self) -> str:
        return str(self.folder)

    def check_room(self, needed: int) -> None:
        self._prepare()
        status = os.statvfs(self.folder)
        free = status.f_bavail * status.f_frsize
        if status.f_flag & os.ST_RDONLY or not os.access(self.folder, os.W_OK):
            raise self._cannot_write("it is read-only")
        if free < needed:
            raise errors.BackupFailed(
                "The backup folder has too little room; no backup was begun.",
                evidence={"folder": self.folder, "free": f"{free:,} bytes", "needed": f"about {needed:,} bytes"},
                next_step="make room (just prune-backups), or name another folder in BACKUP_LOCATION, then: just backup-db",
            )

    @contextlib.contextmanager
    def new(self, clock: Callable[[], datetime]) -> Iterator[NewBackup]:
        self._prepare()
        name, partial, owner = self._reserve(clock)
        try:
            yield NewBackup(id=name, folder=partial)
        except OSError as error:
            raise self._cannot_write(error.strerror, "The dump cannot be written; no backup was made.") from None
        finally:
            _remove_partial(partial)
            os.close(owner)
            with contextlib.suppress(OSError):
                self._sync()

    def publish(self, new: NewBackup, manifest: Manifest) -> Backup:
        put: list[Path] = []
        try:
            for name in sorted({one.name.partition("/")[0] for one in manifest.files}):
                _put(new.folder / name, self.folder / name)
                put.append(self.folder / name)
            self._sync()
            return self._with_manifest(manifest)
        except OSError as error:
            _undo(put)
            raise self._cannot_write(error.strerror, "The dump cannot be written; no backup was made.") from None
        except BaseException:
            if not self._manifest(manifest.id).exists():
                _undo(put)
            raise

    def take(self, folder: Path, manifest: Manifest) -> Backup:
        self._prepare()
        partial, owner = self._partial(manifest.id)
        try:
            for one in manifest.files:
                (partial / one.name).parent.mkdir(mode=0o700, exist_ok=True)
                shutil.copyfile(folder / one.name, partial / one.name)
                _sync(partial / one.name)
            return self.publish(NewBackup(id=manifest.id, folder=partial), manifest)
        except OSError as error:
            raise self._cannot_write(error.strerror, "The copy cannot be written; no backup was made.") from None
        finally:
            _remove_partial(partial)
            os.close(owner)

    def rewrite(self, manifest: Manifest) -> Backup:
        """Replace the manifest of a backup that is here; one that was removed meanwhile is not brought back."""
        if not self.holds(manifest.id):
            raise storage.removed_meanwhile(manifest.id, self.where)
        return self._with_manifest(manifest)

    def _with_manifest(self, manifest: Manifest) -> Backup:
        self._write(self._manifest(manifest.id), storage.dumped(manifest))
        return Backup(manifest=manifest, location=self._location(manifest))

    def holds(self, backup_id: str) -> bool:
        return self._manifest(backup_id).is_file()

    def read(self, backup_id: str) -> Backup:
        try:
            manifest = storage.understood(_content(self._manifest(backup_id)), backup_id)
        except (OSError, ValueError):
            raise storage.no_backup(backup_id) from None
        if not all((self.folder / one.name).is_file() for one in manifest.files):
            raise storage.does_not_fit(backup_id)
        return Backup(manifest=manifest, location=self._location(manifest))

    def entries(self) -> tuple[list[Entry], list[Rejected]]:
        found, rejected = [], []
        for path in self._paths("backup_*.json"):
            try:
                found.append(self.read(path.stem).entry)
            except errors.Failure as error:
                rejected.append(Rejected(id=errors.printable(path.stem), reason=errors.printable(error.what)))
        return backups.newest_first(found), rejected

    def is_intact(self, backup: Backup) -> bool:
        return storage.differing_file(self.folder, backup.manifest) is None

    @contextlib.contextmanager
    def fetched(self, backup: Backup) -> Iterator[Path]:
        if wrong := storage.differing_file(self.folder, backup.manifest):
            raise storage.not_intact(backup, wrong)
        yield self.folder

    def remove(self, backup_ids: Iterable[str]) -> dict[str, str]:
        kept = {}
        for backup_id in backup_ids:
            try:
                self._manifest(backup_id).unlink()
            except FileNotFoundError:
                pass
            except OSError as error:
                kept[backup_id] = f"it cannot be removed: {error.strerror}"
                continue
            try:
                self._sync()  # a crash between the two leaves garbage, and never a manifest without its dump
                for path in self._files_of(backup_id):
                    _remove(path)
            except OSError:
                continue  # it is no backup any more, and its files are garbage
        return kept

    def garbage(self) -> list[Garbage]:
        found = []
        for path in self._paths("backup_*"):
            backup_id = path.name.partition(".")[0]
            if not (self._manifest(backup_id).exists() or self._is_under_way(backup_id)) and backups.NAME.fullmatch(backup_id):
                at = datetime.fromtimestamp(path.lstat().st_mtime, UTC)
                found.append(Garbage(name=path.name, bytes=_bytes_of(path), at=at))
        return found

    def remove_garbage(self, found: Iterable[Garbage]) -> None:
        for one in found:
            try:
                _remove(self.folder / one.name)
            except OSError as error:
                raise self._cannot_write(error.strerror, f'"{one.name}" cannot be removed.') from None

    def sweep(self) -> None:
        """Remove what a dead run left: partial folders that nobody has locked."""
        for partial in self._paths(f"*{PARTIAL}"):
            with contextlib.suppress(OSError):
                if partial.is_dir() and not partial.is_symlink():
                    if backups.NAME.fullmatch(partial.name.removesuffix(PARTIAL)) and not _is_locked(partial):
                        _remove_partial(partial)
                elif partial.is_file() and not partial.is_symlink():  # a small file that was to be replaced
                    partial.unlink()

    def keep(self, name: str, text: bytes) -> None:
        self._prepare()
        self._write(self.folder / name, text)

    def records(self, pattern: str) -> list[bytes]:
        texts = []
        for path in self._paths(pattern):
            try:
                texts.append(_content(path))
            except OSError:
                texts.append(b"")
        return texts

    def _location(self, manifest: Manifest) -> str:
        return str(self.folder / manifest.dump_name)

    def _manifest(self, backup_id: str) -> Path:
        return self.folder / f"{backup_id}.json"

    def _files_of(self, backup_id: str) -> list[Path]:
        return self._paths(f"{backup_id}.*")

    def _is_under_way(self, backup_id: str) -> bool:
        partial = self.folder / f"{backup_id}{PARTIAL}"
        return partial.is_dir() and _is_locked(partial)

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

    def _prepare(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise errors.BackupFailed(
                "The backup folder cannot be made.",
                evidence={"folder": self.folder, "reason": error.strerror},
                next_step="name a folder that can be written in BACKUP_LOCATION",
            ) from None

    def _reserve(self, clock: Callable[[], datetime]) -> tuple[str, Path, int]:
        """Take the name of this second, or wait for the next one that is free."""
        while True:
            name = backups.name_at(clock())
            if not self._files_of(name):
                try:
                    return (name, *self._partial(name))
                except FileExistsError:
                    pass
                except OSError as error:
                    raise self._cannot_write(error.strerror) from None
            time.sleep(0.1)

    def _partial(self, name: str) -> tuple[Path, int]:
        """Make the folder of a backup that is not whole yet; locked as long as we live, so that a sweep sees that it is ours."""
        partial = self.folder / f"{name}{PARTIAL}"
        partial.mkdir(mode=0o700)
        owner = os.open(partial / OWNER, os.O_RDWR | os.O_CREAT, 0o600)  # NFS locks what can be written alone
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return partial, owner

    def _write(self, path: Path, text: bytes) -> None:
        """Replace a small file whole or not at all."""
        unfinished = path.with_suffix(".json" + PARTIAL)
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise errors.BackupFailed(
                f'"{path.name}" cannot be written.',
                evidence={"folder": self.folder, "reason": error.strerror},
                next_step="make room in the backup folder, then run the same command again",
            ) from None
        self._sync()

    def _cannot_write(self, reason: str | None, what: str = "The backup folder cannot be written.") -> errors.BackupFailed:
        return errors.BackupFailed(
            what,
            evidence={"folder": self.folder, "reason": reason},
            next_step="make room or name another folder in BACKUP_LOCATION, then: just backup-db",
        )

    def _sync(self) -> None:
        _sync(self.folder)


def _content(path: Path) -> bytes:
    """Return what a file holds; a pipe under its name would be waited for, and a device read for ever."""
    if not path.is_file():
        raise FileNotFoundError(path)
    return path.read_bytes()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_locked(partial: Path) -> bool:
    """Return whether the run that makes this backup is alive."""
    try:
        descriptor = os.open(partial / OWNER, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _put(made: Path, place: Path) -> None:
    if made.is_dir():
        made.rename(place)  # fails where a folder with something in it is in the way
    else:
        os.link(made, place)  # unlike a rename, it never replaces a file


def _undo(put: Iterable[Path]) -> None:
    for path in put:
        with contextlib.suppress(OSError):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_partial(partial: Path) -> None:
    """Remove a partial folder, the file by which its owner is known last: a removal that is cut off is finished by a sweep."""
    with contextlib.suppress(OSError):
        for path in partial.iterdir():
            if path.name != OWNER:
                _remove(path)
    shutil.rmtree(partial, ignore_errors=True)


def _bytes_of(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    return sum(one.lstat().st_size for one in files)
