"""A clinic that things happen to: its server, its database, its settings, and how to tell whether anything was lost."""

import hashlib
import os
import shutil
import subprocess
import sys

import dagster as dg

from migration_pipeline.adapters import belongings
from migration_pipeline.adapters.storage_folder import FolderStore
from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import execute, marked_processes
from migration_pipeline_tests.door import Run

SETTINGS = """
[targets.clinic]
environment = "staging"
database_url = "env:CLINIC_URL"
alembic_config = "{project}/alembic.ini"
backup_location = "{folder}/backups"
pg_bin = "{programs}"
lock_timeout_seconds = 0.5
lock_attempts = 2
migration_lock_wait_seconds = 0.5
lock_budget_reads_seconds = 600
lock_budget_writes_seconds = 600
"""
SESSIONS = "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'migration_pipeline%'"
SCRATCH = "SELECT datname FROM pg_database WHERE datname LIKE 'mp\\_scratch\\_%'"
ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
PROJECT = "adds_and_drops"


class Place:
    """One database with a project that has two pending revisions: one adds a table and a column, the next drops a table with rows."""

    def __init__(self, server, url, folder):
        self.server, self.url, self.folder = server, url, folder
        self.project = folder / "project" / PROJECT
        self.temporary = folder / "tmp"
        self.more = {}  # environment of the next runs
        self.damaged = None  # the backup whose dump was damaged on purpose

    def open(self):
        """Bring the database to its first revision with bare Alembic, and take the backup that preflight will demand."""
        self.temporary.mkdir()
        self.mend()
        bare = {**self.environ, "DATABASE_URL": self.url}
        subprocess.run([sys.executable, "-m", "alembic", "upgrade", "0001"], cwd=self.project, env=bare, check=True)
        self._dump = self.dump()
        self.before = digest(self._dump)
        self.succeed("backup-db")
        shutil.copytree(self.folder / "backups", self.folder / "kept")
        self.succeed("migrate")
        self.after = digest(self.dump())

    def reset(self):
        """Make everything as it was before anything broke."""
        self.mend()
        self.damaged = None
        for name in self.temporary_files():
            shutil.rmtree(self.temporary / name)
        shutil.rmtree(self.folder / "backups")
        shutil.copytree(self.folder / "kept", self.folder / "backups")
        execute(self.url, "DROP TABLE IF EXISTS alembic_version, alerts, patients, wards CASCADE")
        command = [self.server.binaries / "psql", "-q", "-v", "ON_ERROR_STOP=1", "-o", os.devnull, "-d", self.url]
        subprocess.run(command, input=self._dump, check=True)
        assert digest(self.dump()) == self.before

    def mend(self):
        """Take away what keeps a run from going well, and leave what the last one left."""
        self.more = {}
        shutil.rmtree(self.folder / "project", ignore_errors=True)
        projects.copy(PROJECT, self.folder / "project")
        text = SETTINGS.format(project=self.project, folder=self.folder, programs=self.server.binaries)
        (self.folder / "pipeline.toml").write_text(text)

    def setting(self, line):
        """Add a line to the settings, or put it in the place of the one with the same key."""
        path = self.folder / "pipeline.toml"
        key = line.partition(" ")[0]
        kept = [one for one in path.read_text().splitlines() if one.partition(" ")[0] != key]
        path.write_text("\n".join([*kept, line]) + "\n")

    def revision_file(self, revision):
        return projects.revision_file(self.project, revision)

    @property
    def environ(self):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "COV", "MIGRATION", "DATABASE"))}
        return {
            **kept,
            "CLINIC_URL": self.url,
            "DAGSTER_HOME": str(self.folder / "dagster"),
            "MARK": str(self.folder),
            "TMPDIR": str(self.temporary),
            "NO_COLOR": "1",
            **self.more,
        }

    # ── what runs ──

    def start(self, *arguments, answer="CONFIRM\n", **options):
        return Run(arguments, self.environ, self.folder, answer=answer, **options)

    def succeed(self, *arguments):
        run = self.start(*arguments)
        assert run.wait() == 0, run.said

    # ── what is there ──

    def dump(self):
        """Return the database as pg_dump writes it: told by no code of the product."""
        command = [self.server.binaries / "pg_dump", "--restrict-key=none", "--dbname", self.url]
        return subprocess.run(command, capture_output=True, check=True).stdout

    def sessions(self):
        return [name for (name,) in execute(self.server.url(), SESSIONS)]

    def scratch_databases(self):
        return [name for (name,) in execute(self.server.url(), SCRATCH)]

    def processes(self):
        return marked_processes(self.folder)

    @property
    def store(self):
        return FolderStore(self.folder / "backups", "clinic")

    def partials(self):
        return sorted(path.name for path in (self.folder / "backups").rglob("*.partial"))

    def temporary_files(self):
        """Return the private folders that lie about; others in that place are of Dagster's own."""
        return sorted(path.name for path in self.temporary.glob(f"{belongings.PREFIX}*"))

    def unfinished_runs(self):
        with dg.DagsterInstance.from_config(str(self.folder / "dagster")) as instance:
            return [one.dagster_run.status for one in instance.get_run_records(limit=5) if one.dagster_run.status not in ENDED]


def digest(dump):
    return hashlib.sha256(b"\n".join(sorted(dump.splitlines()))).hexdigest()
