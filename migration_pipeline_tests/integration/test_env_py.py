"""What an env.py does to its connection, its settings and its process, and what of it reaches ours."""

import re
import subprocess
import textwrap
import threading
import time

import pytest

from migration_pipeline import errors, steps
from migration_pipeline.adapters import alembic_project, execution, pending, postgres, transaction
from migration_pipeline.adapters.failed_run import RunFailed
from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import execute
from migration_pipeline_tests.integration.conftest import migrate
from migration_pipeline_tests.integration.test_commit_fuse import LIMITS, LetsEverythingThrough

TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relname IN ('patients', 'alembic_version') AND n.nspname IN ('public', 'clinic') ORDER BY 1, 2
"""
ALL_IN_CLINIC = [("clinic", "alembic_version"), ("clinic", "patients")]
ALL_IN_PUBLIC = [("public", "alembic_version"), ("public", "patients")]
BEFORE_CONFIGURE = "    context.configure(connection=connection)"
OPTIONS = "options=-csearch_path%%3Dclinic"


def edit(file, old, new):
    text = file.read_text()
    assert old in text, file
    file.write_text(text.replace(old, new))


class Commits(LetsEverythingThrough):
    def connected(self, session):
        self.opened = transaction.open_for_writing(
            session, LIMITS, server_version=self.server_version, version_table=None, role=None
        )


def apply(place):
    """Run the plan on the live database and commit it: no backup, no rehearsal."""
    observer = Commits(180000, commit=True)
    assert alembic_project.run(place.project, place.live, mode="upgrade", revision="head", observer=observer)


def synchronous(place):
    """Return the project's env.py: Alembic's standard one."""
    return place.project_folder.parent / "shared" / "env.py"


def asynchronous(place):
    return place.project_folder / "migrations" / "env.py"


def first(place, file, statements):
    """Let env.py do something on its connection before it configures Alembic."""
    lines = file.read_text().splitlines()
    (number,) = [number for number, line in enumerate(lines) if line.endswith("context.configure(connection=connection)")]
    indent = lines[number][: len(lines[number]) - len(lines[number].lstrip())]
    lines[number:number] = textwrap.indent(textwrap.dedent(statements).strip(), indent).splitlines()
    file.write_text("\n".join(lines) + "\n")


def revise(place, body, revision="0002"):
    """Give a revision another upgrade function."""
    file = projects.revision_file(place.project_folder, revision)
    head = file.read_text().partition("def upgrade")[0]
    file.write_text(f"{head}def upgrade():\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n")


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_options_in_connect_args_decide_which_schema_is_migrated(site, database18, driver):
    execute(database18, "CREATE SCHEMA clinic")
    place = site("linear", driver=driver)
    edit(
        synchronous(place), "poolclass=pool.NullPool", 'poolclass=pool.NullPool, connect_args={"options": "-csearch_path=clinic"}'
    )
    migrate(place) if driver == "psycopg" else apply(place)

    assert execute(database18, TABLES) == ALL_IN_CLINIC


@pytest.mark.parametrize("name", ["psycopg", "psycopg2"])
def test_of_a_dsn_that_env_py_connects_with_only_the_settings_count(site, database18, name):
    execute(database18, "CREATE SCHEMA clinic")
    place = site("linear", driver=name)
    dsn = "host=203.0.113.1 port=1 user=nobody dbname=elsewhere sslmode=verify-full options=-csearch_path=clinic"
    edit(
        synchronous(place),
        "poolclass=pool.NullPool",
        f"poolclass=pool.NullPool, creator=lambda: __import__('{name}').connect('{dsn}')",
    )
    apply(place)

    assert execute(database18, TABLES) == ALL_IN_CLINIC


def test_options_in_the_url_of_alembic_ini_decide_which_schema_is_migrated(site, database18):
    execute(database18, "CREATE SCHEMA clinic")
    place = site("linear")
    edit(
        place.project_folder / "alembic.ini",
        "path_separator",
        f"sqlalchemy.url = postgresql+psycopg://db.invalid/x?{OPTIONS}\npath_separator",
    )
    edit(synchronous(place), "config.set_main_option", "print")
    apply(place)

    assert execute(database18, TABLES) == ALL_IN_CLINIC


def test_two_connections_with_different_settings_are_refused(site):
    place = site("linear")
    edit(synchronous(place), "    with connectable", "    connectable.connect().close()\n    with connectable")
    edit(synchronous(place), "poolclass=pool.NullPool)", "poolclass=pool.NullPool, connect_args=connect_args)")
    edit(synchronous(place), "    connectable = ", "    connect_args = {}\n    connectable = ")
    edit(
        synchronous(place),
        ".connect().close()",
        ".connect().close()\n    connectable = engine_from_config(config.get_section(config.config_ini_section), prefix='sqlalchemy.', connect_args={'options': '-csearch_path=clinic'})",
    )

    with pytest.raises(errors.ProjectFailed, match=re.escape("env.py connects twice, with different settings")):
        steps.preflight(place, "head")


ON_THE_ASYNCHRONOUS_CONNECTION = {
    "server_settings": ("asyncpg", 'connect_args={"server_settings": {"search_path": "clinic"}}', ""),
    "options": ("psycopg", 'connect_args={"options": "-csearch_path=clinic"}', ""),
    "SET": ("asyncpg", "", "connection.exec_driver_sql('SET search_path TO clinic')"),
    "SET, committed": ("psycopg", "", "connection.exec_driver_sql('SET search_path TO clinic')\nconnection.commit()"),
    "schema_translate_map": ("psycopg", "", "connection.execution_options(schema_translate_map={None: 'clinic'})"),
}


@pytest.mark.parametrize(
    ("driver", "arguments", "statement"), ON_THE_ASYNCHRONOUS_CONNECTION.values(), ids=ON_THE_ASYNCHRONOUS_CONNECTION
)
def test_what_an_asynchronous_env_py_sets_decides_which_schema_is_migrated(site, database18, driver, arguments, statement):
    execute(database18, "CREATE SCHEMA clinic")
    place = site("async_env", driver=driver)
    edit(asynchronous(place), "poolclass=pool.NullPool", f"poolclass=pool.NullPool, {arguments}")
    first(place, asynchronous(place), statement or "pass")
    if "translate" in statement:  # it maps what SQLAlchemy names, not what stands in a text
        body = 'import sqlalchemy as sa\nop.create_table("patients", sa.Column("id", sa.Integer, primary_key=True))'
        revise(place, body, "0001")
        revise(place, body.replace("patients", "wards"))
    apply(place)

    assert execute(database18, TABLES) == ALL_IN_CLINIC


def test_a_role_that_an_asynchronous_env_py_takes_owns_what_is_made(site, server18, database18):
    execute(server18.url(), "DROP ROLE IF EXISTS clinic_owner", "CREATE ROLE clinic_owner NOLOGIN")
    execute(database18, "GRANT CREATE ON SCHEMA public TO clinic_owner")
    place = site("async_env", driver="asyncpg")
    first(place, asynchronous(place), "connection.exec_driver_sql('SET ROLE clinic_owner')")
    migrate(place)

    assert execute(database18, "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'patients'") == [("clinic_owner",)]


def test_a_plan_lets_an_asynchronous_env_py_write_nothing(site, database18):
    place = site("async_env", driver="asyncpg")
    first(place, asynchronous(place), "connection.exec_driver_sql('CREATE SCHEMA clinic')\nconnection.commit()")
    steps.preview(place, "head")

    assert execute(database18, "SELECT to_regnamespace('clinic')") == [(None,)]


def test_an_empty_version_table_is_noted_when_another_schema_has_one_with_rows(site, database18):
    place = site("linear")
    execute(database18, "CREATE SCHEMA clinic", "CREATE SCHEMA empty")
    execute(
        database18,
        "CREATE TABLE clinic.alembic_version (version_num text)",
        "CREATE TABLE empty.alembic_version (version_num text)",
    )
    plan = steps.plan_for_backup(place)
    steps.verify_backup(place, steps.backup(place, plan, protects=False), plan)
    assert steps.preflight(place, "head").notes == ()

    execute(database18, "INSERT INTO clinic.alembic_version VALUES ('0002')")
    (note,) = steps.preflight(place, "head").notes
    assert note == (
        'no revision is applied by "public.alembic_version", but schema "clinic" has a "alembic_version" with rows:'
        " is the search_path right?"
    )


def test_a_url_that_env_py_has_yet_to_fill_in_is_no_error(site, database18):
    place = site("linear")
    url = "sqlalchemy.url = postgresql+psycopg://%(DB_USER)s:%(DB_PASS)s@db.invalid/x\npath_separator"
    edit(place.project_folder / "alembic.ini", "path_separator", url)
    edit(
        synchronous(place),
        "def run_migrations_offline",
        "for name in ('DB_USER', 'DB_PASS'):\n    config.set_section_option('alembic', name, 'clinic')\n\n\ndef run_migrations_offline",
    )
    edit(synchronous(place), "config.set_main_option", "print")
    apply(place)

    assert execute(database18, TABLES) == ALL_IN_PUBLIC


LOOKS_FOR_TENANTS = """
connection.exec_driver_sql('SET search_path TO clinic')
connection.commit()
connection.exec_driver_sql('SET search_path TO nowhere')
try:
    connection.exec_driver_sql('SELECT 1 FROM tenants')
