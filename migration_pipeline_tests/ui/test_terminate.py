"""A cancel from Dagster's UI, in a real browser, while the upgrade works: rolled back, and the run's log says so."""

import pytest
from playwright.sync_api import expect

from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import marked_processes, wait_until
from migration_pipeline_tests.ui import pages
from migration_pipeline_tests.ui.test_ui import browser, ui

__all__ = ["browser"]
SESSION = "application_name = 'migration_pipeline upgrade default'"
ASLEEP = f"SELECT count(*) FROM pg_stat_activity WHERE {SESSION} AND wait_event = 'PgSleep'"
LEFT = f"SELECT count(*) FROM pg_stat_activity LEFT JOIN pg_locks USING (pid) WHERE {SESSION}"


@pytest.mark.long
def test_terminate_in_the_upgrade_rolls_back_and_the_log_says_where_the_database_is(make_site18, browser, tmp_path):
    site = make_site18("drops_table", at="0001", MARK=str(tmp_path))
    site.query("INSERT INTO alerts (message) SELECT 'm' FROM generate_series(1, 7)")
    site.take_backup()
    file = projects.revision_file(site.project, "0002")
    sleeps = "SELECT CASE WHEN left(current_database(), 10) <> 'mp_scratch' THEN pg_sleep(300) END"
    drops = 'op.execute("DROP TABLE alerts")'
    file.write_text(file.read_text().replace(drops, f'{drops}\n    op.execute("{sleeps}")', 1))

    with ui(site) as address:
        page = pages.opened(browser)
        run = pages.launch(page, address, "migrate", reuse_recent_backup=True)
        pages.see_question(page, "7 rows of alerts are lost")
        pages.answer(page, run)
        wait_until(lambda: site.query(ASLEEP) == [(1,)], lambda: (site.folder / "ui.log").read_text()[-2000:], 120)
        pages.look_at(page, "upgrade")

        page.locator("button", has_text="Terminate").first.click()
        page.get_by_role("dialog").locator("button", has_text="Terminate").last.click()
        expect(page.get_by_text("Cancelled in upgrade.").first).to_be_visible()
        for line in (
            "state: rolled back; the database is at 0001, as before",
            "locks: free: the upgrade's session has ended",
            "safe: backup_",
        ):
            expect(page.get_by_text(line).first).to_be_visible()
        assert site.query(LEFT) == [(0,)]
        page.keyboard.press("Escape")
        pages.see_status(page, "Canceled")
        page.screenshot(path=tmp_path / "cancelled.png")

    assert site.revision == ["0001"]
    assert site.query("SELECT count(*) FROM alerts") == [(7,)]
    assert site.scratch_databases == []
    assert marked_processes(tmp_path) == {}
