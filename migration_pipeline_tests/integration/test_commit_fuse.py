"""No COMMIT but ours: what a revision tries in order to end the transaction is rolled back, whoever is asked first."""

import contextlib
import sys
from datetime import timedelta

import psycopg
import pytest

from migration_pipeline.adapters import alembic_project, transaction
from migration_pipeline.adapters.alembic_project import QueryFailed
from migration_pipeline.adapters.failed_run import RunFailed
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.adapters.transaction import Limits
from migration_pipeline.domain.connection import Connection
from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import execute

LIMITS = Limits(lock_timeout=timedelta(seconds=5), transaction=timedelta(minutes=1))
COMMITS = [
    "raw_commit",
    "select_then_commit",
    "connection_commit",
    "driver_commit",
    "raw_cursor_commit",
    "set_constraints_then_commit",
    "prepare_transaction",
    "replica_role",
]


class LetsEverythingThrough:
    """An observer that stops nothing: what is under test is the fuse and the connection, not the parser."""

    def __init__(self, server_version, *, commit):
        self.server_version = server_version
        self.commit = commit

    def connected(self, session):
        self.opened = transaction.open_for_writing(
            session, LIMITS, server_version=self.server_version, version_table=(None, "alembic_version"), role=None
        )

    def begin(self, session, heads, revisions): ...
    def statement(self, session, sql, *, has_parameters, revision, own): ...
    def revision(self, session, revision): ...
    def applied(self, session, revision): ...
    def finish(self, session):
        if self.commit:
            transaction.fire_deferred(session, self.opened)
        return True


@pytest.fixture
def run(database, tmp_path):
    def start(name, *, commit=True):
        project = projects.copy(name, tmp_path)
        connection = Connection.from_url(database)
        with psycopg.connect(database) as session:
            version = session.info.server_version
            session.execute("CREATE TABLE patients (id serial PRIMARY KEY, name text NOT NULL, allergy text)")
            session.execute("INSERT INTO patients (name) VALUES ('without an allergy')")
            session.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
            session.execute("INSERT INTO alembic_version VALUES ('0001')")
        return alembic_project.run(
            Project(config=project / "alembic.ini", python=sys.executable, live=connection),
            connection,
            mode="upgrade",
            revision="head",
            observer=LetsEverythingThrough(version, commit=commit),
        )

    return start


def state(database):
    columns = execute(
        database, "SELECT attname FROM pg_attribute WHERE attrelid = 'patients'::regclass AND attnum > 0 ORDER BY attnum"
    )
    return [column for (column,) in columns], execute(database, "SELECT version_num FROM alembic_version")


BEFORE = (["id", "name", "allergy"], [("0001",)])


@pytest.mark.parametrize("name", COMMITS)
def test_a_commit_that_is_not_ours_ends_in_a_roll_back(run, database, name):
    with pytest.raises(RunFailed):
        run(name)

    assert state(database) == BEFORE
    assert execute(database, "SELECT count(*) FROM pg_prepared_xacts") == [(0,)]


def test_without_the_secret_even_our_own_commit_does_not_pass(run, database):
    with pytest.raises((RunFailed, QueryFailed)) as caught:
        run("linear", commit=False)

    assert "MP001" in str(caught.value)
    assert state(database) == BEFORE


def test_our_own_commit_passes_and_leaves_nothing_behind(run, database):
    assert run("linear") is True

    columns, revision = state(database)
    assert columns == ["id", "name", "allergy", "ward"]
    assert revision == [("0003",)]
    left = execute(database, "SELECT relname FROM pg_class WHERE relname LIKE 'migration_pipeline%'")
    assert left == []


@pytest.mark.parametrize(
    "sql",
    ["COMMIT", "SELECT 1; COMMIT", "END", "COMMIT AND CHAIN", "SET session_replication_role = replica; COMMIT",
     "SET CONSTRAINTS ALL IMMEDIATE; COMMIT", "PREPARE TRANSACTION 'x'", "DISCARD TEMP; COMMIT",
     "TRUNCATE pg_temp.migration_pipeline_fuse; COMMIT", "DROP TABLE pg_temp.migration_pipeline_fuse; COMMIT",
     "ALTER TABLE pg_temp.migration_pipeline_fuse DISABLE TRIGGER ALL; COMMIT", "DO 'BEGIN COMMIT; END'"],
)  # fmt: skip
def test_the_server_itself_refuses_each_way_of_committing(server, database, sql):
    with psycopg.connect(database, autocommit=True) as session:

        class Direct:
            def query(self, text):
                cursor = session.execute(text)
                return cursor.fetchall() if cursor.description else []

        execute(database, "CREATE TABLE patients (id int)")
        session.execute("BEGIN")
        fuse = transaction.LIGHT_THE_FUSE.format(
            fuse=transaction.FUSE, sqlstate="MP001", setting=f"'{transaction.SETTING}'", hash="'00'"
        )
        session.execute(fuse)
        session.execute("INSERT INTO patients VALUES (1)")
        with contextlib.suppress(psycopg.Error):
            session.execute(sql)
        assert execute(database, "SELECT count(*) FROM patients") == [(0,)], sql
