"""The example and the scenarios are what they say they are, seen with bare Alembic: what the pipeline is then held against."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import execute

PYTHON = Path(sys.executable)
ALEMBIC = PYTHON.with_name("alembic")

#: What leaves the transaction so that the work before it is committed.
COMMITS = [
    "raw_commit", "select_then_commit", "connection_commit", "raw_cursor_commit", "driver_commit",
    "set_constraints_then_commit", "replica_role", "autocommit_block",
]  # fmt: skip

#: What bare Alembic brings from nothing to its heads and back to base.
ROUND_TRIPS = [
    "linear", "adds_and_drops", "drops_table", "drops_column_undeclared", "not_annotated", "typo", "two_values", "update_backfill",
    "deletes_rows_by_condition", "cascade", "truncates", "fails_on_data", "canary", "print_and_logging", "two_heads", "merge",
    "branches_depends_on", "several_locations", "nested_import", "version_table_elsewhere", "async_env", "search_path_env",
    "session_commit", "concurrent_index", "creates_role", "holds_locks",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def environment_of_the_programs(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        # Compiled once, each process takes half the time; elsewhere, so that the projects stay as they are.
        patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("compiled")))
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("PYTHONWARNINGS", "error")
        patch.delenv("MIGRATION_ENVIRONMENT", raising=False)
        yield


def run(project, url, *arguments, program=ALEMBIC, scheme="postgresql+psycopg", **environment):
    """Run the `alembic` program as a person would, in the project's folder."""
    settings = {"DATABASE_URL": url.replace("postgresql", scheme, 1), **environment}
    return subprocess.run(
        [program, *arguments], cwd=project, env=os.environ | settings, capture_output=True, text=True, timeout=120, check=False
    )


def succeed(project, url, *arguments, **options):
    done = run(project, url, *arguments, **options)
    assert done.returncode == 0, done.stderr
    return done


def schema(server, url):
    """Return the schema as pg_dump writes it, without what differs in each run."""
    command = [server.binaries / "pg_dump", "--schema-only", "--dbname", url]
    text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    return re.sub(r"^\\(un)?restrict .*\n", "", text, flags=re.MULTILINE)


def one(url, query):
    ((value,),) = execute(url, query)
    return value


def columns(url):
    rows = execute(
        url, "SELECT attname FROM pg_attribute WHERE attrelid = 'patients'::regclass AND attnum > 0 AND NOT attisdropped"
    )
    return {name for (name,) in rows}


def prepared(url, *statements):
    """Bring a database to where the scenarios' revision 0001 leaves it, then run the statements."""
    execute(
        url,
        "CREATE TABLE patients (id serial PRIMARY KEY, name text NOT NULL, allergy text)",
        "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
        "INSERT INTO alembic_version VALUES ('0001')",
        *statements,
    )


A_PATIENT_WITHOUT_ALLERGY = "INSERT INTO patients (name) VALUES ('Baxdov')"
VERSION = "SELECT version_num FROM alembic_version"


# --- the clinic


@pytest.fixture
def clinic():
    return projects.CLINIC


DEVELOPMENT = {"MIGRATION_ENVIRONMENT": "development"}


def test_each_revision_of_the_clinic_says_once_whether_it_is_destructive(clinic):
    files = sorted(clinic.glob("migrations/versions/*.py"))
    said = {file.name[:4]: re.findall(r"^# SAFETY: (\w+)$", file.read_text(), flags=re.MULTILINE) for file in files}
    expected = {f"{number:04}": ["NON_DESTRUCTIVE"] for number in range(1, 21)}
    assert said == expected | {"0004": ["DESTRUCTIVE"], "0020": ["DESTRUCTIVE"]}


