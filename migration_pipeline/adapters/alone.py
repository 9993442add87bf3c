"""Runs one revision outside any transaction: CREATE INDEX CONCURRENTLY and its like, which PostgreSQL cannot roll back.

Each statement is committed as it ends, so what is checked is checked before it is sent; nothing is decided at the end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from migration_pipeline.adapters import alembic_project, execution, indexes
from migration_pipeline.adapters.alembic_project import Session, Stop
from migration_pipeline.adapters.execution import Show
from migration_pipeline.adapters.indexes import Built
from migration_pipeline.adapters.measurement import Measurement
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.adapters.transaction import Limits, quoted
from migration_pipeline.domain import redaction, sql, statements
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.effects import Statement
from migration_pipeline.domain.plan import Plan
from migration_pipeline.domain.statements import Parsed, StopKind

WRITES = frozenset({"CreateStmt", "InsertStmt", "UpdateStmt", "DeleteStmt"})
MIXED = "mixed"  #: the kind of Stop for a revision that does what can be rolled back beside what cannot
WHO = "SELECT pid, extract(epoch FROM backend_start)::text FROM pg_stat_activity WHERE pid = pg_backend_pid()"


class Backend(NamedTuple):
    """A server process, known by its number and its start: numbers are given out again."""

    pid: int
    started: str


@dataclass(kw_only=True)
class Alone:
    """Answers for a runner that runs one revision without a transaction."""

    plan: Plan  #: of this one revision
    limits: Limits
    server_version: int
    rehearsing: bool
    sources: Mapping[str, str]
    progress: Show
    #: The shapes of the statements that were rehearsed: nothing else is sent. None: this is the rehearsal.
    rehearsed: frozenset[str] | None = None
    role: str | None = None
    backend: Backend | None = None
    measurement: Measurement = field(default_factory=lambda: Measurement(count_rows=False))
    built: list[Built] = field(default_factory=list)  #: the indexes that it was to make
    heads: tuple[str, ...] = ()  #: after it; empty: it did not come to its end
    _waits_long: bool = False

    def connected(self, session: Session) -> None:
        """Make the session one that may write, with the pipeline's limits for each statement."""
        become = [f"SET ROLE {quoted(None, self.role)}"] if self.role else []
        limits = self.limits.statements(self.server_version, "SESSION")
        session.query("; ".join(["SET default_transaction_read_only = off", *become, *limits]))
        ((pid, started),) = session.query(WHO)
        self.backend = Backend(pid, started)
        self.measurement.open(session)

    def begin(self, session: Session, heads: tuple[str, ...], revisions: tuple[str, ...]) -> None:
        execution.check_same_plan(self.plan, heads, revisions)
        self.measurement.measure(session, self.measurement.outside)

    def revision(self, session: Session, revision: str) -> None:  # noqa: ARG002
        self.progress(revision, 0)
        self.measurement.start(revision)

    def statement(self, session: Session, text: str, *, has_parameters: bool, revision: str | None, own: bool) -> str | None:
        parsed = statements.parse(text, has_parameters)
        if not own:
            execution.check_only_reads(parsed)
            return None
        command = statements.runs_alone(parsed)
        reason = statements.stop_reason(parsed, rehearsing=self.rehearsing)
        if reason is not None and not (command and reason.kind is StopKind.NON_TRANSACTIONAL):
            raise Stop(reason.kind, reason.sentence.rstrip("."))
        reads = statements.is_read_only(parsed)
        if revision and not (command or reads or statements.adds_label(parsed)):
            raise Stop(MIXED, redaction.one_line(redaction.statement(text, self.sources.get(revision, ""))))
        if not revision and not (reads or self._keeps_versions(parsed)):
            told = redaction.one_line(redaction.statement(text, ""))
            raise Stop("outside", f"it changes something outside a transaction, and a revision is to run there: {told}")
        kept = execution.statement_of(text, self.sources, has_parameters=has_parameters, revision=revision)
        if not reads:
            self._check_rehearsed(kept)
        if revision or not reads:
            part = self.measurement.revisions[-1] if revision else self.measurement.outside
            part.statements.append(kept)
        if revision:
            self.progress(revision, len(self.measurement.revisions[-1].statements))
        self._set_lock_timeout(session, long=bool(command))
        if command and (query := indexes.lookup(parsed)):
            ((table, is_there),) = session.query(query)
            if one := indexes.built(parsed, table, is_there=is_there):
                self.built.append(one)
        return statements.keeping_limits(
            parsed, self.limits.statements(self.server_version, "SESSION"), has_parameters=has_parameters
        )

    def _keeps_versions(self, parsed: Parsed) -> bool:
        """Tell whether it is what Alembic itself writes: nobody measures here what else env.py does to rows."""
        return bool(parsed.pieces) and all(
            sql.kind(node) == "CreateSchemaStmt"
            or (sql.kind(node) in WRITES and sql.relation(node.relation).name == self.plan.version_table)
            for node in (piece.statement for piece in parsed.pieces)
        )

    def _check_rehearsed(self, statement: Statement) -> None:
        if self.rehearsed is not None and statements.shape(statement) not in self.rehearsed:
            told = redaction.one_line(statement.sql)
            raise Stop("surprise", f"it sends what it did not send in the rehearsal: {told}")

    def _set_lock_timeout(self, session: Session, *, long: bool) -> None:
        """Let a command that nobody waits for wait for others as long as it may run; the lock timeout is for the rest."""
        if long != self._waits_long:
            span = self.limits.transaction if long else self.limits.lock_timeout
            session.query(f"SET lock_timeout = {int(span.total_seconds() * 1000)}")
            self._waits_long = long

    def applied(self, session: Session, revision: str) -> None:  # noqa: ARG002
        self.measurement.end()
        self.measurement.measure(session, self.measurement.revisions[-1])

    def finish(self, session: Session) -> bool:
        self.measurement.measure(session, self.measurement.outside)
        self.heads = execution.version_rows(session, self.plan)
        if self.heads != self.plan.heads:
            raise Stop("half run", f"the version table reads {', '.join(self.heads) or 'nothing'} after it")
        return True


def run(project: Project, connection: Connection, alone: Alone) -> None:
    """Run the revision. Raise what `alembic_project.run` raises."""
    alembic_project.run(
        project,
        connection,
        mode="rehearse" if alone.rehearsing else "upgrade",
        revision="heads",
        only=[one.id for one in alone.plan.revisions],
        alone=True,
        observer=alone,
        limit_seconds=alone.limits.transaction.total_seconds(),
    )
