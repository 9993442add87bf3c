"""What the jobs leave behind, as assets: Dagster plots their numbers over time, size and seconds of each backup first."""

import os
from collections.abc import Iterable
from pathlib import Path

import dagster as dg

from migration_pipeline import errors, settings


def backup_key(target: str) -> dg.AssetKey:
    return dg.AssetKey([target, "backup"])


def schema_key(target: str) -> dg.AssetKey:
    return dg.AssetKey([target, "schema"])


def targets(keys: Iterable[dg.AssetKey]) -> set[str]:
    """Return the names of the Targets whose schema is among these."""
    return {key.path[0] for key in keys if key == schema_key(key.path[0])}


def known() -> list[dg.AssetSpec]:
    """Return the assets of the Targets that the settings name where the code location is loaded.

    With settings that cannot be read there are none: the jobs are there all the same, and say what is wrong.
    """
    try:
        names = settings.names(os.environ, Path.cwd())
    except errors.SettingsError:
        return []
    return [spec for name in names for spec in of_target(name)]


def of_target(target: str) -> list[dg.AssetSpec]:
    group = target.replace("-", "_")  # a group's name has no hyphen
    backup = dg.AssetSpec(
        backup_key(target),
        group_name=group,
        kinds={"postgres", "file"},
        description=f"Backups of {target}, each restored and compared: `migrate` and `backup_database` take them.",
    )
    schema = dg.AssetSpec(
        schema_key(target),
        deps=[backup],
        group_name=group,
        kinds={"postgres", "alembic"},
        description=f"The schema of {target}, as `migrate` left it; what its last migration took and cost.",
    )
    return [backup, schema]
