"""The question of a destructive plan where no terminal is: the gate of a run waits, the job `confirm_migration` answers it.

The gate alone writes what it decided, so that of two answers the first one stands. A run's tags pass on to its
re-execution, and whoever launches a run can give it any: each tag that counts names the run it is meant for, and what was
answered is read from the answering run's config, which nobody can change.
"""

import contextlib
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import dagster as dg
import pydantic
from sqlalchemy.exc import SQLAlchemyError

from migration_pipeline import errors
from migration_pipeline.defs import assets
from migration_pipeline.defs.failures import ToldFailure
from migration_pipeline.domain import confirmation
from migration_pipeline.domain import report as reports
from migration_pipeline.domain.confirmation import AGAIN, Confirmation
from migration_pipeline.domain.plan import Plan
from migration_pipeline.domain.safety import SafetyReport

JOB = "confirm_migration"
LOCATION = "migration_pipeline.definitions"  #: of a run that no webserver launched
AWAITED = "migration/confirmation_of"  #: on a run that asks: its own id, and the plan's fingerprint
DECISION = "migration/confirmation"  #: on it: "awaited", then "CONFIRM 3f9c2a17", "declined" or "timed out"
ANSWERED_BY = "migration/answered_by_run"  #: on it, once it has decided
ANSWERS = "migration/answers_run"  #: on a run of the job: which run it answers
IS_AWAITED, IS_DECLINED, IS_TIMED_OUT = "awaited", "declined", "timed out"
POLL_SECONDS = 1.0
#: Dagster's storage is locked by another process, or its server restarts: the next look may succeed.
NOT_NOW = (SQLAlchemyError, dg.DagsterError)


class AnswerConfig(dg.Config):
    run_id: str = pydantic.Field(description="The run that waits, as its link fills it in.")
    fingerprint: str = pydantic.Field(description="The plan whose ledger that run shows, as its link fills it in.")
    answer: str = pydantic.Field(default="", description="CONFIRM, once you have read the ledger. Anything else declines.")


def limit(context: dg.OpExecutionContext, minutes: float | None, default: timedelta) -> timedelta:
    """Return how long a run waits for an answer: not at all, unless somebody can see it in the UI or its config says so."""
    if minutes is not None:
        return timedelta(minutes=minutes)
    return default if context.run.remote_job_origin is not None else timedelta(0)


def ask(
    context: dg.OpExecutionContext, plan: Plan, report: SafetyReport, *, limit: timedelta, good_for: timedelta
) -> Confirmation:
    """Show the ledger and the way to answer, and wait, but not longer than the backup is good for. Raise Declined."""
    limit, backup_too_old = min(limit, good_for), good_for < limit
    for_this = f"{context.run_id} {plan.fingerprint}"
    context.instance.add_run_tags(context.run_id, {AWAITED: for_this, DECISION: IS_AWAITED})
    _show(context, plan, report, until=datetime.now(UTC) + limit)
    end = time.monotonic() + limit.total_seconds()
    while (answer := _first_answer(context, plan)) is None:
        if time.monotonic() >= end:
            context.instance.add_run_tags(context.run_id, {DECISION: IS_TIMED_OUT})
            raise confirmation.timed_out(plan.fingerprint, limit, backup_too_old=backup_too_old)
        time.sleep(POLL_SECONDS)
    return _decide(context, plan, answer)


def _show(context: dg.OpExecutionContext, plan: Plan, report: SafetyReport, until: datetime) -> None:
    path = launchpad(context.run, plan.fingerprint)
    shown = dg.AssetObservation(
        assets.schema_key(plan.identity.target),
        metadata={  # the page shows no description of an observation, and Markdown only where it is asked for
            "ledger": "\n".join(_ledger(report)),  # first: the page folds what is long, and who unfolds it has read the ledger
            "question": f"{confirmation.PROMPT} in the Launchpad that this link opens.",
            "answer": dg.MetadataValue.url(path),
            "until": dg.MetadataValue.timestamp(until),
            "plan": plan.fingerprint,
        },
    )
    context.log_event(shown)
    context.log.warning("This run waits until %s for the answer of: %s", f"{until:%H:%M:%S} UTC", path)


def _ledger(report: SafetyReport) -> list[str]:
    """Return what is lost, a line each."""
    found = reports.by_revision(report).items()
    return [errors.printable(f"{revision}: {line}") for revision, lines in found for line in lines]


