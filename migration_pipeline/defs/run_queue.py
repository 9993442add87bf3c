"""Dagster's queue, in which each run carries the tag of the Target that it works on: dagster.yaml names it.

One run a Target is a limit on that tag, and the Launchpad asks nobody for tags. What counts is the Target in the run's
config, whatever tag somebody has typed. Webserver and daemon need no settings for it: an empty name is the only Target
of the code location, whose assets bear its name.
"""

import dagster as dg
from dagster._core.run_coordinator import SubmitRunContext

from migration_pipeline.defs import assets

TARGET_TAG = "migration/target"
#: Jobs that work on no Target by themselves. An answer in the queue behind the run that waits for it would never be heard.
OF_NO_TARGET = frozenset({"confirm_migration", "start_fleet", "stop_fleet", "show_fleet"})


class QueueByTarget(dg.QueuedRunCoordinator[dg.DagsterInstance]):
    """Dagster's own queue; a run is tagged before it enters it."""

    def submit_run(self, context: SubmitRunContext) -> dg.DagsterRun:
        target = _target(context)
        if target:
            self._instance.add_run_tags(context.dagster_run.run_id, {TARGET_TAG: target})
        return super().submit_run(context)


def _target(context: SubmitRunContext) -> str:
    """Return the name of the Target that a run works on; empty for one that works on none, or says too little to begin."""
    run = context.dagster_run
    origin = run.remote_job_origin
    if origin is None or run.job_name in OF_NO_TARGET or run.job_name.startswith("__"):
        return ""
    if named := run.run_config.get("target"):
        return str(named)
    location = context.workspace.get_code_location(origin.location_name)
    repository = location.get_repository(origin.repository_origin.repository_name)
    targets = assets.targets(repository.asset_graph.get_all_asset_keys())
    return targets.pop() if len(targets) == 1 else ""
