"""Tries a segment of a plan: once on a copy, and on the live database as often as only locks stood in the way.

After a live try that failed, the state of the database is looked at, never guessed.
"""

import contextlib
import time
from dataclasses import dataclass, replace

from migration_pipeline import errors
from migration_pipeline.adapters import execution, explanation, losses, pending, postgres, sequences, surprises
from migration_pipeline.adapters.alembic_project import QueryFailed
from migration_pipeline.adapters.execution import Execution, Ran, Show
from migration_pipeline.adapters.failed_run import RunFailed
from migration_pipeline.adapters.lock_watch import LockWatch
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.adapters.transaction import Limits
from migration_pipeline.domain import redaction, statements
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.effects import Rehearsed, RevisionEffects, Statement, Tolerance
from migration_pipeline.domain.plan import Plan
from migration_pipeline.domain.segments import Segment
from migration_pipeline.domain.stops import StopKind

BACK_OFF_SECONDS = 1.0
OUTCOME_SECONDS = 60  # how long a server that restarts is asked what became of the transaction


@dataclass(kw_only=True)
class Done:
    """A live run that was committed."""

    heads: tuple[str, ...]
    seconds: float  #: of the transactions that were committed
    attempts: int  #: of the segment that needed most
    revisions: tuple[RevisionEffects, ...]


class Cut(Exception):
    """No transaction holds the segment: its plan must be cut at a revision."""

    def __init__(self, revision: str, command: str = "") -> None:
        super().__init__(revision)
        self.revision = revision
        self.command = command  #: what PostgreSQL runs outside a transaction only; empty: it uses what must be committed before


def rehearse(
    project: Project,
    copy: Connection,
    segment: Segment,
    limits: Limits,
    progress: Show,
    *,
    role: str | None = None,
    is_part: bool = False,
    more_follows: bool = False,
) -> tuple[Ran, float]:
    """Run a segment on a restored copy and roll it back; return what was measured, and the seconds that it took.

    Where more follows, and there is nothing to count on the copy as it was, it is committed at once.

    Where it changes values of tables that were not copied just before, it runs once more, with copies of all that it changes,
    to tell which are overwritten. The copies take time: locks and times are those of the first run.
    Raise Cut, CannotRollBack, NotAllowed or RehearsalFailed.
    """
    plan = segment.plan
    run = _run(copy, plan, limits, progress, role, is_part=is_part)

    def decide(ran: Ran) -> bool:
        return more_follows and _changes_nothing_of_before(ran, plan)

    places = sequences.read(copy)
    first = _rehearse(project, copy, replace(run, lock_watch=LockWatch(), copies_early=True, decide=decide))
    seconds = sum(one.seconds for one in first.revisions)
    altered = first.altered_tables(plan.is_version_table)
    if altered <= first.compared:
        return first, seconds
    sequences.set_back(copy, places)
    second = _rehearse(project, copy, replace(run, watched_tables=altered))
    for before, now in zip(first.parts, second.parts, strict=True):
        now.take_from(before)
    return second, seconds


def _changes_nothing_of_before(ran: Ran, plan: Plan) -> bool:
    found = losses.effects(ran.parts, ran.base, None, plan.is_version_table)
    return not any(one.lost for one in found) and not ran.altered_tables(plan.is_version_table)


def commit_on_copy(project: Project, copy: Connection, segment: Segment, limits: Limits, *, role: str | None) -> None:
    """Run a segment that was rehearsed once more on the copy, and commit it there: the next one begins where it ends."""
    run = _run(copy, segment.plan, limits, lambda _revision, _statement: None, role, is_part=True)
    _rehearse(project, copy, replace(run, decide=lambda _ran: True))


def _run(copy: Connection, plan: Plan, limits: Limits, progress: Show, role: str | None, *, is_part: bool) -> Execution:
    return Execution(
        plan=plan,
        limits=limits,
        server_version=version(copy),
        rehearsing=True,
        progress=progress,
        sources=pending.sources(plan),
        role=role,
        is_segment=is_part,
    )


def _rehearse(project: Project, copy: Connection, run: Execution) -> Ran:
    try:
        execution.run(project, copy, run)
    except RunFailed as error:
        _raise_cut(error, run)
        raise explanation.of_rehearsal(error) from None
    except QueryFailed as error:
        raise explanation.of_rehearsal_end(error) from None
    except BaseException:
        _gone(copy, run)
        raise
    if run.ran is None:
        raise errors.RehearsalFailed("The rehearsal ended before its last revision.", next_step=explanation.MEND)
    return run.ran


