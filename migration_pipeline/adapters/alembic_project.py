"""The pipeline's side of an Alembic project: starts the runner in the project's interpreter and answers its questions.

Never holds the transaction: the runner does. Never lets a message of the project through unread: row values may be in it.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from migration_pipeline import errors
from migration_pipeline.adapters import runner_process
from migration_pipeline.adapters.failed_run import Message, failed
from migration_pipeline.adapters.runner_process import END_SECONDS, Project
from migration_pipeline.domain import redaction
from migration_pipeline.domain.connection import Connection

RENDER_SECONDS = 120.0  # how long a whole history may take: thousands of revisions
PLAN_SECONDS = 30.0  # how long a plan may take: it holds a transaction open on the live database
NOWHERE = Connection.from_url("postgresql://nobody@127.0.0.1:1/nowhere")  # where a render would connect: nobody listens there

#: How our own SQL in the runner's session begins: who looks at that session tells it from the project's.
OWN = "/* measured by the pipeline */ "


class Stop(Exception):
    """The answer "stop" to a question: this statement must not be sent."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


class Observer(Protocol):
    """Who answers the runner's questions. Each method may raise Stop."""

    def connected(self, session: "Session") -> None: ...
    def begin(self, session: "Session", heads: tuple[str, ...], revisions: tuple[str, ...]) -> None: ...
    def statement(self, session: "Session", sql: str, *, has_parameters: bool, revision: str | None, own: bool) -> str | None:
        """Return None to send the statement as it is, or what to send in its place."""

    def revision(self, session: "Session", revision: str) -> None: ...
    def applied(self, session: "Session", revision: str) -> None: ...
    def finish(self, session: "Session") -> bool:
        """Return whether to commit."""


