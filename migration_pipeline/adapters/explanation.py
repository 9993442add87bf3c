"""Says what became of a try that did not succeed: what happened, the evidence, the state as looked at, what to do next."""

from collections.abc import Mapping

from migration_pipeline import errors
from migration_pipeline.adapters import comparison, postgres
from migration_pipeline.adapters.alembic_project import QueryFailed
from migration_pipeline.adapters.execution import Execution
from migration_pipeline.adapters.failed_run import RunFailed
from migration_pipeline.adapters.inventory import sequences_query
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.plan import Plan

#: Kinds of Stop after which the revision itself must change: it cannot be rolled back as a whole.
NOT_TRANSACTIONAL = frozenset(
    {"ends transaction", "half run", "not transactional", "transaction control", "second connection", "non-transactional"}
)
SPLIT_COMMITTED = (
    "leave the end of the transaction to the pipeline; what must be committed by itself goes into a revision of its own, "
    "then: just migrate"
)
#: How such a revision is to be written.
SPLIT = {
    "second connection": "use op.get_bind() in the place of a connection of its own, then: just migrate",
    "non-transactional": "take it out of the migrations, or write it so that one transaction can hold it, then: just migrate",
    "half run": "let env.py run the migrations to their end, then: just migrate",
}
MEND = "mend what is named above, then: just migrate"


def of_rehearsal(error: RunFailed) -> errors.MigrationPipelineError:
    """Say what ended the rehearsal: a refusal where the revision itself must change, else a failure."""
    if error.was_cut_off:
        return errors.RehearsalFailed(
            f"The rehearsal was cut off. {error.what}", evidence=error.evidence, next_step=error.next_step
        )
    if error.stopped == "stale":
        return errors.Stale(error.what, evidence=error.evidence, next_step="just plan, which shows what is left to do")
    if error.stopped in NOT_TRANSACTIONAL:
        return errors.CannotRollBack(
            error.what,
            evidence=error.evidence,
            next_step=SPLIT.get(error.stopped, SPLIT_COMMITTED),
        )
    if error.stopped:
        return errors.NotAllowed(error.what, evidence=error.evidence, next_step="change what is named above, then: just migrate")
    return errors.RehearsalFailed(
        f"The rehearsal failed. {error.what}", evidence=error.evidence, next_step="mend the revision, then: just migrate"
    )


def mixed(plan: Plan, revision: str, *, cannot: str, can: str) -> errors.CannotRollBack:
    """Say that a revision does what can be rolled back beside what cannot."""
    return errors.CannotRollBack(
        f'Revision "{revision}" mixes what can be rolled back with what cannot.',
        evidence={"can be": can, "cannot be": cannot, "file": plan.named(revision).path},
        next_step=f"move {cannot} into a revision of its own, and leave the rest in this one"
        + ("; or leave CONCURRENTLY out: just migrate --without-concurrently" if "CONCURRENTLY" in cannot else ""),
    )


def of_rehearsal_end(error: QueryFailed) -> errors.MigrationPipelineError:
    """Say why our own query failed inside the rehearsal: most often it made the deferred constraints speak."""
    if postgres.is_connection_lost(error.sqlstate, error.kind):
        return errors.RehearsalFailed(f"The rehearsal was cut off. {postgres.LOST}", next_step=postgres.TRY_AGAIN)
    return errors.RehearsalFailed(
        "The rehearsal failed at its end: a deferred constraint is violated, or a measurement was not possible.",
        evidence={"server": f"{error.sqlstate} {error}"},
        next_step=MEND,
    )


