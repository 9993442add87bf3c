"""mlflow, Airflow and Prefect go from an older release's schema, with rows in it, to the head of a newer release."""

import pytest

from migration_pipeline_tests.strangers.stranger import BARE_ON_A_WORKER_THREAD, CONFIRM, installed

pytestmark = pytest.mark.strangers
DONE, REFUSED = 0, 3
FIRST = "A backup, verified by restoring it."


def finish(stranger, stories, *, twin_has_all_rows=True):
    """Compare with the twin, and keep the story."""
    assert stranger.revision == [stranger.head]
    assert stranger.differences() == []
    if twin_has_all_rows:
        assert stranger.rows() == stranger.rows(f"{stranger.name}_twin")
    stories[stranger.name] = stranger.story


MLFLOW_TABLES = """
import sys, sqlalchemy
from mlflow.store.tracking.dbmodels.initial_models import Base
Base.metadata.create_all(sqlalchemy.create_engine(sys.argv[1]))
"""
MLFLOW_CHECK = """
import sys
from mlflow.store.db import utils
engine = utils.create_sqlalchemy_engine(sys.argv[1])
utils._verify_schema(engine)
print("schema version", utils._get_schema_version(engine), "is the latest;", "all tables exist:", utils._all_tables_exist(engine))
"""


def test_mlflow(meet, stories):
    """All of its revisions, from the tables that its first one alters; its alembic.ini is meant to be used from a folder above."""
    mlflow = meet(
        name="mlflow",
        title="MLflow 3.17",
        driver="psycopg2",
        python=installed("mlflow", "mlflow==3.17.2", "psycopg2-binary==2.9.13", as_of="2026-11-20"),
        package="mlflow",
        config="store/db_migrations/alembic.ini",
        shows=("mlflow", "alembic", "sqlalchemy", "psycopg2-binary"),
    )
    mlflow.story.start = "before 1.0"
    mlflow.run(MLFLOW_TABLES, mlflow.url)
    mlflow.seed()
    mlflow.twin()

    assert mlflow.door("backup-db", why=FIRST)[0] == DONE
    assert mlflow.door("migrate", "acf3f17fdcc7", why="To the schema of MLflow 2.9.")[0] == DONE
    mlflow.seed("mlflow_2_9")
    assert mlflow.door("migrate", why="With rows in the tables that came since, to the head.")[0] == DONE

    assert mlflow.query("SELECT count(*) FROM metrics, runs WHERE metrics.run_uuid = runs.run_uuid") == [(10_000,)]
    mlflow.verdict(MLFLOW_CHECK, "`mlflow.store.db.utils`:")
    finish(mlflow, stories, twin_has_all_rows=False)  # half of them came in between


AIRFLOW = {
    "title": "Apache Airflow 2.10",
    "driver": "psycopg2",
    "package": "airflow",
    "config": "alembic.ini",
    "called_from": ".",
    "shows": ("apache-airflow", "alembic", "sqlalchemy", "psycopg2-binary"),
    "environ": {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "{url}",
        "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "false",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW_HOME": "{folder}/airflow",
    },
}
AIRFLOW_LOSES = ("7b2661a43ba3", "c306b5b5ae4a", "4eaab2fe6582", "48925b2719cb", "f4ff391becb5")
AIRFLOW_CHECK = """
import subprocess, sys
from pathlib import Path
command = [Path(sys.executable).with_name("airflow"), "db", "check-migrations", "--migration-wait-timeout", "1"]
done = subprocess.run(command, capture_output=True, text=True)
print("airflow db check-migrations: exit code", done.returncode)
sys.exit(done.returncode)
"""


@pytest.fixture(scope="module")
def airflow_python():
    packages = ("apache-airflow==2.10.5", "apache-airflow-providers-postgres==6.0.0", "psycopg2-binary==2.9.10")
    return installed("airflow", *packages, as_of="2025-02-20")  # its constraints of that release


