"""The pipeline's side of a check: says which revision goes up or down next, and how its transaction ends.

Each step has a transaction of its own that stays open until it was looked at. What PostgreSQL or our guard does not let happen
in one is run again without, on a scratch database.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from migration_pipeline import errors
from migration_pipeline.adapters import alembic_project, execution, look_function
from migration_pipeline.adapters.alembic_project import Session, Stop
from migration_pipeline.adapters.failed_run import Message, RunFailed, failed
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.domain import statements
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.statements import StopKind

#: active_sql_transaction, and a label of an enum that is used where it was added.
INSIDE = "25001"
OUTSIDE_ONLY = frozenset({INSIDE, "55P04"})
#: What the guard says of a revision that leaves our transaction.
LEAVES = frozenset({StopKind.TRANSACTION_CONTROL.value, "ends transaction", "second connection"})


@dataclass(frozen=True, kw_only=True)
class Step:
    """A revision of the project's history."""

    id: str
    down: tuple[str, ...]
    path: str
    title: str


class Steps:
    """One run of the project's env.py, in which revisions go up and down."""

    def __init__(self, session: Session, project: Project) -> None:
        self._session = session
        self._project = project
        told = self._next("steps")
        self.heads: list[str] = told["heads"]
        self.version_table = f"{told['version_table_schema']}.{told['version_table']}"
        self.folder: str = told["folder"]
        self.history = [
            Step(id=one["id"], down=tuple(one["down"]), path=one["path"], title="".join(one["title"]))
            for one in told["revisions"]
        ]
        self.is_alone = False  #: the step that ran last did so without a transaction

    def go_on(self, revision: str) -> RunFailed | None:
        """Run a revision up in the transaction that is open; return what it raised."""
        self._session.send(answer="go on")
        self._next("next")
        return self._order(answer="step", revision=revision, down=False, alone=False, goes_on=True)

    def run(self, revision: str, *, down: bool = False) -> RunFailed | None:
        """Run a revision up or down; return what it raised. Its transaction stays open; there is none where `is_alone`."""
        self.is_alone = False
        error = self._order(answer="step", revision=revision, down=down, alone=False)
        if error is None or not (error.sqlstate in OUTSIDE_ONLY or error.stopped in LEAVES):
            return error
        if down and error.sqlstate == INSIDE and not error.told.get("commits_itself"):
            return error  # an upgrade like that the pipeline runs without a transaction; `alembic downgrade` does not
        self.end(commit=False)
        self.is_alone = True
        return self._order(answer="step", revision=revision, down=down, alone=True)

    def stamp(self, revision: str) -> RunFailed | None:
        """Write into the version table that the database is at a revision."""
        self.is_alone = False
        return self._order(answer="stamp", revision=revision, alone=False)

    def models(self) -> Message:
        """Compare with the models, and put their tables where the migrated ones were; raise what this raises."""
        self.is_alone = False
        self._session.send(answer="models", revision="models", alone=False)
        told = self._next("ran")
        if told["error"]:
            raise failed(self._project, told["error"])
        return told

    def end(self, *, commit: bool) -> RunFailed | None:
        """End the step's transaction; return why it could not be committed."""
        self._session.send(answer="commit" if commit else "roll back")
        told = self._next("next")["error"]
        return failed(self._project, told) if told else None

    def query(self, text: str) -> list[list[Any]]:
        """Run our own SQL in the step's transaction, or in one that ends with the next order."""
        return self._session.query(text)

    def _order(self, **order: Any) -> RunFailed | None:
        self._session.send(**order)
        told = self._next("ran")["error"]
        return failed(self._project, told) if told else None

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
        if self.is_alone:
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
def opened(project: Project, connection: Connection) -> Iterator[Steps]:
    """Start the runner on a scratch database; raise ProjectFailed where the project cannot be started."""
    with alembic_project.running(project, connection, mode="check", revision="heads", limit_seconds=None) as session:
        yield Steps(session, project)
        session.kill()  # its database goes too
