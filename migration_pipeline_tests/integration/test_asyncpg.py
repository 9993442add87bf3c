"""Projects whose only driver is asyncpg: our one connection is asyncpg's then, with the same guarantees."""

import shutil
import sys
import threading
import time

import pytest

from migration_pipeline import errors, steps
from migration_pipeline.adapters import alembic_project, execution, pending, postgres, runner_process
from migration_pipeline.adapters.failed_run import RunFailed
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.domain.connection import Connection
from migration_pipeline_tests import long, projects
from migration_pipeline_tests.conftest import execute
from migration_pipeline_tests.integration.conftest import migrate, old_environment
from migration_pipeline_tests.integration.test_commit_fuse import BEFORE, COMMITS, LetsEverythingThrough, state
from migration_pipeline_tests.integration.test_env_py import LIFTS, asynchronous, first, gone, revise

WITHOUT_PSYCOPG = "import sys\nsys.modules.update(psycopg=None, psycopg2=None)\n"
OLD_PINS = ("alembic==1.8.1", "sqlalchemy[asyncio]==1.4.54", "asyncpg==0.29.0")


@pytest.fixture
def only_asyncpg(tmp_path, monkeypatch):
    """The project's interpreter finds neither psycopg nor psycopg2."""
    folder = tmp_path / "without_psycopg"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(WITHOUT_PSYCOPG)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    runner_process.spares.discard()
    yield
    runner_process.spares.discard()


@pytest.fixture
def place(site, only_asyncpg):
    return site("async_env", driver="asyncpg")


@pytest.fixture(scope="module")
def old_python(tmp_path_factory):
    """An interpreter with the oldest versions that are supported, and asyncpg."""
    return old_environment(tmp_path_factory.mktemp("old"), *OLD_PINS)


@pytest.fixture(params=["newest", "oldest"])
def python(request, only_asyncpg):
    return sys.executable if request.param == "newest" else request.getfixturevalue("old_python")


@pytest.fixture
def run(python, database18, tmp_path):
    """Run a project on a table with a patient; its env.py is the asynchronous one."""
    execute(
        database18,
        "CREATE TABLE patients (id serial PRIMARY KEY, name text NOT NULL, allergy text)",
        "INSERT INTO patients (name) VALUES ('without an allergy')",
        "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
        "INSERT INTO alembic_version VALUES ('0001')",
    )

    def start(name, edited=None):
        folder = projects.copy(name, tmp_path)
        shutil.copy(projects.path("async_env") / "migrations" / "env.py", tmp_path / "shared" / "env.py")
        if edited:
            edited(folder)
        connection = Connection.from_url(database18)
        return alembic_project.run(
            Project(config=folder / "alembic.ini", python=python, live=connection, driver="asyncpg"),
            connection,
            mode="upgrade",
            revision="head",
            observer=LetsEverythingThrough(180000, commit=True),
        )

    return start


def test_a_project_with_asyncpg_alone_is_migrated(place, database18):
    rehearsal, _, result = migrate(place)

    assert execute(database18, "SELECT version_num FROM alembic_version") == [("0002",)]
    assert [one.sql for one in rehearsal.revisions[1].statements] == ["ALTER TABLE patients ADD COLUMN ward text"]
    assert result.heads == ("0002",)


def test_revisions_run_and_are_committed_with_old_pins_too(run, database18):
    assert run("linear") is True
    assert state(database18) == (["id", "name", "allergy", "ward"], [("0003",)])


@pytest.mark.parametrize("name", [*COMMITS, "second_connection", "autocommit_block", "rolls_back"])
def test_what_would_end_the_transaction_is_rolled_back(run, database18, name, python):
    if name in {"connection_commit", "rolls_back"} and python != sys.executable:
        pytest.skip("SQLAlchemy 1.4's Connection has no commit()")
    with pytest.raises(RunFailed):
        run(name)

    assert state(database18) == BEFORE
    assert execute(database18, "SELECT count(*) FROM pg_prepared_xacts") == [(0,)]


PAST = """
import asyncio
adapter = op.get_bind().connection.dbapi_connection
"""
PAST_SQLALCHEMY = {
    "run_async": 'adapter.run_async(lambda raw: raw.execute("COMMIT"))',
    "on a loop of its own": 'asyncio.new_event_loop().run_until_complete(adapter.driver_connection.execute("COMMIT"))',
    "prepared": 'adapter.run_async(lambda raw: raw.fetch("SELECT 1"))',
}


