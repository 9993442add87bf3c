"""The clinicians are told that their database is set back, and when they can go on; a deaf channel stops no restore."""

import json

import dagster as dg
import pytest

from migration_pipeline import errors
from migration_pipeline.adapters import comparison
from migration_pipeline.defs import jobs
from migration_pipeline_tests.integration.test_notify import free_port
from migration_pipeline_tests.pipeline.test_sensors import SECRET, watched, web  # noqa: F401 - fixtures


@pytest.fixture
def ward(watched, monkeypatch):  # noqa: F811
    """A site with a backup, whose wards are told."""
    site = watched.site
    monkeypatch.setenv("PAGER_URL", f"json://127.0.0.1:{free_port()}/{SECRET}")
    site.configure(downtime_notices=["env:PAGER_URL", "env:HOOK_URL"])
    site.take_backup()
    return watched


def restore(ward):
    return dg.execute_job(
        dg.reconstructable(jobs.restore_database),
        instance=ward.instance,
        run_config={"confirmation": "RESTORE newest"},
        raise_on_error=False,
    )


def test_a_restore_is_told_when_it_starts_and_when_it_is_done_and_a_deaf_channel_is_reported(ward):
    done = restore(ward)

    assert done.success
    assert [(one["title"], one["type"]) for one in ward.received] == [
        ("default: please enter nothing until further notice", "info"),
        ("default: you can work with it again", "info"),
    ]
    assert ward.received[1]["message"].startswith("default is now as it was on ")
    warnings = [one.user_message for one in ward.instance.all_logs(done.run_id) if one.level == 30]
    deaf = [
        f'the notice "default: {subject}" was not delivered to PAGER_URL: it cannot be reached'
        for subject in ("please enter nothing until further notice", "you can work with it again")
    ]
    assert [one for one in warnings if "notice" in one] == deaf
    restored = ward.site.folder / "dagster" / "storage" / done.run_id / "swap_names" / "result.json"
    assert [one for one in json.loads(restored.read_bytes())["notes"] if "notice" in one] == deaf
    assert SECRET not in str(ward.instance.all_logs(done.run_id))


def test_a_restore_that_ends_early_tells_that_nothing_was_set_back(ward, monkeypatch):
    def differs(*_):
        raise errors.VerificationFailed("The restored copy differs from what was dumped.")

    monkeypatch.setattr(comparison, "check_copy", differs)

    failed = restore(ward)

    assert not failed.success
    assert [one["title"] for one in ward.received] == [
        "default: please enter nothing until further notice",
        "default: you can work with it again",
    ]
    assert ward.received[1]["message"] == "default was not set back. It is as it was before, with all that was entered until now."
