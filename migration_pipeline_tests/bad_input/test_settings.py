"""`pipeline.toml` and environment variables: a Target, or one error that says all that is wrong; nothing is made or started."""

import sys
from pathlib import Path

import pytest
from hypothesis import example, given

from migration_pipeline import settings
from migration_pipeline.cli import job
from migration_pipeline.errors import SettingsError
from migration_pipeline.settings_source import VARIABLES
from migration_pipeline_tests.bad_input.bad import CANARY, ODD, Tally, assert_shows_nothing, damaged, edited, made, snapshot

URL = f"postgresql://app:{CANARY}@db/clinic"
RIGHT = f"""\
[targets.production]
environment = "production"
database_url = "env:LIVE_URL"
scratch = "same-server"
backup_location = "backups"
lock_timeout_seconds = 3
lock_attempts = 10

[targets.dev]
environment = "development"
database_url = "{URL}"
scratch_database_url = "postgresql://s:{CANARY}@scratch/postgres"
alembic_config = "alembic.ini"
project_python = "{sys.executable}"
maintenance_database = "admin"
safety_file = "safety.toml"
max_backup_age_hours = 12.5
effects_tolerance_factor = 2
effects_tolerance_rows = 0
"""
ENVIRON = {"LIVE_URL": URL, "LIMIT": "45", "JUNK": CANARY, "HOME": "/home/op"}
PIECES = (*ODD, "targets", "[targets.x]", "[[targets]]", "env:", "env:GONE", "env:JUNK", "env:LIVE_URL", "'''", '"""', "\n[", "\n]", " = ", "1979-05-27T07:32:00Z",
          "0x", "0o7", "1_0", "1__0", "inf", "\\ud800", "\\x41", "#\x7f", "a.b.c", "s3://", f'\n"{CANARY}!" = 1\n', "\nDATABASE_URL=\n", "database_url")  # fmt: skip
