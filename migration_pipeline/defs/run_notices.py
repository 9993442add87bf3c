"""What a run's own events say of how it ended, as the values that notices are made of."""

import re
from collections.abc import Iterator

import dagster as dg

from migration_pipeline import errors
from migration_pipeline.defs import assets
from migration_pipeline.domain import notices
from migration_pipeline.domain.notices import Notice

TASKS = {"migrate": "migration", "restore_database": "restore"}  #: the jobs whose end is told, as a human calls them
#: Begins the reason with which a run is cancelled for its time: Dagster keeps it with the event.
OVERDUE = "The upgrade has been running for"


def route(instance: dg.DagsterInstance, run_id: str) -> str:
    """Return the plan of a run in words."""
    for event in _events(instance, run_id, dg.DagsterEventType.STEP_OUTPUT):
        if event.step_key == "preflight" and "route" in event.step_output_data.metadata:
            return str(event.step_output_data.metadata["route"].value)
    return "unknown"


def failure(instance: dg.DagsterInstance, run: dg.DagsterRun) -> errors.MigrationPipelineError | None:
    """Return the error with which a step of ours ended the run; None: no step of ours did."""
    found = None
    for event in _events(instance, run.run_id, dg.DagsterEventType.STEP_FAILURE):
        data = event.step_failure_data
        if data.user_failure_data is None or data.error is None or not hasattr(errors, str(data.error.cls_name)):
            continue
        metadata = data.user_failure_data.metadata
        rows = getattr(metadata.get("evidence"), "records", [])
        next_step = str(metadata["next"].value) if "next" in metadata else "none"
        found = errors.MigrationPipelineError(
            data.error.message.splitlines()[0],
            evidence={str(row.data["what"]): str(row.data["found"]) for row in rows},
            next_step=None if next_step == "none" else next_step,
        )
    return found


def says_where_it_ended(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Return whether a run that was cancelled has itself looked where it left the database, and said so."""
    ends = _events(instance, run.run_id, dg.DagsterEventType.RUN_CANCELED)
    told = [getattr(event.event_specific_data, "error", None) for event in ends]  # whoever else ended it left none
    return any(error is not None and error.cls_name == errors.Interrupted.__name__ for error in told)


def was_overdue(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Return whether the run was cancelled for its time: that was told then."""
    return any(
        (event.message or "").startswith(OVERDUE) for event in _events(instance, run.run_id, dg.DagsterEventType.RUN_CANCELING)
    )


def success(instance: dg.DagsterInstance, run: dg.DagsterRun, target: str) -> Notice | None:
    """Return the notice of a migration that was committed; None: there was nothing to migrate."""
    for event in _events(instance, run.run_id, dg.DagsterEventType.ASSET_MATERIALIZATION):
        made = event.step_materialization_data.materialization
        if made.asset_key == assets.schema_key(target):
            found = {name: str(one.value) for name, one in made.metadata.items()}
            lost = [] if found["lost"] == "nothing" else [_plain(line) for line in found["lost"].splitlines()]
            return notices.migrated(
                target, route=made.description or "", seconds=float(found["upgrade seconds"]), backup=found["backup"], lost=lost
            )
    return None


def _plain(line: str) -> str:
    """Return a line of a list in Markdown as it was before."""
    return re.sub(r"\\(.)", r"\1", line.removeprefix("- "))


def _events(instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType) -> Iterator[dg.DagsterEvent]:
    for entry in instance.all_logs(run_id, of_type=kind):
        if entry.dagster_event is not None:
            yield entry.dagster_event
