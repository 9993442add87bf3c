"""Settings from the environment and from pipeline.toml: what is read, what is refused, and that no secret is repeated."""

import sys
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from migration_pipeline import settings
from migration_pipeline.domain.backups import Form, Layout, Level
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.connection_url import CHOICES, DROPPED, NUMBERS, TEXTS
from migration_pipeline.domain.retention import RetentionPolicy
from migration_pipeline.errors import SettingsError
from migration_pipeline.settings_backups import BackupPolicy
from migration_pipeline.settings_source import VARIABLES

SECRET = "pa55-Word"
URL = f"postgresql://app:{SECRET}@db/clinic"
DEVELOPMENT = {"DATABASE_URL": URL, "MIGRATION_ENVIRONMENT": "development"}
TABLE = '[targets.dev]\nenvironment = "development"\ndatabase_url = "env:URL"\n'


@pytest.fixture
def folder(tmp_path):
    """A repository with an Alembic project."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "alembic.ini").touch()
    return tmp_path


def program(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.chmod(0o755)
    return path


def refused(environ, folder, target=None):
    with pytest.raises(SettingsError) as error:
        settings.load(environ, folder, target)
    assert error.value.exit_code == 2
    assert SECRET not in str(error.value)
    return str(error.value).replace(str(folder), "HERE")


def write(folder, text):
    (folder / "pipeline.toml").write_text(text)
    return folder


def test_a_url_is_enough_outside_production(folder):
    assert settings.load(DEVELOPMENT, folder) == settings.Target(
        name="default",
        connection=Connection.from_url(URL),
        alembic_config=folder / "alembic.ini",
        environment=settings.Environment.DEVELOPMENT,
        environment_is_given=True,
        backups=BackupPolicy(
            location=str(folder / "backups"),
            copies=(),
            form=Form(layout=Layout.PLAIN, recipients=(), jobs=2),
            identity_file=None,
            level=Level.RESTORE,
            kms_key=None,
            retention=RetentionPolicy(keep=timedelta(days=30), keep_after_migration=timedelta(days=7), newest=3),
            system=None,
        ),
        project_python=Path(sys.executable),
        scratch=None,
        pg_bin=None,
        safety_file=None,
        settings_folder=folder,
        maintenance_database="postgres",
        max_backup_age=timedelta(hours=24),
        max_backup_age_at_upgrade=timedelta(hours=1),
        confirmation=timedelta(minutes=30),
        lock_timeout=timedelta(seconds=5),
        lock_attempts=5,
        transaction_limit=timedelta(minutes=30),
        alert_after=timedelta(minutes=5),
        cancel_after=timedelta(minutes=30),
        migration_lock_wait=timedelta(seconds=10),
        effects_tolerance_factor=1.2,
        effects_tolerance_rows=100,
    )


def test_in_production_backups_are_kept_for_30_days_and_7_after_a_migration_at_least(folder):
    table = TABLE.replace("development", "production").replace('"env:URL"', '"env:URL"\nscratch = "same-server"')
    write(folder, table + "keep_days = 29\nkeep_after_migration_days = 6\n")
    assert refused({"URL": URL}, folder) == message(
        ("keep_days: is out of range; right: a number of days from 30 to 36,500\n"
         "keep_after_migration_days: is out of range; right: a number of days from 7 to 36,500"),
        subject=' of Target "dev"', file=True,
    )  # fmt: skip


def test_an_absent_environment_is_production_and_known_to_be_absent(folder):
    target = settings.load({"DATABASE_URL": URL, "SCRATCH_DATABASE_URL": "same-server"}, folder)
    assert (target.environment, target.environment_is_given) == (settings.Environment.PRODUCTION, False)
    assert (target.scratch, target.scratch_on_same_server) == (None, True)


def test_every_environment_variable_is_read_and_an_empty_one_is_absent(folder):
    (folder / "db").mkdir()
    (folder / "db/alembic.ini").touch()
    (folder / "db/safety.toml").touch()
    program(folder / ".venv/bin/python")
    program(folder / "pg/pg_dump")
    program(folder / "pg/psql")
    environ = {"DATABASE_URL": URL, "ALEMBIC_CONFIG": "db/alembic.ini", "MIGRATION_ENVIRONMENT": "staging", "BACKUP_LOCATION": "~/kept",
               "PROJECT_PYTHON": ".venv/bin/python", "SCRATCH_DATABASE_URL": "postgresql://s@scratch/postgres", "PG_BIN": "pg",
               "HOME": "/home/op"}  # fmt: skip
    target = settings.load(environ, folder)
    assert target.alembic_config == folder / "db/alembic.ini"
    assert target.safety_file == folder / "db/safety.toml"
    assert target.environment is settings.Environment.STAGING
    assert target.backups.location == "/home/op/kept"
    assert target.project_python == folder / ".venv/bin/python"
    assert (target.scratch.where, target.scratch_on_same_server) == ("postgres on scratch as s", False)
    assert target.pg_bin == folder / "pg"
    empty = settings.load({**dict.fromkeys(environ, ""), **DEVELOPMENT}, folder)
    assert empty == settings.load(DEVELOPMENT, folder)


def test_the_python_of_a_virtual_environment_stays_a_link(folder):
    (folder / "python").symlink_to(sys.executable)
    assert settings.load({**DEVELOPMENT, "PROJECT_PYTHON": "python"}, folder).project_python == folder / "python"


def test_every_key_of_a_table_is_read(folder):
    (folder / "other.toml").touch()
    write(
        folder,
        TABLE
        + """
        backup_location = "/var/backups"
        backup_format = "plain-zstd"
        backup_jobs = 4
        backup_recipients = ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]
        backup_identity_file = "other.toml"
        copies = ["s3://bucket-2/a/b/", "nas"]
        s3_kms_key_id = "alias/backups"
        verify_level = "rows"
        keep_days = 60
        keep_after_migration_days = 14.5
        keep_newest = 1
        scratch_database_url = "postgresql://s:x@scratch/postgres"
        safety_file = "other.toml"
        maintenance_database = "admin"
        max_backup_age_hours = 48
        max_backup_age_at_upgrade_minutes = 10
        lock_timeout_seconds = 0.5
        lock_attempts = 2
        transaction_limit_minutes = "env:LIMIT"
        migration_lock_wait_seconds = 0.1
        effects_tolerance_factor = 2
        effects_tolerance_rows = 0
        """,
    )
    target = settings.load({"URL": URL, "LIMIT": "45.5"}, folder)
    assert target.name == "dev"
    assert target.connection == Connection.from_url(URL)
    assert target.backups == BackupPolicy(
        location="/var/backups",
        copies=("s3://bucket-2/a/b", str(folder / "nas")),
        form=Form(
            layout=Layout.PLAIN_ZSTD, recipients=("age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",), jobs=4
        ),
        identity_file=folder / "other.toml",
        level=Level.ROWS,
        kms_key="alias/backups",
        retention=RetentionPolicy(keep=timedelta(days=60), keep_after_migration=timedelta(days=14.5), newest=1),
    )
    assert target.scratch == Connection.from_url("postgresql://s:x@scratch/postgres")
    assert target.safety_file == folder / "other.toml"
    assert target.maintenance_database == "admin"
    assert target.max_backup_age == timedelta(hours=48)
    assert target.max_backup_age_at_upgrade == timedelta(minutes=10)
    assert target.lock_timeout == timedelta(seconds=0.5)
    assert target.lock_attempts == 2
    assert target.transaction_limit == timedelta(minutes=45.5)
    assert target.migration_lock_wait == timedelta(seconds=0.1)
    assert target.effects_tolerance_factor == 2
    assert target.effects_tolerance_rows == 0


def test_settings_are_found_above_but_not_outside_the_repository(folder):
    write(folder, TABLE)
    below = folder / "a/b"
    below.mkdir(parents=True)
    assert settings.load({"URL": URL}, below).settings_folder == folder
    (folder / "a/.git").touch()  # a worktree has a file
    assert settings.names({}, below) == []
    (folder / ".git").rmdir()
    (folder / "a/.git").unlink()
    assert settings.names({}, below) == []


def test_pipeline_config_names_another_file_and_paths_start_there(folder):
    (folder / "deploy").mkdir()
    (folder / "deploy/alembic.ini").touch()
    (folder / "deploy/live.toml").write_text(TABLE)
    target = settings.load({"URL": URL, "PIPELINE_CONFIG": "deploy/live.toml"}, folder)
    assert (target.settings_folder, target.alembic_config) == (folder / "deploy", folder / "deploy/alembic.ini")


def test_certificates_start_at_the_settings(folder):
    (folder / "ca.crt").touch()
    target = settings.load({**DEVELOPMENT, "DATABASE_URL": URL + "?sslrootcert=ca.crt"}, folder)
    assert target.connection.parameters["sslrootcert"] == str(folder / "ca.crt")


TWO = TABLE + '[targets.live]\ndatabase_url = "env:LIVE"\nscratch = "same-server"\n'


def test_a_target_is_picked_by_name(folder):
    write(folder, TWO)
    assert settings.names({}, folder) == ["dev", "live"]
    assert settings.load({"LIVE": URL}, folder, "live").name == "live"
    assert refused({"URL": URL}, folder) == (
        "There are several Targets, and none is named.\n  Targets: dev, live\n  settings: HERE/pipeline.toml\nNext: add --target NAME"
    )
    assert refused({"URL": URL}, folder, "liv") == (
        'There is no Target "liv".\n  Targets: dev, live\n  settings: HERE/pipeline.toml\nNext: use --target live'
    )


def test_environment_variables_make_one_target(folder):
    assert settings.names(DEVELOPMENT, folder) == ["default"]
    assert settings.load(DEVELOPMENT, folder, "default").name == "default"
    assert refused(DEVELOPMENT, folder, "live") == (
        'There is no Target "live".\n  Targets: default\n  settings: environment variables\nNext: use --target default'
    )


def test_a_variable_that_contradicts_the_file_is_refused_unless_the_target_is_named(folder):
    write(folder, TABLE)
    other = {"URL": URL, "DATABASE_URL": f"postgresql://app:{SECRET}@elsewhere/clinic", "PG_BIN": "/opt"}
    assert refused(other, folder) == (
        '2 settings of Target "dev" are wrong; nothing was started.\n'
        "  file: HERE/pipeline.toml\n"
        "  DATABASE_URL: is set, and pipeline.toml says something else; right: unset it, or add --target dev\n"
        "  PG_BIN: is set, and pipeline.toml says something else; right: unset it, or add --target dev\n"
        "Next: correct them; docs/configuration.md has every key"
    )
    assert settings.load(other, folder, "dev").connection == Connection.from_url(URL)
    same = {"URL": URL, "DATABASE_URL": URL.replace("postgresql:", "postgresql+asyncpg:"), "MIGRATION_ENVIRONMENT": "development"}
    assert settings.load(same, folder).name == "dev"


ENVIRONMENT_ERRORS = [
    ({}, ("DATABASE_URL: is missing; right: postgresql://USER:PASSWORD@HOST:5432/DATABASE, or a pipeline.toml here\n"
         "SCRATCH_DATABASE_URL: is missing, and this is production (no environment is given); "
         "right: another server, or SCRATCH_DATABASE_URL=same-server")),
    ({"DATABASE_URL": URL, "MIGRATION_ENVIRONMENT": "production"},
     "SCRATCH_DATABASE_URL: is missing, and this is production; right: another server, or SCRATCH_DATABASE_URL=same-server"),
    ({**DEVELOPMENT, "MIGRATION_ENVIRONMENT": "Prod"},
     'MIGRATION_ENVIRONMENT: is not known; right: development or staging or production; did you mean "production"?'),
    ({**DEVELOPMENT, "DATABASE_URL": SECRET}, "DATABASE_URL: is no PostgreSQL URL; right: postgresql://USER:PASSWORD@HOST:5432/DATABASE"),
    ({**DEVELOPMENT, "DATABASE_URL": f"postgresql://app:{SECRET}@db:0?sslmod=x"},
     ("DATABASE_URL: port is no port; right: a number from 1 to 65535\n"
     '  sslmod is no connection parameter of libpq; did you mean "sslmode"?\n'
     "  database is missing; right: postgresql://USER:PASSWORD@HOST:5432/DATABASE")),
    ({**DEVELOPMENT, "SCRATCH_DATABASE_URL": "same_server"},
     "SCRATCH_DATABASE_URL: is no PostgreSQL URL; right: postgresql://USER:PASSWORD@HOST:5432/DATABASE"),
    ({**DEVELOPMENT, "SCRATCH_DATABASE_URL": "postgresql://other@db:5432/clinic"},
     "SCRATCH_DATABASE_URL: names the live database itself; right: another server, or SCRATCH_DATABASE_URL=same-server"),
    ({**DEVELOPMENT, "ALEMBIC_CONFIG": f"{SECRET}.ini"},
     "ALEMBIC_CONFIG: names no file; right: the path of the project's alembic.ini (a relative path starts at HERE)"),
    ({**DEVELOPMENT, "ALEMBIC_CONFIG": "x" * 800},
     "ALEMBIC_CONFIG: names no file; right: the path of the project's alembic.ini (a relative path starts at HERE)"),
    ({**DEVELOPMENT, "ALEMBIC_CONFIG": "a\0b"}, "ALEMBIC_CONFIG: holds a line end or a NUL; right: one line of text"),
    ({**DEVELOPMENT, "BACKUP_LOCATION": f"s3://{SECRET}/x"},
     "BACKUP_LOCATION: is no place in S3; right: s3://bucket or s3://bucket/prefix"),
    ({**DEVELOPMENT, "BACKUP_LOCATION": f"https://{SECRET}/x"}, "BACKUP_LOCATION: is a URL; right: a path"),
    ({**DEVELOPMENT, "BACKUP_LOCATION": "alembic.ini"},
     "BACKUP_LOCATION: is no folder; right: the path of a folder, which is made if it is missing (a relative path starts at HERE)"),
    ({**DEVELOPMENT, "PROJECT_PYTHON": "alembic.ini"},
     ("PROJECT_PYTHON: names no program that can be run; right: the project's python, such as .venv/bin/python "
     "(a relative path starts at HERE)")),
    ({**DEVELOPMENT, "PG_BIN": "."},
     ("PG_BIN: has no pg_dump and psql; right: the folder with PostgreSQL's programs, of the server's major version "
     "(a relative path starts at HERE)")),
    ({**DEVELOPMENT, "DATABASE_URL": URL + "?sslrootcert=none.crt"},
     "DATABASE_URL: sslrootcert names no file; right: the path of a file that can be read (a relative path starts at HERE)"),
    ({**DEVELOPMENT, "DATABASE_URL": "env:URL"}, "DATABASE_URL: stands in the environment variable URL, which is not set; right: set URL"),
]  # fmt: skip


def message(lines, *, subject="", file):
    """The whole message round its lines; the second problem of one key follows indented."""
    count = len(lines.splitlines())
    return (
        (
            f"{count} settings{subject} are wrong; nothing was started.\n"
            if count > 1
            else f"1 setting{subject} is wrong; nothing was started.\n"
        )
        + ("  file: HERE/pipeline.toml\n" if file else "")
        + "".join(f"  {line}\n" for line in lines.splitlines())
        + "Next: correct them; docs/configuration.md has every key"
    )


@pytest.mark.parametrize(("environ", "lines"), ENVIRONMENT_ERRORS)
def test_wrong_environment_variables_are_said_at_once(folder, environ, lines):
    assert refused(environ, folder) == message(lines, subject=' of Target "default"', file=False)


def test_a_missing_alembic_ini_is_said_with_its_place(tmp_path):
    assert (
        "  ALEMBIC_CONFIG: is missing, and there is no HERE/alembic.ini; right: the path of the project's alembic.ini"
        in refused(DEVELOPMENT, tmp_path)
    )


ALL_KEYS = (
    "abort_queue_seconds, abort_queue_sessions, alembic_config, alert_after_minutes, alerts, backup_format, backup_identity_file, backup_jobs, backup_location, backup_recipients, backup_system, cancel_after_minutes, confirmation_minutes, copies, "
    "database_url, downtime_notices, effects_tolerance_factor, effects_tolerance_rows, environment, keep_after_migration_days, keep_days, keep_newest, lock_attempts, "
    "lock_budget_reads_seconds, lock_budget_writes_seconds, lock_timeout_seconds, maintenance_database, max_backup_age_at_upgrade_minutes, max_backup_age_hours, migration_lock_wait_seconds, "
    "pg_bin, project_python, s3_kms_key_id, safety_file, scratch, scratch_database_url, transaction_limit_minutes, verify_level, wave"
)
TABLE_ERRORS = [
    ('databse_url = "x"', 'databse_url: is no setting; did you mean "database_url"?'),
    ("colour = 1", f"colour: is no setting; right: one of {ALL_KEYS}"),
    (f'"{SECRET}!" = 1', f"a key: is no setting; right: one of {ALL_KEYS}"),
    ("lock_attempts = 0", "lock_attempts: is out of range; right: a whole number of tries from 1 to 100"),
    ("lock_attempts = 1.5", "lock_attempts: is no whole number; right: a whole number of tries from 1 to 100"),
    ("lock_attempts = true", "lock_attempts: is no whole number; right: a whole number of tries from 1 to 100"),
    ('lock_attempts = "5"', "lock_attempts: is no whole number; right: a whole number of tries from 1 to 100"),
    ("lock_timeout_seconds = 0", "lock_timeout_seconds: is out of range; right: a number of seconds from 0.001 to 300"),
    ("lock_timeout_seconds = nan", "lock_timeout_seconds: is out of range; right: a number of seconds from 0.001 to 300"),
    ("lock_timeout_seconds = inf", "lock_timeout_seconds: is out of range; right: a number of seconds from 0.001 to 300"),
    ('lock_timeout_seconds = "env:URL"', "lock_timeout_seconds: is no number; right: a number of seconds from 0.001 to 300"),
    ("lock_timeout_seconds = 07:32:00", "lock_timeout_seconds: is no number; right: a number of seconds from 0.001 to 300"),
    ("effects_tolerance_factor = 0.5", "effects_tolerance_factor: is out of range; right: a number of times from 1 to 100"),
    ("effects_tolerance_rows = -1", "effects_tolerance_rows: is out of range; right: a whole number of rows from 0 to 1,000,000"),
    ("backup_location = 7", "backup_location: is no text; right: text in quotes"),
    ('backup_location = ""', "backup_location: is empty; right: a value, or no such key"),
    ('backup_location = "env:a b"', 'backup_location: names no environment variable; right: "env:NAME"'),
    ('backup_location = "env:GONE"', "backup_location: stands in the environment variable GONE, which is not set; right: set GONE"),
    ('backup_location = "s3:/bucket"', "backup_location: is no place in S3; right: s3://bucket or s3://bucket/prefix"),
    ('backup_format = "custom"', "backup_format: is not known; right: plain or plain-zstd or directory"),
    ('backup_format = "own-system"', "backup_format: is not known; right: plain or plain-zstd or directory"),
    ("backup_jobs = 0", "backup_jobs: is out of range; right: a whole number of connections from 1 to 64"),
    ('backup_recipients = "age1x"', 'backup_recipients: is no list of texts; right: ["...", "..."]'),
    ('backup_recipients = ["age1x"]',
     "backup_recipients: has something that is no public key of age; right: age1... of age-keygen"),
    ('backup_format = "directory"\nbackup_recipients = ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]',
     'backup_recipients: cannot encrypt the format "directory" in its one pass; right: "plain-zstd" or "plain"'),
    ('backup_identity_file = "gone"',
     "backup_identity_file: names no file; right: the path of a file of age identities (a relative path starts at HERE)"),
    ("backup_system = 1", "backup_system: is no table; right: [targets.NAME.backup_system]"),
    ('backup_system = {list = ["a"], create = [], colour = 1}',
     ('backup_system.create: is missing; right: a program and its arguments, ["/srv/backups.py", "list"]\n'
      'backup_system.restore_to: is missing; right: a program and its arguments, ["/srv/backups.py", "list"]\n'
      "backup_system.colour: is no setting; right: one of create, limit_hours, list, restore_to, stop_limit_minutes")),
    ('copies = ["https://x"]', "copies: is a URL; right: a path, or s3://bucket/prefix"),
    ('copies = ["s3://"]', "copies: is no place in S3; right: s3://bucket or s3://bucket/prefix"),
    ("copies = [1]", 'copies: is no list of texts; right: ["...", "..."]'),
    ('verify_level = "checksum"', "verify_level: is not known; right: restore or rows"),
    ("keep_days = -1", "keep_days: is out of range; right: a number of days from 0 to 36,500"),
    ("keep_newest = 0", "keep_newest: is out of range; right: a whole number of backups from 1 to 10,000"),
    ('safety_file = "gone.toml"', "safety_file: names no file; right: the path of a safety.toml (a relative path starts at HERE)"),
    ('scratch = "other"', 'scratch: is not clear; right: either scratch = "same-server" or scratch_database_url'),
    ('scratch = "same-server"\nscratch_database_url = "postgresql://s/x"',
     'scratch: is not clear; right: either scratch = "same-server" or scratch_database_url'),
    ('maintenance_database = "a\\tb"', "maintenance_database: holds a control character; right: printable text"),
    (f'lock_attempts = 0\n[targets.dev."{SECRET}!"]', ("lock_attempts: is out of range; right: a whole number of tries from 1 to 100\n"
     f"a key: is no setting; right: one of {ALL_KEYS}")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "lines"), TABLE_ERRORS)
def test_wrong_keys_of_a_table_are_said_at_once(folder, text, lines):
    assert refused({"URL": URL}, write(folder, TABLE + text)) == message(lines, subject=' of Target "dev"', file=True)


PRODUCTION = '[targets.live]\nscratch = "same-server"\n'
PRODUCTION_ERRORS = [
    (f'database_url = "{URL}"', 'database_url: holds a password in a file that is committed; right: "env:NAME", and the URL in that variable'),
    ('database_url = "env:URL"\nmax_backup_age_hours = 25', "max_backup_age_hours: is out of range; right: a number of hours from 0.001 to 24"),
    ('database_url = "env:URL"\ntransaction_limit_minutes = 31',
     "transaction_limit_minutes: is out of range; right: a number of minutes from 0.001 to 30"),
    ("", "database_url: is missing; right: postgresql://USER:PASSWORD@HOST:5432/DATABASE"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "lines"), PRODUCTION_ERRORS)
def test_production_has_limits_of_its_own(folder, text, lines):
    assert refused({"URL": URL}, write(folder, PRODUCTION + text)) == message(lines, subject=' of Target "live"', file=True)


def test_a_production_url_without_a_password_and_a_development_url_with_one_may_stand_in_the_file(folder):
    write(folder, PRODUCTION + 'database_url = "postgresql://app@db/clinic"')
    assert settings.load({}, folder).connection.where == "clinic on db as app"
    write(folder, f'[targets.dev]\nenvironment = "development"\ndatabase_url = "{URL}"')
    assert settings.load({}, folder).connection.password == SECRET


FILE_ERRORS = [
    (b"", "targets: is missing; right: a table [targets.NAME] for each database"),
    (b"\xff\xfe\x00binary", "content: is no text; right: TOML in UTF-8"),
    (f"url = '{SECRET}' oops".encode(), 'content: is no TOML at line 1, column 19; right: KEY = "VALUE" below [targets.NAME]'),
    (f"{SECRET}".encode(), 'content: is no TOML at end of document; right: KEY = "VALUE" below [targets.NAME]'),
    (b"x = " + b"9" * 5000, 'content: is no TOML; right: KEY = "VALUE" below [targets.NAME]'),
    (b"x = " + b"[" * 100_000, "content: is nested too deep; right: tables [targets.NAME]"),
    (b"a = 1\0", 'content: is no TOML at line 1, column 6; right: KEY = "VALUE" below [targets.NAME]'),
    (b"[target.live]", ('target: is nothing that stands at the top; did you mean "targets"?\n'
                       "targets: is missing; right: a table [targets.NAME] for each database")),
    (b"database_url = 'x'\n[targets.a]", "database_url: is nothing that stands at the top; right: keys below [targets.NAME]"),
    (b"targets = 1", "targets: is missing; right: a table [targets.NAME] for each database"),
    (b"[[targets]]", "targets: is missing; right: a table [targets.NAME] for each database"),
    (b"[targets]\nlive = 1", "targets.live: is no table; right: [targets.live]"),
    (b"[targets.'../x']", "targets: has a name that is no name; right: up to 63 letters, digits, _ and -, the first a letter or a digit"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "lines"), FILE_ERRORS)
def test_a_file_that_holds_no_settings_is_an_error_of_one_sentence(folder, content, lines):
    (folder / "pipeline.toml").write_bytes(content)
    assert refused({}, folder) == message(lines, file=True)


def test_a_file_that_is_none_is_an_error(folder):
    (folder / "pipeline.toml").mkdir()
    assert "  content: is no file; right: a text file in TOML\n" in refused({}, folder)
    (folder / "pipeline.toml").rmdir()
    (folder / "pipeline.toml").symlink_to("gone")
    assert "  content: is no file; right: a text file in TOML\n" in refused({}, folder)
    for name in ("gone.toml", ".", "a\0b", "x" * 5000):
        assert refused({"PIPELINE_CONFIG": name}, folder) == (
            "1 setting is wrong; nothing was started.\n"
            "  PIPELINE_CONFIG: names no file; right: the path of a pipeline.toml (a relative path starts at HERE)\n"
            "Next: correct them; docs/configuration.md has every key"
        )


def test_a_file_that_may_not_be_read_is_an_error(folder, monkeypatch):
    def no_right(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", no_right)  # root, which tests may run as, can read everything
    lines = "content: cannot be read (Permission denied); right: a file that this account can read"
    assert refused({}, write(folder, TABLE)) == message(lines, file=True)


def test_dagsters_folder_is_beside_the_settings(folder):
    write(folder, TABLE)
    (folder / "a").mkdir()
    assert settings.dagster_home({}, folder / "a") == folder / ".dagster"
    assert settings.dagster_home({"DAGSTER_HOME": "/srv/dagster"}, folder / "a") == Path("/srv/dagster")
    assert settings.dagster_home({"DAGSTER_HOME": "here/../home"}, folder / "a") == folder / "home"
    (folder / "pipeline.toml").unlink()
    assert settings.dagster_home({}, folder / "a") == folder / "a/.dagster"
    with pytest.raises(SettingsError, match="1 setting is wrong"):
        settings.dagster_home({"DAGSTER_HOME": "a\0b"}, folder)


def test_a_target_never_shows_a_password(folder):
    environ = {**DEVELOPMENT, "SCRATCH_DATABASE_URL": URL.replace("@db", "@scratch")}
    assert SECRET not in repr(settings.load(environ, folder))


words = st.sampled_from(
    [SECRET, URL, "same-server", "development", "production", "env:URL", "env:" + SECRET, "env:GONE", "s3://" + SECRET, "", "\0", "\ud800",
     f"postgresql://{SECRET}@@/", f"postgresql:///x?{SECRET}=1&sslmode={SECRET}&host={SECRET}:x", "../" + SECRET, "x" * 5000]
) | st.text(max_size=20)  # fmt: skip
KEYS = [*ALL_KEYS.split(", "), SECRET + "!", "colour"]
toml_values = st.one_of(
    words.filter(lambda word: "\ud800" not in word).map(lambda word: '"' + "".join(f"\\U{ord(c):08X}" for c in word) + '"'),
    st.sampled_from(["1", "-1", "1e999", "nan", "true", "1979-05-27", "[]", "{}", f'["{SECRET}"]', "9" * 400]),
    st.floats().map(str),
)
toml_tables = st.dictionaries(st.sampled_from(KEYS), toml_values).map(
    lambda table: "[targets.a]\n" + "".join(f'"{key}" = {value}\n' for key, value in table.items())
)


@hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=60)
    | st.text(max_size=60).map(lambda text: text.encode(errors="surrogatepass"))
    | toml_tables.map(str.encode)
)
@example(content=b'[targets.a]\n"database_url" = 1')
def test_no_file_raises_anything_but_a_settings_error_nor_is_a_secret_repeated(folder, content):
    (folder / "pipeline.toml").write_bytes(content)
    try:
        shown = repr(settings.load({"URL": URL, SECRET: SECRET}, folder))
    except SettingsError as error:
        shown = str(error)
    assert SECRET not in shown


variables = ["DATABASE_URL", "ALEMBIC_CONFIG", "MIGRATION_ENVIRONMENT", "BACKUP_LOCATION", "PROJECT_PYTHON", "SCRATCH_DATABASE_URL",
             "PG_BIN", "PIPELINE_CONFIG", "DAGSTER_HOME", "HOME"]  # fmt: skip


@hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(environ=st.dictionaries(st.sampled_from(variables), words))
def test_no_environment_raises_anything_but_a_settings_error_nor_is_a_secret_repeated(folder, environ):
    shown = []
    for ask in (settings.load, settings.names):
        try:
            shown.append(repr(ask(environ, folder)) if ask is settings.names else ask(environ, folder).connection.where)
        except SettingsError as error:
            shown.append(str(error))
    try:
        settings.dagster_home(environ, folder)
    except SettingsError as error:
        shown.append(str(error))
    assert SECRET not in "".join(shown)


def test_the_documentation_names_every_key_and_every_variable():
    text = (Path(__file__).parents[2] / "docs/configuration.md").read_text()
    keys = [*ALL_KEYS.split(", "), *VARIABLES.values(), *CHOICES, *NUMBERS, *TEXTS, *DROPPED]
    assert [key for key in keys if f"`{key}`" not in text] == []
