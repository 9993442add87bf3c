"""The values that travel between the ops: JSON below DAGSTER_HOME, for a run that goes on after a failure."""

import functools
from typing import Any

import dagster as dg
import pydantic
from upath import UPath

from migration_pipeline import errors
from migration_pipeline.defs.failures import ToldFailure


class JsonIOManager(dg.UPathIOManager):
    """Keeps each value as JSON, validated by its type when it is read back: no pickles, and a run can be resumed."""

    extension = ".json"

    def dump_to_path(self, context: dg.OutputContext, obj: Any, path: UPath) -> None:  # noqa: ARG002
        path.touch(mode=0o600)  # the schema and the SQL of the revisions are in it
        path.write_bytes(adapter(type(obj)).dump_json(obj))  # type: ignore[arg-type]  # mypy holds Any for unhashable

    def make_directory(self, path: UPath) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def load_from_path(self, context: dg.InputContext, path: UPath) -> Any:
        try:
            return adapter(context.dagster_type.typing_type).validate_json(path.read_bytes())
        except (OSError, ValueError) as error:
            raise _not_kept(context.name, path, error) from None


@functools.cache
def adapter(kind: Any) -> pydantic.TypeAdapter[Any]:
    """Return what reads and writes values of a type; to make it takes longer than all that it does in a run."""
    return pydantic.TypeAdapter(kind)


@dg.io_manager
def json_values(context: dg.InitResourceContext) -> JsonIOManager:
    """Values between steps, below DAGSTER_HOME."""
    if context.instance is None:
        raise dg.DagsterInvariantViolationError("values between steps need a Dagster instance")
    return JsonIOManager(base_path=UPath(context.instance.storage_directory()))


def _not_kept(name: str, path: UPath, error: Exception) -> ToldFailure:
    """Return the failure of a run that goes on from another one, whose values another machine or another version has kept."""
    return ToldFailure(
        errors.Failure(
            f'What an earlier step found ("{name}") cannot be read; this step changed nothing.',
            evidence={"file": path, "reason": type(error).__name__},
            next_step='"Re-execute all" on the run\'s page, which begins anew; or just migrate',
        )
    )