except Exception:
    connection.rollback()
"""


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_a_failed_look_that_env_py_rolls_back_undoes_only_what_it_had_not_committed(site, database18, driver):
    execute(database18, "CREATE SCHEMA clinic")
    place = site("linear", driver=driver)
    first(place, synchronous(place), LOOKS_FOR_TENANTS)
    apply(place)

    assert execute(database18, TABLES) == ALL_IN_CLINIC


def test_a_roll_back_after_the_revisions_loses_nothing(site, database18):
    place = site("linear")
    edit(
        synchronous(place),
        "            context.run_migrations()\n\n\nif",
        "            context.run_migrations()\n        connection.rollback()\n\n\nif",
    )
    apply(place)

    assert execute(database18, TABLES) == ALL_IN_PUBLIC


def test_an_error_that_env_py_hides_after_the_first_revision_commits_nothing(site, database18):
    place = site("linear")
    revise(place, "op.execute('SELECT 1 FROM tenants')")
    edit(
        synchronous(place),
        "        with context.begin_transaction():\n            context.run_migrations()\n\n\nif",
        "        try:\n            context.run_migrations()\n        except Exception:\n            connection.rollback()\n\n\nif",
    )
    with pytest.raises(errors.RehearsalFailed):
        migrate(place)

    assert execute(database18, TABLES) == []


LOOPS = """
bind = op.get_bind()
while bind.exec_driver_sql("SELECT count(*) FROM patients WHERE allergy IS NULL").scalar():
    op.execute("UPDATE patients SET allergy = 'none' WHERE allergy IS NULL")
