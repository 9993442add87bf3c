"""pipeline.toml and environment variables, made into a `Target` with its policies: the database, its project, its rules.

Never connects to anything, and never repeats a value that may be a secret. All that is wrong is said at once.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from migration_pipeline import settings_backups, settings_fleet, settings_notices, settings_source
from migration_pipeline.domain.connection import Connection, WrongUrl
from migration_pipeline.domain.connection_url import FORM, wrong_text
from migration_pipeline.domain.locking import LockBudget
from migration_pipeline.domain.notices import Channel
from migration_pipeline.domain.progress import QueueLimit
from migration_pipeline.settings_backups import BackupPolicy
from migration_pipeline.settings_source import FILE, VARIABLES
from migration_pipeline.settings_table import Table

SAME_SERVER = "same-server"
#: field, unit, the most that a Target may ask for, and the most in production, where D1 and B4 are the limit
DURATIONS = (
    ("max_backup_age", "hours", 8760, 24),
    ("max_backup_age_at_upgrade", "minutes", 1440, 1440),
    ("confirmation", "minutes", 1440, 1440),
    ("lock_timeout", "seconds", 300, 300),
    ("transaction_limit", "minutes", 1440, 30),
    ("alert_after", "minutes", 1440, 5),
    ("cancel_after", "minutes", 1440, 30),
    ("migration_lock_wait", "seconds", 3600, 3600),
    ("lock_budget_reads", "seconds", 86_400, 86_400),
    ("lock_budget_writes", "seconds", 86_400, 86_400),
    ("abort_queue", "seconds", 3600, 3600),
)
SHORTEST = 0.001  # PostgreSQL reads a time limit of 0 as none
#: Stands in for a database that could not be read, so that the reading goes on; no Target with it is ever handed out.
NOWHERE = Connection(parameters={"dbname": "nowhere"})


class Environment(StrEnum):
    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"


@dataclass(frozen=True, kw_only=True)
class Target:
    """A database with its Alembic project and its policies; every path is absolute."""

    name: str
    connection: Connection
    alembic_config: Path
    environment: Environment
    environment_is_given: bool  #: False: absent, so production, and the operator is told so
    backups: BackupPolicy
    project_python: Path
    scratch: Connection | None  #: None: a sibling database on the same server
    pg_bin: Path | None
    safety_file: Path | None
    settings_folder: Path
    maintenance_database: str = "postgres"
    max_backup_age: timedelta = timedelta(hours=24)
    max_backup_age_at_upgrade: timedelta = timedelta(hours=1)
    confirmation: timedelta = timedelta(minutes=30)  #: how long a run from Dagster's UI waits for an answer
    lock_timeout: timedelta = timedelta(seconds=5)
    lock_attempts: int = 5
    transaction_limit: timedelta = timedelta(minutes=30)
    alert_after: timedelta = timedelta(minutes=5)  #: of the upgrade's transaction: somebody is told
    cancel_after: timedelta = timedelta(minutes=30)  #: of it: the run is cancelled
    migration_lock_wait: timedelta = timedelta(seconds=10)
    lock_budget_reads: timedelta = LockBudget.reads
    lock_budget_writes: timedelta = LockBudget.writes
    abort_queue_sessions: int = 0  #: so many may wait for the upgrade, and no more; 0: as many as there are
    abort_queue: timedelta = timedelta(seconds=5)  #: for so long
    effects_tolerance_factor: float = 1.2
    effects_tolerance_rows: int = 100
    alerts: tuple[Channel, ...] = ()  #: who operates the database
    downtime_notices: tuple[Channel, ...] = ()  #: who works with it: the clinicians

    @property
    def scratch_on_same_server(self) -> bool:
        return self.scratch is None

    @property
    def lock_budget(self) -> LockBudget:
        return LockBudget(reads=self.lock_budget_reads, writes=self.lock_budget_writes)

    @property
    def queue_limit(self) -> QueueLimit | None:
        """How many sessions may wait for the upgrade, and how long; None: nobody counts them."""
        return QueueLimit(sessions=self.abort_queue_sessions, span=self.abort_queue) if self.abort_queue_sessions else None


def load(environ: Mapping[str, str], folder: Path, target: str | None = None) -> Target:
    """Return the named Target, or the only one; raise `SettingsError` with every wrong setting of it."""
    source = settings_source.read(environ, folder)
    name = settings_source.choose(source, target)
    variables = {} if source.file else VARIABLES
    table = Table(source.tables[name], folder=source.folder, environ=environ, variables=variables)
    settings_fleet.wave_of(table, source.waves)
    made = _target(name, table)
    if source.file and target is None:
        _refuse_other_variables(table, name)
    if table.problems:
        raise settings_source.wrong_settings(table.problems, file=source.file, target=name)
    return made


def names(environ: Mapping[str, str], folder: Path) -> list[str]:
    """Return the names of all Targets, whether their settings are right or wrong."""
    source = settings_source.read(environ, folder)
    return list(source.tables) if source.file or environ.get("DATABASE_URL") else []


def dagster_home(environ: Mapping[str, str], folder: Path) -> Path:
    """Return Dagster's folder: DAGSTER_HOME, or .dagster beside the settings; absolute, as Dagster wants it."""
    file = settings_source.find(environ, folder)
    home = file.parent if file else settings_source.absolute(folder)
    given = environ.get("DAGSTER_HOME") or ".dagster"
    if problem := wrong_text(given):
        raise settings_source.wrong_settings({"DAGSTER_HOME": [problem]})
    return settings_source.absolute(home / given)


