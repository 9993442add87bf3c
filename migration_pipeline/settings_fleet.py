"""In which wave each Target of the fleet is migrated: `waves` of [fleet], in their order, and `wave` of each Target."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from migration_pipeline import settings_source
from migration_pipeline.domain.fleet import Wave
from migration_pipeline.settings_table import Table


def wave_of(table: Table, waves: Sequence[str]) -> str | None:
    """Return the wave of a Target, the last one where it names none; None where it names a wrong one."""
    return table.word("wave", waves, waves[-1])


def read(environ: Mapping[str, str], folder: Path) -> tuple[Wave, ...]:
    """Return the waves that hold a Target, each with its Targets in the file's order. Raise SettingsError."""
    source = settings_source.read(environ, folder)
    if source.file is None and not environ.get("DATABASE_URL"):
        raise settings_source.wrong_settings({"targets": ["are missing; right: a pipeline.toml with a table for each database"]})
    found: dict[str, list[str]] = {wave: [] for wave in source.waves}
    problems: dict[str, list[str]] = {}
    for name, values in source.tables.items():
        table = Table(values, folder=source.folder, environ=environ, variables={})
        wave = wave_of(table, source.waves)
        problems |= {f"targets.{name}.{key}": clauses for key, clauses in table.problems.items()}
        if wave is not None:
            found[wave].append(name)
    if problems:
        raise settings_source.wrong_settings(problems, file=source.file)
    return tuple(Wave(name=wave, targets=tuple(targets)) for wave, targets in found.items() if targets)