"""
COMPUTES = """
import time
op.get_bind().exec_driver_sql("SELECT 1")
time.sleep(600)
"""
WAITS = "op.get_bind().exec_driver_sql('SELECT pg_sleep(600)')"
OURS = "SELECT application_name, state FROM pg_stat_activity WHERE application_name ~ '^migration_pipeline (plan|preview) '"


def pending_loop(place, database, body):
    revise(place, body)
    execute(database, "CREATE TABLE patients (id serial PRIMARY KEY, name text NOT NULL, allergy text)")
    execute(database, "INSERT INTO patients (name) VALUES ('x')")
    execute(
        database,
        "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
        "INSERT INTO alembic_version VALUES ('0001')",
    )


def gone(url, seconds):
    """Tell whether no backend of a plan is left within some seconds."""
    end = time.monotonic() + seconds
    while execute(url, OURS):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.parametrize("body", [COMPUTES, WAITS], ids=["idle in its transaction", "in a statement"])
def test_a_preview_that_does_not_end_is_ended_and_its_backend_too(site_of_each_major, database, monkeypatch, body):
    place = site_of_each_major("linear")
    pending_loop(place, database, body)
    monkeypatch.setattr(alembic_project, "PLAN_SECONDS", 4.0)
    seen = []
    watch = threading.Thread(target=lambda: (time.sleep(3.5), seen.extend(execute(database, OURS))))
    watch.start()
    shown = steps.preview(place, "head").shown
    watch.join()

    assert [name for name, _ in seen] == [f"migration_pipeline preview {place.target.name}"]
    assert gone(database, 3)
    assert [one.predicts[-1] for one in shown.values()] == ["needs a rehearsal to be known"] * 2


def test_a_preview_of_a_loop_ends_after_a_thousand_statements(site, database18):
    place = site("linear")
    pending_loop(place, database18, LOOPS)
    _, statements, complete = pending.preview(place.project, place.live, place.identity(server_of(place)), "head")

    assert len(statements) == execution.PREVIEW_STATEMENTS == 1000
    assert complete == frozenset()
    assert gone(database18, 3)


def server_of(place):
    with postgres.session(place.live, purpose="looks") as opened:
        return postgres.server(opened)


def test_an_env_py_that_does_not_end_fails_the_plan_in_time(site, database18, monkeypatch):
    place = site("linear")
    first(place, synchronous(place), "__import__('time').sleep(600)")
    monkeypatch.setattr(alembic_project, "PLAN_SECONDS", 3.0)

    with pytest.raises(errors.ProjectFailed) as caught:
        steps.preflight(place, "head")

    assert str(caught.value) == (
        "The project did not say within 3 s what is pending.\nNext: find out what env.py waits for, then: just plan"
    )
    assert gone(database18, 3)


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_each_connection_of_the_runner_is_found_by_its_name(site, database18, driver):
    place = site("async_env", driver=driver)
    execute(database18, "CREATE TABLE seen (name text)")
    revise(
        place,
        "op.execute(\"INSERT INTO seen SELECT application_name FROM pg_stat_activity WHERE datname = current_database() AND application_name ~ 'upgrade|rehearse'\")",
    )
    migrate(place)

    assert set(execute(database18, "SELECT name FROM seen")) == {(f"migration_pipeline upgrade {place.target.name}",)}
    assert execute(database18, "SELECT count(*) FROM seen") == [(2,)]


def test_a_process_that_a_revision_starts_does_not_outlive_the_run(site, tmp_path):
    place = site("linear")
    file = tmp_path / "started"
    revise(
        place,
        f"import subprocess\nchild = subprocess.Popen(['sleep', '600'])\nopen({str(file)!r}, 'a').write(f'{{child.pid}}\\n')",
    )
    migrate(place)

    started = file.read_text().split()
    assert len(started) >= 2
    assert [pid for pid in started if is_running(pid)] == []


def is_running(pid):
    """Tell whether a process runs; one that is dead and that nobody has waited for does not."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True, check=False)
    return done.stdout.strip()[:1] not in {"", "Z"}