def _target(name: str, table: Table) -> Target:
    environment = table.choice("environment", Environment, Environment.PRODUCTION)
    is_production = environment is Environment.PRODUCTION
    connection = table.url("database_url", may_hold_password=not is_production)
    if not table.has("database_url"):
        table.wrong("database_url", f"is missing; right: {FORM}" + (f", or a {FILE} here" if table.variables else ""))
    config = table.file("alembic_config", "the path of the project's alembic.ini", "alembic.ini") or table.folder
    target = Target(
        name=name,
        connection=connection or NOWHERE,
        alembic_config=config,
        environment=environment or Environment.PRODUCTION,
        environment_is_given=table.has("environment"),
        backups=settings_backups.read(table, is_production=environment is Environment.PRODUCTION or environment is None),
        project_python=_project_python(table),
        scratch=_scratch(table, connection, is_production=is_production),
        pg_bin=_pg_bin(table),
        safety_file=_safety_file(table, config),
        settings_folder=table.folder,
        alerts=settings_notices.read(table, "alerts"),
        downtime_notices=settings_notices.read(table, "downtime_notices"),
        **_policies(table, is_production=is_production),
    )
    table.refuse_unknown_keys()
    return target


def _policies(table: Table, *, is_production: bool) -> dict[str, Any]:
    policies: dict[str, Any] = {
        "lock_attempts": table.number("lock_attempts", "tries", least=1, most=100, whole=True),
        "abort_queue_sessions": table.number("abort_queue_sessions", "sessions", least=0, most=10_000, whole=True),
        "effects_tolerance_factor": table.number("effects_tolerance_factor", "times", least=1, most=100),
        "effects_tolerance_rows": table.number("effects_tolerance_rows", "rows", least=0, most=1_000_000, whole=True),
        "maintenance_database": table.text("maintenance_database"),
    }
    for name, unit, most, most_in_production in DURATIONS:
        number = table.number(f"{name}_{unit}", unit, least=SHORTEST, most=most_in_production if is_production else most)
        policies[name] = None if number is None else timedelta(**{unit: number})
    if problem := wrong_text(policies["maintenance_database"] or ""):
        table.wrong("maintenance_database", problem)
    return {name: value for name, value in policies.items() if value is not None}


def _scratch(table: Table, live: Connection | None, *, is_production: bool) -> Connection | None:
    both = table.has("scratch") and table.has("scratch_database_url")
    same_server = "SCRATCH_DATABASE_URL=same-server" if table.variables else 'scratch = "same-server"'
    scratch = table.url("scratch_database_url", may_hold_password=not is_production, word=SAME_SERVER)
    if table.has("scratch") and (table.text("scratch") != SAME_SERVER or both):
        table.wrong("scratch", 'is not clear; right: either scratch = "same-server" or scratch_database_url')
    if is_production and not table.has("scratch") and not table.has("scratch_database_url"):
        told = "" if table.has("environment") else " (no environment is given)"
        table.wrong("scratch_database_url", f"is missing, and this is production{told}; right: another server, or {same_server}")
    if scratch and live and scratch.is_same_database_as(live):
        table.wrong("scratch_database_url", f"names the live database itself; right: another server, or {same_server}")
    return scratch


def _project_python(table: Table) -> Path:
    python = table.path("project_python", sys.executable)
    if python and not (os.path.isfile(python) and os.access(python, os.X_OK)):  # noqa: PTH113 - as above
        table.wrong_path("project_python", "names no program that can be run", "the project's python, such as .venv/bin/python")
    return python or table.folder


def _pg_bin(table: Table) -> Path | None:
    folder = table.path("pg_bin")
    if folder and not all(os.access(folder / program, os.X_OK) for program in ("pg_dump", "psql")):
        table.wrong_path(
            "pg_bin", "has no pg_dump and psql", "the folder with PostgreSQL's programs, of the server's major version"
        )
    return folder


def _safety_file(table: Table, config: Path) -> Path | None:
    if table.has("safety_file"):
        return table.file("safety_file", "the path of a safety.toml")
    beside = config.parent / "safety.toml"
    return beside if os.path.isfile(beside) else None  # noqa: PTH113 - as above


def _refuse_other_variables(table: Table, name: str) -> None:
    """Refuse a variable that says something else than the table: ignored in silence, it could mean another database."""
    for key, variable in VARIABLES.items():
        said = table.environ.get(variable)
        written = table.value(key) or (table.value("scratch") if key == "scratch_database_url" else None)
        if said and said != written and not _are_same_url(said, written):
            table.problems[variable] = [f"is set, and {FILE} says something else; right: unset it, or add --target {name}"]


def _are_same_url(said: str, written: object) -> bool:
    try:
        return isinstance(written, str) and Connection.from_url(said) == Connection.from_url(written)
    except WrongUrl:
        return False