def of_upgrade(
    failure: Exception | None, live: Connection, plan: Plan, run: Execution, outcome: str | None, tries: int, backup_id: str
) -> errors.MigrationPipelineError:
    """Say what failed, the state that the database is in as looked at now, and the one command to run next."""
    evidence: dict[str, object] = {}
    what = "The upgrade failed."
    stopped, mend = None, MEND
    if isinstance(failure, errors.MigrationPipelineError):
        evidence |= failure.evidence
        what, mend = f"The upgrade failed. {failure.what}", failure.next_step or MEND
        stopped = getattr(failure, "stopped", None)
        if isinstance(failure, RunFailed) and failure.was_cut_off:
            what = f"The upgrade was cut off. {failure.what}"
        if getattr(failure, "sqlstate", None) == postgres.LOCK_NOT_AVAILABLE:
            what = f"The upgrade did not get its locks: others held them longer than all of its {tries} tries."
            mend = "find the sessions that hold locks on it (pg_locks), wait until they have ended, then: just migrate"
    elif isinstance(failure, QueryFailed) and postgres.is_connection_lost(failure.sqlstate, failure.kind):
        what, mend = f"The upgrade was cut off. {postgres.LOST}", postgres.TRY_AGAIN
    elif isinstance(failure, QueryFailed):
        evidence["server"] = f"{failure.sqlstate} {failure}"
    if tries > 1:
        evidence["attempts"] = tries
    state, next_step = _state(live, plan, run, outcome, mend)
    evidence |= {"state": state, **_moved_sequences(live, run), "safe": safe(backup_id)}
    kind = errors.Stale if stopped == "stale" else errors.UpgradeFailed
    return kind(what, evidence=evidence, next_step=next_step)


def of_alone(
    failure: Exception | None,
    plan: Plan,
    heads: tuple[str, ...] | None,
    left: Mapping[str, str],
    tries: int,
    backup_id: str,
) -> errors.MigrationPipelineError:
    """Say what failed of a revision that runs outside a transaction, and what it left, as looked at now."""
    revision = plan.revisions[0].id
    what, stopped = "The upgrade failed.", None
    evidence: dict[str, object] = {}
    if isinstance(failure, errors.MigrationPipelineError):
        what, stopped = f"The upgrade failed. {failure.what}", getattr(failure, "stopped", None)
        evidence |= failure.evidence
    elif isinstance(failure, QueryFailed):
        evidence["server"] = f"{failure.sqlstate} {failure}"
    if tries > 1:
        evidence["attempts"] = str(tries)
    if heads is None:
        state = f"unknown: the server does not answer; whether {revision} is applied is not known"
    else:
        clean = "as it was before it" if not left.keys() - {"dropped"} else "but not as before: it cannot be rolled back"
        state = f"{revision} is not applied; the database is at {', '.join(heads) or 'no revision'}, {clean}"
    evidence |= {**left, "state": state, "safe": safe(backup_id)}
    kind = errors.Stale if stopped == "stale" else errors.UpgradeFailed
    return kind(what, evidence=evidence, next_step=f"{MEND} --accept-non-transactional")


def safe(backup_id: str) -> str:
    return f"{backup_id}, verified by a restore"


def _state(live: Connection, plan: Plan, run: Execution, outcome: str | None, mend: str) -> tuple[str, str]:
    """Return the state of the database, as looked at, and what to do next; `mend`: where it is as before."""
    heads = comparison.heads_now(live, plan)
    if heads is None or outcome is None:
        if run.opened is None:
            return "the server does not answer; no transaction had been begun", "check that the server runs, then: just migrate"
        state = "unknown: the server does not say what became of the transaction; it rolls back what was not committed"
        return state, f"once it answers: SELECT pg_xact_status('{run.opened.xid}'), then: just plan"
    at = ", ".join(heads) or "no revision"
    if outcome == "committed":
        return (
            f"UNKNOWN: something inside the run has committed; the database is at {at}",
            "compare the database with the backup; to go back to it: just restore-db",
        )
    if heads == plan.current:
        return f"rolled back; the database is at {at}, as before", mend
    return f"this run was rolled back; the database is at {at}, where something else has brought it", mend


def _moved_sequences(live: Connection, run: Execution) -> dict[str, str]:
    """Name the sequences that stand elsewhere than at the start: PostgreSQL never rolls them back."""
    base = run.measurement.base
    before = run.measurement.sequences_at_start
    try:
        with postgres.session(live, purpose="looks") as opened:
            rows = postgres.catalog_query(opened, sequences_query(base, before)) if before else []
    except errors.MigrationPipelineError:
        return {}
    moved = [f"{base[str(key)].schema}.{base[str(key)].name}" for key, value in rows if value != before[str(key)]]
    return {"sequences": f"{', '.join(moved[:5])} moved, which PostgreSQL never rolls back"} if moved else {}