VALUE = "Jane Doe-Canary"
RAISES = {
    "CommandError": ("from alembic.util import CommandError\nraise CommandError(name)", None),
    "CommandError with a text": (
        "from alembic.util import CommandError\nraise CommandError(f'no ward for {name}')",
        "CommandError: no ward for …",
    ),
    "getattr": ("import sqlalchemy as sa\ngetattr(sa, name)", None),
    "getattr of a word": (
        "import sqlalchemy as sa\ngetattr(sa, name.replace(' ', '').replace('-', ''))",
        "AttributeError: module 'sqlalchemy' has no attribute '…'",
    ),
    "NameError": ("raise NameError(name)", None),
    "a real NameError": ("patiens.upgrade()", "NameError: name 'patiens' is not defined"),
}


@pytest.mark.parametrize(("raises", "told"), RAISES.values(), ids=RAISES)
def test_no_type_of_exception_carries_a_row_out_of_a_revision(site, database18, raises, told):
    place = site("linear")
    revise(place, f"name = op.get_bind().exec_driver_sql('SELECT name FROM canaries').scalar()\n{raises}")
    execute(database18, "CREATE TABLE canaries (name text)", f"INSERT INTO canaries VALUES ('{VALUE}')")

    with pytest.raises(RunFailed) as caught:
        apply(place)

    assert "Jane" not in str(caught.value)
    kind = raises.partition("raise ")[2].partition("(")[0] or "AttributeError"
    assert caught.value.evidence["error"] == (told or f"{kind}: (message withheld: it may hold row values)")


