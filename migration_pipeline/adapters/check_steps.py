"""The pipeline's side of a check: says which revision goes up or down next, and how its transaction ends.

Each step has a transaction of its own that stays open until it was looked at. What PostgreSQL or our guard does not let happen
in one is run again as Alembic would run it, with nothing held back.

A step may end the runner, its connection, or never. That is what this step raised, and the run is over: its database is spoiled.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from migration_pipeline import errors
from migration_pipeline.adapters import alembic_project, execution, look_function
from migration_pipeline.adapters.alembic_project import Session, Stop
from migration_pipeline.adapters.failed_run import Message, RunFailed, failed
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.domain import statements
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.downgrade_verdict import Raised
from migration_pipeline.domain.statements import StopKind

#: active_sql_transaction, and a label of an enum that is used where it was added.
OUTSIDE_ONLY = frozenset({"25001", "55P04"})
#: What the guard says of a revision that leaves our transaction.
LEAVES = frozenset({StopKind.TRANSACTION_CONTROL.value, "ends transaction", "second connection"})
START_SECONDS = 120.0  # how long env.py may take before it runs the migrations
READS_ALL = "check as a role that may read every row: a superuser, or one with BYPASSRLS that owns the tables"
OVER = "run is over"  #: the kind of failure after which there is no runner any more


@dataclass(frozen=True, kw_only=True)
class Step:
    """A revision of the project's history."""

    id: str
    down: tuple[str, ...]
    path: str
    title: str


class Steps:
    """One run of the project's env.py, in which revisions go up and down."""

    def __init__(self, session: Session, project: Project, limit: timedelta) -> None:
        self._session = session
        self._project = project
        self._limit = limit
        self.over: RunFailed | None = None  #: what ended the run in the midst of a step
        self.is_alone = False  #: the step that ran last did so with nothing held back; what it did cannot be rolled back
        self._revision: str | None = None
        told = self._history()
        self.heads: list[str] = told["heads"]
        self.version_table = f"{told['version_table_schema']}.{told['version_table']}"
        self.folder: str = told["folder"]
        self.history = [
            Step(id=one["id"], down=tuple(one["down"]), path=one["path"], title="".join(one["title"]))
            for one in told["revisions"]
        ]

    def go_on(self, revision: str) -> RunFailed | None:
        """Run a revision up in the transaction that is open; return what it raised."""
        self._session.send(answer="go on")
        self._next("next")
        return self._order(answer="step", revision=revision, down=False, alone=False, goes_on=True)

    def run(self, revision: str, *, down: bool = False) -> RunFailed | None:
        """Run a revision up or down; return what it raised. Its transaction stays open, or its last one where `is_alone`."""
        self.is_alone = False
        error = self._order(answer="step", revision=revision, down=down, alone=False)
        if error is None or not (error.sqlstate in OUTSIDE_ONLY or error.stopped in LEAVES):
            return error
        fails_under_alembic = not (error.stopped in LEAVES or error.told.get("commits_itself"))
        if down and fails_under_alembic:
            return error
        ended = self.end(commit=False)
        if self.over:
            return ended
        self.is_alone = True
        # An upgrade like that the pipeline runs nevertheless: each statement commits.
        return self._order(answer="step", revision=revision, down=down, alone=True, commits_each=fails_under_alembic)

    def stamp(self, revision: str) -> RunFailed | None:
        """Write into the version table that the database is at a revision."""
        self.is_alone = False
        return self._order(answer="stamp", revision=revision, alone=False)

    def models(self) -> Message:
        """Compare with the models, and put their tables where the migrated ones were; raise what this raises."""
        self.is_alone = False
        told, error = self._told("ran", answer="models", revision="models", alone=False)
        if error:
            raise error
        return told

    def end(self, *, commit: bool) -> RunFailed | None:
        """End the step's transaction; return why it could not be committed."""
        return self.over or self._told("next", answer="commit" if commit else "roll back")[1]

    def kill(self) -> None:
        """End the runner, from another thread: what waits for it learns that it is gone."""
        self._session.kill()

    def query(self, text: str) -> list[list[Any]]:
        """Run our own SQL in the step's transaction, or in one that ends with the next order."""
        self._session.limit(self._limit.total_seconds())
        try:
            return self._session.query(text)
        except alembic_project.TimedOut:
            raise errors.ProjectFailed(
                f"After revision {self._revision} the scratch database could not be read within"
                f" {self._limit.total_seconds():g} s.",
                next_step="look what it has left running that holds locks, then run the same command again",
            ) from None
        finally:
            self._session.limit(None)

    def _order(self, **order: Any) -> RunFailed | None:
        self._revision = order["revision"]
        return self._told("ran", **order)[1]

    def _told(self, question: str, **order: Any) -> tuple[Message, RunFailed | None]:
        """Send an order, and wait so long as a step may take; return what the runner says then, and the error in it."""
        self._session.limit(self._limit.total_seconds())
        self._session.send(**order)
        try:
            message = self._next(question)
            error = failed(self._project, message["error"]) if message["error"] else None
            self.over = error if error and error.was_cut_off else None
        except errors.ProjectFailed as ended:
            message = {}
            self.over = error = ended if isinstance(ended, RunFailed) else self._ended(ended)
        self._session.limit(None)
        if self.over:
            self._session.kill()  # what the server still does for it ends when the database is dropped
        return message, error

    def _ended(self, error: errors.ProjectFailed) -> RunFailed:
        """Say what has ended the runner in the midst of a step."""
        match error:
            case alembic_project.Died():
                said = f"its interpreter ended: {error.ended_by}"
            case alembic_project.TimedOut():
                said = f"it did not end within {self._limit.total_seconds():g} s"
            case _:
                said = error.what.rstrip(".").partition(";")[0]
        return failed(self._project, {"stopped": OVER, "message": said, "revision": self._revision})

    def _history(self) -> Message:
        try:
            return self._next("steps")
        except alembic_project.TimedOut:
            raise errors.ProjectFailed(
                f"env.py did not run the migrations within {START_SECONDS:.0f} s.",
                next_step="find out what env.py waits for, then run the same command again",
            ) from None
        finally:
            self._session.limit(None)

    def _next(self, question: str) -> Message:
        """Return the runner's next question of this kind; answer the others."""
        while True:
            message = self._session.receive()
            if message.get("event") == "ended":
                raise failed(self._project, message["error"]) if message["error"] else errors.ProjectFailed("env.py ended early.")
            if message["ask"] == question:
                return message
            alembic_project.answer(self._session, self, message)

    def connected(self, session: Session) -> None:
        look_function.create(session.query)

    def statement(self, _session: Session, sql: str, *, has_parameters: bool, revision: str | None, own: bool) -> str | None:  # noqa: ARG002
        parsed = statements.parse(sql, has_parameters)
        if not own:
            execution.check_only_reads(parsed)
            return None
        if statements.command(parsed) == "DISCARD":
            return statements.NOTHING  # the function that looks is temporary
        if self.is_alone and not statements.prepares_transaction(parsed):  # its locks would outlast the database
            return None
        reason = statements.stop_reason(parsed, rehearsing=False)
        if reason is not None and reason.kind is StopKind.TRANSACTION_CONTROL:
            raise Stop(reason.kind, reason.sentence.rstrip("."))
        return None

    def begin(self, session: Session, heads: tuple[str, ...], revisions: tuple[str, ...]) -> None: ...
    def revision(self, session: Session, revision: str) -> None: ...
    def applied(self, session: Session, revision: str) -> None: ...
    def finish(self, _session: Session) -> bool:
        return False