def test_airflow(meet, stories, airflow_python):
    """68 revisions on SQLAlchemy 1.4, some of which rebuild a table; then one of 2019 that cannot be held in one transaction."""
    airflow = meet(name="airflow", python=airflow_python, **AIRFLOW)
    airflow.story.start = "2.1.0"
    airflow.bare("a13f7613ad25")
    airflow.seed()
    airflow.twin()

    assert airflow.door("backup-db", why=FIRST)[0] == DONE
    code, said = airflow.door("migrate", why="A `safety.toml` that calls all revisions harmless is found out.")
    assert code == REFUSED
    assert 'Revision "7b2661a43ba3" is annotated NON_DESTRUCTIVE, but it loses data.' in said
    assert airflow.revision == ["a13f7613ad25"]

    airflow.declare(*AIRFLOW_LOSES)
    why = "Those five declared DESTRUCTIVE: the rows are in the new tables, so the operator confirms."
    assert airflow.door("migrate", answer=CONFIRM, why=why)[0] == DONE

    assert airflow.query("SELECT count(*), count(DISTINCT run_id) FROM task_instance JOIN dag_run USING (dag_id, run_id)") == [
        (10_000, 50)
    ]
    assert airflow.query("SELECT count(*) FROM xcom") == [(2000,)]
    refuses_a_second_connection(meet, airflow)
    airflow.verdict(AIRFLOW_CHECK, "Its own word:")
    finish(airflow, stories)


def refuses_a_second_connection(meet, airflow):
    old = meet(name="airflow_2019", python=airflow.python, **AIRFLOW)
    old.bare("939bb1e647c8")
    before = old.size
    assert old.door("backup-db")[0] == DONE
    code, said = old.door("migrate", "6e96a59344a4")

    assert code == REFUSED
    assert 'Revision "6e96a59344a4": it opens a second connection.' in said
    assert (old.revision, old.size) == (["939bb1e647c8"], before)
    airflow.story.walk(
        *old.story.walks[-1],
        "Another database, as of 2019: this revision opens an ORM session on a connection of its own.",
    )


PREFECT_LOSES = ("4160a4841eed", "94622c1663e8", "5d03c01be85e", "9e83011d1f2a", "7218aad17905")
PREFECT_CHECK = """
import sys
import anyio, anyio.to_thread
from alembic import command
from alembic.config import Config
from pathlib import Path
import prefect.server.database
config = Config(Path(prefect.server.database.__file__).parent / "alembic.ini")
anyio.run(anyio.to_thread.run_sync, lambda: command.current(config, check_heads=True))
print("alembic current --check-heads: exit code 0")
"""


def test_prefect(meet, stories):
    """asyncpg alone, and an env.py that wants a worker thread of AnyIO's; what builds indexes concurrently is accepted, or built in the transaction."""
    prefect = meet(
        name="prefect",
        title="Prefect 3.8",
        driver="asyncpg",
        python=installed("prefect", "prefect==3.8.8", as_of="2026-11-20"),
        package="prefect",
        config="server/database/alembic.ini",
        versions="server/database/_migrations/versions/postgresql",
        shows=("prefect", "alembic", "sqlalchemy", "asyncpg", "anyio"),
        environ={"PREFECT_API_DATABASE_CONNECTION_URL": "{url}", "PREFECT_HOME": "{folder}/prefect"},
        upgrade=BARE_ON_A_WORKER_THREAD,
    )
    prefect.story.start = "2.14"
    prefect.bare("9c493c02ca6d")
    prefect.seed()
    prefect.twin()
    prefect.declare(*PREFECT_LOSES)

    assert prefect.door("backup-db", why=FIRST)[0] == DONE
    assert prefect.door("migrate", "c163acd7e8e3", answer=CONFIRM, why="From 2.14 to the schema of 3.2.")[0] == DONE
    code, said = prefect.door("migrate", "a03d00b8e275", answer=CONFIRM, why="The next one is refused.")
    assert code == REFUSED
    assert 'Revision "a03d00b8e275" mixes what can be rolled back with what cannot.' in said
    assert prefect.revision == ["c163acd7e8e3"]
    why = "Nobody here can split it: its indexes are built inside the transaction."
    assert prefect.door("migrate", "a03d00b8e275", "--without-concurrently", answer=CONFIRM, why=why)[0] == DONE

    code, said = prefect.door("migrate", answer=CONFIRM, why="Of the others, some can be run by themselves.")
    assert code == REFUSED
    assert "The plan cannot be rolled back as a whole; nothing was changed." in said
    code, _ = prefect.door("migrate", "--accept-non-transactional", answer=CONFIRM, why="That is accepted: to the head.")
    assert code == DONE

    assert prefect.query("SELECT count(*) FROM flow_run JOIN flow_run_state state ON state.id = state_id") == [(2000,)]
    prefect.verdict(PREFECT_CHECK, "Its own word:")
    finish(prefect, stories)
