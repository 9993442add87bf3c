"""What applications do in env.py and in revisions, and Alembic does not mind: a check of downgrades minds it as little."""

import sys
from pathlib import Path

import pytest

from migration_pipeline import downgrading
from migration_pipeline.adapters import alembic_project
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.domain.connection import Connection
from migration_pipeline.downgrading import Asked
from migration_pipeline_tests.integration import downgrade_project

OUTSIDE = "it ran outside a transaction, for PostgreSQL or the revision itself does not keep to one"
CONNECTS = "    with connectable.connect() as connection:\n        context.configure("
NULL_POOL = "poolclass=pool.NullPool)"
CREATES = ('op.execute("CREATE TABLE notes (id int PRIMARY KEY, body text)")', 'op.drop_table("notes")')


@pytest.fixture
def check(server18, tmp_path):
    """Check a project of one line of revisions.

    `env` is what its env.py has otherwise, `moved` where its revisions lie, `named` where alembic.ini says that they do.
    """

    def check(faults, *, driver="", env=("", ""), moved=None, named=None):
        project = downgrade_project.write(tmp_path, faults)
        if moved:
            (project / "versions").rename(moved)
            config = project / "alembic.ini"
            config.write_text(config.read_text().replace("%(here)s/versions", str(named or moved)))
        file = tmp_path / "shared" / "env.py"
        text = file.read_text()
        assert env[0] in text
        file.write_text(text.replace(*env))
        made = Project(config=project / "alembic.ini", python=Path(sys.executable), live=alembic_project.NOWHERE, driver=driver)
        report = downgrading.check(Asked(project=made, server=Connection.from_url(server18.url()), programs=server18.binaries))
        return [one.text.splitlines()[1:] if one.is_failed else list(one.notes) for one in report.revisions]

    return check


def test_env_py_may_send_what_looks_as_if_it_ended_a_transaction(check):
    sends = 'connection.exec_driver_sql("CREATE SEQUENCE IF NOT EXISTS early START WITH 1")'
    before = f"    with connectable.begin() as connection:\n        {sends}\n"
    assert check({"Creates.": CREATES}, env=(CONNECTS, before + CONNECTS)) == [[]]


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_env_py_may_let_each_statement_commit(check, driver):
    faults = {
        "Creates.": CREATES,
        "Makes an index.": (
            'op.create_index("ix_notes", "notes", ["body"], postgresql_concurrently=True)',
            'op.drop_index("ix_notes", postgresql_concurrently=True)',
        ),
    }
    env = (NULL_POOL, 'poolclass=pool.NullPool, isolation_level="AUTOCOMMIT")')
    assert check(faults, driver=driver, env=env) == [[], [OUTSIDE]]


SWALLOWS = """
import sqlalchemy as sa
from alembic import context
try:
    {}
    op.execute("ALTER TABLE notes ADD COLUMN d text")
except:
    pass
"""
LEAVES = {
    "a second connection": """engine = sa.create_engine(context.config.get_main_option("sqlalchemy.url"))
    sa.Table("notes", sa.MetaData(), autoload_with=engine)""",
    "a commit": "op.get_bind().commit()",
    "a rollback": "op.get_bind().rollback()",
}


@pytest.mark.parametrize("way", LEAVES)
def test_a_revision_that_swallows_what_stops_it_runs_as_under_alembic(check, way):
    faults = {"Creates.": CREATES, "Swallows.": (SWALLOWS.format(LEAVES[way]), 'op.drop_column("notes", "d")')}
    assert check(faults) == [[], [OUTSIDE]]


def test_an_error_is_told_with_its_own_statement_where_the_revision_swallowed_it(check):
    swallows = "try:\n    op.drop_column('notes', 'a')\n    op.drop_index('ix_notes')\nexcept Exception:\n    pass"
    adds = 'op.add_column("notes", sa.Column("a", sa.Text))\nop.create_index("ix_notes", "notes", ["a"])'
    statement, place = check({"Creates.": CREATES, "Adds.": (adds, swallows)})[1]
    assert statement == '  raises: 42704 index "ix_notes" does not exist; statement: DROP INDEX ix_notes'
    assert place.endswith("/versions/0002_step.py, line 18")


def test_words_of_revisions_are_told_wherever_these_lie(check, tmp_path):
    faults = {
        "Creates.": CREATES,
        "Refuses.": ('op.drop_column("notes", "body")', 'raise Exception("no way back from here")'),
        "Raises.": ('op.drop_table("notes")', 'op.drop_index("ix_notes")'),
    }
    refused, raised = check(faults, moved=tmp_path / "elsewhere")[1:]
    assert refused[0] == "  refuses: Exception: no way back from here"
    assert raised[0] == '  raises: 42704 index "ix_notes" does not exist; statement: DROP INDEX ix_notes'


def test_env_py_may_say_where_the_revisions_lie(check, tmp_path):
    says = f"    context.script.version_locations = [{str(tmp_path / 'elsewhere')!r}]\n"
    env = ("def run_migrations_online():\n", f"def run_migrations_online():\n{says}")
    assert check({"Creates.": CREATES}, moved=tmp_path / "elsewhere", named=tmp_path, env=env) == [[]]
