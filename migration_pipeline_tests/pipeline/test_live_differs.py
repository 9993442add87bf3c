"""The rehearsal passed, and live it is not the same: while the question waits, the world moves on. T3's harder half."""

import time

import pytest

from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import wait_until
from migration_pipeline_tests.door import Run

QUESTION = "Type 'CONFIRM' to proceed:"


class Waiting:
    """A migration that waits at its question."""

    def __init__(self, site):
        self._run = Run(["migrate"], site.environ, site.folder)
        wait_until(lambda: QUESTION in self._run.said or not self._run.is_alive, lambda: self._run.said, 60)
        assert QUESTION in self._run.said, self._run.said

    def confirm(self):
        self._run.answer("CONFIRM\n")

    def end(self):
        return self._run.wait(), self._run.said


def destructive(site, revision="0002"):
    """Make a revision ask: DESTRUCTIVE is never refused for being too careful."""
    file = projects.revision_file(site.project, revision)
    file.write_text(file.read_text().replace("NON_DESTRUCTIVE", "DESTRUCTIVE"))


def columns(site):
    rows = site.query("SELECT attname FROM pg_attribute WHERE attrelid = 'patients'::regclass AND attnum > 0 ORDER BY attnum")
    return [name for (name,) in rows]


@pytest.mark.control("D4")
@pytest.mark.control("T3")
def test_a_row_written_after_the_snapshot_makes_the_revision_fail_and_nothing_stays(make_site18):
    site = make_site18("fails_on_data", at="0001")
    destructive(site)
    site.query("INSERT INTO patients (name) VALUES ('first')")
    site.take_backup()
    waiting = Waiting(site)
    site.query("INSERT INTO patients (name) VALUES ('first')")

    waiting.confirm()
    code, said = waiting.end()

    assert code == 1, said
    assert "The upgrade failed." in said
    assert "23505" in said
    assert "first" not in said.partition("The upgrade failed.")[2], "the row's value is not told"
    assert "rolled back; the database is at 0001, as before" in said
    assert site.revision == ["0001"]
    assert site.query("SELECT count(*) FROM patients") == [(2,)]


@pytest.mark.control("D4")
@pytest.mark.control("T3")
def test_more_rows_hit_than_rehearsed_are_rolled_back(make_site18):
    site = make_site18("deletes_rows_by_condition", at="0001")
    site.query("INSERT INTO letters (sent_on) SELECT DATE '2019-01-01' FROM generate_series(1, 5)")
    site.take_backup()
    waiting = Waiting(site)
    site.query("INSERT INTO letters (sent_on) SELECT DATE '2018-01-01' FROM generate_series(1, 500)")

    waiting.confirm()
    code, said = waiting.end()

    assert code == 1, said
    assert "505 rows of public.letters are deleted; 5 were in the rehearsal" in said
    assert site.query("SELECT count(*) FROM letters") == [(505,)]
    assert site.revision == ["0001"]


@pytest.mark.control("D4")
def test_a_table_that_has_grown_since_the_backup_is_not_dropped(make_site18):
    site = make_site18("drops_table", at="0001")
    site.take_backup()
    waiting = Waiting(site)
    (column,) = site.query("SELECT attname FROM pg_attribute WHERE attrelid = 'alerts'::regclass AND attnum = 2")[0]
    site.query(f"INSERT INTO alerts ({column}) SELECT {'1' if column.endswith('id') else repr('x')} FROM generate_series(1, 200)")

    waiting.confirm()
    code, said = waiting.end()

    assert code == 1, said
    assert "table public.alerts holds 200 now; 0 were lost in the rehearsal" in said
    assert site.query("SELECT count(*) FROM alerts") == [(200,)]


@pytest.mark.control("D4")
def test_a_schema_that_somebody_changes_meanwhile_is_stale(make_site18):
    site = make_site18("drops_table", at="0001")
    site.take_backup()
    waiting = Waiting(site)
    site.query("ALTER TABLE patients ADD COLUMN by_hand text")

    waiting.confirm()
    code, said = waiting.end()

    assert code == 3, said
    assert "The live schema has changed since the backup; nothing was changed." in said
    assert "column public.patients.by_hand is new" in said
    assert site.has_table("alerts")


def test_somebody_elses_upgrade_meanwhile_is_stale(make_site18):
    site = make_site18("drops_table", at="0001")
    site.take_backup()
    waiting = Waiting(site)
    site.query("UPDATE alembic_version SET version_num = '0002'")

    waiting.confirm()
    code, said = waiting.end()

    assert code == 3, said
    assert "the version table has changed since the plan was made: it was 0001, now it is 0002" in said
    assert "where something else has brought it" in said
    assert site.has_table("alerts")


@pytest.mark.control("D4")
def test_a_lock_that_an_application_holds_is_waited_for_and_tried_again(make_site18):
    site = make_site18("drops_table", at="0001")
    site.take_backup()
    waiting = Waiting(site)
    import psycopg

    with psycopg.connect(site.url) as application:
        application.execute("LOCK TABLE alerts IN ACCESS SHARE MODE")
        waiting.confirm()
        time.sleep(8)  # longer than one lock timeout of 5 s
    code, said = waiting.end()

    assert code == 0, said
    assert "after 2 tries" in said
    assert not site.has_table("alerts")
