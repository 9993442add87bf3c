"""Files into a bucket and out of it, hashed on the way; what is there already is never replaced."""

import base64
import contextlib
import functools
import hashlib
import io
import os
import secrets
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from migration_pipeline import errors
from migration_pipeline.adapters import s3_client
from migration_pipeline.adapters.s3_client import Bucket
from migration_pipeline.domain.backups import StoredFile

CHUNK = 1 << 20
SMALLEST_PART = 16 << 20
MOST_PARTS = 9_000  # S3 takes 10,000
SHA256 = "sha256"  # the object's metadata: of its bytes, as the manifest names them
WRITER = "writer"  # the object's metadata: which call wrote it


class Upload:
    """One backup on its way into a bucket. What it wrote bears its mark, so that it undoes nothing of anybody else's."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._mark = secrets.token_hex(8)
        self._tried: list[str] = []
        self._last: str | None = None  # the manifest
        self._open: dict[str, str] = {}  # key by the id of a multipart upload that is neither complete nor aborted

    def files(self, folder: Path, base: str, files: Iterable[StoredFile]) -> None:
        """Put files, some parts at a time, and look at each; raise BackupFailed where one is not what it should be."""
        files = tuple(files)
        with _Workers() as workers:
            for one in files:
                self._tried.append(base + one.name)
                if one.bytes <= SMALLEST_PART:
                    workers.submit(functools.partial(self._put_file, folder / one.name, base + one.name, one))
                else:
                    self._put_in_parts(folder / one.name, base + one.name, one, workers)
        for one, there in zip(files, s3_client.in_parallel(lambda one: is_there(self._bucket, base, one), files), strict=True):
            if not there:
                raise errors.BackupFailed(
                    "The bucket does not hold what was written to it; no backup was made.",
                    evidence={"bucket": self._bucket.name, "file": one.name},
                    next_step="look whether somebody else writes to this bucket, then: just backup-db",
                )

    def last(self, key: str, text: bytes) -> None:
        """Put the manifest: from here on it is a backup."""
        self._last = key
        self._put(key, text, s3_client.content_md5(text), hashlib.sha256(text).hexdigest())

    def undo(self) -> None:
        """Take away what this call wrote, the manifest first: where it may have stayed, so do its files."""
        for upload, key in self._open.items():
            with contextlib.suppress(Exception):  # it is garbage then, and found as such
                self._bucket.client.abort_multipart_upload(Bucket=self._bucket.name, Key=key, UploadId=upload)
        with contextlib.suppress(Exception):
            if self._last and self._is_ours(self._last) and self._bucket.delete([self._last]):
                return
            ours = s3_client.in_parallel(self._is_ours, self._tried)
            self._bucket.delete([key for key, is_ours in zip(self._tried, ours, strict=True) if is_ours])

    def _put_file(self, path: Path, key: str, one: StoredFile) -> None:
        whole = hashlib.sha256()
        with contextlib.closing(Part(path, 0, one.bytes + 1)) as part:
            md5 = part.digest(whole)
            _demand(one, part.size, whole.hexdigest())
            self._put(key, part, md5, one.checksum)

    def _put(self, key: str, body: Any, md5: str, checksum: str) -> None:
        metadata = {SHA256: checksum, WRITER: self._mark}
        self._unless_there(key, lambda: self._bucket.put(key, body, md5, Metadata=metadata, IfNoneMatch="*"))

    def _put_in_parts(self, path: Path, key: str, one: StoredFile, workers: "_Workers") -> None:
        bucket, size = self._bucket, part_size(one.bytes)
        metadata = {SHA256: one.checksum, WRITER: self._mark}
        begun = bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key, Metadata=metadata, **bucket.encryption)
        same: dict[str, Any] = {"Bucket": bucket.name, "Key": key, "UploadId": begun["UploadId"]}
        self._open[begun["UploadId"]] = key
        whole, read, parts = hashlib.sha256(), 0, []
        for number, start in enumerate(range(0, one.bytes, size), 1):
            part = Part(path, start, size)
            md5 = part.digest(whole)
            read += part.size
            parts.append(workers.submit(functools.partial(_put_part, bucket, part, md5, {**same, "PartNumber": number})))
        done = [{"PartNumber": number, "ETag": sent.result()} for number, sent in enumerate(parts, 1)]
        _demand(one, read if path.stat().st_size == read else -1, whole.hexdigest())
        upload = {"MultipartUpload": {"Parts": done}, "IfNoneMatch": "*"}
        self._unless_there(key, lambda: bucket.client.complete_multipart_upload(**same, **upload))
        del self._open[begun["UploadId"]]

    def _unless_there(self, key: str, write: Callable[[], object]) -> None:
        """Write what must not be there yet. A retry of a request whose answer was lost finds what we wrote: that is fine."""
        from botocore.exceptions import ClientError  # noqa: PLC0415 - see s3_client

        try:
            write()
        except ClientError as error:
            code = s3_client.code_of(error)
            if code not in (*s3_client.CONFLICTS, "NoSuchUpload"):
                raise
            if not self._is_ours(key):
                if code == "NoSuchUpload":
                    raise
                raise errors.BackupFailed(
                    "Another run has written a backup under this name; no backup was made.",
                    evidence={"bucket": self._bucket.name, "object": key},
                    next_step="just backup-db",
                ) from None

    def _is_ours(self, key: str) -> bool:
        found = self._bucket.head(key)
        return found is not None and found.get("Metadata", {}).get(WRITER) == self._mark


class Part(io.RawIOBase):
    """A part of a file, read as it is sent: parts of large files are too large to hold."""

    def __init__(self, path: Path, start: int, size: int) -> None:
        super().__init__()
        self._file = path.open("rb", buffering=0)
        self._start, self._at = start, 0
        self.size = max(0, min(size, os.fstat(self._file.fileno()).st_size - start))

    def digest(self, whole: Any) -> str:
        """Return the part's Content-MD5, and add its bytes to the hash of the whole file."""
        md5 = hashlib.md5(usedforsecurity=False)
        while chunk := self.read(CHUNK):
            md5.update(chunk)
            whole.update(chunk)
        self.seek(0)
        return base64.b64encode(md5.digest()).decode()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        room = memoryview(buffer)[: max(0, self.size - self._at)]
        count = os.preadv(self._file.fileno(), [room], self._start + self._at) if room else 0
        self._at += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class _Workers:
    """A few threads, with no more handed to them than they can soon begin; the first failure ends all."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(s3_client.WORKERS)
        self._room = threading.Semaphore(2 * s3_client.WORKERS)
        self._failed: list[BaseException] = []

    def submit(self, work: Callable[[], Any]) -> "Future[Any]":
        self._room.acquire()
        if self._failed:
            raise self._failed[0]
        future = self._pool.submit(work)
        future.add_done_callback(self._ended)
        return future

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        if kind is None and self._failed:
            raise self._failed[0]

    def _ended(self, future: "Future[Any]") -> None:
        self._room.release()
        if not future.cancelled() and (error := future.exception()):
            self._failed.append(error)


def metadata_of(text: bytes) -> dict[str, str]:
    return {SHA256: hashlib.sha256(text).hexdigest()}


def part_size(size: int) -> int:
    return max(SMALLEST_PART, -(-size // MOST_PARTS))


def is_there(bucket: Bucket, base: str, one: StoredFile) -> bool:
    """Return whether an object has the size and, as its writer noted it, the checksum of this file."""
    found = bucket.head(base + one.name)
    return found is not None and (found["ContentLength"], found.get("Metadata", {}).get(SHA256)) == (one.bytes, one.checksum)


def download(bucket: Bucket, key: str, path: Path, most: int) -> str:
    """Write an object to a file and return the SHA-256 of its bytes; a stream that is cut is taken up where it ended."""
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - see s3_client

    sha, cuts = hashlib.sha256(), 0
    with path.open("xb") as file:
        while True:
            start = file.tell()
            try:
                _read(bucket, key, sha, file, most)
            except BotoCoreError:
                cuts = 1 if file.tell() > start + CHUNK else cuts + 1
                if cuts >= s3_client.ATTEMPTS:
                    raise
            else:
                return sha.hexdigest()


def _read(bucket: Bucket, key: str, sha: Any, file: Any, most: int) -> None:
    """Read on from where the file ends, and little more than there should be."""
    span = {"Range": f"bytes={file.tell()}-"} if file.tell() else {}
    body = bucket.client.get_object(Bucket=bucket.name, Key=key, **span)["Body"]
    with contextlib.closing(body):
        while file.tell() <= most and (chunk := body.read(CHUNK)):
            sha.update(chunk)
            file.write(chunk)


def _put_part(bucket: Bucket, part: Part, md5: str, same: dict[str, Any]) -> str:
    with contextlib.closing(part):
        return str(bucket.client.upload_part(Body=part, ContentMD5=md5, ContentLength=part.size, **same)["ETag"])


def _demand(one: StoredFile, size: int, checksum: str) -> None:
    """Demand that what was read to be sent is what was written: a disk may lose bytes in between."""
    if (size, checksum) != (one.bytes, one.checksum):
        raise errors.BackupFailed(
            "A file of the backup is not what was written; no backup was made.",
            evidence={"file": one.name},
            next_step="look at this machine's disk, then: just backup-db",
        )
