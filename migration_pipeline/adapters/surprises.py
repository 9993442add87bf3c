"""Holds a live run against its rehearsal: before a revision what it will take away, and before COMMIT everything that it did."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from migration_pipeline.adapters import execution, losses
from migration_pipeline.adapters.alembic_project import Session, Stop
from migration_pipeline.adapters.execution import Ran
from migration_pipeline.adapters.measurement import Measurement
from migration_pipeline.adapters.transaction import quoted
from migration_pipeline.domain import effects, redaction, sql, statements
from migration_pipeline.domain.effects import Loss, Rehearsed, RevisionEffects, Tolerance
from migration_pipeline.domain.plan import Plan


def check_amounts(session: Session, measured: Measurement, losses_expected: Sequence[Loss], tolerance: Tolerance) -> None:
    """Before a revision: what it will drop or empty holds no more than what was rehearsed, and nobody can add to it now.

    The lock keeps writers out until the end, as the loss itself would a moment later: so it is taken no earlier.
    """
    for loss in losses_expected:
        rehearsed = loss.values if loss.kind == "column" else loss.rows
        path = measured.path_now(loss.path) if loss.path else None
        if path is None or rehearsed is None:
            continue
        if loss.kind != "materialized view":
            session.query(f"LOCK TABLE ONLY {quoted(*path[:2])} IN SHARE MODE")
        query = losses.amount_query(replace(loss, path=path))
        ((now,),) = session.query(query) if query else ((0,),)
        if not tolerance.allows(now, rehearsed):
            were = "there" if loss.how == "put back" else "lost"
            raise Stop("surprise", f"{loss.kind} {loss.name} holds {now:,} now; {rehearsed:,} were {were} in the rehearsal")


def check_effects(ran: Ran, plan: Plan, rehearsal: Rehearsed, tolerance: Tolerance) -> bool:
    """Before COMMIT: the live run did what the rehearsal did, and left the same schema. Raise Stop with the difference."""
    live = losses.effects(ran.parts, ran.base, None, plan.is_version_table)
    found = effects.surprises((*rehearsal.revisions, rehearsal.outside), live, tolerance)
    found += tuple(new_statements(rehearsal, live))
    found += tuple(lost_after_all(rehearsal, live))
    if not found:
        found = tuple(str(one) for one in execution.schema_differences(rehearsal.schema_after, ran.schema))
    if found:
        raise Stop("surprise", "the live run differs from the rehearsal: " + "; ".join(found[:5]))
    return True


def lost_after_all(rehearsal: Rehearsed, live: Sequence[RevisionEffects]) -> Iterator[str]:
    """Yield what is lost of the tables and views that are compared live, and was not in the rehearsal."""
    expected = {(loss.kind, loss.name) for one in rehearsal.revisions for loss in one.lost}
    for one in live:
        for loss in one.lost:
            if loss.how in {"deleted", "truncated", "refreshed", "overwritten"} and (loss.kind, loss.name) not in expected:
                yield f"{loss.kind} of {loss.name} are {loss.how}, and all of them were there again in the rehearsal"


def put_back(rehearsal: Rehearsed) -> frozenset[str]:
    """Return the tables from which rows were taken and were all there again: what else they hold live, is not."""
    return frozenset(
        [
            change.table
            for one in rehearsal.revisions
            for change in one.rows
            if change.existed and change.deleted and change.lost == 0
        ]
        + [loss.name for one in rehearsal.revisions for loss in one.put_back]
    )


def refreshed(rehearsal: Rehearsed) -> frozenset[str]:
    """Return the materialized views that are refreshed: a restored copy never holds what only they still held."""
    sent = [statements.parse(each.sql, each.has_parameters) for one in rehearsal.revisions for each in one.statements]
    nodes = [node for parsed in sent for node in parsed.nodes if sql.kind(node) == "RefreshMatViewStmt"]
    return frozenset(str(sql.relation(node.relation)) for node in nodes)


def new_statements(rehearsal: Rehearsed, live: Sequence[RevisionEffects]) -> Iterator[str]:
    """Yield the statements that no rehearsed one resembles, literals aside: they were measured by nobody."""
    rehearsed = {one.revision: {statements.shape(each) for each in one.statements} for one in rehearsal.revisions}
    rehearsed[rehearsal.outside.revision] = {statements.shape(each) for each in rehearsal.outside.statements}
    for one in live:
        for statement in one.statements:
            if statements.shape(statement) not in rehearsed.get(one.revision, set()):
                yield f"{one.revision} sends what it did not send in the rehearsal: {redaction.one_line(statement.sql)}"