@contextlib.contextmanager
def opened(project: Project, connection: Connection, limit: timedelta) -> Iterator[Steps]:
    """Start the runner on a scratch database, where a step may take so long.

    Raise ProjectFailed where the project cannot be started.
    """
    with alembic_project.running(project, connection, mode="check", revision="heads", limit_seconds=START_SECONDS) as session:
        yield Steps(session, project, limit)
        session.kill()  # its database goes too


@contextlib.contextmanager
def unreadable_is_told() -> Iterator[None]:
    """Say of our own query what it was that failed, and what helps."""
    try:
        yield
    except alembic_project.QueryFailed as error:
        raise errors.Failure(
            "The scratch database cannot be read.",
            evidence={"server": f"{error.sqlstate or ''} {error}".strip()},
            next_step=READS_ALL if error.sqlstate == "42501" else "look into the server's log, then run the same command again",
        ) from None


def raised(error: RunFailed | None, step: Step) -> Raised:
    """Return what a step raised."""
    if error is None:
        return Raised(kind="", told="it ended early")
    evidence = error.evidence
    told = evidence.get("server") or evidence.get("error") or error.what.rstrip(".").partition(": ")[2] or error.what.rstrip(".")
    if error.told.get("message") == "" and "server" not in evidence:
        told = (error.told.get("type") or "").rpartition(".")[2]
    if "statement" in evidence:
        told += f"; statement: {evidence['statement']}"
    frames = error.told.get("frames") or []
    here = Path(step.path)
    own = frames[-1] if frames and Path(frames[-1][0]) == here else None
    return Raised(
        kind=error.told.get("type") or "",
        told=told,
        line=own[1] if own else None,
        causes=[(kind, line if Path(file) == here else None) for kind, file, line in error.told.get("causes") or ()],
        stopped=bool(error.stopped) or error.was_cut_off,
        by_server="server" in evidence,
    )
