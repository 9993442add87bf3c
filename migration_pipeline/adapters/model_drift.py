"""Compares the schema that a history leads to with the project's models."""

from collections.abc import Iterator

from migration_pipeline import errors
from migration_pipeline.adapters.examination import Examination
from migration_pipeline.domain import drift


def found(examination: Examination) -> Iterator[str]:
    """Tell what the models have otherwise; what was made for that is rolled back."""
    steps = examination.steps
    told = steps.models()
    database, models = examination.beside()
    steps.end(commit=False)
    if not told["models"]:
        raise errors.NoPlan(
            "env.py gives Alembic no target_metadata: there are no models to compare with.",
            next_step="run it without --models",
        )
    yield from map(drift.of_alembic, told["drift"])
    yield from drift.of_schemas(database, models, steps.version_table)
