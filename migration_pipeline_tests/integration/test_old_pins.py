"""Projects keep their own pins: the runner works with Alembic 1.8, SQLAlchemy 1.4 and psycopg2, in an environment of theirs."""

import pytest

from migration_pipeline.adapters import alembic_project
from migration_pipeline.adapters.execution import Reader
from migration_pipeline.adapters.failed_run import RunFailed
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.domain.connection import Connection
from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import execute
from migration_pipeline_tests.integration.conftest import old_environment
from migration_pipeline_tests.integration.test_commit_fuse import LetsEverythingThrough

PINS = ("alembic==1.8.1", "sqlalchemy==1.4.54", "psycopg2-binary")


@pytest.fixture(scope="module")
def old_python(tmp_path_factory):
    """An interpreter with the oldest versions that are supported."""
    return old_environment(tmp_path_factory.mktemp("old"), *PINS)


@pytest.fixture
def run(server18, database18, tmp_path, old_python):
    connection = Connection.from_url(database18.replace("postgresql:", "postgresql+psycopg2:"))
    with_table = "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)"
    execute(database18, "CREATE TABLE patients (id serial PRIMARY KEY, name text NOT NULL, allergy text)", with_table)
    execute(database18, "INSERT INTO alembic_version VALUES ('0001')", "INSERT INTO patients (name) VALUES ('x')")

    def start(name, mode="upgrade"):
        config = projects.copy(name, tmp_path) / "alembic.ini"
        project = Project(config=config, python=old_python, live=connection, driver="psycopg2")
        if mode == "plan":
            return alembic_project.plan(project, connection, "head", Reader())
        observer = LetsEverythingThrough(180000, commit=True)
        return alembic_project.run(project, connection, mode=mode, revision="head", observer=observer)

    return start


def test_a_plan_is_made(run):
    assert [one["id"] for one in run("linear", mode="plan")["revisions"]] == ["0002", "0003"]


def test_revisions_run_and_are_committed(run, database18):
    assert run("linear") is True
    assert execute(database18, "SELECT version_num FROM alembic_version") == [("0003",)]


@pytest.mark.parametrize("name", ["raw_commit", "driver_commit", "raw_cursor_commit", "replica_role", "second_connection"])
def test_what_would_commit_is_rolled_back(run, database18, name):
    with pytest.raises(RunFailed):
        run(name)

    assert execute(database18, "SELECT version_num FROM alembic_version") == [("0001",)]
    assert not execute(database18, "SELECT 1 FROM pg_attribute WHERE attrelid = 'patients'::regclass AND attname = 'ward'")
