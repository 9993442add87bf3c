"""The command line as an operator meets it, with no server to reach: an exit code that is documented, a message, nothing made."""

import os
import sys

import pytest
from hypothesis import example, given

from migration_pipeline import cli
from migration_pipeline.cli import job, terminal
from migration_pipeline_tests.bad_input.bad import CANARY, ODD, Tally, assert_shows_nothing, edited, made, snapshot

NOWHERE = f"postgresql://app:{CANARY}@127.0.0.1:1/clinic"
RIGHT = f"""\
[targets.dev]
environment = "development"
database_url = "{NOWHERE}"

[targets.live]
scratch = "same-server"
database_url = "env:LIVE_URL"
"""
ENVIRONMENTS = [
    {"DATABASE_URL": NOWHERE, "MIGRATION_ENVIRONMENT": "staging"},
    {"DATABASE_URL": NOWHERE, "MIGRATION_ENVIRONMENT": "staging", "BACKUP_LOCATION": "x" * 300},
    {"DATABASE_URL": NOWHERE, "MIGRATION_ENVIRONMENT": "staging", "BACKUP_LOCATION": "loop"},
    {"DATABASE_URL": NOWHERE, "MIGRATION_ENVIRONMENT": "staging", "DAGSTER_HOME": "alembic.ini"},
    {"DATABASE_URL": NOWHERE + "?sslmode=x", "PG_BIN": "\x1b[2J"},
    {"DATABASE_URL": f"postgresql://{CANARY}@@/x"},
    {"DATABASE_URL": NOWHERE, "MIGRATION_ENVIRONMENT": "staging", "ALEMBIC_CONFIG": "gone.ini"},
    {"LIVE_URL": NOWHERE, "PIPELINE_CONFIG": "other.toml"},
    {"PIPELINE_CONFIG": "gone.toml"},
    {"PIPELINE_CONFIG": "broken.toml"},
    {},
]
VARIABLES = {name for environ in ENVIRONMENTS for name in environ}
COMMANDS = ["migrate", "plan", "backups", "backup-db"]
WORDS = ["head", "heads", "base", "+1", "-1", "0001", "0001:head", "head@base", "", " ", "-", "--", "--json", "--target", "--target=dev", "--target=live", "--target=gone",
         "--target=\x1b[2J", "--target=", "--reuse-recent-backup", "--gone", "--\x1b[2J", "-x", "-h", "--jso", "--port=x", "x" * 5000, "\udcff", "a\nb", "\x1b[2J", "[/x]", "é",
         "'; DROP TABLE patients; --", "../x", "%s", "{x}", f"--target={CANARY}!", "dev", "live"]  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "other.toml").write_text(RIGHT)
    (tmp_path / "broken.toml").write_text(RIGHT + f'database_url = "{CANARY}"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder, monkeypatch, capfd):
    """Run the console script in this process; return its exit code and what it printed."""
    opened = []
    console = terminal._console

    def keep(descriptor):
        opened.append(console(descriptor))
        return opened[-1]

    def run(arguments, environ):
        for name in VARIABLES:
            os.environ.pop(name, None)
        os.environ.update(environ)
        monkeypatch.setattr(sys, "argv", ["migration-pipeline", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        while opened:
            opened.pop().file.close()
        told = capfd.readouterr()
        return end.value.code, told.out, told.err

    monkeypatch.setattr(terminal, "_console", keep)
    monkeypatch.setattr(job, "run", lambda *_, as_json: 0)  # Dagster, which `pipeline/` runs for what it is
    before = dict(os.environ)
    yield run
    os.environ.clear()
    os.environ.update(before)


def line(random):
    words = [random.choice(WORDS) for _ in range(random.randint(0, 3))]
    words = [
        edited(random, word, tuple(piece for piece in ODD if piece != "\x00"), most=1) if random.random() < 0.3 else word
        for word in words
    ]
    return [random.choice(COMMANDS), *words], random.choice(ENVIRONMENTS)


def test_a_command_line_ends_in_an_exit_code_and_a_message(folder, run):
    tally = Tally("command lines")

    @given(made(line))
    @example((["plan", "\udcff"], ENVIRONMENTS[0]))
    def prove(given):
        arguments, environ = given
        before = snapshot(folder)
        code, out, err = run(arguments, environ)
        assert code in {0, 1, 2, 3}, code
        assert_shows_nothing((out + err).replace("\t", " "))
        assert err.strip() or code == 0
        if code:
            assert "\nNext: " in err or err.startswith(("Usage: ", "Error: ")), err
            tally.became["refused"] += 1
        else:
            tally.value()
        assert snapshot(folder) == before

    tally.run(prove)


def test_a_folder_that_was_removed_under_the_shell_is_said(folder, run):
    (folder / "gone").mkdir()
    os.chdir(folder / "gone")
    (folder / "gone").rmdir()
    for command in COMMANDS:
        assert run([command], {}) == (2, "", "The current folder does not exist any more.\nNext: cd to the project's folder\n")


def test_the_ui_of_wrong_settings_is_not_started_and_makes_no_folder(folder, run, monkeypatch):
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("it was started"))
    before = snapshot(folder)
    for environ in (
        {"PIPELINE_CONFIG": "gone.toml"},
        {"DAGSTER_HOME": "alembic.ini"},
        {"DAGSTER_HOME": "loop/x"},
        {"DAGSTER_HOME": "\x1b[2J"},
    ):
        code, out, err = run(["ui"], environ)
        assert (code, out) == (2, "")
        assert "\nNext: " in err
        assert_shows_nothing(err)
    assert snapshot(folder) == before
