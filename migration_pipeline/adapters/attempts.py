"""Tries a plan: once on a copy, and on the live database as often as only locks stood in the way.

After a live try that failed, the state of the database is looked at, never guessed.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from migration_pipeline import errors
from migration_pipeline.adapters import execution, losses, pending, postgres
from migration_pipeline.adapters.alembic_project import Project, QueryFailed, RunFailed, Session, Stop
from migration_pipeline.adapters.execution import Execution, Ran
from migration_pipeline.adapters.transaction import Limits
from migration_pipeline.domain import effects
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.effects import Loss, Rehearsal, Tolerance
from migration_pipeline.domain.plan import Plan

#: Kinds of Stop after which the revision itself must change: it cannot be rolled back as a whole.
NOT_TRANSACTIONAL = frozenset(
    {"ends transaction", "not transactional", "transaction control", "second connection", "non-transactional"}
)
BACK_OFF_SECONDS = 1.0
Show = Callable[[str], None]


@dataclass(kw_only=True)
class Done:
    """A live run that was committed."""

    ran: Ran
    seconds: float
    attempts: int


def rehearse(
    project: Project, copy: Connection, plan: Plan, limits: Limits, progress: Show, watched_tables: frozenset[str] = frozenset()
) -> Ran:
    """Run the plan on a restored copy and roll it back. Raise CannotRollBack, NotAllowed or RehearsalFailed."""
    run = Execution(
        plan=plan,
        limits=limits,
        server_version=_version(copy),
        rehearsing=True,
        progress=progress,
        sources=pending.sources(plan),
        watched_tables=watched_tables,
    )
    try:
        execution.run(project, copy, plan.target, run)
    except RunFailed as error:
        raise _refused_or_failed(error) from None
    except QueryFailed as error:
        raise errors.RehearsalFailed(evidence={"server": f"{error.sqlstate} {error}"}, next_step="just migrate") from None
    except BaseException:
        _gone(copy, run)
        raise
    if run.ran is None:
        raise errors.RehearsalFailed("The rehearsal ended before its last revision.")
    return run.ran


def _refused_or_failed(error: RunFailed) -> errors.MigrationPipelineError:
    evidence = {**error.evidence, "state": "only the scratch database was touched; the live database is as it was"}
    if error.stopped in NOT_TRANSACTIONAL:
        return errors.CannotRollBack(
            error.what,
            evidence=evidence,
            next_step="write the revision so that one transaction can hold it, then: just migrate",
        )
    if error.stopped:
        return errors.NotAllowed(error.what, evidence=evidence, next_step="change what is named above, then: just migrate")
    return errors.RehearsalFailed(
        f"The rehearsal failed. {error.what}", evidence=evidence, next_step="mend the revision, then: just migrate"
    )


def upgrade(
    project: Project,
    live: Connection,
    plan: Plan,
    rehearsal: Rehearsal,
    *,
    limits: Limits,
    tolerance: Tolerance,
    tries: int,
    progress: Show,
    backup_id: str,
) -> Done:
    """Run the plan on the live database and commit it. Raise UpgradeFailed, Stale."""
    version = _version(live)
    for attempt in range(1, tries + 1):
        run = Execution(
            plan=plan,
            limits=limits,
            server_version=version,
            rehearsing=False,
            progress=progress,
            sources=pending.sources(plan),
            before=lambda session: check_amounts(session, rehearsal, tolerance),
            decide=lambda ran: check_effects(ran, plan, rehearsal, tolerance),
        )
        started = time.monotonic()
        try:
            committed = execution.run(project, live, plan.target, run)
            failure: Exception | None = None
        except (errors.ProjectFailed, QueryFailed) as error:
            committed, failure = False, error
        except BaseException:
            _gone(live, run)
            raise
        if not committed:
            committed = _was_committed(live, run)  # the answer to COMMIT may have been lost on its way
        if committed and run.ran is not None:
            return Done(ran=run.ran, seconds=time.monotonic() - started, attempts=attempt)
        if getattr(failure, "sqlstate", None) != postgres.LOCK_NOT_AVAILABLE or attempt == tries:
            raise _explained(failure, live, plan, run, attempt, backup_id)
        time.sleep(BACK_OFF_SECONDS * attempt)
    message = "unreachable"
    raise AssertionError(message)


def check_amounts(session: Session, rehearsal: Rehearsal, tolerance: Tolerance) -> None:
    """Before the first revision: what will be dropped or emptied holds no more than what was rehearsed, within tolerance."""
    for loss in rehearsal.lost:
        query = losses.amount_query(loss)
        rehearsed = loss.values if loss.kind == "column" else loss.rows
        if query is None or rehearsed is None:
            continue
        ((now,),) = session.query(query)
        if not tolerance.allows(now, rehearsed):
            raise Stop("surprise", f"{loss.kind} {loss.name} holds {now:,} now; {rehearsed:,} were lost in the rehearsal")


def check_effects(ran: Ran, plan: Plan, rehearsal: Rehearsal, tolerance: Tolerance) -> bool:
    """Before COMMIT: the live run did what the rehearsal did, and left the same schema. Raise Stop with the difference."""
    live = losses.effects(ran.revisions, ran.base, None, plan.is_version_table)
    found = effects.surprises(rehearsal.revisions, live, tolerance)
    if not found and ran.heads != rehearsal.heads_after:
        found = (f"the version table reads {', '.join(ran.heads)}, and {', '.join(rehearsal.heads_after)} in the rehearsal",)
    if not found:
        found = tuple(str(one) for one in execution.schema_differences(rehearsal.schema_after, ran.schema))
    if found:
        raise Stop("surprise", "the live run differs from the rehearsal: " + "; ".join(found[:5]))
    return True


def _explained(
    failure: Exception | None, live: Connection, plan: Plan, run: Execution, attempt: int, backup_id: str
) -> errors.MigrationPipelineError:
    """Say what failed, the state that the database is in as looked at now, and the one command to run next."""
    evidence: dict[str, object] = {}
    what = "The upgrade failed."
    stopped = None
    if isinstance(failure, errors.MigrationPipelineError):
        evidence |= failure.evidence
        what = f"The upgrade failed. {failure.what}"
        stopped = getattr(failure, "stopped", None)
    elif isinstance(failure, QueryFailed):
        evidence["server"] = f"{failure.sqlstate} {failure}"
    if attempt > 1:
        evidence["attempts"] = attempt
    evidence["state"] = _state(live, plan, run)
    evidence["backup"] = f"{backup_id} holds the database as it was"
    kind = errors.Stale if stopped == "stale" else errors.UpgradeFailed
    return kind(what, evidence=evidence, next_step="mend what is named above, then: just migrate")


def _state(live: Connection, plan: Plan, run: Execution) -> str:
    try:
        _gone(live, run)
        with postgres.session(live, purpose="looks") as opened:
            heads = postgres.version_rows(opened, plan.version_table_schema, plan.version_table)
    except errors.MigrationPipelineError:
        return "unknown: the server does not answer; PostgreSQL rolls back what was not committed"
    at = ", ".join(heads) or "no revision"
    if heads == plan.current:
        return f"rolled back; the database is at {at}, as before"
    return f"this run was rolled back; the database is at {at}, where something else has brought it"


def _gone(live: Connection, run: Execution) -> None:
    """Make sure that no backend of ours goes on working, whatever became of its client."""
    if run.opened is not None:
        with contextlib.suppress(errors.MigrationPipelineError):
            postgres.end_backend(live, run.opened.pid, run.opened.xid)


def _was_committed(live: Connection, run: Execution) -> bool:
    if run.opened is None or run.ran is None:
        return False
    _gone(live, run)
    return postgres.outcome(live, run.opened.xid) == "committed"


def _version(connection: Connection) -> int:
    with postgres.session(connection, purpose="looks") as opened:
        return postgres.server(opened).version
