r"""psql and pg_restore: restores the files of a backup into an empty database.

A dump from elsewhere could run any command through psql's backslashes: what no manifest vouches for is restricted to SQL.
https://www.postgresql.org/docs/current/app-psql.html, \restrict.
"""

import contextlib
import os
import re
import secrets
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from migration_pipeline import errors
from migration_pipeline.adapters import client, streams
from migration_pipeline.domain.backups import Layout, Manifest
from migration_pipeline.domain.connection import Connection

#: A restore into a database that nobody relies on yet need not wait for its commits to reach the disk.
OPTIONS = f"{client.NOTICE} -c role=none -c synchronous_commit=off -c maintenance_work_mem=256MB"
COPY = re.compile(rb"COPY .* FROM stdin;\s*$")
FINISHED = b"pg_restore: finished item "
#: A server or a connection that gave out, in the codes of psql and in the words of pg_restore, which shows no codes.
#: https://www.postgresql.org/docs/current/errcodes-appendix.html: 08, 53, 57, 58, and a lock that was waited for too long.
GAVE_OUT = re.compile(
    rb"^server closed the connection|^Cancel request sent"
    rb"|(ERROR|FATAL|PANIC|error):\s+((08|53|57|58)...: |55P03: |.*"
    rb"(terminating connection|canceling statement|server closed the connection|connection to server|No space left on device"
    rb"|out of (shared )?memory"
    rb"|could not (extend|write|read|open|create) file|could not write to|the database system is ))"
)
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, kw_only=True)
class Restore:
    """A backup's files, and the empty database that they are to be restored into."""

    manifest: Manifest
    folder: Path  #: where its files are, their bytes proved
    programs: Path
    into: Connection
    identity_file: Path | None = None
    jobs: int = 2
    progress: Progress
    unverified: Path | None = None  #: a plain dump that no manifest vouches for

    @property
    def dump(self) -> Path:
        return self.unverified or self.folder / self.manifest.dump_name


def run(ordered: Restore) -> None:
    """Restore; raise VerificationFailed, with the database left as far as it came; Failure where something else gave out."""
    if ordered.manifest.layout is Layout.DIRECTORY:
        _directory(ordered)
    else:
        _plain(ordered)


def _plain(ordered: Restore) -> None:
    command: list[str | Path] = [ordered.programs / "psql", "--no-psqlrc", "--no-password", "--quiet", "--single-transaction"]
    command += ["--output=/dev/null", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose", "--file=-"]
    total = ordered.manifest.files[0].bytes

    def seen(done: int) -> None:
        ordered.progress("restore" if done < total else "restore: indexes and constraints", done, total)

    if ordered.unverified is None and ordered.dump.suffix == ".sql":
        _from_file(ordered, command, seen)
    else:
        _through_pipe(ordered, command, seen)


def _from_file(ordered: Restore, command: list[str | Path], seen: Callable[[int], None]) -> None:
    """Let psql read the file itself: pumping it through a pipe costs as much CPU as psql does (measured on 1 GB)."""
    with (
        ordered.dump.open("rb", buffering=0) as file,
        client.started(command, ordered.into, options=OPTIONS, stdin=file.fileno()) as (process, stderr),
    ):
        while process.poll() is None:
            seen(os.lseek(file.fileno(), 0, os.SEEK_CUR))  # the position is psql's own
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(client.POLL_SECONDS)
        if process.returncode:
            raise _failed(process, stderr)


def _through_pipe(ordered: Restore, command: list[str | Path], seen: Callable[[int], None]) -> None:
    with client.started(command, ordered.into, options=OPTIONS, stdin=subprocess.PIPE) as (process, stderr):
        assert process.stdin is not None  # noqa: S101
        into = cast("BinaryIO", _Pipe(process))
        try:
            if ordered.unverified:
                _restricted(ordered.unverified, into, seen)
            else:
                streams.copy(ordered.dump, into, identity_file=ordered.identity_file, seen=seen)
        except (errors.VerificationFailed, OSError):
            if not into.closed:
                raise  # it is not psql that has ended
        else:
            process.stdin.close()
        if process.wait():
            raise _failed(process, stderr)


def _directory(ordered: Restore) -> None:
    command: list[str | Path] = [ordered.programs / "pg_restore", "--no-password", "--exit-on-error", "--verbose"]
    command += [f"--jobs={ordered.jobs}", f"--dbname=service={client.SERVICE}", ordered.dump]
    sizes = {Path(one.name).name.partition(".")[0]: one.bytes for one in ordered.manifest.files}
    total, done = sum(sizes.values()), 0
    with client.started(command, ordered.into, options=OPTIONS) as (process, stderr), stderr.open("rb") as told:
        while process.poll() is None:
            for line in told:
                if line.startswith(FINISHED):  # the data of a table lie in a file named like the item
                    done += sizes.get(line[len(FINISHED) :].split(maxsplit=1)[0].decode(), 0)
            ordered.progress("restore", done, total)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(client.POLL_SECONDS)
        if process.returncode:
            raise _failed(process, stderr)


def _restricted(file: Path, into: BinaryIO, seen: Callable[[int], None]) -> None:
    r"""Send a dump to psql between our own \restrict and \unrestrict: its own pair, with a key that it knows, is left out.

    Inside the data of a COPY the same words are a value: a carriage return and "estrict".
    """
    key, in_data, done = secrets.token_hex(32).encode(), False, 0
    into.write(b"\\restrict " + key + b"\n")
    with file.open("rb") as lines:
        for line in lines:
            done += len(line)
            if in_data:
                in_data = line.rstrip(b"\r\n") != b"\\."
            elif line.startswith((b"\\restrict ", b"\\unrestrict ")):
                continue
            else:
                in_data = COPY.match(line) is not None
            into.write(line)
            seen(done)
    into.write(b"\n\\unrestrict " + key + b"\n")


class _Pipe:
    """What a program reads; `closed` once it reads no more."""

    def __init__(self, process: client.Process) -> None:
        self._process = process
        self.closed = False

    def write(self, part: bytes) -> int:
        assert self._process.stdin is not None  # noqa: S101
        view = memoryview(part)
        try:
            while view:
                view = view[self._process.stdin.write(view) :]
        except BrokenPipeError:
            self.closed = True
            raise
        return len(part)

    def flush(self) -> None:
        """Do nothing: nothing is held back."""


def _failed(process: client.Process, stderr: Path) -> errors.Failure:
    """Say that the backup could not be restored; or, where the program or the server gave out, only that it was not."""
    evidence = client.evidence(process, stderr)
    with stderr.open("rb") as lines:
        if process.returncode < 0 or any(GAVE_OUT.search(line) for line in lines):
            return errors.Failure(
                "The restore was cut off: that says nothing about the backup.",
                evidence=evidence,
                next_step="mend what is named above, then run the same command again",
            )
    return errors.VerificationFailed("The backup could not be restored.", evidence=evidence)
