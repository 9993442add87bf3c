"""The three histories: how each project is installed, imported, and upgraded one revision at a time by Alembic alone."""

from dataclasses import dataclass, field

from migration_pipeline_tests.strangers.test_strangers import AIRFLOW, MLFLOW_TABLES

#: Upgrades one revision at a time, each in a process of its own that begins where the imports are done.
STEPS = """
import importlib, os, sys, traceback
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
for name, _, called in (one.partition(":") for one in sys.argv[3:]):
    module = importlib.import_module(name)
    called and getattr(module, called)()
config = Config(sys.argv[1])
config.set_main_option("sqlalchemy.url", sys.argv[2].replace("%", "%%"))
script = ScriptDirectory.from_config(config)
list(script.walk_revisions())

def upgrade(revision):
    steps = lambda heads, context: context.script._upgrade_revs(revision, heads)
    with EnvironmentContext(config, script, fn=steps, destination_rev=revision):
        script.run_env()

out = os.dup(1)
os.dup2(2, 1)  # what env.py prints is not our answer
for line in sys.stdin:
    child = os.fork()
    if not child:
        code = 1
        try:
            RUN
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.write(out, b"%d\\n" % os.waitpid(child, 0)[1])
"""
DOWNS = """
import json, sys
from alembic.config import Config
from alembic.script import ScriptDirectory
script = ScriptDirectory.from_config(Config(sys.argv[1]))
if sys.argv[2]:
    script = ScriptDirectory(script.dir, version_locations=[sys.argv[2]])
print(json.dumps({one.revision: sorted(one._all_down_revisions) for one in script.walk_revisions()}))
"""
PLAIN = STEPS.replace("RUN", "upgrade(line.strip())")
ON_A_WORKER_THREAD = STEPS.replace("list(script.walk_revisions())\n", "").replace(
    "RUN", "import anyio, anyio.to_thread; anyio.run(anyio.to_thread.run_sync, upgrade, line.strip())"
)


@dataclass(kw_only=True)
class History:
    """A project as it is walked."""

    name: str
    title: str
    packages: tuple
    as_of: str
    parts: dict
    imports: tuple
    shows: tuple
    kept_out: tuple = ()  #: what the runner must import itself: the driver that it takes over
    driver: str = "psycopg2"
    steps: str = PLAIN
    prepare: str = ""  #: what makes the tables that its first revision alters
    mended: dict = field(default_factory=dict)  #: by revision, SQL after which it accepts the synthetic rows


HISTORIES = (
    History(
        name="mlflow",
        title="MLflow 3.17",
        packages=("mlflow==3.17.2", "psycopg2-binary==2.9.13"),
        as_of="2026-11-20",
        parts={"package": "mlflow", "config": "store/db_migrations/alembic.ini"},
        imports=("mlflow.store.db.utils", "mlflow.store.tracking.dbmodels.models"),
        shows=("mlflow", "alembic", "sqlalchemy"),
        prepare=MLFLOW_TABLES,
        mended={"75868b020152": """UPDATE spans SET dimension_attributes = '{"mlflow.llm.model": "made up"}'"""},
    ),
    History(
        name="prefect",
        title="Prefect 3.8",
        packages=("prefect==3.8.8",),
        as_of="2026-11-20",
        driver="asyncpg",
        parts={
            "package": "prefect",
            "config": "server/database/alembic.ini",
            "versions": "server/database/_migrations/versions/postgresql",
            "environ": {"PREFECT_API_DATABASE_CONNECTION_URL": "{url}", "PREFECT_HOME": "{folder}/prefect"},
        },
        imports=("prefect.server.database.dependencies:provide_database_interface",),
        kept_out=("asyncpg", "psycopg2"),
        mended={
            "b68b3cad6b8a": "DELETE FROM block",  # it adds a NOT NULL column without a default
            "7495a5013e7e": "DELETE FROM automation_event_follower",  # as above
            "9e83011d1f2a": "UPDATE concurrency_limit SET id = md5(id::text)::uuid",  # its rows go into another table, ids and all
        },
        shows=("prefect", "alembic", "sqlalchemy", "asyncpg"),
        steps=ON_A_WORKER_THREAD,
    ),
    History(
        name="airflow",
        title="Apache Airflow 2.10",
        packages=("apache-airflow==2.10.5", "apache-airflow-providers-postgres==6.0.0", "psycopg2-binary==2.9.10"),
        as_of="2025-02-20",
        parts={key: AIRFLOW[key] for key in ("package", "config", "called_from", "environ")},
        imports=("airflow.settings", "airflow.utils.db", "airflow.models:import_all_models"),
        kept_out=("airflow", "psycopg2"),
        mended={"1949afb29106": """UPDATE trigger SET kwargs = '{"__var": {"n": 1}, "__type": "dict"}'"""},
        shows=("apache-airflow", "alembic", "sqlalchemy"),
    ),
)
