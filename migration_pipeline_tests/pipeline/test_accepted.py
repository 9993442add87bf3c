"""Plans that are refused until what they do beside losing data is accepted, through the operator's door."""

import json
import re

from migration_pipeline_tests import projects

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
