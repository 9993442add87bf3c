"""An operator's site: a database, an Alembic project, settings, and the doors of the pipeline."""

import atexit
import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import dagster as dg
import pexpect
import pytest

from migration_pipeline import settings, steps
from migration_pipeline.cli.job import DAGSTER_YAML
from migration_pipeline.workplace import Workplace
from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import execute
from migration_pipeline_tests.door import Run

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@dataclass
class Site:
    """One database with its project; `just` is the operator's door."""

    url: str
    folder: Path
    project: Path
    binaries: Path
    more: dict = field(default_factory=dict)

    def configure(self, **keys):
        """Say in a pipeline.toml what a variable cannot say; a value is written as JSON has it, which TOML reads."""
        variables = {"database_url": "env:DATABASE_URL", "environment": "staging", "backup_location": str(self.folder / "backups"),
                     "alembic_config": str(self.project / "alembic.ini"), "pg_bin": str(self.binaries)}  # fmt: skip
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in {**variables, **keys}.items()]
        (self.folder / "pipeline.toml").write_text("[targets.default]\n" + "".join(lines))
        unset = ("ALEMBIC_CONFIG", "MIGRATION_ENVIRONMENT", "BACKUP_LOCATION", "PG_BIN")
        self.more |= dict.fromkeys(unset, "")

    @property
    def environ(self):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "COV"))}
        return {
            **kept,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "DATABASE_URL": self.url,
            "ALEMBIC_CONFIG": str(self.project / "alembic.ini"),
            "MIGRATION_ENVIRONMENT": "staging",
            "BACKUP_LOCATION": str(self.folder / "backups"),
            "DAGSTER_HOME": str(self.folder / "dagster"),
            "PG_BIN": str(self.binaries),
            "NO_COLOR": "1",
            "COLUMNS": "200",
            **self.more,
        }

    @property
    def command(self):
        return [str(BIN / "just"), "--justfile", str(ROOT / "Justfile"), "--working-directory", str(self.folder)]

    def just(self, *arguments, answer=None, timeout=180):
        """Run a recipe, without a terminal."""
        return subprocess.run(
            [*self.command, *arguments],
            env=self.environ,
            input=answer if answer is not None else "",
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def run(self, *arguments, answer=""):
        """Run what a recipe runs, without its start: for the variants of what another test sees through `just`."""
        copy_home(self.folder / "dagster")
        run = Run(arguments, self.environ, self.folder, answer=answer)
        return subprocess.CompletedProcess(arguments, run.wait(), run.printed, run.said)

    def enter(self, monkeypatch):
        """Put this process in the operator's place: environment, folder, Dagster's home."""
        (self.folder / "dagster").mkdir()
        (self.folder / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}")
        for name, value in self.environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(self.folder)

    def take_backup(self):
        """Take the backup that a migration demands, where it is not what the test is about."""
        with mock.patch.dict(os.environ, self.environ, clear=True):
            target = settings.load(os.environ, self.folder)
            with contextlib.closing(Workplace(target=target, run_id="")) as place:
                plan = steps.plan_for_backup(place)
                steps.verify_backup(place, steps.backup(place, plan, protects=False), plan)

    def terminal(self, *arguments):
        """Run a recipe in a pseudo-terminal."""
        command, *rest = [*self.command, *arguments]
        return pexpect.spawn(command, rest, env=self.environ, encoding="utf-8", timeout=180, dimensions=(50, 200))

    def query(self, *statements):
        return execute(self.url, *statements)

    @property
    def revision(self):
        exists = self.query("SELECT to_regclass('alembic_version')")
        return [row[0] for row in self.query("SELECT version_num FROM alembic_version")] if exists[0][0] else []

    @property
    def backups(self):
        return sorted(path.name for path in (self.folder / "backups").rglob("backup_*-[0-9][0-9].sql"))

    @property
    def scratch_databases(self):
        return [row[0] for row in self.query("SELECT datname FROM pg_database WHERE datname LIKE 'mp\\_scratch\\_%'")]

    def has_column(self, table, column):
        return bool(self.query(f"SELECT 1 FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attname = '{column}'"))

    def has_table(self, table):
        return self.query(f"SELECT to_regclass('{table}') IS NOT NULL")[0][0]


@functools.cache
def fresh_home():
    """Return a folder of Dagster's that has seen no run: to make its databases takes as long as a backup."""
    folder = Path(tempfile.mkdtemp(prefix="mp-tests-"))
    atexit.register(shutil.rmtree, folder)
    (folder / "dagster.yaml").write_text(DAGSTER_YAML)
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        instance.get_run_records(limit=1)
    return folder


def copy_home(folder):
    if not folder.exists():
        shutil.copytree(fresh_home(), folder)
        folder.chmod(0o700)


def start(site, revision):
    """Bring the database to a revision with bare Alembic, as it was before there was a pipeline."""
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", revision],
        cwd=site.project,
        env={
            **site.environ,
            "MIGRATION_ENVIRONMENT": "development",
            "DATABASE_URL": site.url.replace("postgresql:", "postgresql+psycopg:"),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def make_site(server, database, tmp_path):
    """Return a function: project name → Site, its project copied so that the test may edit it."""
    yield from sites(server, database, tmp_path)


@pytest.fixture
def make_site18(server18, database18, tmp_path):
    yield from sites(server18, database18, tmp_path)


def sites(server, database, tmp_path):
    def make(name, at=None, **more):
        project = projects.copy(name, tmp_path / "project")
        site = Site(url=database, folder=tmp_path, project=project, binaries=server.binaries, more=more)
        if at:
            start_once(server, site, name, at)
        return site

    yield make


started = {}  #: server, project and revision → a database that bare Alembic has brought there, to be copied


def start_once(server, site, name, revision):
    """Do what `start` does, for a project as it is kept: Alembic does it once a server."""
    database, admin = site.url.rpartition("/")[2], server.url()
    template = started.get((admin, name, revision))
    if template:
        execute(admin, f'DROP DATABASE "{database}"', f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
    else:
        start(site, revision)
        execute(admin, f'CREATE DATABASE "started_{name}_{revision}" TEMPLATE "{database}"')
        started[admin, name, revision] = f"started_{name}_{revision}"
