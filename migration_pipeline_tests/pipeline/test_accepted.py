"""Plans that are refused until what they do beside losing data is accepted, through the operator's door."""

import json
import re

import psycopg

from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import wait_until
from migration_pipeline_tests.door import Run

TOO_LONG = (
    r"patients is locked against reads for \d\.\d s \(limit 0\.4 s\) from: ALTER TABLE patients ALTER COLUMN id TYPE bigint"
)
UNGUARDED = """

before = upgrade


def upgrade():
    before()
    op.execute("ALTER TABLE patients DISABLE ROW LEVEL SECURITY")
"""


def test_a_plan_over_the_lock_budget_changes_nothing_until_its_locks_are_accepted(make_site18):
    site = make_site18("holds_locks", at="0001")
    site.configure(lock_budget_reads_seconds=0.4)
    site.take_backup()

    refused = site.run("migrate")

    assert refused.returncode == 3, refused.stderr
    first, *evidence, last = refused.stderr.splitlines()[-5:]
    assert first == "The plan locks tables for longer than this Target allows; nothing was changed."
    assert re.fullmatch(f"  measured: {TOO_LONG}", evidence[0])
    assert evidence[1] == "  state: the database is at 0001, as before"
    assert last == "Next: split the revision, write it with weaker locks, or accept them: just migrate --accept-locks"
    assert site.revision == ["0001"]

    done = site.run("migrate", "--accept-locks", "--reuse-recent-backup")

    assert done.returncode == 0, done.stderr
    assert site.revision == ["0003"]
    (record,) = (site.folder / "backups").rglob("migration_*.json")
    (accepted,) = json.loads(record.read_text())["accepted"]
    assert re.fullmatch(TOO_LONG, accepted)


def test_on_production_lost_protection_changes_nothing_until_it_is_accepted(make_site18):
    site = make_site18("linear", at="0001")
    site.query("ALTER TABLE patients ENABLE ROW LEVEL SECURITY")
    revision = projects.revision_file(site.project, "0002")
    revision.write_text(revision.read_text() + UNGUARDED)
    site.configure(environment="production", scratch_database_url="same-server")
    site.take_backup()

    refused = site.run("migrate")

    assert refused.returncode == 3, refused.stderr
    *told, safe, then = refused.stderr.splitlines()[-5:]
    assert safe.startswith("  safe: backup_")
    assert [*told, then] == [
        "The plan takes away what protects the data of a production Target; nothing was changed.",
        "  predicted: 0002: row level security off: patients",
        "  state: the database is at 0001, as before",
        "Next: leave what protects the data in its place, or accept it: just migrate --accept-protection-loss",
    ]
    assert site.revision == ["0001"]

    done = site.run("migrate", "--accept-protection-loss", "--reuse-recent-backup")

    assert done.returncode == 0, done.stderr
    assert "    note: accepted: 0002: row level security off: patients" in done.stderr.splitlines()
    (record,) = (site.folder / "backups").rglob("migration_*.json")
    assert json.loads(record.read_text())["accepted"] == ["0002: row level security off: patients"]


def test_a_plan_that_no_transaction_holds_changes_nothing_until_that_is_accepted(make_site18):
    site = make_site18("in_parts", at="0002")
    site.take_backup()

    shown = site.run("plan")
    refused = site.run("migrate", "--reuse-recent-backup")

    assert "runs by itself, for CREATE INDEX CONCURRENTLY cannot be rolled back:" in shown.stdout
    assert refused.returncode == 3, refused.stderr
    assert "The plan cannot be rolled back as a whole; nothing was changed." in refused.stderr.splitlines()
    assert site.revision == ["0002"]


def test_an_index_is_built_concurrently_while_a_writer_and_a_second_migrator_wait(make_site18):
    site = make_site18("in_parts", at="0002")
    site.configure(migration_lock_wait_seconds=120)
    site.take_backup()
    migrate = ["migrate", "--accept-non-transactional", "--reuse-recent-backup"]

    with psycopg.connect(site.url) as writer:
        writer.execute("INSERT INTO patients (name) VALUES ('Ada')")
        first = Run(migrate, site.environ, site.folder)
        building = "SELECT 1 FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%'"
        wait_until(lambda: site.query(building), lambda: first.said, seconds=90)
        second = Run(migrate, site.environ, site.folder, name="second")
        asking = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'migration_pipeline default run %'"
        wait_until(lambda: site.query(asking) == [(2,)], lambda: second.said, seconds=90)
        writer.execute("INSERT INTO patients (name) VALUES ('Grace')")  # nobody holds it up
        assert first.is_alive

    assert first.wait() == 0, first.said
    assert second.wait() == 3, second.said
    assert "cannot be reused: the database has changed since." in second.said
    assert site.revision == ["0005"]
    assert site.query("SELECT 1 FROM pg_index WHERE NOT indisvalid") == []
