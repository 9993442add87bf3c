"""Runs a plan through the runner and measures it: the rehearsal on a copy, the upgrade on the live database.

Both are one transaction behind the commit fuse. The rehearsal rolls it back; the upgrade commits when `decide` says so.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from migration_pipeline.adapters import alembic_project, catalog, overwrites, transaction
from migration_pipeline.adapters.alembic_project import Session, Stop
from migration_pipeline.adapters.early_copies import EarlyCopies
from migration_pipeline.adapters.inventory import WITH_ROWS, Thing
from migration_pipeline.adapters.lock_watch import LockWatch
from migration_pipeline.adapters.measurement import OUTSIDE, Measured, Measurement
from migration_pipeline.adapters.overwrites import Comparison
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.adapters.transaction import Limits, Opened
from migration_pipeline.domain import redaction, statements
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.effects import Statement
from migration_pipeline.domain.plan import Plan
from migration_pipeline.domain.schema import Difference, SchemaSnapshot, diff

#: For a transaction that only looks: it holds up nobody for long, and nobody is needed to end it.
READING_LIMITS = (
    "SET TRANSACTION READ ONLY; SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '30s'; "
    "SET LOCAL idle_in_transaction_session_timeout = '30s'; SET LOCAL client_connection_check_interval = '1s'"
)
Show = Callable[[str, int], None]  #: told a revision, and how many statements of it were sent
PREVIEW_STATEMENTS = 1000  #: so many a preview sends: a loop over a big table is for the rehearsal


@dataclass(kw_only=True)
class Ran:
    """A plan that ran to its end inside the transaction, as seen from inside it."""

    measurement: Measurement
    schema: SchemaSnapshot
    heads: tuple[str, ...]
    opened: Opened
    compared: frozenset[str] = frozenset()  #: OIDs of tables of which every changed value is counted
    is_committed: bool = False  #: as it was decided; whether COMMIT came through, the server knows

    @property
    def revisions(self) -> list[Measured]:
        return self.measurement.revisions

    @property
    def parts(self) -> list[Measured]:
        """The revisions, and what was sent outside them."""
        return [*self.measurement.revisions, self.measurement.outside]

    @property
    def base(self) -> dict[str, Thing]:
        return self.measurement.base

    def altered_tables(self, is_version_table: Callable[[str], bool]) -> frozenset[str]:
        """Return the OIDs of tables that were there before and whose values may read differently after."""
        altered = self.measurement.altered_tables()
        names = {key: f"{self.base[key].schema}.{self.base[key].name}" for key in altered if key in self.base}
        return frozenset(key for key in altered if key not in names or not is_version_table(names[key]))


class Reader:
    """Answers for a runner that only looks for pending revisions: nothing is written, whatever env.py wants to write."""

    def connected(self, session: Session) -> None:
        session.query(READING_LIMITS)

    def __init__(self) -> None:
        self.statements: list[Statement] = []  #: what the revisions would have sent, in a preview

    def statement(self, _session: Session, sql: str, *, has_parameters: bool, revision: str | None, own: bool) -> str | None:  # noqa: ARG002
        if revision is not None:
            if len(self.statements) >= PREVIEW_STATEMENTS:
                raise Stop("preview", f"it sends more than {PREVIEW_STATEMENTS:,} statements")
            self.statements.append(Statement(sql=sql, has_parameters=has_parameters, revision=revision))
        parsed = statements.parse(sql, has_parameters)
        if not statements.is_read_only(parsed):
            return statements.NOTHING
        return statements.keeping_limits(parsed, (), has_parameters=has_parameters)

    def begin(self, session: Session, heads: tuple[str, ...], revisions: tuple[str, ...]) -> None: ...
    def revision(self, session: Session, revision: str) -> None: ...
    def applied(self, session: Session, revision: str) -> None: ...
    def finish(self, _session: Session) -> bool:
        return False


@dataclass(kw_only=True)
class Execution:
    """Answers for a runner that runs a plan."""

    plan: Plan
    limits: Limits
    server_version: int
    rehearsing: bool
    #: The text of each revision's file.
    sources: Mapping[str, str]
    #: Told at each step of the run: for a progress line.
    progress: Show = lambda _revision, _statement: None
    #: Called inside the transaction before each revision, with what was measured so far; raises Stop.
    before: Callable[[Session, Measurement, str], None] = lambda _session, _measurement, _revision: None
    #: Asked once everything ran, before COMMIT; raises Stop when the live run is not what was rehearsed.
    decide: Callable[[Ran], bool] = lambda _ran: False
    #: OIDs of tables to copy at the start, so that overwritten values are counted.
    watched_tables: frozenset[str] = frozenset()
    #: Names of tables and materialized views to copy at the start of a live run: nothing of them was lost in the rehearsal.
    watched_names: frozenset[str] = frozenset()
    #: Whether tables are copied just before a statement changes values of theirs.
    copies_early: bool = False
    #: Follows the table locks; None: nobody asks for them, and nothing is read between the statements.
    lock_watch: LockWatch | None = None
    #: The role to become, where the connection's own is not the live one.
    role: str | None = None
    #: Whether the plan is only a segment of what is pending: "+2" means something else once a part of it is applied.
    is_segment: bool = False
    #: Told as soon as the transaction is open: by these others find it.
    opened: Opened | None = None
    ran: Ran | None = None
    measurement: Measurement = field(init=False)
    _comparison: Comparison | None = None
    _early: EarlyCopies | None = None

    def __post_init__(self) -> None:
        clock = self.lock_watch.time if self.lock_watch else time.monotonic
        self.measurement = Measurement(count_rows=self.rehearsing or bool(self.watched_names), clock=clock)

    def connected(self, session: Session) -> None:
        """Open the transaction and take the baseline, before env.py sends its first statement."""
        if self.lock_watch:
            self.lock_watch.begin()
        table = (self.plan.version_table_schema, self.plan.version_table) if self.plan.current else None
        self.opened = transaction.open_for_writing(
            session, self.limits, server_version=self.server_version, version_table=table, role=self.role
        )
        self.measurement.open(session)
        if watched := self.watched_tables | self._watched_live(session):
            self._comparison = overwrites.copy(session, watched, self.measurement.base)
        if self.copies_early:
            self._early = EarlyCopies(session, self.measurement, self.plan.version_table, self._aside)
            self._comparison = self._early.comparison
        if self.lock_watch:
            self.lock_watch.open(session)

    def _watched_live(self, session: Session) -> frozenset[str]:
        """Return the OIDs of what is to be compared on the live database; until the end nobody else may change it."""
        named = {
            key: thing
            for key, thing in self.measurement.base.items()
            if thing.kind in WITH_ROWS and {thing.name, f"{thing.schema}.{thing.name}"} & self.watched_names
        }
        for thing in named.values():
            if thing.kind == "table":
                session.query(f"LOCK TABLE ONLY {transaction.quoted(thing.schema, thing.name)} IN SHARE MODE")
        return frozenset(named)

    def begin(self, session: Session, heads: tuple[str, ...], revisions: tuple[str, ...]) -> None:
        check_same_plan(self.plan, heads, revisions)
        self._look_at_locks(session)
        session.query("; ".join(self.limits.statements(self.server_version)))  # env.py may have set its own
        self._measure(session, self.measurement.outside)

    def revision(self, session: Session, revision: str) -> None:
        self.progress(revision, 0)
        self.before(session, self.measurement, revision)
        self.measurement.start(revision)

    def statement(self, session: Session, sql: str, *, has_parameters: bool, revision: str | None, own: bool) -> str | None:
        parsed = statements.parse(sql, has_parameters)
        if not own:
            check_only_reads(parsed)
            return None
        plain = statements.without_concurrently(parsed, has_parameters=has_parameters) if self.plan.without_concurrently else None
        if plain is not None:
            sql, has_parameters = plain, False
            parsed = statements.parse(plain, has_parameters)
        reason = statements.stop_reason(parsed, rehearsing=self.rehearsing)
        if reason is not None:
            raise Stop(reason.kind, reason.sentence.rstrip("."))
        if self.lock_watch:
            self.lock_watch.before(session, parsed)
        self.measurement.note(sql, goes_back=statements.goes_back(parsed))
        if self._early:
            self._early.before(session, parsed)
        if revision is not None or not statements.is_read_only(parsed):
            kept = statement_of(sql, self.sources, has_parameters=has_parameters, revision=revision)
            part = self.measurement.revisions[-1] if revision else self.measurement.outside
            part.statements.append(kept)
            if revision:
                self.progress(revision, len(part.statements))
            if self.lock_watch:
                self.lock_watch.sent(kept.sql, revision or OUTSIDE, parsed)
        limits = self.limits.statements(self.server_version)
        return plain or statements.keeping_limits(parsed, limits, has_parameters=has_parameters)

    def applied(self, session: Session, revision: str) -> None:  # noqa: ARG002
        self.measurement.end()
        self._look_at_locks(session)
        part = self.measurement.revisions[-1]
        self._measure(session, part)
        if self.lock_watch:
            self.lock_watch.measure(session, part)

    def _look_at_locks(self, session: Session) -> None:
        if self.lock_watch:
            self.lock_watch.look(session)

    def _measure(self, session: Session, part: Measured) -> None:
        transaction.check_is_ours(session, self._ours)
        if self._early:
            self._early.settle(session)
        self.measurement.measure(session, part)
        if self._comparison and self._comparison.has_copies:
            with self._aside(session):
                self._comparison.measure(session, self.measurement, part)

    def _aside(self, session: Session) -> contextlib.AbstractContextManager[None]:
        return self.lock_watch.aside(session) if self.lock_watch else contextlib.nullcontext()

    def finish(self, session: Session) -> bool:
        """Measure what env.py and the deferred triggers still did, look at the schema, and decide."""
        self._look_at_locks(session)
        self._measure(session, self.measurement.outside)
        self._check_whole(session)
        if self.lock_watch:
            self.lock_watch.sent("SET CONSTRAINTS ALL IMMEDIATE", self.measurement.revisions[-1].revision)
        transaction.fire_deferred(session, self._ours)
        self._look_at_locks(session)
        self._measure(session, self.measurement.revisions[-1])
        self.ran = Ran(
            measurement=self.measurement,
            schema=catalog.read(session.query),
            heads=version_rows(session, self.plan),
            opened=self._ours,
            compared=self._early.covered(session) if self._early else self.watched_tables,
        )
        if self.lock_watch:
            self.lock_watch.close(self.ran.parts)
        self.ran.is_committed = self.decide(self.ran)
        return self.ran.is_committed

    def _check_whole(self, session: Session) -> None:
        """Raise Stop when env.py ended before the plan did: it may have hidden an error."""
        applied = [part.revision for part in self.measurement.revisions]
        if applied != [one.id for one in self.plan.revisions]:
            raise Stop("half run", f"it ended after {', '.join(applied) or 'no revision'}, before the plan's end")
        if (heads := version_rows(session, self.plan)) != self.plan.heads:
            raise Stop("half run", f"the version table reads {', '.join(heads) or 'nothing'} after the last revision")

    @property
    def _ours(self) -> Opened:
        if self.opened is None:
            raise Stop("no run", "env.py ended without connecting")
        return self.opened


def check_same_plan(plan: Plan, heads: tuple[str, ...], revisions: tuple[str, ...]) -> None:
    """Raise Stop unless the project would run from where, and what, the plan says."""
    if heads != plan.current:
        was, now = ", ".join(plan.current) or "empty", ", ".join(heads) or "empty"
        raise Stop("stale", f"the version table has changed since the plan was made: it was {was}, now it is {now}")
    if revisions != tuple(revision.id for revision in plan.revisions):
        raise Stop("stale", "the project's revisions have changed since the plan was made")


def check_only_reads(parsed: statements.Parsed) -> None:
    """Raise Stop when a statement on a connection that is not ours does more than read."""
    if not statements.is_read_only(parsed):
        raise Stop("second connection", "it changes something on an asynchronous connection of env.py's own")


def statement_of(sql: str, sources: Mapping[str, str], *, has_parameters: bool, revision: str | None) -> Statement:
    """Return what is kept of a statement: a literal that is not the revision's own may be a row's value, and is not."""
    kept = redaction.statement(sql, sources.get(revision or "", ""))
    return Statement(sql=kept, has_parameters=has_parameters, revision=revision)


def schema_differences(rehearsed: SchemaSnapshot, live: SchemaSnapshot) -> tuple[Difference, ...]:
    return diff(rehearsed.as_restored, live.as_restored)


def version_rows(session: Session, plan: Plan) -> tuple[str, ...]:
    table = transaction.quoted(plan.version_table_schema, plan.version_table)
    return tuple(sorted(row[0] for row in session.query(f"SELECT version_num FROM {table}")))


def run(project: Project, connection: Connection, execution: Execution) -> bool:
    """Run a plan, or its next segment; return whether it was committed. Raise what `alembic_project.run` raises."""
    return alembic_project.run(
        project,
        connection,
        mode="rehearse" if execution.rehearsing else "upgrade",
        revision="heads" if execution.is_segment else execution.plan.target,
        only=[one.id for one in execution.plan.revisions] if execution.is_segment else None,
        observer=execution,
        limit_seconds=execution.limits.transaction.total_seconds(),
    )
