"""Runs the commands of an operator's backup system: what they print is believed as far as it can be checked, and never repeated.

A command that can be shown its error ends with the line `NAME: error: TEXT` on stderr. Nothing else of stderr is shown: it
may hold rows or secrets.
"""

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pydantic

from migration_pipeline import errors
from migration_pipeline.adapters import belongings
from migration_pipeline.domain import redaction
from migration_pipeline.domain.backups import words

CHUNK = 1 << 16
MOST_OUTPUT = 16 << 20  # a hundred thousand backups
MOST_ANSWER = 1 << 16
MOST_STDERR = 1 << 16
POLL_SECONDS = 0.05
END_SECONDS = 10  # how long a program that was told to end has, before it is killed

#: How a program, and how pgBackRest, says its own error.
TOLD = re.compile(r"^[\w.-]{1,60}: error: (.+)$|ERROR: (\[\d{3}\]: .+)$")
#: A server's words in it: with an SQLSTATE it is known what they may hold.
SERVER = re.compile(r"(?:ERROR|FATAL|PANIC|DETAIL|CONTEXT|STATEMENT):\s+(?:([0-9A-Z]{5}): )?(.*)")
#: What may be a secret or a row's value all the same: URLs, words in quotes, what follows a key.
UNSHOWN = re.compile(r"""\S*://\S*|"[^"]*"?|'[^']*'?|(?<==)(?:\([^)]*\)?|\S+)|(?i:(?<=password )|(?<=password: ))\S+""")

Printed = TypeVar("Printed")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What is said when a command fails."""

    verb: str
    error: type[errors.Failure]
    so: str  #: the sentence's end


@dataclass(frozen=True, kw_only=True)
class Order:
    """One call of a command."""

    kind: Kind
    command: Sequence[str]
    environ: Mapping[str, str]
    limit: timedelta  #: how long it may take to print what it has to
    #: How long it may take to end when its input does; None: it has no input, and is ended at once.
    stops_within: timedelta | None = None

    @property
    def program(self) -> str:
        return Path(self.command[0]).name


@contextlib.contextmanager
def started(order: Order, *, secret: str | None) -> Iterator["Running"]:
    """Start a program in a group of its own; in the end nothing of the group is left.

    One that has to clean up is told by the end of its input, whether we close it or die. It is not tethered: the kernel
    would end it together with the thread that started it, and before it had taken its copy away.
    """
    program = shutil.which(order.command[0])
    if program is None:
        raise errors.Failure(
            f"The program of the backup system's command {order.kind.verb} was not found.",
            evidence={"program": order.program},
            next_step=f"name a program that can be run in backup_system.{order.kind.verb}",
        )
    command = [program, *order.command[1:]]
    with belongings.private_folder() as folder:
        with (folder / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                command if order.stops_within else belongings.tethered(command),
                env=order.environ,
                stdin=subprocess.PIPE if order.stops_within else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                bufsize=0,
                start_new_session=True,
            )
        running = Running(process, order, folder / "stderr", secret)
        try:
            yield running
        finally:
            running.end()


class Running:
    """A command at work."""

    def __init__(self, process: "subprocess.Popen[bytes]", order: Order, stderr: Path, secret: str | None) -> None:
        assert process.stdout is not None  # noqa: S101
        self._process = process
        self._stdout = process.stdout
        self._order = order
        self._stderr = stderr
        self._secret = secret
        self._deadline = time.monotonic() + order.limit.total_seconds()

    def output(self) -> bytes:
        """Return all that the command prints; it must end well."""
        text = self._read(MOST_OUTPUT, until_line=False)
        while self._process.poll() is None:
            self._check_time()
            time.sleep(POLL_SECONDS)
        if self._process.returncode:
            raise self.failure("failed")
        return text

    def line(self) -> bytes:
        """Return the line that the command prints while it runs on."""
        text = self._read(MOST_ANSWER, until_line=True)
        if b"\n" not in text:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_SECONDS)  # it has closed its output: most likely it ends
            raise self.failure("ended before its copy was ready")
        return text.partition(b"\n")[0]

    def understood(self, adapter: "pydantic.TypeAdapter[Printed]", text: bytes) -> Printed:
        """Return what was printed; say where it is wrong, and not what stands there."""
        try:
            return adapter.validate_json(text, strict=True)
        except pydantic.ValidationError as wrong:
            first = wrong.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "output"
            raise self.failure("printed what cannot be understood", {place: first["msg"]}) from None

    def failure(self, what: str, evidence: Mapping[str, object] | None = None) -> errors.Failure:
        """Return the error that a command makes."""
        kind = self._order.kind
        found: dict[str, object] = {"program": self._order.program}
        if code := self._process.poll():
            found["ended by"] = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        found |= evidence or {}
        if told := self._told():
            found["error"] = told
        return kind.error(
            f"The backup system's command {kind.verb} {what}; {kind.so}.",
            evidence=found,
            next_step=f"mend it: docs/own-backup-system.md says what {kind.verb} must do",
        )

    def end(self) -> None:
        """Let the program end by itself where it has to clean up, then make it; what it started goes with it."""
        if self._process.stdin:
            self._process.stdin.close()
        patience = self._order.stops_within.total_seconds() if self._order.stops_within else 0
        for number, seconds in ((None, patience), (signal.SIGTERM, END_SECONDS), (signal.SIGKILL, END_SECONDS)):
            with contextlib.suppress(subprocess.TimeoutExpired, ProcessLookupError, PermissionError):
                if number is signal.SIGKILL or (number and self._process.poll() is None):
                    os.killpg(self._process.pid, number)  # in the end also when it is gone: its group may not be
                self._process.wait(seconds)
        self._stdout.close()

    def _read(self, most: int, *, until_line: bool) -> bytes:
        text = bytearray()
        while not (until_line and b"\n" in text):
            self._check_time()
            has_ended = self._process.poll() is not None
            if not select.select([self._stdout], [], [], 0 if has_ended else POLL_SECONDS)[0]:
                if has_ended:  # what it left behind may hold the pipe open for ever
                    break
                continue
            part = os.read(self._stdout.fileno(), CHUNK)
            if not part:
                break
            text += part
            if len(text) > most:
                raise self.failure(f"printed more than {most:,} bytes")
        return bytes(text)

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise self.failure(f"was not done after {words(self._order.limit)}")

    def _told(self) -> str:
        """Return the error in the last line of stderr, without what may be a secret or a row's value."""
        with self._stderr.open("rb") as file:
            file.seek(max(0, self._stderr.stat().st_size - MOST_STDERR))
            lines = file.read(MOST_STDERR).decode("utf-8", "replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "")
        if server := SERVER.match(last):
            found = TOLD.match(last)
            return redaction.server_message(server[1] or "", server[2]) if found is None else self._shown(found[2])
        found = TOLD.search(last)
        return self._shown(found[1] or found[2]) if found else ""

    def _shown(self, text: str) -> str:
        server = SERVER.search(text)
        own = text[: server.start()] if server else text
        if self._secret:
            own = own.replace(self._secret, redaction.HIDDEN)
        own = UNSHOWN.sub(redaction.HIDDEN, own)
        return redaction.one_line(own + (redaction.server_message(server[1] or "", server[2]) if server else ""))
