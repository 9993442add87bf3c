"""Revision files and Alembic projects, through the project's own interpreter and a real server: an error, and nothing written."""

import io
import sys

import pytest
from hypothesis import example, given
from rich.console import Console

from migration_pipeline import errors, settings, steps
from migration_pipeline.adapters import pending
from migration_pipeline.cli import drawing
from migration_pipeline.workplace import Workplace
from migration_pipeline_tests import projects
from migration_pipeline_tests.bad_input.bad import CANARY, Tally, assert_shows_nothing, damaged, edited, made, snapshot
from migration_pipeline_tests.conftest import execute

RIGHT = '''\
"""Add the telephone."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade():
    op.execute("ALTER TABLE patients ADD COLUMN telephone text")
'''
HEAD = 'revision = "0004"\ndown_revision = "0003"\n'
BODIES = {
    "a cycle": 'revision = "0004"\ndown_revision = "0005"\n',
    "itself": 'revision = "0004"\ndown_revision = "0004"\n',
    "a duplicate": 'revision = "0003"\ndown_revision = "0002"\n',
    "no revision": 'down_revision = "0003"\n',
    "no down_revision": 'revision = "0004"\n',
    "nothing": "",
    "a number": 'revision = 4\ndown_revision = "0003"\n',
    "a list": 'revision = ["0004"]\ndown_revision = "0003"\n',
    "bytes": 'revision = b"0004"\ndown_revision = "0003"\n',
    "a number below": 'revision = "0004"\ndown_revision = 3\n',
    "unknown below": 'revision = "0004"\ndown_revision = "gone\\x1b[2J"\n',
    "a reserved name": 'revision = "head"\ndown_revision = "0003"\n',
    "an odd name": '"[/x] \\x1b[2J"\nrevision = "[/x]\\x1b[2J"\ndown_revision = "0003"\ndef upgrade(): pass\n',
    "a broken label": HEAD + "branch_labels = 7\n",
    "an unknown dependency": HEAD + 'depends_on = "gone"\n',
    "no upgrade": HEAD,
    "upgrade is a text": HEAD + 'upgrade = "x"\n',
    "raises": HEAD + 'raise RuntimeError("\\x1b[2J")\n',
    "raises an odd error": HEAD + "class E(Exception):\n    def __str__(self):\n        raise self\nraise E\n",
    "raises a long error": HEAD + 'raise RuntimeError("x\\n" * 5000)\n',
    "exits": HEAD + "raise SystemExit(0)\n",
    "is interrupted": HEAD + "raise KeyboardInterrupt\n",
    "ends the process": HEAD + "import os\nos._exit(0)\n",
    "kills the process": HEAD + "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
    "prints junk": HEAD + 'import os\nprint("junk {")\nos.write(1, b"\\xff\\n{}\\n")\nraise ValueError("x")\n',
    "writes to every descriptor": HEAD
    + 'import os\nfor d in range(3, 30):\n    try:\n        os.write(d, b"\\xff junk\\n")\n    except OSError:\n        pass\nraise ValueError("x")\n',
    "closes every descriptor": HEAD + "import os\nos.closerange(0, 50)\n",
    "recurses": HEAD + "def f():\n    f()\nf()\n",
    "imports what is not there": HEAD + "import gone\n",
    "half a statement": HEAD + "def unfinished(:\n",
    "deep": HEAD + "x = " + "(" * 500 + "\n",
    "NUL": HEAD + "x = '\x00'\n",
    "another encoding": "# coding: gone\n" + HEAD,
    "wrong indentation": HEAD + "  x = 1\n\ty = 2\n",
}

INI = "[alembic]\nscript_location = %(here)s/../shared\nversion_locations = %(here)s/versions\n"
INIS = {
    "empty": "",
    "no section": "x\n",
    "no key": "[alembic]\n",
    "twice": INI + "script_location = x\n",
    "two sections": INI + INI,
    "a folder that is not there": "[alembic]\nscript_location = gone\x1b[2J\n",
    "a broken placeholder": "[alembic]\nscript_location = %(gone)s/x\n",
    "a half placeholder": INI + "sqlalchemy.url = 100%\n",
    "a loop of placeholders": INI + "a = %(b)s\nb = %(a)s\nsqlalchemy.url = %(a)s\n",
    "NUL": INI.replace("shared", "sha\x00red"),
    "binary": "\ud800\udfff\x01",
    "a package that is not there": "[alembic]\nscript_location = gone:migrations\n",
}
ENVIRONMENTS = {
    "empty": "",
    "half a statement": "def unfinished(:\n",
    "raises": "raise RuntimeError('\\x1b[2J')\n",
    "exits": "raise SystemExit(3)\n",
    "ends the process": "import os\nos._exit(0)\n",
    "NUL": "x = '\x00'\n",
    "no migrations": "from alembic import context\n",
    "no configuration": "from alembic import context\ncontext.run_migrations()\n",
}
REVISIONS = [
    "gone",
    "",
    " ",
    "0003:0001",
    "-1",
    "+9",
    "base",
    "a\nb",
    "\x1b[2J",
    "\udcff",
    "[/x]",
    "@",
    "x@head",
    "x" * 300,
    "%",
    "é",
    "0",
]