class QueryFailed(Exception):
    """One of our own queries failed inside the runner's transaction."""

    def __init__(self, sqlstate: str | None, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.kind = kind  #: the driver's class of error


class TimedOut(errors.ProjectFailed):
    """The time limit of the transaction has passed."""


class Died(errors.ProjectFailed):
    """The project's interpreter ended in the middle of the run."""

    @property
    def ended_by(self) -> str:
        """A signal, or an exit code."""
        return self.evidence["ended by"]


class Session:
    """One runner: a conversation with the project's interpreter."""

    def __init__(self, process: "subprocess.Popen[bytes]", project: Project, deadline: float | None) -> None:
        self._process = process
        self._project = project
        self._deadline = deadline
        self._buffer = b""
        self._selector = selectors.DefaultSelector()
        assert process.stdout is not None  # noqa: S101 - Popen was given a pipe
        self._out = process.stdout.fileno()
        self._selector.register(self._out, selectors.EVENT_READ)

    def query(self, sql: str) -> list[list[Any]]:
        """Run our own SQL inside the runner's transaction; raise QueryFailed."""
        self.send(query=f"{OWN}{sql}")
        reply = self.receive()
        if reply.get("event") == "ended":  # something ended the run while it waited for us
            raise failed(self._project, reply["error"])
        if "error" in reply:
            told = reply["error"]
            message = redaction.server_message(told.get("sqlstate") or "", told.get("message_primary") or told["type"])
            raise QueryFailed(told.get("sqlstate"), message, told["type"])
        rows: list[list[Any]] = reply["rows"]
        return rows

    def send(self, **message: Any) -> None:
        assert self._process.stdin is not None  # noqa: S101
        with contextlib.suppress(BrokenPipeError):  # its end is read, and told, by `receive`
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def receive(self) -> Message:
        """Return the next message; raise ProjectFailed when there is none before the deadline or the process's end."""
        while b"\n" not in self._buffer:
            left = None if self._deadline is None else self._deadline - time.monotonic()
            if left is not None and (left <= 0 or not self._selector.select(left)):
                raise TimedOut
            more = os.read(self._out, 1 << 16)
            if not more:
                raise self._died()
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            message: Message = json.loads(line)
        except ValueError:
            raise errors.ProjectFailed(
                "The project wrote into the pipe from its interpreter to us; the server rolls its transaction back.",
                next_step="find what writes to file descriptors that it did not open, then: just plan",
            ) from None
        return message

    def kill(self) -> None:
        """End the runner now: what it could still do is of no use."""
        runner_process.end(self._process, kill=True)

    def limit(self, seconds: float | None) -> None:
        """Let `receive` wait for so long from now on."""
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def _died(self) -> errors.ProjectFailed:
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return errors.ProjectFailed(
                "The project's interpreter closed the pipe to us and ran on; the server rolls its transaction back.",
                evidence={"interpreter": self._project.python},
                next_step="find what closes file descriptors that it did not open, then run the same command again",
            )
        return Died(
            "The project's interpreter ended in the middle of the run; the server rolls its transaction back.",
            evidence={
                "interpreter": self._project.python,
                "ended by": signal.Signals(-code).name if code < 0 else f"exit code {code}",
            },
            next_step="find out what ended it (out of memory? the kernel's log says so), then: just migrate"
            if code < 0
            else "check PROJECT_PYTHON: it must be a Python 3.8 or newer with the project's packages",
        )


def run(
    project: Project,
    connection: Connection,
    *,
    mode: str,
    revision: str,
    observer: Observer,
    limit_seconds: float | None = None,
    only: Sequence[str] | None = None,
    alone: bool = False,
) -> bool:
    """Run the pending revisions up to `revision` on a database, asking `observer`; return whether it was committed.

    `only`: these of them. `alone`: without a transaction; what was sent is committed then, whatever is returned or raised.

    Raise RunFailed when the project or a Stop ended the run (it is rolled back then), ProjectFailed when the runner died.
    """
    more = {"only": only, "alone": alone}
    with running(project, connection, mode=mode, revision=revision, limit_seconds=limit_seconds, **more) as session:
        while True:
            message = session.receive()
            if message.get("event") == "ended":
                if message["error"] is not None:
                    raise failed(project, message["error"])
                return bool(message["how"] == "committed")
            answer(session, observer, message)


def plan(project: Project, connection: Connection, revision: str, observer: Observer, *, preview: bool = False) -> Message:
    """Ask the project which revisions are pending, in a transaction that cannot write.

    With `preview`, their upgrade functions are called too, as far as they come in time without being able to write.
    """
    facts: Message | None = None
    mode = "preview" if preview else "plan"
    try:
        with running(project, connection, mode=mode, revision=revision, limit_seconds=PLAN_SECONDS) as session:
            while (message := session.receive()).get("event") != "ended":
                if message.get("event") == "plan":
                    facts = {**message, "previewed": []}
                elif message.get("event") == "previewed" and facts is not None:
                    facts["previewed"].append(message["revision"])
                else:
                    answer(session, observer, message)
    except TimedOut:
        if facts is not None:  # what is not previewed needs a rehearsal to be known
            return facts
        raise TimedOut(
            f"The project did not say within {PLAN_SECONDS:.0f} s what is pending.",
            next_step="find out what env.py waits for, then: just plan",
        ) from None
    if message["error"] is not None:
        raise failed(project, message["error"])
    if facts is None:
        raise errors.ProjectFailed("env.py ended without running the migrations.")
    return facts


def render(project: Project) -> Message:
    """Ask the project for its whole history and, under "rendered", for what each revision would send; reach no database.

    What is not rendered when the time is over, or when a revision ended the interpreter, is not in it.
    """
    facts: Message | None = None
    try:
        with running(project, NOWHERE, mode="render", revision="heads", limit_seconds=RENDER_SECONDS) as session:
            while (message := session.receive()).get("event") != "ended":
                if message["event"] == "history":
                    facts = {**message, "rendered": {}}
                elif facts is not None:
                    facts["rendered"][message["revision"]] = message
    except errors.ProjectFailed:
        if facts is None:
            raise
        return facts
    if message["error"] is not None and facts is None:
        raise failed(project, message["error"])
    if facts is None:
        raise errors.ProjectFailed("The project did not tell its history.")
    return facts


def answer(session: Session, observer: Observer, message: Message) -> None:
    """Answer one question of the runner."""
    reply: Message = {"answer": "go"}
    try:
        match message["ask"]:
            case "connected":
                observer.connected(session)
            case "begin":
                observer.begin(session, tuple(message["heads"]), tuple(message["revisions"]))
            case "statement":
                instead = observer.statement(
                    session,
                    message["sql"],
                    has_parameters=message["parameters"],
                    revision=message["revision"],
                    own=message["own"],
                )
                if instead is not None:
                    reply["instead"] = instead
            case "revision":
                observer.revision(session, message["revision"])
            case "applied":
                observer.applied(session, message["revision"])
            case "finish":
                reply["answer"] = "commit" if observer.finish(session) else "roll back"
    except Stop as stop:
        reply = {"answer": "stop", "kind": stop.kind, "reason": stop.reason}
    session.send(**reply)


@contextlib.contextmanager
def running(
    project: Project, connection: Connection, *, mode: str, revision: str, limit_seconds: float | None, **more: Any
) -> Iterator[Session]:
    """Start the runner and tell it what to do; whatever happens, no process of it is left behind."""
    process = runner_process.spares.take(project)
    try:
        deadline = None if limit_seconds is None else time.monotonic() + limit_seconds
        session = Session(process, project, deadline)
        hello = session.receive()
        if hello.get("event") != "hello":
            told = hello.get("error") or {}
            raise errors.ProjectFailed(
                "The project's interpreter cannot run Alembic.",
                evidence={"interpreter": project.python, "error": f"{told.get('type')}: {told.get('message')}"},
                next_step="set PROJECT_PYTHON to the interpreter of the project's own virtual environment",
            )
        session.send(**runner_process.order(project, connection, mode=mode, revision=revision), **more)
        yield session
        runner_process.end(process, kill=False)
    finally:
        runner_process.end(process, kill=True)