@pytest.mark.parametrize("environment", [{}, {"MIGRATION_ENVIRONMENT": "staging"}, {"MIGRATION_ENVIRONMENT": "production"}])
def test_the_clinic_refuses_bare_alembic_outside_development(clinic, database18, environment):
    done = run(clinic, database18, "upgrade", "head", **environment)
    assert done.returncode != 0
    assert done.stderr.endswith("This database is migrated by the pipeline, behind a verified backup. Next: just migrate\n")
    assert "Traceback" not in done.stderr
    assert one(database18, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


def test_the_clinic_goes_from_its_seed_to_the_head_and_to_base_and_up_again(clinic, server, database):
    succeed(clinic, database, "upgrade", "0018", **DEVELOPMENT)
    execute(database, (clinic / "seed.sql").read_text())
    tables = [name for (name,) in execute(database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    assert sum(one(database, f'SELECT count(*) FROM "{name}"') for name in tables if name != "alembic_version") == 50_000
    assert one(database, "SELECT count(allergy_note) FROM patients") == 2_286
    assert one(database, "SELECT count(*) FROM legacy_alerts") == 800
    execute(database, "INSERT INTO patients (hospital_number, family_name, given_name, date_of_birth)"
                      "VALUES ('H9999999', 'Koldov', 'Bax', DATE '2000-01-01')")  # fmt: skip # the sequences have moved with the seed

    succeed(clinic, database, "upgrade", "head", **DEVELOPMENT)
    at_head = schema(server, database)
    assert "allergy_note" not in at_head
    assert "legacy_alerts" not in at_head

    succeed(clinic, database, "downgrade", "0001", **DEVELOPMENT)
    assert one(database, "SELECT count(phone) FROM patients") == 7_112  # the split was undone with its data
    succeed(clinic, database, "upgrade", "head", **DEVELOPMENT)
    assert one(database, "SELECT count(phone) FROM patient_contacts") == 7_112
    assert schema(server, database) == at_head

    succeed(clinic, database, "downgrade", "base", **DEVELOPMENT)
    assert (
        one(database, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 2
    )  # alembic_version, its key
    succeed(clinic, database, "upgrade", "head", **DEVELOPMENT)
    assert schema(server, database) == at_head


def test_the_seed_is_the_same_each_time(clinic, database18):
    succeed(clinic, database18, "upgrade", "0018", **DEVELOPMENT)
    tables = [name for (name,) in execute(database18, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    seen = []
    for _ in range(2):
        execute(
            database18,
            "TRUNCATE patients, practitioners, medications, patient_changes CASCADE",
            (clinic / "seed.sql").read_text(),
        )
        seen.append({name: execute(database18, f'SELECT row::text FROM "{name}" AS row ORDER BY 1') for name in tables})
    assert seen[0] == seen[1]


# --- the scenarios


def test_each_project_is_in_the_readme_and_each_line_of_it_is_a_project():
    listed = re.findall(r"^\| `(\w+)` \|", (projects.HERE / "README.md").read_text(), flags=re.MULTILINE)
    assert sorted(listed) == projects.names()


def test_each_project_that_migrates_is_tried_here():
    alone = {
        "fails_halfway",
        "fails_live_by_name",
        "sql_before_configure",
        "prepare_transaction",
        "rolls_back",
        "second_connection",
        "in_parts",  # no transaction holds it, and bare Alembic has one: test_in_parts.py
        "worker_thread_env",  # bare Alembic is not in one: test_env_py.py
    }
    assert {*ROUND_TRIPS, *COMMITS, *alone} == set(projects.names())


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_a_project_goes_up_and_down(name, database18):
    if name == "search_path_env":
        execute(database18, "CREATE SCHEMA tenant_a")
    if name == "concurrent_index":
        prepared(database18)  # its block would commit the first revision half-way
    there_and_back = "from alembic.config import main; main(['upgrade', 'heads']); main(['downgrade', 'base'])"
    succeed(projects.path(name), database18, "-c", there_and_back, program=PYTHON)  # one process: half the time
    left = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'S') AND relnamespace::regnamespace::text IN ('public', 'tenant_a', 'ops')"
    assert execute(database18, left) == [("clinic_version" if name == "version_table_elsewhere" else "alembic_version",)]


def test_a_copy_of_a_project_works_by_itself(tmp_path, database18):
    succeed(projects.copy("linear", tmp_path), database18, "upgrade", "head")
    assert one(database18, VERSION) == "0003"


def test_a_copy_of_the_clinic_works_by_itself(tmp_path, database18):
    succeed(projects.copy("clinic", tmp_path), database18, "upgrade", "0002", **DEVELOPMENT)
    assert one(database18, VERSION) == "0002"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
@pytest.mark.parametrize("project", [projects.CLINIC, projects.path("linear")], ids=["clinic", "shared"])
def test_an_address_may_name_a_driver_or_none(project, scheme, database18):
    succeed(project, database18, "upgrade", "0001", scheme=scheme, **DEVELOPMENT)
    assert one(database18, VERSION) == "0001"


@pytest.mark.parametrize("name", COMMITS)
def test_bare_alembic_leaves_half_the_work_behind(name, database18):
    prepared(database18, A_PATIENT_WITHOUT_ALLERGY)
    done = run(projects.path(name), database18, "upgrade", "head")
    assert done.returncode != 0
    assert "NotNullViolation" in done.stderr
    assert one(database18, VERSION) == "0001"
    assert "ward" in columns(database18)


def test_the_commit_of_a_session_is_held_back_by_the_transaction_round_it(database18):
    prepared(database18, A_PATIENT_WITHOUT_ALLERGY)
    done = run(projects.path("session_commit"), database18, "upgrade", "head")
    assert "NotNullViolation" in done.stderr
    assert "ward" not in columns(database18)
    assert one(database18, "SELECT count(*) FROM patients") == 1


def test_a_prepared_transaction_takes_the_work_away_and_the_version_stays(database18):
    prepared(database18)
    run(projects.path("prepare_transaction"), database18, "upgrade", "head")
    try:
        assert one(database18, "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()") == "clinic_half_way"
        assert "ward" not in columns(database18)
        assert one(database18, VERSION) == "0002"
    finally:
        execute(database18, "ROLLBACK PREPARED 'clinic_half_way'")


def test_after_a_rollback_in_the_middle_bare_alembic_commits_nothing_and_reports_success(database18):
    prepared(database18)
    succeed(projects.path("rolls_back"), database18, "upgrade", "head")
    assert one(database18, VERSION) == "0001"
    assert columns(database18) == {"id", "name", "allergy"}


def test_a_second_connection_writes_what_no_rollback_takes_back(database18):
    prepared(database18)
    done = run(projects.path("second_connection"), database18, "upgrade", "head")
    assert "NotNullViolation" in done.stderr
    assert one(database18, VERSION) == "0001"
    assert execute(database18, "SELECT name FROM patients") == [("written by a second connection",)]


def test_a_revision_that_fails_halfway_is_rolled_back_by_bare_alembic_too(database18):
    prepared(database18)
    done = run(projects.path("fails_halfway"), database18, "upgrade", "head")
    assert done.stderr.endswith("RuntimeError: deliberate\n")
    assert "ward" not in columns(database18)


def test_a_unique_index_fails_only_on_data_and_the_error_shows_the_row(database18):
    prepared(database18, A_PATIENT_WITHOUT_ALLERGY, A_PATIENT_WITHOUT_ALLERGY)
    done = run(projects.path("fails_on_data"), database18, "upgrade", "head")
    assert "Key (name)=(Baxdov) is duplicated." in done.stderr


def test_a_revision_that_looks_at_the_name_passes_in_a_scratch_database_alone(server18, database18):
    scratch = f"mp_scratch_{os.getpid()}"
    execute(server18.url(), f"CREATE DATABASE {scratch}")
    try:
        succeed(projects.path("fails_live_by_name"), server18.url(scratch), "upgrade", "head")
    finally:
        execute(server18.url(), f"DROP DATABASE {scratch}")
    done = run(projects.path("fails_live_by_name"), database18, "upgrade", "head")
    assert "deliberate: this is no scratch database" in done.stderr


def test_sql_before_configure_commits_nothing_and_reports_success(database18):
    prepared(database18)
    succeed(projects.path("sql_before_configure"), database18, "upgrade", "head")
    assert one(database18, VERSION) == "0001"
    assert "ward" not in columns(database18)


@pytest.mark.parametrize(
    ("mode", "reveals"), [("raise", "cannot convert [(1, 'Baxdov', None)]"), ("duplicate", "Key (name)=(Baxdov)")]
)
def test_the_canary_sings_in_errors_and_streams(mode, reveals, database18):
    prepared(database18, A_PATIENT_WITHOUT_ALLERGY, f"CREATE TABLE canary_mode AS SELECT '{mode}' AS mode")
    done = run(projects.path("canary"), database18, "upgrade", "head")
    assert reveals in done.stderr
    assert "logged: Baxdov" in done.stderr
    assert "printed: Baxdov" in done.stdout


def test_deleting_patients_takes_their_letters_along(database18):
    prepared(database18, A_PATIENT_WITHOUT_ALLERGY, "INSERT INTO patients (name, allergy) VALUES ('Fezgup', 'kolmyx')",
             "CREATE TABLE letters (patient_id integer NOT NULL REFERENCES patients ON DELETE CASCADE)",
             "INSERT INTO letters VALUES (1), (1), (2)")  # fmt: skip
    succeed(projects.path("cascade"), database18, "upgrade", "head")
    assert execute(database18, "SELECT patient_id FROM letters") == [(2,)]


def test_a_missing_file_and_a_broken_file_stop_alembic(tmp_path, database18):
    missing, broken = projects.copy("linear", tmp_path / "missing"), projects.copy("linear", tmp_path / "broken")
    succeed(missing, database18, "upgrade", "head")
    projects.remove_revision(missing, "0003")
    assert "Can't locate revision identified by '0003'" in run(missing, database18, "upgrade", "head").stdout
    projects.break_revision(broken, "0003")
    assert "SyntaxError" in run(broken, database18, "upgrade", "head").stderr