@pytest.mark.parametrize("statement", PAST_SQLALCHEMY.values(), ids=PAST_SQLALCHEMY)
def test_nothing_is_sent_past_sqlalchemy(place, database18, statement):
    revise(place, PAST + statement)
    with pytest.raises(errors.MigrationPipelineError) as caught:
        migrate(place)

    assert 'Revision "0002": it talks to asyncpg\'s own connection, past SQLAlchemy.' in str(caught.value)
    assert execute(database18, "SELECT to_regclass('patients')") == [(None,)]


POOL = """
import asyncio
import concurrent.futures
import asyncpg

async def write():
    async with asyncpg.create_pool({url!r}, min_size=1, max_size=1, server_settings={{"default_transaction_read_only": "off"}}) as pool:
        await pool.execute("CREATE TABLE escaped ()")

concurrent.futures.ThreadPoolExecutor(1).submit(lambda: asyncio.run(write())).result()  # env.py's own loop runs here
"""


def test_a_pool_reaches_no_other_database_and_writes_nowhere(place, database18):
    revise(place, POOL.format(url=database18))
    with pytest.raises(errors.RehearsalFailed) as caught:
        migrate(place)

    assert "25006 cannot execute CREATE TABLE in a read-only transaction" in str(caught.value)
    assert execute(database18, "SELECT to_regclass('escaped')") == [(None,)]


VALUES = """
import sqlalchemy as sa
bind = op.get_bind()
op.execute("INSERT INTO patients (name) SELECT 'p' || n FROM generate_series(1, 120) n")
bind.exec_driver_sql("CREATE TYPE blood AS ENUM ('A', 'B')")
op.add_column("patients", sa.Column("blood", sa.Enum("A", "B", name="blood", create_type=False)))
op.add_column("patients", sa.Column("seen", sa.DateTime(timezone=True)))
op.add_column("patients", sa.Column("more", sa.JSON))
table = sa.Table("patients", sa.MetaData(), autoload_with=bind)
bind.execute(table.update().where(table.c.name == sa.bindparam("who")), [{"who": "p1", "blood": "A"}, {"who": "p2", "blood": "B"}])
bind.execute(table.update().where(table.c.name.like("p%1")).values(more={"is": 1}))
assert bind.execute(sa.text("SELECT more FROM patients WHERE name = :name"), {"name": "p1"}).scalar() == {"is": 1}
names = [row.name for row in bind.execute(sa.select(table.c.name).order_by(table.c.id), execution_options={"stream_results": True})]
assert names == [f"p{n}" for n in range(1, 121)], names
assert sa.inspect(bind).get_columns("patients")[-1]["name"] == "more"
with bind.begin_nested():
    bind.exec_driver_sql("UPDATE patients SET name = $1 WHERE name = $2", ("first", "p1"))
"""


def test_a_revision_has_all_of_sqlalchemy_at_its_disposal(place, database18):
    revise(place, VALUES)
    migrate(place)

    found = execute(database18, "SELECT name, blood::text, more FROM patients WHERE blood IS NOT NULL ORDER BY id")
    assert found == [("first", "A", {"is": 1}), ("p2", "B", None)]


@pytest.mark.parametrize("body", [one if name in {"SET", "set_config"} else long(one) for name, one in LIFTS.items()], ids=LIFTS)
def test_no_revision_lifts_the_lock_timeout(place, database18, body):
    if ";" in body:
        pytest.skip("asyncpg prepares one statement only")
    execute(database18, "CREATE TABLE seen (lock_timeout text)")
    revise(place, f"{body}\nop.execute(\"INSERT INTO seen SELECT current_setting('lock_timeout')\")")
    migrate(place)

    assert execute(database18, "SELECT * FROM seen") == [("5s",)]


def test_the_servers_error_is_told_without_a_rows_value(place, database18):
    revise(
        place,
        "op.execute(\"INSERT INTO patients (name) VALUES ('Jane Doe'), ('Jane Doe')\")\n"
        "op.execute('CREATE UNIQUE INDEX one_name ON patients (name)')",
    )
    with pytest.raises(errors.MigrationPipelineError) as caught:
        migrate(place)

    told = str(caught.value)
    assert "23505" in told
    assert "one_name" in told
    assert "Jane" not in told


