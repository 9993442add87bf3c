"""dagster-celery's launcher, with what it leaves out of a cancel: deploy/dagster-celery.yaml names it."""

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG


class CancellingCeleryRunLauncher(CeleryRunLauncher):  # type: ignore[misc]
    """A run that is cancelled ends as cancelled, not as failed; one that a terminal holds is no worker's."""

    def terminate(self, run_id: str) -> bool:
        """Record that somebody cancels the run before its worker is told: a run without that record fails."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        return bool(super().terminate(run_id)) if DAGSTER_CELERY_TASK_ID_TAG in run.tags else True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Ask Celery about its own runs alone."""
        if DAGSTER_CELERY_TASK_ID_TAG not in run.tags:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        found: CheckRunHealthResult = super().check_run_worker_health(run)
        return found
