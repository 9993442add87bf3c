"""The rehearsal passed, and live it is not the same: while the question waits, the world moves on. T3's harder half."""

import time

import pexpect
import pytest

from migration_pipeline_tests import projects

QUESTION = "Type 'CONFIRM' to proceed:"


class Waiting:
    """A migration that waits at its question, in a pseudo-terminal."""

    def __init__(self, site, *arguments):
        self.process = site.terminal("migrate", *arguments)
        self.process.expect_exact(QUESTION)

    def confirm(self):
        self.process.sendline("CONFIRM")

    def end(self):
        self.process.expect(pexpect.EOF)
        self.process.wait()
        return self.process.exitstatus, self.process.before


def destructive(site, revision="0002"):
    """Make a revision ask: DESTRUCTIVE is never refused for being too careful."""
    file = projects.revision_file(site.project, revision)
    file.write_text(file.read_text().replace("NON_DESTRUCTIVE", "DESTRUCTIVE"))


def columns(site):
    rows = site.query("SELECT attname FROM pg_attribute WHERE attrelid = 'patients'::regclass AND attnum > 0 ORDER BY attnum")
    return [name for (name,) in rows]


@pytest.mark.control("D4")
@pytest.mark.control("T3")
def test_a_row_written_after_the_snapshot_makes_the_revision_fail_and_nothing_stays(make_site):
    site = make_site("fails_on_data", at="0001")
    destructive(site)
    site.query("INSERT INTO patients (name) VALUES ('first')")
    assert site.just("backup-db").returncode == 0
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
def test_more_rows_hit_than_rehearsed_are_rolled_back(make_site):
    site = make_site("deletes_rows_by_condition", at="0001")
    site.query("INSERT INTO letters (sent_on) SELECT DATE '2019-01-01' FROM generate_series(1, 5)")
    assert site.just("backup-db").returncode == 0
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
    assert site.just("backup-db").returncode == 0
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
    assert site.just("backup-db").returncode == 0
    waiting = Waiting(site)
    site.query("ALTER TABLE patients ADD COLUMN by_hand text")

    waiting.confirm()
    code, said = waiting.end()

    assert code == 3, said
    assert "The live schema has changed since the backup; nothing was changed." in said
    assert "column public.patients.by_hand is new" in said
    assert site.has_table("alerts")


def test_a_revision_file_that_changes_meanwhile_is_stale(make_site18):
    site = make_site18("drops_table", at="0001")
    assert site.just("backup-db").returncode == 0
    waiting = Waiting(site)
    with projects.revision_file(site.project, "0002").open("a") as file:
        file.write("\n# one more line\n")

    waiting.confirm()
    code, said = waiting.end()

    assert code == 3, said
    assert 'The file of revision "0002" has changed since the plan was made; nothing was changed.' in said
    assert site.has_table("alerts")


def test_somebody_elses_upgrade_meanwhile_is_stale(make_site18):
    site = make_site18("drops_table", at="0001")
    assert site.just("backup-db").returncode == 0
    waiting = Waiting(site)
    site.query("UPDATE alembic_version SET version_num = '0002'")

    waiting.confirm()
    code, said = waiting.end()

    assert code == 3, said
    assert "the version table has changed since the plan was made: it was 0001, now it is 0002" in said
    assert "where something else has brought it" in said
    assert site.has_table("alerts")


@pytest.mark.control("D4")
@pytest.mark.control("T3")
def test_a_terminated_backend_leaves_the_database_as_it_was(make_site):
    site = make_site("drops_table", at="0001")
    file = projects.revision_file(site.project, "0002")
    text = file.read_text()
    sleep = "    op.execute(\"DO $$ BEGIN IF current_database() NOT LIKE 'mp\\\\_scratch%' THEN PERFORM pg_sleep(30); END IF; END $$\")\n"
    file.write_text(text.replace("\n\ndef downgrade", "\n" + sleep + "\n\ndef downgrade"))
    assert site.just("backup-db").returncode == 0
    waiting = Waiting(site)
    waiting.confirm()
    for _ in range(300):
        found = site.query("SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND pid <> pg_backend_pid()")
        if found:
            break
        time.sleep(0.1)
    site.query(f"SELECT pg_terminate_backend({found[0][0]})")

    code, said = waiting.end()

    assert code == 1, said
    assert "rolled back; the database is at 0001, as before" in said
    assert site.has_table("alerts")


@pytest.mark.control("D4")
def test_a_lock_that_an_application_holds_is_waited_for_and_tried_again(make_site18):
    site = make_site18("drops_table", at="0001")
    assert site.just("backup-db").returncode == 0
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
