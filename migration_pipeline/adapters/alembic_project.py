"""The pipeline's side of an Alembic project: starts the runner in the project's interpreter and answers its questions.

Never holds the transaction: the runner does. Never lets a message of the project through unread: row values may be in it.
"""

import contextlib
import json
import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from migration_pipeline import errors
from migration_pipeline.domain import redaction
from migration_pipeline.domain.connection import Connection

RUNNER = Path(__file__).parent.parent / "runner.py"
#: A transaction that begins behind a hidden ROLLBACK, and autocommit after it, can write nothing; ours begins with READ WRITE.
SESSION_OPTIONS = "-c default_transaction_read_only=on"
FUSE_SQLSTATE = "MP001"  #: raised by the commit fuse, see transaction.py
END_SECONDS = 5  # how long a runner that was told to end has, before it is killed
PLAN_SECONDS = 30.0  # how long a plan may take: it holds a transaction open on the live database
DRIVERS = ("psycopg2", "psycopg", "asyncpg")

URL_SCHEME = re.compile(r"postgres(?:ql)?(?:\+(\w+))?://")

type_of_message = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Project:
    """An Alembic project, and the interpreter that its revisions are written for."""

    config: Path
    python: Path
    live: Connection  #: what the project must never reach by itself: its password leaves the runner's environment
    driver: str = ""  #: the driver that the project's own URL names; empty: the runner's choice
    target: str = ""  #: the Target's name, by which its connections are found on the server


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

    def __init__(self, sqlstate: str | None, message: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class RunFailed(errors.ProjectFailed):
    """The project's revisions did not run to their end; the transaction was rolled back."""

    def __init__(self, *, told: type_of_message, **parts: Any) -> None:
        super().__init__(**parts)
        self.told = told

    @property
    def stopped(self) -> str | None:
        """The kind of Stop that ended the run, or None when the project itself failed."""
        return self.told.get("stopped")

    @property
    def sqlstate(self) -> str | None:
        return (self.told.get("database") or {}).get("sqlstate")


class TimedOut(errors.ProjectFailed):
    """The time limit of the transaction has passed."""


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
        self.send(query=sql)
        reply = self.receive()
        if "error" in reply:
            told = reply["error"]
            message = redaction.server_message(told.get("sqlstate") or "", told.get("message_primary") or told["type"])
            raise QueryFailed(told.get("sqlstate"), message)
        rows: list[list[Any]] = reply["rows"]
        return rows

    def send(self, **message: Any) -> None:
        assert self._process.stdin is not None  # noqa: S101
        with contextlib.suppress(BrokenPipeError):  # its end is read, and told, by `receive`
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def receive(self) -> type_of_message:
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
        message: type_of_message = json.loads(line)
        return message

    def _died(self) -> errors.ProjectFailed:
        code = self._process.wait(END_SECONDS)
        return errors.ProjectFailed(
            "The project's interpreter ended in the middle of the run; the server rolls its transaction back.",
            evidence={
                "interpreter": self._project.python,
                "ended by": signal.Signals(-code).name if code < 0 else f"exit code {code}",
            },
            next_step="check PROJECT_PYTHON: it must be a Python 3.8 or newer with the project's packages",
        )


def run(
    project: Project,
    connection: Connection,
    *,
    mode: str,
    revision: str,
    observer: Observer,
    limit_seconds: float | None = None,
) -> bool:
    """Run the pending revisions up to `revision` on a database, asking `observer`; return whether it was committed.

    Raise RunFailed when the project or a Stop ended the run (it is rolled back then), ProjectFailed when the runner died.
    """
    with running(project, connection, mode=mode, revision=revision, limit_seconds=limit_seconds) as session:
        while True:
            message = session.receive()
            if message.get("event") == "ended":
                if message["error"] is not None:
                    raise failed(project, message["error"])
                return bool(message["how"] == "committed")
            answer(session, observer, message)


def plan(
    project: Project, connection: Connection, revision: str, observer: Observer, *, preview: bool = False
) -> type_of_message:
    """Ask the project which revisions are pending, in a transaction that cannot write.

    With `preview`, their upgrade functions are called too, as far as they come in time without being able to write.
    """
    facts: type_of_message | None = None
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


def answer(session: Session, observer: Observer, message: type_of_message) -> None:
    """Answer one question of the runner."""
    reply: type_of_message = {"answer": "go"}
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
    project: Project, connection: Connection, *, mode: str, revision: str, limit_seconds: float | None
) -> Iterator[Session]:
    """Start the runner and tell it what to do; whatever happens, no process of it is left behind."""
    process = spares.take(project)
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
        session.send(**order(project, connection, mode=mode, revision=revision))
        yield session
        _end(process, kill=False)
    finally:
        _end(process, kill=True)


class Spares:
    """Runners that are started before they are needed: an interpreter with Alembic takes most of a second to start."""

    def __init__(self) -> None:
        self._spares: list[tuple[Project, subprocess.Popen[bytes]]] = []
        self._more = 0

    def prepare(self, project: Project, count: int) -> None:
        """Keep one runner ahead, for the next `count` runs of this project."""
        self._more = count
        self._refill(project)

    def take(self, project: Project) -> "subprocess.Popen[bytes]":
        """Return a runner that waits for its order."""
        found = next((one for one in self._spares if one[0] == project), None)
        if found is None:
            return spawn(project)
        self._spares.remove(found)
        self._refill(project)
        return found[1]

    def discard(self) -> None:
        self._more = 0
        while self._spares:
            _end(self._spares.pop()[1], kill=True)

    def _refill(self, project: Project) -> None:
        if self._more:
            self._more -= 1
            self._spares.append((project, spawn(project)))


spares = Spares()


