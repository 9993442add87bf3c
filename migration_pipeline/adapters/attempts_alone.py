"""Tries a revision that runs outside any transaction: on a copy, and on the live database as often as locks stood in the way.

What a failed try leaves is looked at, and its half-made indexes are dropped before the next one.
"""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass

from migration_pipeline import errors
from migration_pipeline.adapters import alone, attempts, comparison, explanation, indexes, losses, pending, postgres, snapshot
from migration_pipeline.adapters.alembic_project import QueryFailed
from migration_pipeline.adapters.alone import MIXED, Alone
from migration_pipeline.adapters.execution import Show
from migration_pipeline.adapters.failed_run import RunFailed
from migration_pipeline.adapters.indexes import Index
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.adapters.transaction import Limits
from migration_pipeline.domain import statements
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.effects import Rehearsed, RevisionEffects
from migration_pipeline.domain.plan import Plan
from migration_pipeline.domain.schema import SchemaSnapshot
from migration_pipeline.domain.segments import Segment


def rehearse(
    project: Project, copy: Connection, segment: Segment, limits: Limits, progress: Show, *, role: str | None
) -> Rehearsed:
    """Run the revision on a restored copy, where it stays. Raise CannotRollBack, NotAllowed or RehearsalFailed."""
    run = Alone(
        plan=segment.plan,
        limits=limits,
        server_version=attempts.version(copy),
        rehearsing=True,
        sources=pending.sources(segment.plan),
        progress=progress,
        role=role,
    )
    try:
        alone.run(project, copy, run)
    except RunFailed as error:
        if error.stopped == MIXED:
            raise explanation.mixed(
                segment.plan, segment.plan.revisions[0].id, cannot=segment.alone, can=error.told["message"]
            ) from None
        raise explanation.of_rehearsal(error) from None
    except QueryFailed as error:
        raise explanation.of_rehearsal_end(error) from None
    except BaseException:
        gone(copy, run)
        raise
    revisions, outside = measured(run)
    return Rehearsed(
        segment=segment,
        revisions=revisions,
        outside=outside,
        schema_after=schema(copy),
        heads_after=run.heads,
        seconds=sum(one.seconds for one in revisions),
    )


@dataclass(frozen=True, kw_only=True)
class Before:
    """The live database, as it was looked at before the revision."""

    schema: SchemaSnapshot
    indexes: Mapping[str, Index]


def upgrade(
    project: Project,
    live: Connection,
    rehearsal: Rehearsed,
    *,
    limits: Limits,
    tries: int,
    progress: Show,
    backup_id: str,
) -> attempts.Done:
    """Run the revision on the live database, as it was rehearsed. Raise UpgradeFailed, Stale."""
    plan = rehearsal.segment.plan
    shapes = {statements.shape(one) for part in (*rehearsal.revisions, rehearsal.outside) for one in part.statements}
    before = Before(schema=schema(live), indexes=indexes.read(live))
    for attempt in range(1, tries + 1):
        run = Alone(
            plan=plan,
            limits=limits,
            server_version=attempts.version(live),
            rehearsing=False,
            sources=pending.sources(plan),
            progress=progress,
            rehearsed=frozenset(shapes),
        )
        started = time.monotonic()
        failure: Exception | None = None
        try:
            alone.run(project, live, run)
        except (errors.ProjectFailed, QueryFailed) as error:
            failure = error
        except BaseException:
            with contextlib.suppress(errors.MigrationPipelineError):
                gone(live, run)
                drop_left_over(live, run, before)
            raise
        seconds = time.monotonic() - started
        heads = heads_when_it_answers(live, plan)
        if heads == plan.heads:  # what failed after that was only the answer
            check_schema(live, rehearsal, backup_id)
            revisions, _ = measured(run)
            return attempts.Done(heads=heads, seconds=seconds, attempts=attempt, revisions=revisions)
        found = left_behind(live, run, before)
        is_locked = getattr(failure, "sqlstate", None) == postgres.LOCK_NOT_AVAILABLE
        if not is_locked or attempt == tries or found.keys() - {"dropped"}:
            raise explanation.of_alone(failure, plan, heads, found, attempt, backup_id)
        time.sleep(attempts.BACK_OFF_SECONDS * attempt)
    message = "unreachable"
    raise AssertionError(message)


def heads_when_it_answers(live: Connection, plan: Plan) -> tuple[str, ...] | None:
    """Return where the database is, asking a server that restarts again and again; None: it does not say."""
    end = time.monotonic() + attempts.OUTCOME_SECONDS
    while (heads := comparison.heads_now(live, plan)) is None and time.monotonic() < end:
        time.sleep(attempts.BACK_OFF_SECONDS)
    return heads


def measured(run: Alone) -> tuple[tuple[RevisionEffects, ...], RevisionEffects]:
    """Return what the revision did, and env.py; what is gone was not counted before it went."""
    parts = [*run.measurement.revisions, run.measurement.outside]
    *revisions, outside = losses.effects(parts, run.measurement.base, None, run.plan.is_version_table)
    return tuple(revisions), outside


def check_schema(live: Connection, rehearsal: Rehearsed, backup_id: str) -> None:
    """Raise UpgradeFailed when the revision, which is applied, did not leave the schema that it left in the rehearsal."""
    plan = rehearsal.segment.plan
    after = schema(live)
    if differing := comparison.of_schemas(rehearsal.schema_after.as_restored, after.as_restored):
        raise errors.UpgradeFailed(
            f'Revision "{plan.revisions[0].id}" is applied, but it did not do what it did in the rehearsal.',
            evidence={**differing, "state": f"the database is at {', '.join(plan.heads)}", "safe": explanation.safe(backup_id)},
            next_step="mend what is named above",
        )


def left_behind(live: Connection, run: Alone, before: Before) -> dict[str, str]:
    """Drop the indexes that a failed try left; return what was dropped and what else it left, as evidence."""
    try:
        is_gone = gone(live, run)
        found = drop_left_over(live, run, before)
        if not is_gone:
            found["still at work"] = "its session on the server has not ended yet"
        if half := indexes.pending_detach(live):
            found["half detached"] = f"{', '.join(half)}: ALTER TABLE ... DETACH PARTITION ... FINALIZE"
        return {**found, **comparison.of_schemas(before.schema, schema(live))}
    except errors.MigrationPipelineError as error:
        return {"left over": f"unknown: {error.what}"}


def drop_left_over(live: Connection, run: Alone, before: Before) -> dict[str, str]:
    """Drop what the revision left of its indexes, once it is seen that it is not applied; return what became of them."""
    if comparison.heads_now(live, run.plan) != run.plan.current:
        return {"left over": "not looked for: the database does not say that the revision is not applied"}
    now = indexes.read(live)
    found = indexes.drop(live, indexes.left_over(before.indexes, now, run.built, indexes.building(live)))
    if invalid := indexes.now_invalid(before.indexes, indexes.read(live)):
        found["no longer valid"] = "\n".join(map(indexes.by_hand, invalid))
    return found


def schema(connection: Connection) -> SchemaSnapshot:
    with postgres.session(connection, purpose="compares", autocommit=False) as opened:
        return snapshot.schema_of(opened)


def gone(connection: Connection, run: Alone) -> bool:
    """End what our backend still does, whatever became of its client; return whether it was seen gone."""
    if run.backend is None:
        return True
    with contextlib.suppress(errors.MigrationPipelineError):
        return postgres.end_backend(connection, run.backend.pid, run.backend.started, is_start=True)
    return False
