"""pg_dump and pg_dumpall: takes a dump in one of the layouts, and what stands beside it.

https://www.postgresql.org/docs/current/app-pgdump.html
"""

import contextlib
import hashlib
import io
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO, cast

from migration_pipeline import errors
from migration_pipeline.adapters import client, storage, streams
from migration_pipeline.domain.backups import Form, Layout, StoredFile
from migration_pipeline.domain.connection import Connection

LOCK_WAIT = "10s"  # a dump that waits behind somebody's ACCESS EXCLUSIVE lock makes everybody wait behind itself


@dataclass(frozen=True, kw_only=True)
class Dump:
    """A dump that is to be taken: of which snapshot, in which form, into which folder."""

    connection: Connection
    programs: Path
    snapshot: str
    form: Form
    folder: Path
    backup_id: str
    progress: Callable[[int], None]

    @property
    def path(self) -> Path:
        return self.folder / self.form.name(self.backup_id)

    def command(self, *more: str | Path) -> list[str | Path]:
        wait = f"--lock-wait-timeout={LOCK_WAIT}"
        return [self.programs / "pg_dump", "--no-password", f"--snapshot={self.snapshot}", wait, *more]


@contextlib.contextmanager
def in_background(ordered: Dump) -> Iterator["Future[tuple[StoredFile, ...]]"]:
    """Dump in a thread while the caller reads the same snapshot; leaving the block in any way ends the dump."""
    stop = threading.Event()
    running: list[client.Process] = []

    def started(process: client.Process) -> None:
        running.append(process)
        if stop.is_set():
            raise errors.BackupFailed("The backup was stopped; no backup was made.")

    with ThreadPoolExecutor(1, thread_name_prefix="dump") as pool:
        future = pool.submit(take, ordered, started)
        try:
            yield future
        finally:
            stop.set()
            for process in running:  # the thread itself may be waiting for bytes that are long in coming
                client.end(process)


def take(ordered: Dump, started: Callable[[client.Process], None]) -> tuple[StoredFile, ...]:
    """Take the dump; return its files. Raise BackupFailed."""
    if ordered.form.layout is Layout.DIRECTORY:
        return _directory(ordered, started)
    descriptor = os.open(ordered.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        if ordered.form.layout is Layout.PLAIN and not ordered.form.recipients:
            size, checksum = _plain(ordered, cast("BinaryIO", file), started)
        else:
            size, checksum = _streamed(ordered, cast("BinaryIO", file), started)
        os.fsync(file.fileno())
    return (StoredFile(name=ordered.path.name, bytes=size, checksum=checksum),)


def beside(ordered: Dump, suffix: str, text: bytes) -> StoredFile:
    """Write a small file that belongs to the dump, encrypted as it is."""
    recipients = ordered.form.recipients
    path = ordered.folder / ordered.form.beside(ordered.backup_id, suffix)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        size, checksum = streams.write(io.BytesIO(text), cast("BinaryIO", file), compress=False, recipients=recipients)
        os.fsync(file.fileno())
    return StoredFile(name=path.name, bytes=size, checksum=checksum)


def roles(connection: Connection, programs: Path) -> bytes:
    """Return what pg_dumpall says of the server's roles, without their passwords. Raise BackupFailed.

    https://www.postgresql.org/docs/current/app-pg-dumpall.html
    """
    command: list[str | Path] = [programs / "pg_dumpall", "--no-password", "--globals-only", "--no-role-passwords"]
    command += [f"--database={connection.database}"]  # a name; it would connect to postgres, where we may not be let in
    with client.started(command, connection, stdout=subprocess.PIPE) as (process, stderr):
        assert process.stdout is not None  # noqa: S101
        text = process.stdout.read()
        if process.wait():
            raise _failed("pg_dumpall", process, stderr)
    return text


def version(programs: Path) -> str:
    """Return what pg_dump says of its version."""
    done = subprocess.run([programs / "pg_dump", "--version"], capture_output=True, text=True, check=True)
    return done.stdout.strip().rpartition("PostgreSQL) ")[2]


def _plain(ordered: Dump, into: BinaryIO, started: Callable[[client.Process], None]) -> tuple[int, str]:
    """Let pg_dump write the file itself, and read behind it from the page cache.

    Through a pipe, its small writes cost twice the CPU of the whole dump (measured on 1 GB).
    """
    behind = _Behind(into.fileno())
    with client.started(ordered.command(), ordered.connection, stdout=into.fileno()) as (process, stderr):
        started(process)
        while process.poll() is None:
            ordered.progress(behind.catch_up())
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(client.POLL_SECONDS)
        written = behind.catch_up()
        if process.returncode:
            raise _failed("pg_dump", process, stderr)
    return written, behind.hexdigest


def _streamed(ordered: Dump, into: BinaryIO, started: Callable[[client.Process], None]) -> tuple[int, str]:
    """Compress and encrypt what comes out of pg_dump: nothing is on the disk that is not encrypted."""
    with client.started(ordered.command(), ordered.connection, stdout=subprocess.PIPE) as (process, stderr):
        started(process)
        assert process.stdout is not None  # noqa: S101
        source = streams.Counted(cast("BinaryIO", process.stdout), ordered.progress)
        compress = ordered.form.layout is Layout.PLAIN_ZSTD
        written = streams.write(cast("BinaryIO", source), into, compress=compress, recipients=ordered.form.recipients)
        if process.wait():  # a stream that ends early is no dump
            raise _failed("pg_dump", process, stderr)
    return written


def _directory(ordered: Dump, started: Callable[[client.Process], None]) -> tuple[StoredFile, ...]:
    """Dump with several connections into a folder, and hash what lies there."""
    compress = "zstd:1" if _knows_zstd(ordered.programs) else "1"
    more = ("--format=directory", f"--jobs={ordered.form.jobs}", f"--compress={compress}", f"--file={ordered.path}")
    with client.started(ordered.command(*more), ordered.connection) as (process, stderr):
        started(process)
        while process.poll() is None:
            ordered.progress(sum(path.stat().st_size for path in _parts(ordered.path)))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
        if process.returncode:
            raise _failed("pg_dump", process, stderr)
    with ThreadPoolExecutor(ordered.form.jobs) as pool:
        return tuple(pool.map(_hashed, _parts(ordered.path)))


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _hashed(path: Path) -> StoredFile:
    return StoredFile(name=f"{path.parent.name}/{path.name}", bytes=path.stat().st_size, checksum=storage.checksum(path))


@cache
def _knows_zstd(programs: Path) -> bool:
    """Return whether this pg_dump was built with zstd: it says so before it connects to anything."""
    nowhere = {"PGHOST": "/nonexistent", "LC_ALL": "C"}
    command: list[str | Path] = [programs / "pg_dump", "--compress=zstd:1", "--format=custom", "--file=/dev/null"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False, env=nowhere, timeout=20)
    return "connection to server" in tried.stderr


def _failed(program: str, process: client.Process, stderr: Path) -> errors.BackupFailed:
    return errors.BackupFailed(
        f"{program} failed; no backup was made.",
        evidence=client.evidence(process, stderr),
        next_step="mend what is named above, then run the same command again",
    )


class _Behind:
    """The SHA-256 of a file that is still being written."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._digest = hashlib.sha256()
        self._read = 0

    def catch_up(self) -> int:
        """Read what has come; return the bytes read so far."""
        while part := os.pread(self._descriptor, client.CHUNK, self._read):
            self._digest.update(part)
            self._read += len(part)
        return self._read

    @property
    def hexdigest(self) -> str:
        return self._digest.hexdigest()
