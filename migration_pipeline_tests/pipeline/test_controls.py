"""The controls of the hazard log, each through `just`, on a real server of each major."""

import json
import os
import time
from pathlib import Path

import pytest

D1 = "No recent backup found. Create backup before running migration: just backup-db"
D3 = "This migration is DESTRUCTIVE. Type 'CONFIRM' to proceed:"


def patients(site, number=10):
    site.query(f"INSERT INTO patients (name, allergy) SELECT 'p' || i, 'a' || i FROM generate_series(1, {number}) i")


@pytest.mark.control("D1")
@pytest.mark.control("T1")
@pytest.mark.control("D2")
def test_without_a_recent_backup_nothing_runs_and_with_one_it_does(make_site18):
    site = make_site18("linear", at="0001")
    patients(site)

    refused = site.just("migrate")

    assert refused.returncode == 3, refused.stderr
    assert D1 in refused.stderr.splitlines()
    assert site.revision == ["0001"]
    assert site.backups == []

    assert site.run("backup-db").returncode == 0
    done = site.run("migrate", "--json")

    assert done.returncode == 0, done.stderr
    assert site.revision == ["0003"]
    assert site.has_column("patients", "ward")
    assert len(site.backups) == 2, "the one that was asked for, and the pre-migration backup"
    assert json.loads(done.stdout)["revision"] == ["0003"]
    assert site.scratch_databases == []

    again = site.run("migrate")
    assert again.returncode == 0
    assert "nothing is pending" in again.stderr
    assert len(site.backups) == 2


def change_manifest(site, **changes):
    (path,) = (site.folder / "backups").rglob("backup_*.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return path


@pytest.mark.control("D1")
@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("old", "25 h old; the limit is 24 h"),
        ("future", "its time is in the future"),
        ("flipped", "damaged: its bytes are not those of its manifest"),
        ("unverified", "not verified by a restore"),
        ("foreign", "a backup of another database"),
        ("touched", "25 h old"),
    ],
)
def test_a_backup_that_proves_nothing_does_not_count(make_site18, what, reason):
    site = make_site18("linear", at="0001")
    site.take_backup()
    (dump,) = (site.folder / "backups").rglob("backup_*-[0-9][0-9].sql")
    if what == "flipped":
        content = bytearray(dump.read_bytes())
        content[len(content) // 2] ^= 1
        dump.write_bytes(content)
    elif what in ("old", "touched"):
        change_manifest(site, snapshot_time="2000-01-01T00:00:00Z")
        old = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 25 * 3600))
        path = change_manifest(site, snapshot_time=old)
        if what == "touched":
            os.utime(dump), os.utime(path)
    elif what == "future":
        change_manifest(site, snapshot_time="2999-01-01T00:00:00Z")
    elif what == "unverified":
        change_manifest(site, verifications=[])
    elif what == "foreign":
        change_manifest(site, identity={"target": "default", "database": "another", "system_identifier": "1", "oid": 1})

    refused = site.run("migrate")

    assert refused.returncode == 3, refused.stderr
    assert D1 in refused.stderr.splitlines()
    assert reason in refused.stderr
    assert site.revision == ["0001"]


@pytest.mark.control("D2")
def test_the_recent_backup_can_be_used_again_while_the_database_is_the_same(make_site18):
    site = make_site18("linear", at="0001")
    site.take_backup()
    site.query("ALTER TABLE patients ADD COLUMN by_hand text")

    refused = site.just("migrate", "--reuse-recent-backup")

    assert refused.returncode == 3, refused.stderr
    assert "cannot be reused: the database has changed since." in refused.stderr
    assert "column public.patients.by_hand is new" in refused.stderr
    assert site.revision == ["0001"]

    site.query("ALTER TABLE patients DROP COLUMN by_hand")
    done = site.run("migrate", "--reuse-recent-backup")

    assert done.returncode == 0, done.stderr
    assert len(site.backups) == 1