def test_what_names_no_revision_is_said_before_the_project_is_asked():
    for revision in ("", " ", "@", "-"):
        with pytest.raises(errors.NoPlan) as refused:
            pending.plan(None, None, None, revision)
        assert str(refused.value) == f'"{revision}" names no revision.\nNext: just plan, or just migrate head'


@pytest.fixture(scope="module")
def site(server18, tmp_path_factory):
    """A project at its head in a database of its own."""
    folder = tmp_path_factory.mktemp("project")
    execute(server18.url(), "CREATE DATABASE bad_input TEMPLATE template0")
    url = server18.url("bad_input")
    execute(url, "CREATE TABLE patients (id serial PRIMARY KEY, name text NOT NULL, allergy text, ward text)",
            "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)", "INSERT INTO alembic_version VALUES ('0003')",
            f"INSERT INTO patients (name) VALUES ('{CANARY}')")  # fmt: skip
    config = projects.copy("linear", folder) / "alembic.ini"
    environ = {
        "DATABASE_URL": url,
        "ALEMBIC_CONFIG": str(config),
        "MIGRATION_ENVIRONMENT": "staging",
        "PROJECT_PYTHON": sys.executable,
    }
    place = Workplace(target=settings.load(environ, folder), run_id="test")
    place.folder, place.url = folder, url
    yield place
    place.close()
    execute(server18.url(), "DROP DATABASE bad_input WITH (FORCE)")


STATE = "SELECT count(*), max(oid::bigint), (SELECT string_agg(version_num, ',') FROM alembic_version) FROM pg_class"


def refused(tally, place, revision="head"):
    """Ask what is pending, and hold the answer against what may be said; neither the folder nor the database changes."""
    before = snapshot(place.folder), execute(place.url, STATE)
    try:
        found = steps.preview(place, revision)
    except errors.MigrationPipelineError as error:
        tally.refused(error)
    else:
        console = Console(file=io.StringIO(), width=160, highlight=False)
        console.print(drawing.preview(found))
        assert_shows_nothing(console.file.getvalue())
        tally.value()
    assert (snapshot(place.folder), execute(place.url, STATE)) == before


PLACES = {"linear/versions/0004_telephone.py": BODIES, "linear/alembic.ini": INIS, "shared/env.py": ENVIRONMENTS}


def project(random):
    """Return a file of the project with what stands in it instead, and the revision that is asked for."""
    chance = random.random()
    if chance < 0.15:
        return None, b"", random.choice(REVISIONS)
    if chance < 0.6:
        path = random.choice([*PLACES])
        return path, random.choice([*PLACES[path].values()]).encode("utf-8", "surrogatepass"), "head"
    return "linear/versions/0004_telephone.py", damaged(random, edited(random, RIGHT, most=6)), "head"


def test_a_project_that_alembic_cannot_read_is_an_error_and_nothing_is_written(site):
    tally = Tally("revision files")
    (site.folder / "linear/versions/odd_\udcff.txt").write_text("no revision, and no UTF-8 in its name")

    @given(made(project))
    @example(("linear/versions/0004_telephone.py", BODIES["a duplicate"].encode(), "head"))
    @example(("linear/versions/0004_telephone.py", BODIES["writes to every descriptor"].encode(), "head"))
    @example(("linear/versions/0004_telephone.py", BODIES["an odd name"].encode(), "head"))
    @example(("linear/versions/0004_telephone.py", BODIES["closes every descriptor"].encode(), "head"))
    @example(("linear/alembic.ini", b"x\n", "head"))
    @example((None, b"", ""))
    def prove(given):
        name, content, revision = given
        path = site.folder / name if name else None
        before = path.read_bytes() if path and path.exists() else None
        if path:
            path.write_bytes(content)
        try:
            refused(tally, site, revision)
        finally:
            if path and before is None:
                path.unlink()
            elif path:
                path.write_bytes(before)

    tally.run(prove)