def _raise_cut(error: RunFailed, run: Execution) -> None:
    """Raise Cut where the plan can be cut at what failed; CannotRollBack where the revision itself would have to be cut."""
    revision = error.told.get("revision")
    if revision is None:
        return
    if error.stopped == StopKind.NON_TRANSACTIONAL:
        refused = statements.parse(error.told["statement"] or "")
        command = statements.runs_alone(refused)
        before = [one for one in run.measurement.revisions[-1].statements if not _may_precede(one)]
        if command and before:
            raise explanation.mixed(run.plan, revision, cannot=command, can=redaction.one_line(before[0].sql))
        if command:
            raise Cut(revision, command)
    if error.sqlstate == postgres.UNSAFE_NEW_LABEL and revision != run.plan.revisions[0].id:
        raise Cut(revision)


def _may_precede(statement: Statement) -> bool:
    parsed = statements.parse(statement.sql, statement.has_parameters)
    return statements.is_read_only(parsed) or statements.adds_label(parsed)


def upgrade(
    project: Project,
    live: Connection,
    rehearsal: Rehearsed,
    *,
    limits: Limits,
    tolerance: Tolerance,
    tries: int,
    progress: Show,
    backup_id: str,
    is_part: bool,
    compares_views: bool,
) -> Done:
    """Run a segment on the live database in one transaction and commit it. Raise UpgradeFailed, Stale."""
    plan, server_version = rehearsal.segment.plan, version(live)
    expected = {one.revision: (*one.lost, *one.put_back) for one in rehearsal.revisions}
    watched = surprises.put_back(rehearsal) | (surprises.refreshed(rehearsal) if compares_views else frozenset())
    for attempt in range(1, tries + 1):
        run = Execution(
            plan=plan,
            limits=limits,
            server_version=server_version,
            rehearsing=False,
            progress=progress,
            sources=pending.sources(plan),
            before=lambda session, measured, revision: surprises.check_amounts(session, measured, expected[revision], tolerance),
            decide=lambda ran: surprises.check_effects(ran, plan, rehearsal, tolerance),
            is_segment=is_part,
            watched_names=watched,
        )
        started = time.monotonic()
        try:
            committed = execution.run(project, live, run)
            failure: Exception | None = None
        except (errors.ProjectFailed, QueryFailed) as error:
            committed, failure = False, error
        except BaseException:
            _gone(live, run)
            raise
        # the answer to COMMIT may have been lost on its way: then the server is asked what became of it
        outcome = "committed" if committed else _outcome(live, run)
        if run.ran is not None and outcome == "committed":
            return Done(
                heads=run.ran.heads,
                seconds=time.monotonic() - started,
                attempts=attempt,
                revisions=losses.effects(run.ran.revisions, run.ran.base, None, plan.is_version_table),
            )
        if getattr(failure, "sqlstate", None) != postgres.LOCK_NOT_AVAILABLE or attempt == tries:
            raise explanation.of_upgrade(failure, live, plan, run, outcome, attempt, backup_id)
        time.sleep(BACK_OFF_SECONDS * attempt)
    message = "unreachable"
    raise AssertionError(message)


def _outcome(live: Connection, run: Execution) -> str | None:
    """Return what became of the transaction, asking a server that restarts again and again; None: it does not say."""
    if run.opened is None:
        return "aborted"
    end = time.monotonic() + OUTCOME_SECONDS
    while True:
        try:
            _gone(live, run)
            outcome = postgres.outcome(live, run.opened.xid)
        except errors.MigrationPipelineError:
            outcome = "in progress"
        if outcome != "in progress":
            return outcome
        if time.monotonic() > end:
            return None
        time.sleep(BACK_OFF_SECONDS)


def _gone(live: Connection, run: Execution) -> None:
    """Make sure that no backend of ours goes on working, whatever became of its client."""
    if run.opened is not None:
        with contextlib.suppress(errors.MigrationPipelineError):
            postgres.end_backend(live, run.opened.pid, run.opened.xid)


def version(connection: Connection) -> int:
    with postgres.session(connection, purpose="looks") as opened:
        return postgres.server(opened).version