def test_a_deferred_constraint_that_fails_at_the_end_is_told(place, database18):
    revise(
        place,
        "op.execute('CREATE TABLE wards (patient int REFERENCES patients DEFERRABLE INITIALLY DEFERRED)')\n"
        "op.execute('INSERT INTO wards VALUES (0)')",
    )
    with pytest.raises(errors.MigrationPipelineError, match="23503"):
        migrate(place)

    assert execute(database18, "SELECT to_regclass('patients')") == [(None,)]


def test_a_plan_can_write_nothing(place, database18):
    first(place, asynchronous(place), "connection.exec_driver_sql('CREATE SCHEMA clinic')\nconnection.commit()")
    shown = steps.preview(place, "head").shown

    assert list(shown) == ["0001", "0002"]
    assert execute(database18, "SELECT to_regnamespace('clinic')") == [(None,)]


@pytest.mark.parametrize("body", ["import time; time.sleep(600)", "op.get_bind().exec_driver_sql('SELECT pg_sleep(600)')"])
def test_a_preview_that_does_not_end_is_ended_and_its_backend_too(place, database18, monkeypatch, body):
    revise(place, body, "0001")
    monkeypatch.setattr(alembic_project, "PLAN_SECONDS", 4.0)
    with postgres.session(place.live, purpose="looks") as opened:
        server = postgres.server(opened)
    pending.preview(place.project, place.live, place.identity(server), "head")

    assert gone(database18, 3)


def test_a_runner_whose_pipeline_is_gone_cancels_its_statement(place, database18):
    """Its end of the pipe is closed, as when the pipeline was killed."""
    revise(place, "op.get_bind().exec_driver_sql('SELECT pg_sleep(600)')", "0001")
    sleeping = (
        "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND state = 'active' AND pid <> pg_backend_pid()"
    )
    with alembic_project.running(place.project, place.live, mode="upgrade", revision="head", limit_seconds=60) as session:
        observer = LetsEverythingThrough(180000, commit=True)
        observer.connected = lambda session: session.query(execution.READING_LIMITS.replace("READ ONLY", "READ WRITE"))
        while not execute(database18, sleeping):
            message = session.receive()
            alembic_project.answer(session, observer, message)
            if "pg_sleep" in message.get("sql", ""):
                time.sleep(1)
        session._process.stdin.close()
        assert session._process.wait(5) is not None

    assert execute(database18, sleeping) == []


def test_a_project_without_a_driver_is_told_which_are_known(site, only_asyncpg, tmp_path):
    (tmp_path / "without_psycopg" / "sitecustomize.py").write_text(WITHOUT_PSYCOPG.replace("psycopg2", "asyncpg=None, psycopg2"))
    with pytest.raises(errors.ProjectFailed) as caught:
        steps.preflight(site("linear"), "head")

    assert str(caught.value).startswith(
        "env.py: neither psycopg2, psycopg nor asyncpg is installed in the project's environment."
    )


def test_a_value_that_the_driver_cannot_send_fails_the_revision_and_is_not_told(place, database18):
    revise(place, "op.get_bind().exec_driver_sql('INSERT INTO patients (name) VALUES ($1)', (5551234,))")
    with pytest.raises(errors.RehearsalFailed) as caught:
        migrate(place)

    assert str(caught.value).startswith('The rehearsal failed. Revision "0002" failed.')
    assert "5551234" not in str(caught.value)


def test_a_connection_that_somebody_ends_is_told_as_such(run, database18):
    def sleeps(folder):
        file = projects.revision_file(folder, "0002")
        file.write_text(file.read_text().partition("def upgrade")[0] + "def upgrade():\n    op.execute('SELECT pg_sleep(60)')\n")

    ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'"
    threading.Thread(target=lambda: any(time.sleep(0.2) or execute(database18, ends) for _ in range(100))).start()
    with pytest.raises(RunFailed) as caught:
        run("linear", sleeps)

    assert caught.value.sqlstate == "08003"  # asyncpg's own word
    assert caught.value.was_cut_off
    assert state(database18) == BEFORE