LINES = RIGHT.splitlines(keepends=True)
NESTED = ["x = " + "[" * 5000, "x = " + "{a=" * 2000, "[" + "a." * 3000 + "a]", "x = " + "9" * 5000, "\n" * 20_000, "#" * 100_000, "[targets.a]\n" * 2,
          "".join(f"k{number} = 1\n" for number in range(900)), "[targets.a]\n" + "".join(f"k{number} = 1\n" for number in range(900)),
          "".join(f"[targets.t{number}]\n" for number in range(900)), "".join(f"targets.{'n' * 62}{number} = 1\n" for number in range(9))]  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A repository with an Alembic project, and the working directory."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "alembic.ini").touch()
    (tmp_path / "safety.toml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def file(random):
    chance = random.random()
    if chance < 0.05:
        return random.randbytes(random.randint(0, 80))
    if chance < 0.1:
        return damaged(random, random.choice(NESTED))
    lines = list(LINES)
    if chance < 0.5:  # whole lines are lost, doubled or in another table
        for _ in range(random.randint(1, 4)):
            place = random.randrange(len(lines))
            lines[place : place + random.randint(0, 2)] = random.sample(LINES, random.randint(0, 2))
    text = "".join(lines)
    return damaged(random, text if chance < 0.2 else edited(random, text, PIECES))


def load(tally, environ, folder, target=None):
    """Read a Target, its names and Dagster's folder: values or clear errors."""
    try:
        named = settings.names(environ, folder)
        assert_shows_nothing("".join(named))
        loaded = settings.load(environ, folder, target)
    except SettingsError as error:
        tally.refused(error)
    else:
        assert_shows_nothing(repr(loaded.connection) + repr(loaded.scratch) + loaded.connection.where)
        tally.value()


def test_a_settings_file_gives_a_target_or_one_clear_error(folder):
    tally = Tally("settings files")
    config = folder / "pipeline.toml"

    @given(
        made(
            lambda random: (
                file(random),
                random.choice([None, "dev", "dev", "production", "", "\x1b[2J", CANARY + "!", "x" * 5000]),
            )
        )
    )
    def prove(given):
        content, target = given
        config.write_bytes(content)
        before = snapshot(folder)
        load(tally, ENVIRON, folder, target)
        assert snapshot(folder) == before

    tally.run(prove)


WRONG = ['""', '" "', "1", "-1", "0", "1e999", "nan", "true", "[]", "{}", '["x"]', "{a = 1}", "1979-05-27", "07:32:00", "9" * 400, '"env:GONE"', '"env:"', '"env:a b"',
         '"env:JUNK"', '"env:LIVE_URL"', '"s3://x"', '"https://x"', '"\\u0000"', '"\\u001b[2J"', '"\\u0085"', '"\\u2028"', '"../x"', '"/dev/null"', '"/proc/self/mem"', '"."',
         '"loop"', '"gone"', f'"{"x" * 300}"', f'"{"x/" * 2100}"', '"x "', '"[/x]"', '"%s"', '"é"', f'"{CANARY}"', '"""a\nb"""', '"same-server"', '"development"',
         f'"postgresql://a:{CANARY}@h"', f'"postgresql://a:{CANARY}@@h/x"', '"postgresql:///x?sslrootcert=gone"', '"postgresql:///x?passfile=a%20"']  # fmt: skip
KEYS = [*VARIABLES, "scratch", "safety_file", "maintenance_database", "max_backup_age_hours", "max_backup_age_at_upgrade_minutes", "confirmation_minutes", "lock_timeout_seconds",
        "lock_attempts", "transaction_limit_minutes", "migration_lock_wait_seconds", "effects_tolerance_factor", "effects_tolerance_rows", "colour", '"[/x]"', '"a\\u001bb"']  # fmt: skip


def table(random):
    wrong = {random.choice(KEYS): random.choice(WRONG) for _ in range(random.randint(1, 3))}
    right = {"environment": '"development"', "database_url": f'"{URL}"'}
    return "[targets.dev]\n" + "".join(f"{key} = {value}\n" for key, value in {**right, **wrong}.items())


def test_a_key_of_the_wrong_type_or_out_of_range_is_said(folder):
    tally = Tally("settings files of one wrong key")
    config = folder / "pipeline.toml"
    (folder / "loop").symlink_to("loop")

    @given(made(table))
    def prove(text):
        config.write_text(text)
        before = snapshot(folder)
        load(tally, ENVIRON, folder)
        assert snapshot(folder) == before

    tally.run(prove)


def test_a_settings_file_that_is_none_is_an_error(folder, monkeypatch):
    tally = Tally("settings files that are none")
    (folder / "loop.toml").symlink_to("loop.toml")
    (folder / "gone.toml").symlink_to("gone")
    (folder / "folder.toml").mkdir()
    (folder / "secret.toml").write_text(f"{CANARY}\n")
    (folder / "\x1b[2J.toml").write_text("x")
    (folder / "a\nb.toml").write_text("x")
    (folder / ("n" * 250 + ".toml")).write_text("x")
    (folder / "deep").mkdir()
    named = sorted(each.name for each in folder.iterdir())
    places = [*named, *(f"{name}/" for name in named), *(f"{name}/pipeline.toml" for name in named), ".", "..", "/", "/dev/null", "/dev/zero", "/proc/self/mem", "x" * 300,
              "x/" * 3000, "\x1b[2J", "a\nb", "~", "~/x", "a\x00b", "\udcff", "https://x/y", CANARY]  # fmt: skip

    @given(made(lambda random: random.choice(places) if random.random() < 0.8 else edited(random, random.choice(places))))
    @example("secret.toml")
    def prove(name):
        before = snapshot(folder)
        load(tally, {**ENVIRON, "PIPELINE_CONFIG": name}, folder)
        assert snapshot(folder) == before

    tally.run(prove)


VALUES = [*ODD, URL, URL + "?sslmode=x", f"postgresql://{CANARY}@@/x", CANARY, "same-server", "development", "production", "env:JUNK", "env:", ".", "..", "/", "/dev/null",
          "/proc/self/mem", "\udcff", "a\udcffb", "x" * 300, "x/" * 3000, "alembic.ini", "loop", "~/x", "~", "~root/x", "s3://x", "https://x/y", sys.executable]  # fmt: skip


def environ(random):
    odd = {
        name: random.choice(VALUES)
        for name in random.sample([*VARIABLES.values(), "PIPELINE_CONFIG", "HOME"], random.randint(1, 4))
    }
    odd = {name: edited(random, value) if random.random() < 0.2 else value for name, value in odd.items()}
    return {"DATABASE_URL": URL, "MIGRATION_ENVIRONMENT": "development", **ENVIRON, **odd}


def test_hostile_environment_variables_give_a_target_or_one_clear_error(folder):
    tally = Tally("environment variables")
    (folder / "loop").symlink_to("loop")

    @given(made(environ))
    def prove(variables):
        before = snapshot(folder)
        load(tally, variables, folder)
        assert snapshot(folder) == before

    tally.run(prove)


def test_dagsters_folder_is_made_where_it_can_be_or_a_clear_error_says_why_not(folder, monkeypatch):
    tally = Tally("folders of Dagster")
    (folder / "loop").symlink_to("loop")
    (folder / "kept").mkdir()
    (folder / "kept/dagster.yaml").write_text("kept: true\n")
    (folder / "odd/dagster.yaml").mkdir(parents=True)
    homes = [
        "alembic.ini",
        "alembic.ini/x",
        "loop",
        "loop/x",
        "/dev/null",
        "/dev/null/x",
        "/proc/x",
        "x" * 300,
        "x/" * 3000,
        "\x1b[2J",
        "a\nb",
        "a ",
        "\udcff",
        "\x85",
        "kept",
        "odd",
        ".",
    ]

    @given(made(lambda random: random.choice(homes)))
    def prove(home):
        monkeypatch.setenv("DAGSTER_HOME", home)
        before = snapshot(folder)
        try:
            made_home = job.prepare_home(folder)
        except SettingsError as error:
            tally.refused(error)
            assert snapshot(folder) == before
        else:
            tally.value()
            assert Path(made_home).is_dir()

    tally.run(prove)