def launchpad(run: dg.DagsterRun, fingerprint: str) -> str:
    """Return the path, on whichever webserver, of the job's Launchpad, filled in but for the answer."""
    origin = run.remote_job_origin
    location = origin.location_name if origin else LOCATION
    # quoted: of digits and an e alone, a fingerprint would be a number of YAML's
    filled = f'run_id: "{run.run_id}"\nfingerprint: "{fingerprint}"\nanswer: ""'
    return f"/locations/{quote(location, safe='')}/jobs/{JOB}/playground/setup?mode=default&config={quote(filled, safe='')}"


def _first_answer(context: dg.OpExecutionContext, plan: Plan) -> dg.DagsterRun | None:
    filters = dg.RunsFilter(job_name=JOB, tags={ANSWERS: context.run_id})
    asked = {"run_id": context.run_id, "fingerprint": plan.fingerprint}
    with contextlib.suppress(*NOT_NOW):
        runs = (record.dagster_run for record in context.instance.get_run_records(filters, ascending=True))
        return next((run for run in runs if asked.items() <= dict(run.run_config).items()), None)
    return None


def _decide(context: dg.OpExecutionContext, plan: Plan, answer: dg.DagsterRun) -> Confirmation:
    given = str(dict(answer.run_config).get("answer", ""))
    decision = IS_DECLINED
    try:
        consent = confirmation.from_ui(given, plan.fingerprint, by_run=answer.run_id)
        decision = confirmation.phrase(plan.fingerprint)
    finally:
        context.instance.add_run_tags(context.run_id, {DECISION: decision, ANSWERED_BY: answer.run_id})
    return consent


@dg.op
def answer_migration(context: dg.OpExecutionContext, config: AnswerConfig) -> None:
    """Hand the answer to the run that waits for it, and see that it was taken: the first one stands."""
    try:
        _check_awaited(context.instance, config)
        context.instance.add_run_tags(context.run_id, {ANSWERS: config.run_id})
        _see_taken(context, config)
    except errors.MigrationPipelineError as error:
        raise ToldFailure(error) from None
    shown = {"confirmed": confirmation.phrase(config.fingerprint), "run": dg.MetadataValue.dagster_run(config.run_id)}
    context.add_output_metadata(shown)


def _check_awaited(instance: dg.DagsterInstance, config: AnswerConfig) -> None:
    """Raise Stale unless that very run waits for the answer to that very plan, and has none."""
    run = instance.get_run_by_id(config.run_id)
    if run is None:
        raise _not_awaited("There is no run of this id", config.run_id)
    if run.status is not dg.DagsterRunStatus.STARTED:
        raise _not_awaited(f"That run is not under way: it is {run.status.value}", config.run_id)
    run_id, _, fingerprint = run.tags.get(AWAITED, "").partition(" ")
    if run_id != run.run_id:
        raise _not_awaited("That run does not wait for a confirmation", config.run_id)
    if fingerprint != config.fingerprint:
        raise _not_awaited("That run waits for the confirmation of another plan", config.run_id)
    if run.tags.get(DECISION) != IS_AWAITED:
        raise _answered_already(run)


def _not_awaited(what: str, run_id: str) -> errors.Stale:
    return errors.Stale(
        f"{what}; nothing was confirmed.",
        evidence={"run": run_id},
        next_step="read the ledger of the run that waits, and open the link that it shows",
    )


def _answered_already(run: dg.DagsterRun) -> errors.Stale:
    by = {"by run": run.tags[ANSWERED_BY]} if run.tags.get(DECISION) != IS_TIMED_OUT else {}
    return errors.Stale(
        "That run has its answer already, and the first one stands.",
        evidence={"run": run.run_id, "answer": run.tags.get(DECISION), **by},
        next_step=f"look at that run; if it has failed: {AGAIN}",
    )


def _see_taken(context: dg.OpExecutionContext, config: AnswerConfig) -> None:
    """Wait until the run has decided. There is no time limit: it takes the answer, or it ends."""
    while (run := _decided(context.instance, config.run_id)) is None:
        time.sleep(POLL_SECONDS / 2)
    if run.tags.get(ANSWERED_BY) != context.run_id or run.tags[DECISION] == IS_TIMED_OUT:
        raise _answered_already(run)
    if run.tags[DECISION] == IS_DECLINED:
        confirmation.from_ui(config.answer, config.fingerprint, by_run=context.run_id)


def _decided(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun | None:
    """Return the run that was answered, once it has decided. Raise Stale where it ended before that."""
    try:
        run = instance.get_run_by_id(run_id)
    except NOT_NOW:
        return None
    if run is None:
        raise _not_awaited("That run was deleted", run_id)
    if run.tags.get(DECISION) != IS_AWAITED:
        return run
    if run.status is not dg.DagsterRunStatus.STARTED:
        raise _not_awaited(f"That run is no longer under way: it is {run.status.value}", run_id)
    return None
