"""A project that nobody here wrote: installed from PyPI as it is, in an environment of its own, and met through the doors."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from migration_pipeline_tests.conftest import execute, missing
from migration_pipeline_tests.strangers import page

CACHE = Path(os.environ.get("STRANGERS_CACHE", "~/.cache/migration-pipeline-strangers")).expanduser()
PYTHON = "3.11"
BIN = Path(sys.executable).parent
SEEDS = Path(__file__).parent / "seeds"
CONFIRM = "CONFIRM\n"

BARE = """
import sys
from alembic import command
from alembic.config import Config
config = Config(sys.argv[1])
config.set_main_option("sqlalchemy.url", sys.argv[2].replace("%", "%%"))
command.upgrade(config, sys.argv[3])
"""
BARE_ON_A_WORKER_THREAD = BARE.replace(
    "command.upgrade(", "import anyio, anyio.to_thread\nanyio.run(anyio.to_thread.run_sync, command.upgrade, "
)
LINE = """
import json, sys
from alembic.config import Config
from alembic.script import ScriptDirectory
script = ScriptDirectory.from_config(Config(sys.argv[1]))
if sys.argv[2]:
    script = ScriptDirectory(script.dir, version_locations=[sys.argv[2]])
print(json.dumps([[one.revision, one.path] for one in script.walk_revisions()][::-1]))
"""
VERSIONS = """
import importlib.metadata, json, platform, sys
print(json.dumps({"Python": platform.python_version(), **{name: importlib.metadata.version(name) for name in sys.argv[1:]}}))
"""


def installed(name, *packages, as_of):
    """Return the interpreter of an environment with these packages and what they needed on that day; it is made once."""
    folder = CACHE / f"{name}-{hashlib.sha256(repr((PYTHON, as_of, packages)).encode()).hexdigest()[:8]}"
    python, done = folder / "bin" / "python", folder / "complete"
    uv = shutil.which("uv") or missing("uv")
    commands = [
        [uv, "venv", "--quiet", "--clear", "--python", PYTHON, folder],
        [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, "--exclude-newer", as_of, *packages],
    ]
    for command in [] if done.exists() else commands:
        if subprocess.run(command, check=False).returncode:
            missing(f"{name} from a package registry")
    done.touch()
    return python


@dataclass(kw_only=True)
class Stranger:
    """A project, its database, and the doors of the pipeline."""

    name: str
    title: str
    python: Path
    package: str
    config: str  # its alembic.ini, below its package
    url: str  # as the operator would write it, with the project's driver
    folder: Path
    server: object
    shows: tuple = ()  # packages whose versions the page tells
    environ: dict = field(default_factory=dict)
    called_from: str = ".."  # where its alembic is called, below its package
    versions: str = ""  # the folder of its revisions, below its package, where only its env.py knows
    upgrade: str = BARE

    def __post_init__(self):
        self.story = page.Story(title=self.title, name=self.name)
        (self.home,) = self.python.parents[1].glob(f"lib/python*/site-packages/{self.package}")
        execute(self.server.url(), f"CREATE DATABASE {self.name} TEMPLATE template0")
        (self.folder / "pipeline.toml").write_text(
            f"[targets.{self.name}]\n"
            'environment = "staging"\n'
            'database_url = "env:OPERATOR_URL"\n'
            f'alembic_config = "{self.home / self.config}"\n'
            f'project_python = "{self.python}"\n'
            f'pg_bin = "{self.server.binaries}"\n'
            'safety_file = "safety.toml"\n'
        )
        self.story.versions = json.loads(self.run(VERSIONS, *self.shows))
        self.line = [tuple(one) for one in json.loads(self.run(LINE, self.home / self.config, self._versions))]
        self.declare()

    @property
    def _versions(self):
        return self.versions and self.home / self.versions

    @property
    def head(self):
        return self.line[-1][0]

    def operator(self, url=None):
        """Return the operator's environment; the application's variables in it lead to a database."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "COV", "PYTEST"))}
        ours = {"PATH": f"{BIN}:{os.environ['PATH']}", "DAGSTER_HOME": str(self.folder / "dagster"), "NO_COLOR": "1"}
        theirs = {name: value.format(url=url or self.url, folder=self.folder) for name, value in self.environ.items()}
        return {**kept, **ours, "COLUMNS": "130", "OPERATOR_URL": self.url, **theirs}

    def run(self, code, *arguments, url=None):
        """Run code in the project's interpreter; return what it prints."""
        done = subprocess.run(
            [self.python, "-P", "-c", code, *map(str, arguments)],
            cwd=self.home / self.called_from,
            env=self.operator(url),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout.strip()

    def door(self, *arguments, answer="", why=""):
        """Walk through a door of the pipeline; return its exit code and what the operator saw."""
        start = time.monotonic()
        done = subprocess.run(
            ["migration-pipeline", *arguments],
            cwd=self.folder,
            env=self.operator(),
            input=answer,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        print(done.stdout)
        self.story.walk(arguments, done.returncode, done.stdout, time.monotonic() - start, why)
        return done.returncode, done.stdout

    def declare(self, *destructive):
        """Write the safety.toml that annotates the revisions one cannot edit."""
        tables = []
        for revision, path in self.line:
            value, reason = "NON_DESTRUCTIVE", "read: it loses nothing"
            if revision in destructive:
                value, reason = "DESTRUCTIVE", "its losses are meant: what it drops was moved or is not used any more"
            checksum = hashlib.sha256(Path(path).read_bytes()).hexdigest()
            tables.append(f'[[revision]]\nid = "{revision}"\nsha256 = "{checksum}"\nvalue = "{value}"\nreason = "{reason}"\n')
        (self.folder / "safety.toml").write_text("\n".join(tables))

    def bare(self, revision, url=None):
        """Upgrade with Alembic alone, as the project does."""
        self.run(self.upgrade, self.home / self.config, url or self.url, revision, url=url)

    def seed(self, name=None):
        for statement in re.split(r";\n", (SEEDS / f"{name or self.name}.sql").read_text()):
            if statement.strip():
                self.query(statement)
        self.query("ANALYZE")
        self.story.rows, self.story.tables = self.size

    def query(self, *statements, database=None):
        return execute(self.server.url(database or self.name), *statements)

    @property
    def size(self):
        """The numbers of its rows, and of its tables."""
        return sum(self.rows().values()), len(self.rows())

    def rows(self, database=None):
        """Return the number of rows of each table."""
        tables = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        names = [name for (name,) in self.query(tables, database=database)]
        return {name: self.query(f"SELECT count(*) FROM {name}", database=database)[0][0] for name in names}

    @property
    def revision(self):
        return [row[0] for row in self.query("SELECT version_num FROM alembic_version")]

    def twin(self):
        """Copy the database, and migrate the copy as the project's authors do, without the pipeline."""
        execute(self.server.url(), f"CREATE DATABASE {self.name}_twin TEMPLATE {self.name}")
        start = time.monotonic()
        self.bare("head", url=self.url.replace(f"/{self.name}", f"/{self.name}_twin"))
        self.story.bare_seconds = time.monotonic() - start

    def differences(self):
        """Return what `pg_dump --schema-only` says of the migrated database and not of its twin, or the other way round."""
        ours, twins = ({*self._schema(name)} for name in (self.name, f"{self.name}_twin"))
        return sorted(ours ^ twins)

    def _schema(self, name):
        command = [self.server.binaries / "pg_dump", "--schema-only", "--no-owner", self.server.url(name)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return [line for line in done.stdout.splitlines() if not line.startswith(("\\", "--"))]

    def verdict(self, code, said):
        """Let the application itself say whether its schema is current."""
        self.story.verdict = (said, self.run(code, self.url))