def test_an_env_py_that_raises_with_a_row_in_its_text_does_not_tell_it(site, database18):
    place = site("linear")
    execute(database18, "CREATE TABLE canaries (name text)", f"INSERT INTO canaries VALUES ('{VALUE}')")
    first(
        place,
        synchronous(place),
        "from alembic.util import CommandError\nraise CommandError(connection.exec_driver_sql('SELECT name FROM canaries').scalar())",
    )
    with pytest.raises(errors.ProjectFailed) as caught:
        steps.preflight(place, "head")

    assert caught.value.evidence["error"] == "CommandError: (message withheld: it may hold row values)"


LIFTS = {
    "SET": "op.execute('SET lock_timeout = 0')",
    "SET LOCAL": "op.execute('SET LOCAL lock_timeout = 0')",
    "RESET": "op.execute('RESET lock_timeout')",
    "RESET ALL": "op.execute('RESET ALL')",
    "set_config": "op.execute(\"SELECT set_config('lock_timeout', '0', false)\")",
    "among others": "op.execute(\"SET lock_timeout = 0; SET search_path = public; SELECT '100%'\")",
}


def test_no_revision_lifts_the_lock_timeout(site, database18):
    place = site("linear")
    execute(database18, "CREATE TABLE seen (after text, lock_timeout text)")
    body = [
        f"{lifts}\nop.execute(\"INSERT INTO seen SELECT '{name}', current_setting('lock_timeout')\")"
        for name, lifts in LIFTS.items()
    ]
    revise(place, "\n".join(body))
    migrate(place)

    assert dict(execute(database18, "SELECT * FROM seen")) == dict.fromkeys(LIFTS, "5s")


def test_an_env_py_cannot_lift_the_limits(site, database18):
    place = site("linear")
    first(place, synchronous(place), "connection.exec_driver_sql('SET statement_timeout = 0')\nconnection.commit()")
    revise(place, "op.execute('INSERT INTO patients (name) SELECT current_setting(\\'statement_timeout\\')')")
    migrate(place)

    assert execute(database18, "SELECT name FROM patients") == [("30min",)]


def test_another_kind_of_database_is_named(site):
    place = site("linear")
    edit(synchronous(place), "engine_from_config(config.get_section", "create_engine('sqlite://') or (config.get_section")
    edit(synchronous(place), "import engine_from_config, pool", "import create_engine, pool")
    edit(synchronous(place), 'prefix="sqlalchemy.", poolclass=pool.NullPool)', "pool)")
    with pytest.raises(errors.ProjectFailed) as caught:
        steps.preflight(place, "head")

    assert str(caught.value).startswith("env.py: it connects with sqlite, not with PostgreSQL.")


def test_an_env_py_that_wants_a_worker_thread_of_anyio_reaches_its_event_loop(site, database18):
    pytest.importorskip("anyio")
    apply(site("worker_thread_env", driver="asyncpg"))

    assert execute(database18, TABLES) == ALL_IN_PUBLIC


def test_a_stop_on_anyios_event_loop_is_told_as_any_other(site, database18):
    pytest.importorskip("anyio")
    place = site("worker_thread_env", driver="asyncpg")
    revise(place, "op.execute('COMMIT')")
    with pytest.raises(errors.Refusal, match='Revision "0002": COMMIT'):
        migrate(place)

    assert execute(database18, TABLES) == []


def test_a_script_location_may_start_at_a_folder_above_its_configuration(site, database18):
    place = site("async_env", driver="asyncpg")
    ini = place.project_folder / "alembic.ini"
    edit(ini, "%(here)s/migrations", f"{place.project_folder.name}/migrations")
    apply(place)

    assert execute(database18, TABLES) == ALL_IN_PUBLIC
