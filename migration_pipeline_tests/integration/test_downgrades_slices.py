"""Slices of a check of downgrades side by side: as many as help, the same results, and an end that does not wait for them."""

import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from migration_pipeline import downgrade_slices, errors
from migration_pipeline.adapters import alembic_project
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.domain.connection import Connection
from migration_pipeline.downgrading import Asked
from migration_pipeline_tests.conftest import execute, wait_until
from migration_pipeline_tests.integration import downgrade_project
from migration_pipeline_tests.integration.downgrade_project import adds, environment, scratch_databases, sent

PROGRAM = Path(sys.executable).with_name("migration-pipeline")
PATIENCE = 20  #: seconds


CREATES = (sent("CREATE TABLE notes (id int PRIMARY KEY)"), sent("DROP TABLE notes"))
RIGHT = {"Creates.": CREATES, "Adds a.": adds("a"), "Leaves b.": (adds("b")[0], "pass"), "Adds c.": adds("c")}
OF_A_ROLE = {
    **RIGHT,
    "Makes a role.": (sent("CREATE ROLE slices_reader"), sent("DROP ROLE slices_reader")),
}


@pytest.fixture
def check(server18, tmp_path, monkeypatch):
    """Check a project in as many slices as help, where two revisions are worth one; return the results and what was planned."""
    monkeypatch.setattr(downgrade_slices, "WORTH", 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)

    def check(faults, **more):
        config = downgrade_project.write(tmp_path, faults) / "alembic.ini"
        made = Project(config=config, python=Path(sys.executable), live=alembic_project.NOWHERE)
        asked = Asked(project=made, server=Connection.from_url(server18.url()), programs=server18.binaries, **more)
        planned = []
        report, error = downgrade_slices.check(asked, None, planned.append, lambda _: None)
        assert error is None
        assert scratch_databases(server18) == []
        return {one.title: one.result for one in report.revisions}, planned

    return check


def test_a_long_history_is_checked_in_slices_and_the_results_stand_in_its_order(check):
    results, planned = check(RIGHT)
    assert list(results.items()) == [("Creates.", "ok"), ("Adds a.", "ok"), ("Leaves b.", "residue"), ("Adds c.", "ok")]
    assert planned == [2, 4]


def test_a_short_history_is_one_slice(check):
    results, planned = check({title: RIGHT[title] for title in ("Creates.", "Adds a.", "Leaves b.")})
    assert (list(results.values()), planned) == (["ok", "ok", "residue"], [3])


def test_a_history_that_makes_roles_is_one_slice(check, server18):
    results, planned = check(OF_A_ROLE)
    assert (list(results.values()), planned) == (["ok", "ok", "residue", "ok", "ok"], [5])
    assert execute(server18.url(), "SELECT FROM pg_roles WHERE rolname = 'slices_reader'") == []


def test_roles_that_no_text_foretold_are_seen_and_the_check_begins_anew_in_one_slice(check, server18):
    hidden = (sent("DO $$ BEGIN EXECUTE 'CREATE' || ' ROLE slices_reader'; END $$"), sent("DROP ROLE slices_reader"))
    results, planned = check({"Makes a role.": hidden, **RIGHT}, is_throwaway=True)
    assert list(results.values()) == ["ok", "ok", "ok", "residue", "ok"]
    assert planned[-2:] == [0, 5]


def test_an_upgrade_that_fails_is_told_once_whatever_the_other_slices_make_of_it(check):
    results, planned = check({"Creates.": CREATES, "Fails.": (sent("SELECT nothing"), "pass"), **dict(list(RIGHT.items())[1:])})
    assert list(results.values()) == ["ok", "upgrade fails", "not reached", "not reached", "not reached"]
    assert planned[-2:] == [0, 5]


def test_a_check_that_is_told_to_end_waits_for_no_slice_and_tells_what_it_knows(server18, tmp_path):
    asleep = [tmp_path / "two", tmp_path / "four"]
    sleeps = [f"from pathlib import Path\nPath({str(file)!r}).touch()\n{sent('SELECT pg_sleep(1000)')}" for file in asleep]
    folder = downgrade_project.write(tmp_path, {
        "Creates.": CREATES, "Sleeps.": (adds("a")[0], sleeps[0]), "Adds b.": adds("b"), "Sleeps too.": (adds("c")[0], sleeps[1]),
    })  # fmt: skip
    command = [PROGRAM, "test-downgrades", "--jobs", "2", "--junit", "junit.xml"]
    with subprocess.Popen(
        command, cwd=folder, env=environment(server18), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        wait_until(lambda: all(file.exists() for file in asleep), lambda: list(tmp_path.iterdir()), 60)
        start = time.monotonic()
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=60)
        seconds = time.monotonic() - start
    assert running.returncode == errors.Interrupted.exit_code
    assert seconds < PATIENCE
    cases = ET.parse(folder / "junit.xml").getroot().iter("testcase")
    assert [case.get("name") for case in cases] == ["0001 Creates.", "0003 Adds b.", "check"]
    assert scratch_databases(server18) == []
    assert execute(server18.url(), "SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep(1000)'") == []
