"""What the ops are given: the workplace of the run's Target."""

import contextlib
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import dagster as dg
import pydantic

from migration_pipeline import errors, settings
from migration_pipeline.operator import desk
from migration_pipeline.workplace import Workplace


class WorkplaceResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The Target's database, store and scratch server; its lock and its restored copy live as long as the run."""

    target: str = pydantic.Field(default="", description="The Target's name in pipeline.toml; empty: the only one.")
    _place: Workplace | None = pydantic.PrivateAttr(default=None)

    @contextlib.contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator[Any, None, None]:
        """Open the workplace at its first use, so that wrong settings fail a step and not the start of the run."""
        self._run_id = context.run.run_id if context.run else "unknown"
        try:
            yield self
        finally:
            if self._place is not None:
                self._place.close()

    _run_id: str = pydantic.PrivateAttr(default="")

    @property
    def place(self) -> Workplace:
        if self._place is None:
            _refuse_throw_away_instance()
            target = settings.load(os.environ, Path.cwd(), self.target or None)
            self._place = Workplace(target=target, run_id=self._run_id, progress=desk.present.progress)
        return self._place


def _refuse_throw_away_instance() -> None:
    """Without DAGSTER_HOME, Dagster keeps a run in a folder that it removes: no record, and nothing to go on from."""
    if not os.environ.get("DAGSTER_HOME"):
        raise errors.SettingsError(
            "DAGSTER_HOME is not set: this run would be kept nowhere; nothing was started.",
            next_step='export DAGSTER_HOME="$PWD/.dagster" (the folder must exist), or use just migrate, which sets it',
        )
