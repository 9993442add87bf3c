"""Our errors as Dagster's Failure: the one place. What the operator reads is what happened, the evidence and what next."""

import contextlib
import traceback
from collections.abc import Callable, Iterator

import dagster as dg
from dagster._core.errors import DagsterUserCodeProcessError
from dagster_shared.error import SerializableErrorInfo

from migration_pipeline import errors, standing
from migration_pipeline.defs import metadata
from migration_pipeline.defs.resources import WorkplaceResource
from migration_pipeline.domain.plan import Plan
from migration_pipeline.operator import desk
from migration_pipeline.workplace import Workplace

INTERRUPTS = (KeyboardInterrupt, dg.DagsterExecutionInterruptedError)


class ToldFailure(DagsterUserCodeProcessError, dg.Failure):
    """A Failure whose text stands in the run's log as it is: Dagster would put a stack of twenty frames below it.

    It stores an error of this base class as the error was told elsewhere; there is no public way to leave the stack out.
    """

    def __init__(self, error: errors.MigrationPipelineError) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            str(error), metadata=metadata.of_error(error), allow_retries=False, user_code_process_error_infos=[_as_it_is(error)]
        )


class ToldInterrupt(DagsterUserCodeProcessError, dg.DagsterExecutionInterruptedError):
    """An interrupt that says where it left the database: Dagster keeps its text with the event that ends the run."""

    def __init__(self, error: errors.Interrupted) -> None:
        super().__init__(str(error), user_code_process_error_infos=[_as_it_is(error)])  # type: ignore[no-untyped-call]


def _as_it_is(error: errors.MigrationPipelineError) -> SerializableErrorInfo:
    return SerializableErrorInfo(message=f"{error}\n", stack=[], cls_name=type(error).__name__)


Look = Callable[[Workplace], dict[str, str]]  #: returns the state of the database, as looked at now


@contextlib.contextmanager
def told(
    context: dg.OpExecutionContext, workplace: WorkplaceResource, plan: Plan | None = None, look: Look | None = None
) -> Iterator[None]:
    """Show a step's begin and failure. What is no error of ours is named by type and place alone.

    Every failure also says which state the database is in, as looked at now, which backup is safe, and what to run next.
    """
    desk.present.started(context.op.name)
    try:
        yield
    except INTERRUPTS:
        desk.is_ending = True
        if desk.is_taken:  # the operator ends the run; without this, Dagster would call it a failure
            context.instance.report_run_canceling(context.run)
        interrupted = _interrupted(context, workplace, look or (lambda place: standing.of(place, plan, context.op.name)))
        raise ToldInterrupt(interrupted) from None
    except errors.MigrationPipelineError as error:
        ours = error
    except Exception as error:  # noqa: BLE001 - its own text may hold row values, and would be stored
        ours = _unknown(error)
    else:
        return
    # settings are wrong before there is a database to look at; a failed upgrade has looked already
    if not isinstance(ours, errors.SettingsError) and not {"state", "safe"} <= ours.evidence.keys():
        refused = isinstance(ours, errors.Refusal)
        look = look or (lambda place: standing.of(place, plan, context.op.name, refused=refused))
        for key, value in _standing(workplace, look).items():
            ours.evidence.setdefault(key, value)
    ours.next_step = ours.next_step or "just plan, which shows where the database is"
    desk.present.failed(context.op.name, ours)
    raise ToldFailure(ours) from None


def _interrupted(context: dg.OpExecutionContext, workplace: WorkplaceResource, look: Look) -> errors.Interrupted:
    try:
        evidence = _standing(workplace, look)
    except INTERRUPTS:  # somebody has no patience with a server that does not answer
        evidence = {"state": "unknown: it was not looked at"}
    next_step = "just plan, which shows where the database is"
    return errors.Interrupted(f"Cancelled in {context.op.name}.", evidence=evidence, next_step=next_step)


def _standing(workplace: WorkplaceResource, look: Look) -> dict[str, str]:
    try:
        return look(workplace.place)
    except Exception as error:  # noqa: BLE001 - what failed first is what must be told
        return {"state": f"unknown: it could not be looked at ({type(error).__name__})"}


def _unknown(error: Exception) -> errors.Failure:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return errors.Failure(
        "The pipeline itself failed in this step; look where the database is before anything else.",
        evidence={"error": type(error).__name__, "at": f"{frame.filename}, line {frame.lineno}"},
        next_step="just plan, to see where the database is, and report this error",
    )