def spawn(project: Project) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [str(project.python), str(RUNNER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # the project's own words may hold row values and passwords
        env=environment(os.environ, project.live),
        start_new_session=True,
    )


def order(project: Project, connection: Connection, *, mode: str, revision: str) -> type_of_message:
    """Return what the runner is told at its start. It travels through a pipe: nothing of it is on a command line."""
    urls = {driver: connection.driver_url(driver) for driver in DRIVERS}
    return {
        "mode": mode,
        "config": str(project.config),
        "folder": str(project.config.parent),
        "revision": revision,
        "driver": project.driver,
        "urls": urls,
        "connection": {
            **keywords(connection),
            "application_name": f"migration_pipeline {mode} {project.target or connection.database}"[:63],
        },
        "asyncpg_url": connection.asyncpg_dsn(with_password=True),
        "environment": redirected(os.environ, connection) | {"DATABASE_URL": connection.driver_url(project.driver)},
    }


def keywords(connection: Connection) -> dict[str, str]:
    """Return how the runner connects. Read-only unless a transaction says otherwise, and only ours does."""
    found = connection.keywords(with_password=True) | passfile(connection, os.environ)
    return found | {"options": f"{found.get('options', '')} {SESSION_OPTIONS}".strip()}


def passfile(connection: Connection, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the passfile for a connection without a password: the runner's own environment does not lead to it."""
    if connection.password is not None or "passfile" in connection.parameters:
        return {}
    return {"passfile": environ.get("PGPASSFILE") or str(Path.home() / ".pgpass")}


def redirected(environ: Mapping[str, str], connection: Connection) -> dict[str, str]:
    """Return the environment's PostgreSQL URLs, each with the named database in the place of its own, without a password."""
    schemes = {name: URL_SCHEME.match(value) for name, value in environ.items()}
    return {name: connection.driver_url(found[1] or "") for name, found in schemes.items() if found}


def environment(environ: Mapping[str, str], live: Connection) -> dict[str, str]:
    """Return the environment without what could lead the project to the live database: PG* variables, URL and password."""
    password = live.password
    kept = {name: value for name, value in environ.items() if not (name.startswith("PG") or URL_SCHEME.match(value))}
    if password:
        kept = {name: value for name, value in kept.items() if password not in value}
    return {**kept, "PGPASSFILE": os.devnull, "PYTHONDONTWRITEBYTECODE": "1"}


def failed(project: Project, told: type_of_message) -> RunFailed:
    """Put what the runner told of a failure into words that hold no row values."""
    database = told.get("database") or {}
    revision = told.get("revision")
    source = _source(told.get("frames") or [], project.config.parent)
    evidence: dict[str, object] = {}
    statement = told.get("statement") or database.get("statement")
    if told.get("stopped"):
        what = f'Revision "{revision}": {told["message"]}.' if revision else f"env.py: {told['message']}."
    else:
        what = f'Revision "{revision}" failed.' if revision else "The project failed outside its revisions."
        if told.get("message") is not None:
            frames = told.get("frames") or []
            evidence["error"] = _said(told, source, own=bool(frames) and _is_own(frames[-1][0], project.config.parent))
    if statement:
        evidence["statement"] = redaction.one_line(redaction.statement(statement, source))
    if database.get("message_primary"):
        sqlstate = database.get("sqlstate") or ""
        raised_by_user = database.get("source_function") == "exec_stmt_raise"  # RAISE may borrow any code
        if sqlstate == FUSE_SQLSTATE:
            message = database["message_primary"]
        else:
            message = redaction.server_message(
                sqlstate, database["message_primary"], source=source, raised_by_user=raised_by_user
            )
        evidence["server"] = f"{sqlstate} {message}".strip()
    evidence |= {name: database[f"{name}_name"] for name in ("table", "constraint") if database.get(f"{name}_name")}
    where = _last_frame(told.get("frames") or [], project.config.parent)
    if where:
        evidence["file"] = where
    return RunFailed(told=told, what=what, evidence=evidence)


def _said(told: type_of_message, source: str, *, own: bool) -> str:
    """Return an exception's type and, where it can hold no row's value, its message; `own`: the project's code raised it."""
    kind = told["type"].rpartition(".")[2]
    if kind == "KeyError" and not told["connected"]:  # no row was read yet: it names a variable or a setting
        return f"KeyError: {redaction.one_line(told['message'])}"
    may_hold_rows = told["revision"] is not None or (told["connected"] and own)
    return f"{kind}: {redaction.exception_message(told['type'], told['message'], source, may_hold_rows=may_hold_rows)}"


def _last_frame(frames: Sequence[Sequence[Any]], folder: Path) -> str | None:
    own = [frame for frame in frames if _is_own(frame[0], folder)]
    return f"{own[-1][0]}, line {own[-1][1]}" if own else None


def _source(frames: Sequence[Sequence[Any]], folder: Path) -> str:
    """Return the text of the project's files that the failure went through: what stands in them is code, not patient data."""
    files = {frame[0] for frame in frames if _is_own(frame[0], folder)}
    texts = []
    for file in sorted(files):
        with contextlib.suppress(OSError):
            texts.append(Path(file).read_text("utf-8", "replace"))
    return "\n".join(texts)


def _is_own(file: str, folder: Path) -> bool:
    return (
        Path(file) != RUNNER
        and ("site-packages" not in file or "versions" in file)
        and "importlib" not in file
        and str(folder) in file
    )


def _end(process: "subprocess.Popen[bytes]", *, kill: bool) -> None:
    """Wait for the runner's end; with `kill`, end it and its children now."""
    if process.stdin and not process.stdin.closed:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    if not kill:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # also when it has ended: what a revision started is in its group
    process.wait()
    if process.stdout:
        process.stdout.close()
