"""What the UI shows first of a run that failed: our message, and no stack below it, whichever step and whatever was wrong."""

import shutil

import dagster as dg
import pytest

from migration_pipeline.defs import assets, checks, jobs
from migration_pipeline_tests import projects
from migration_pipeline_tests.pipeline.test_dagster import evaluations, house

__all__ = ["house"]
DROPS = 'op.execute("DROP TABLE alerts")'
#: A dump sets an empty search path, under which this check finds no table: it was taken, and cannot be restored.
NOT_RESTORABLE = (
    "CREATE FUNCTION any_patients() RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) >= 0 FROM patients); END'",
    "ALTER TABLE alerts ADD CHECK (any_patients())",
)
ONLY_LIVE = "DO $$ BEGIN IF left(current_database(), 10) <> 'mp_scratch' THEN RAISE 'only here'; END IF; END $$"


def told(run):
    """Return the steps that failed, each with the first line of what the UI shows of it."""
    failures = [event for event in run.all_events if event.is_step_failure]
    assert [event.step_failure_data.error.stack for event in failures] == [[]] * len(failures)
    assert [event.step_failure_data.error.cause for event in failures] == [None] * len(failures)
    return {event.step_key: event.step_failure_data.error.message.splitlines()[0] for event in failures}


def edit(house, before, after):
    file = projects.revision_file(house.site.project, "0002")
    file.write_text(file.read_text().replace(before, after, 1))


def test_of_what_is_refused_or_fails_before_the_live_database_is_changed(house):
    edit(house, "# SAFETY: DESTRUCTIVE", "# SAFETY: NON_DESTRUCTIVE")
    assert told(house.run(jobs.migrate, reuse_recent_backup=True)) == {
        "classify_safety": 'Revision "0002" is annotated NON_DESTRUCTIVE, but it loses data.'
    }
    edit(house, DROPS, "op.execute('DROP TABLE nowhere')")
    assert told(house.run(jobs.migrate, reuse_recent_backup=True)) == {
        "rehearse": 'The rehearsal failed. Revision "0002" failed.'
    }

    house.site.query(*NOT_RESTORABLE)
    assert told(house.run(jobs.migrate)) == {"verify_backup": "The backup could not be restored."}
    failed, passed, *_ = evaluations(house, assets.backup_key("default"), checks.RESTORABLE)
    assert (failed.passed, failed.severity, failed.description) == (
        False, dg.AssetCheckSeverity.ERROR, "The backup could not be restored.",
    )  # fmt: skip
    assert failed.metadata["next"].value.startswith("just ")
    assert passed.passed

    shutil.rmtree(house.site.folder / "backups")
    assert told(house.run(jobs.migrate)) == {
        "preflight": "No recent backup found. Create backup before running migration: just backup-db"
    }
    assert told(house.run(jobs.migrate, revision="0009")).keys() == {"preflight"}
    assert told(house.run(jobs.migrate, target="typo")) == {"preflight": 'There is no Target "typo".'}
    assert house.site.revision == ["0001"]


def test_of_what_an_earlier_run_found_and_nobody_has_kept(house):
    asked = house.run(jobs.migrate, reuse_recent_backup=True)
    (file,) = (house.site.folder / "dagster/storage" / asked.run_id).glob("classify_safety/result*")
    unread = {"confirm": 'What an earlier step found ("report") cannot be read; this step changed nothing.'}
    file.write_text("{}")
    assert told(house.again(asked)) == unread
    file.unlink()
    assert told(house.again(asked)) == unread


@pytest.mark.long
def test_of_an_upgrade_that_fails(house):
    edit(house, DROPS, f'op.execute("{ONLY_LIVE}")\n    {DROPS}')
    word = house.fingerprint()[:8]
    assert told(house.run(jobs.migrate, reuse_recent_backup=True, confirmation=f"CONFIRM {word}")) == {
        "upgrade": 'The upgrade failed. Revision "0002" failed.'
    }
    assert house.site.has_table("alerts")
