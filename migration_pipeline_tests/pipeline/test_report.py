"""The safety report, through the operator's doors: `just plan --rehearse`, and what `just migrate` keeps beside the backup."""

import json
import re
import urllib.parse

import pytest

from migration_pipeline_tests import projects
from migration_pipeline_tests.pipeline.test_controls import patients

UNDECLARED = 'Revision "0002" is annotated NON_DESTRUCTIVE, but it loses data.'


def store(site):
    return site.folder / "backups" / "default"


def reports(site):
    return sorted(store(site).glob("report_*.html"))


def steps_drawn(said):
    return re.findall(r"^  [✓■✗] (\w+)", said, re.MULTILINE)


@pytest.mark.control("D3")
def test_a_rehearsal_changes_nothing_says_what_migrate_would_ask_and_leaves_its_report(make_site18):
    site = make_site18("drops_table", at="0001")
    site.query("INSERT INTO alerts (message) SELECT 'canary-message-' || i FROM generate_series(1, 7) i")
    site.take_backup()
    (backup,) = site.backups

    done = site.just("plan", "--rehearse", "--json")

    assert done.returncode == 0, done.stderr
    assert steps_drawn(done.stderr) == ["preflight", "backup", "verify_backup", "rehearse", "classify_safety", "outlook"]
    again = f"{backup.removesuffix('.sql')} again, taken "
    assert again in done.stderr
    assert "`just migrate` would ask for CONFIRM; nothing was changed" in done.stderr
    assert "      7 rows of alerts are lost" in done.stderr.splitlines()
    assert site.revision == ["0001"]
    assert site.query("SELECT count(*) FROM alerts") == [(7,)]
    assert site.backups == [backup]
    assert site.scratch_databases == []

    (report,) = reports(site)
    result = json.loads(done.stdout)
    fingerprint = json.loads(site.run("plan", "--json").stdout)["fingerprint"]
    stamp = backup.removeprefix("backup_").removesuffix(".sql")
    assert report.name == f"report_{stamp}_{fingerprint[:8]}.html"
    assert (result["ok"], result["report"], result["needs_confirmation"]) == (True, str(report), True)
    assert f"    report: {report}" in done.stderr.splitlines()
    assert report.stat().st_mode & 0o777 == 0o600
    html = report.read_text()
    assert "7 rows of alerts are lost" in html
    assert fingerprint in html
    for secret in ("canary-message", urllib.parse.urlparse(site.url).password or "canary", site.url):
        assert secret not in html

    assert "report_" not in site.run("garbage", "--remove").stdout
    assert site.run("prune-backups").returncode == 0
    assert reports(site) == [report]

    migrated = site.run("migrate", answer="CONFIRM\n")

    assert migrated.returncode == 0, migrated.stderr
    assert len(reports(site)) == 2, "another one, of the pre-migration backup"


def test_a_rehearsal_takes_a_new_backup_where_the_database_has_changed_since_the_recent_one(make_site18):
    site = make_site18("linear", at="0001")
    patients(site)
    site.take_backup()
    (recent,) = site.backups
    site.query("ALTER TABLE patients ADD COLUMN by_hand text")

    done = site.run("plan", "--rehearse", "+1")

    assert done.returncode == 0, done.stderr
    assert f"; a new one, for the schema has changed since {recent.removesuffix('.sql')}" in done.stderr
    assert "`just migrate` would go on without a question; nothing was changed" in done.stderr
    assert len(site.backups) == 2
    assert site.revision == ["0001"]


@pytest.mark.control("D3")
def test_what_migrate_refuses_the_rehearsal_refuses_too_and_the_report_is_a_part_of_the_evidence(make_site18):
    site = make_site18("drops_column_undeclared", at="0001")
    patients(site, 7)
    site.take_backup()

    rehearsed = site.run("plan", "--rehearse", "--json")
    migrated = site.run("migrate", "--reuse-recent-backup", "--json")

    (report,) = reports(site)
    for refused in (rehearsed, migrated):
        assert refused.returncode == 3, refused.stderr
        told = refused.stderr.splitlines()
        assert told[told.index(UNDECLARED) : -3] == [
            UNDECLARED,
            "  statement: ALTER TABLE patients DROP COLUMN allergy",
            "  measured: 7 values of patients.allergy are lost",
            f"  file: {projects.revision_file(site.project, '0002')}",
            f"  report: {report}",
        ]
        result = json.loads(refused.stdout)
        assert (result["ok"], result["report"], result["evidence"]["report"]) == (False, str(report), str(report))
    assert UNDECLARED in report.read_text().replace("&#34;", '"')
    assert site.revision == ["0001"]


@pytest.mark.long
def test_a_plan_over_the_lock_budget_is_refused_by_the_rehearsal_with_a_report_that_says_how_to_accept_it(make_site18):
    site = make_site18("holds_locks", at="0001")
    site.configure(lock_budget_reads_seconds=0.4)
    site.take_backup()

    refused = site.run("plan", "--rehearse")

    assert refused.returncode == 3, refused.stderr
    assert "The plan locks tables for longer than this Target allows; nothing was changed." in refused.stderr.splitlines()
    (report,) = reports(site)
    html = report.read_text()
    assert "this plan is refused until it is accepted by --accept-locks." in html
    assert html.count('class="over"') == 2, "in the legend, and on the bar of patients"


@pytest.mark.long
def test_a_plan_that_no_transaction_holds_is_refused_by_the_rehearsal_and_passes_in_one_without_concurrently(make_site18):
    site = make_site18("concurrent_index", at="0001")
    patients(site)
    site.take_backup()

    refused = site.run("plan", "--rehearse")

    assert refused.returncode == 3, refused.stderr
    assert "The plan cannot be rolled back as a whole; nothing was changed." in refused.stderr.splitlines()
    (report,) = reports(site)
    assert "this plan is refused until it is accepted by --accept-non-transactional." in report.read_text()

    done = site.run("plan", "--rehearse", "--without-concurrently")

    assert done.returncode == 0, done.stderr
    (other,) = {*reports(site)} - {report}
    assert "one: all of it or nothing; CONCURRENTLY is left out" in other.read_text()
    assert site.query("SELECT count(*) FROM pg_indexes WHERE tablename = 'patients'") == [(1,)]


def test_a_report_that_cannot_be_written_is_a_note_and_the_migration_goes_on(make_site18):
    site = make_site18("linear", at="0001")
    site.take_backup()
    (backup,) = site.backups
    fingerprint = json.loads(site.run("plan", "--json").stdout)["fingerprint"]
    name = f"report_{backup.removeprefix('backup_').removesuffix('.sql')}_{fingerprint[:8]}.html"
    (store(site) / name).mkdir()

    done = site.run("migrate", "--reuse-recent-backup", "--json")

    assert done.returncode == 0, done.stderr
    assert f'    note: the report could not be kept: "{name}" cannot be written.' in done.stderr.splitlines()
    assert json.loads(done.stdout)["report"] is None
    assert site.revision == ["0003"]


def test_with_nothing_pending_there_is_nothing_to_rehearse(make_site18):
    site = make_site18("linear", at="head")

    done = site.run("plan", "--rehearse")

    assert done.returncode == 0, done.stderr
    assert steps_drawn(done.stderr) == ["preflight"]
    assert "nothing is pending" in done.stderr