@pytest.mark.control("D3")
@pytest.mark.control("T2")
@pytest.mark.parametrize("answer", ["confirm\n", "CONFIRM it\n", ""])
def test_a_destructive_revision_stays_away_without_confirm(make_site18, answer):
    site = make_site18("drops_table", at="0001")
    site.query("INSERT INTO alerts SELECT FROM generate_series(1, 0)")
    site.take_backup()

    declined = (site.just if answer == "no\n" else site.run)("migrate", answer=answer)

    assert declined.returncode == 3, declined.stderr
    assert D3 in declined.stderr
    assert "The migration was not confirmed; nothing was changed." in declined.stderr
    assert site.has_table("alerts")
    assert site.revision == ["0001"]
    assert site.scratch_databases == []


@pytest.mark.control("D3")
@pytest.mark.control("T2")
def test_a_destructive_revision_runs_once_it_is_confirmed_through_a_pipe(make_site):
    site = make_site("drops_table", at="0001")
    site.take_backup()

    done = site.just("migrate", answer="CONFIRM\n")

    assert done.returncode == 0, done.stderr
    assert D3 in done.stderr
    assert not site.has_table("alerts")
    assert site.revision == ["0002"]


@pytest.mark.control("D3")
@pytest.mark.control("T2")
def test_a_terminal_shows_the_ledger_and_asks(make_site18):
    site = make_site18("drops_table", at="0001")
    site.take_backup()

    wrong = site.terminal("migrate")
    wrong.expect_exact(D3)
    assert "alerts" in wrong.before
    wrong.sendline("yes")
    wrong.expect_exact("The migration was not confirmed; nothing was changed.")
    wrong.expect("(?s).*")
    wrong.wait()
    assert wrong.exitstatus == 3
    assert site.has_table("alerts")

    right = site.terminal("migrate")
    right.expect_exact(D3)
    right.sendline("CONFIRM")
    right.expect(__import__("pexpect").EOF)
    right.wait()
    assert right.exitstatus == 0
    assert not site.has_table("alerts")
    assert site.revision == ["0002"]


@pytest.mark.control("D3")
@pytest.mark.parametrize(
    ("project", "message"),
    [
        ("not_annotated", "has no safety annotation."),
        ("drops_column_undeclared", "is annotated NON_DESTRUCTIVE, but it loses data."),
    ],
)
def test_a_wrong_annotation_is_refused(make_site18, project, message):
    site = make_site18(project, at="0001")
    patients(site, 7)
    site.take_backup()

    refused = (site.just if project == "not_annotated" else site.run)("migrate", answer="CONFIRM\n")

    assert refused.returncode == 3, refused.stderr
    assert message in refused.stderr
    assert "Next:" in refused.stderr
    assert D3 not in refused.stderr, "no question where it is refused"
    assert site.revision == ["0001"]
    if project == "drops_column_undeclared":
        assert "measured: 7 values of patients.allergy are lost" in refused.stderr


def test_a_harmless_revision_asks_nothing(make_site18):
    site = make_site18("update_backfill", at="0001")
    patients(site)
    site.take_backup()

    done = site.just("migrate", answer="")

    assert done.returncode == 0, done.stderr
    assert D3 not in done.stderr


@pytest.mark.control("D4")
@pytest.mark.control("T3")
def test_a_revision_that_fails_half_way_leaves_the_database_as_it_was(make_site):
    site = make_site("fails_halfway", at="0001")
    patients(site)
    before = site.query("SELECT * FROM patients ORDER BY id")
    site.take_backup()

    failed = site.just("migrate")

    assert failed.returncode == 1, failed.stderr
    assert "deliberate" in failed.stderr
    assert "state: the database is at 0001, as before" in failed.stderr
    assert site.revision == ["0001"]
    columns = site.query("SELECT attname FROM pg_attribute WHERE attrelid = 'patients'::regclass AND attnum > 0 ORDER BY attnum")
    assert [column for (column,) in columns] == ["id", "name", "allergy"]
    assert site.query("SELECT * FROM patients ORDER BY id") == before
    assert site.scratch_databases == []


@pytest.mark.control("D4")
@pytest.mark.control("T3")
def test_a_revision_that_fails_only_live_is_rolled_back(make_site18):
    site = make_site18("fails_live_by_name", at="0001")
    patients(site)
    site.take_backup()

    failed = site.run("migrate", answer="CONFIRM\n")

    assert failed.returncode == 1, failed.stderr
    assert "The upgrade failed." in failed.stderr
    assert "rolled back; the database is at 0001, as before" in failed.stderr
    assert site.revision == ["0001"]
    assert Path(site.folder, "backups").exists()
