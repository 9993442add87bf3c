"""Backups in a bucket: the names are those of a folder store, under `<prefix>/<target>/`.

Files are made in a private folder of this machine and then sent; a manifest is sent last, and nothing that is there is ever
replaced. In a bucket that keeps versions, removing a backup hides it under delete markers: its versions, and their cost, stay
until a lifecycle rule of the bucket takes them (NoncurrentVersionExpiration).
"""

import contextlib
import fnmatch
import mimetypes
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from migration_pipeline import errors
from migration_pipeline.adapters import belongings, s3_client, s3_garbage, s3_transfer, storage
from migration_pipeline.adapters.s3_client import Bucket, Listed, told
from migration_pipeline.adapters.s3_index import Index, Row, uncollected
from migration_pipeline.adapters.storage import NewBackup
from migration_pipeline.domain import backups
from migration_pipeline.domain.backups import Backup, Entry, Garbage, Manifest, Rejected, StoredFile

LOCATION = re.compile(r"s3://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]{1,62})(?:/(?P<prefix>[^?#@]*))?")
WILDCARD = re.compile(r"[*?\[]")
PROBE = "upload-probe"
_OTHER_BUCKET = "name a bucket that can be written in BACKUP_LOCATION, then: just backup-db"


class S3Store:
    """The backups of one Target in a bucket, over any endpoint that speaks S3."""

    def __init__(
        self,
        location: str,
        target: str,
        *,
        kms_key: str | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        parts = LOCATION.fullmatch(location)
        if not parts:
            raise errors.SettingsError(
                "The place for backups is no bucket: it reads s3://bucket or s3://bucket/prefix.",
                next_step="name a bucket so in BACKUP_LOCATION",
            )
        self._bucket = Bucket(parts["bucket"], kms_key)
        self._base = "".join(f"{part}/" for part in ((parts["prefix"] or "").strip("/"), target) if part)
        self._clock = clock
        self._index = Index(self._bucket, self._base)

    @property
    def where(self) -> str:
        return f"s3://{self._bucket.name}/{self._base}".rstrip("/")

    def check_room(self, needed: int) -> None:
        """Look whether we may write, and whether the files have room on this machine until they are sent."""
        with told(errors.BackupFailed, "The bucket cannot be written; no backup was begun.", self._bucket, _OTHER_BUCKET):
            self._bucket.client.head_bucket(Bucket=self._bucket.name)
            probe = {"Bucket": self._bucket.name, "Key": self._base + PROBE}
            begun = self._bucket.client.create_multipart_upload(**probe, **self._bucket.encryption)
            self._bucket.client.abort_multipart_upload(**probe, UploadId=begun["UploadId"])
        _demand_room(needed, errors.BackupFailed, "no backup was begun", "just backup-db")

    @contextlib.contextmanager
    def new(self, clock: Callable[[], datetime]) -> Iterator[NewBackup]:
        name = self._free_name(clock)
        try:
            with belongings.private_folder() as folder:
                yield NewBackup(id=name, folder=folder)
        except OSError as error:
            raise _cannot_write_here(error) from None

    def publish(self, new: NewBackup, manifest: Manifest) -> Backup:
        return self._send(new.folder, manifest, "The dump cannot be sent to the bucket; no backup was made.")

    def take(self, folder: Path, manifest: Manifest) -> Backup:
        return self._send(folder, manifest, "The copy cannot be sent to the bucket; no backup was made.")

    def rewrite(self, manifest: Manifest) -> Backup:
        """Replace the manifest of a backup that is here; one that was removed meanwhile is not brought back."""
        key, text = self._manifest(manifest.id), storage.dumped(manifest)
        with told(errors.BackupFailed, f'"{manifest.id}.json" cannot be written.', self._bucket):
            there = self._bucket.head(key)
            if there is None:
                raise storage.removed_meanwhile(manifest.id, self.where)
            self._replace(key, text, str(there["ETag"]))
        return self._backup(manifest)

    def holds(self, backup_id: str) -> bool:
        with told(errors.Failure, "The backup cannot be looked at.", self._bucket):
            return self._bucket.head(self._manifest(backup_id)) is not None

    def read(self, backup_id: str) -> Backup:
        with told(errors.Failure, "The backup cannot be read.", self._bucket):
            there = {one.key for one in self._bucket.listed(f"{self._base}{backup_id}.")}
            if self._manifest(backup_id) not in there:
                raise storage.no_backup(backup_id)
            manifest = storage.understood(self._bucket.get(self._manifest(backup_id)), backup_id)
        if not all(self._base + one.name in there for one in manifest.files):
            raise storage.does_not_fit(backup_id)
        return self._backup(manifest)

    def entries(self) -> tuple[list[Entry], list[Rejected]]:
        """Return what is known of each backup: from the index where a manifest has not changed since, else from itself."""
        with uncollected(), told(errors.Failure, "The backups in the bucket cannot be listed.", self._bucket):
            there, manifests = self._listed()
            rows = list(self._index.valid_rows(manifests))
            known = {row.name for row in rows}
            fresh = [name for name in manifests if name not in known]
            read = list(s3_client.in_parallel(lambda name: self._row(name, manifests[name]), fresh))
        rows += [one for one in read if isinstance(one, Row)]
        self._index.keep(rows, len(known))
        rejected = [one for one in read if isinstance(one, Rejected)]
        whole = [row for row in rows if there.issuperset(row.parts)]
        if len(whole) < len(rows):
            cut = [row.entry.id for row in rows if not there.issuperset(row.parts)]
            rejected += [_rejected(one, storage.does_not_fit(one)) for one in cut]
        return backups.newest_first(row.entry for row in whole), rejected

    def is_intact(self, backup: Backup) -> bool:
        with told(errors.Failure, "The backup cannot be looked at.", self._bucket):
            return all(s3_client.in_parallel(self._is_there, backup.manifest.files))

    @contextlib.contextmanager
    def fetched(self, backup: Backup) -> Iterator[Path]:
        _demand_room(backup.manifest.bytes, errors.Failure, "the backup was not fetched", "run the same command again")
        with belongings.private_folder() as folder:
            # a network that fails proves nothing against the backup
            with told(errors.Failure, f'Backup "{backup.id}" cannot be fetched.', self._bucket):
                try:
                    for wrong in s3_client.in_parallel(lambda one: self._fetch(one, folder), backup.manifest.files):
                        if wrong:
                            raise storage.not_intact(backup, wrong)
                except OSError as error:
                    raise errors.Failure(  # nothing is proved against the backup
                        f'Backup "{backup.id}" cannot be written to this machine.',
                        evidence={"folder": tempfile.gettempdir(), "reason": error.strerror},
                        next_step="make room, or set TMPDIR to a folder with more of it, then run the same command again",
                    ) from None
            yield folder

    def remove(self, backup_ids: Iterable[str]) -> dict[str, str]:
        """Remove backups, manifests first; those under object lock, and those that the bucket refuses to delete, are kept."""
        with told(errors.Failure, "The backups cannot be removed.", self._bucket):
            return s3_garbage.remove(self._bucket, self._base, list(dict.fromkeys(backup_ids)), self._clock())

    def garbage(self) -> list[Garbage]:
        """Return what has no manifest, and multipart uploads left open, when older than a day: a run elsewhere may be at it."""
        with told(errors.Failure, "The bucket cannot be listed.", self._bucket):
            return s3_garbage.find(self._bucket, self._base, self._clock())

    def remove_garbage(self, found: Iterable[Garbage]) -> None:
        with told(errors.Failure, "What belongs to no backup cannot be removed.", self._bucket):
            s3_garbage.sweep(self._bucket, self._base, found)

    def sweep(self) -> None:
        """Do nothing: private folders are swept with those of all runs, and what lies in the bucket may be a living run's."""

    def keep(self, name: str, text: bytes) -> None:
        with told(errors.BackupFailed, f'"{name}" cannot be written.', self._bucket):
            kind = mimetypes.guess_type(name)[0] or "application/octet-stream"  # so that a browser shows a report
            self._bucket.put_text(self._base + name, text, ContentType=kind)

    def records(self, pattern: str) -> list[bytes]:
        with told(errors.Failure, "The records in the bucket cannot be read.", self._bucket):
            there, _ = self._listed(WILDCARD.split(pattern)[0])
            names = sorted(name for name in there if fnmatch.fnmatchcase(name, pattern) and not name.endswith("/"))
            return list(s3_client.in_parallel(self._record, names))

    def _send(self, folder: Path, manifest: Manifest, what: str) -> Backup:
        upload = s3_transfer.Upload(self._bucket)
        try:
            with told(errors.BackupFailed, what, self._bucket, "just backup-db"):
                self._demand_free(manifest.id)
                upload.files(folder, self._base, manifest.files)
                upload.last(self._manifest(manifest.id), storage.dumped(manifest))
        except OSError as error:
            upload.undo()
            raise _cannot_write_here(error) from None
        except BaseException:
            upload.undo()
            raise
        return self._backup(manifest)

    def _demand_free(self, backup_id: str) -> None:
        for one in self._bucket.listed(f"{self._base}{backup_id}."):
            raise errors.BackupFailed(
                "The bucket holds something under the name of this backup; no backup was made.",
                evidence={"bucket": self._bucket.name, "object": one.key},
                next_step="just backup-db",
            )

    def _free_name(self, clock: Callable[[], datetime]) -> str:
        """Return the name of this second, or of the next one under which the bucket holds nothing."""
        with told(errors.BackupFailed, "The bucket cannot be listed; no backup was begun.", self._bucket, _OTHER_BUCKET):
            while True:
                name = backups.name_at(clock())
                if not any(True for _ in self._bucket.listed(f"{self._base}{name}.")):
                    return name
                time.sleep(0.1)

    def _replace(self, key: str, text: bytes, etag: str) -> None:
        from botocore.exceptions import ClientError  # noqa: PLC0415 - see s3_client

        try:
            self._bucket.put_text(key, text, Metadata=s3_transfer.metadata_of(text), IfMatch=etag)
        except ClientError as error:
            if s3_client.code_of(error) not in (*s3_client.CONFLICTS, *s3_client.MISSING):
                raise
            if self._bucket.head(key) is None or self._bucket.get(key) != text:  # the answer to our own first try may be lost
                raise errors.BackupFailed(
                    "Another run has changed the manifest of this backup meanwhile.",
                    evidence={"bucket": self._bucket.name, "object": key},
                    next_step="run the same command again",
                ) from None

    def _listed(self, start: str = "") -> tuple[set[str], dict[str, Listed]]:
        """Return the names of what this Target has in the bucket, and its manifests by name."""
        names, manifests, skip = set(), {}, len(self._base)
        for one in self._bucket.level(self._base + start):
            name = (one.key if isinstance(one, Listed) else one)[skip:]
            names.add(name)
            if isinstance(one, Listed) and name.startswith("backup_") and name.endswith(".json"):
                manifests[name] = one
        return names, manifests

    def _row(self, name: str, listed: Listed) -> Row | Rejected:
        """Read one manifest."""
        backup_id = name.removesuffix(".json")
        try:
            manifest = storage.understood(self._bucket.get(listed.key), backup_id)
        except errors.Failure as error:
            return _rejected(backup_id, error)
        parts = {f"{top}{slash}" for top, slash, _ in (one.name.partition("/") for one in manifest.files)}
        return Row(name, listed.etag, listed.bytes, tuple(sorted(parts)), self._backup(manifest).entry)

    def _record(self, name: str) -> bytes:
        from botocore.exceptions import ClientError  # noqa: PLC0415 - see s3_client

        try:
            return self._bucket.get(self._base + name)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] < 500:  # noqa: PLR2004 - the bucket's own trouble
                return b""
            raise

    def _fetch(self, one: StoredFile, folder: Path) -> str | None:
        """Bring one file here; return its name where its bytes are not those that the manifest names."""
        path = folder / one.name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            found = s3_transfer.download(self._bucket, self._base + one.name, path, one.bytes)
        except self._bucket.client.exceptions.NoSuchKey:
            return one.name
        return None if (path.stat().st_size, found) == (one.bytes, one.checksum) else one.name

    def _is_there(self, one: StoredFile) -> bool:
        return s3_transfer.is_there(self._bucket, self._base, one)

    def _manifest(self, backup_id: str) -> str:
        return f"{self._base}{backup_id}.json"

    def _backup(self, manifest: Manifest) -> Backup:
        top = manifest.files[0].name.partition("/")[0]
        return Backup(manifest=manifest, location=f"{self.where}/{top}")


def _demand_room(needed: int, kind: type[errors.Failure], so: str, then: str) -> None:
    """Demand room in the folder for temporary files: what goes into the bucket or comes out of it passes through there."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < needed:
        raise kind(
            f"This machine has too little room for the backup's files; {so}.",
            evidence={"folder": tempfile.gettempdir(), "free": f"{free:,} bytes", "needed": f"about {needed:,} bytes"},
            next_step=f"set TMPDIR to a folder with more room, then: {then}",
        )


def _cannot_write_here(error: OSError) -> errors.BackupFailed:
    return errors.BackupFailed(
        "The dump cannot be written; no backup was made.",
        evidence={"folder": tempfile.gettempdir(), "reason": error.strerror},
        next_step="make room, or set TMPDIR to a folder with more of it, then: just backup-db",
    )


def _rejected(backup_id: str, error: errors.Failure) -> Rejected:
    return Rejected(id=errors.printable(backup_id), reason=errors.printable(error.what))
