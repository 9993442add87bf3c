"""The question of a destructive plan in Dagster's UI, in a real browser: a time-out, going on from it, the link, CONFIRM."""

import pytest
from playwright.sync_api import expect

from migration_pipeline_tests import projects
from migration_pipeline_tests.ui import pages
from migration_pipeline_tests.ui.test_ui import browser, ui

__all__ = ["browser"]


@pytest.mark.long
def test_a_run_that_nobody_answered_goes_on_from_its_question_and_confirm_lets_it_migrate(make_site18, browser, tmp_path):
    site = make_site18("drops_table", at="0001")
    site.query(
        "INSERT INTO alerts (message) SELECT 'm' FROM generate_series(1, 7)",
        "INSERT INTO patients (name, allergy) SELECT 'p', 'a' FROM generate_series(1, 1500)",
    )
    file = projects.revision_file(site.project, "0002")
    drops = 'op.execute("DROP TABLE alerts")'
    file.write_text(file.read_text().replace(drops, f'{drops}\n    op.drop_column("patients", "allergy")', 1))
    site.configure(confirmation_minutes=0.05)
    site.take_backup()

    with ui(site) as address:
        page = pages.opened(browser)
        first = pages.launch(page, address, "migrate", reuse_recent_backup=True)
        pages.look_at(page, "confirm")
        expect(page.get_by_text("Nobody confirmed the migration within 3 s; nothing was changed.").first).to_be_visible()
        expect(page.get_by_text('Next: "Re-execute from failure" (the arrow beside "Re-execute all"').first).to_be_visible()
        pages.see_status(page, "Failure")
        assert site.has_table("alerts")
        page.screenshot(path=tmp_path / "timed-out.png")

        site.configure(confirmation_minutes=30)
        page.locator("button", has_text="Re-execute all").locator("xpath=following::button[1]").click()
        page.get_by_text("From failure", exact=True).click()
        page.wait_for_url(lambda url: "/runs/" in url and first not in url)
        again = pages.run_of(page)
        pages.see_question(page, "7 rows of alerts are lost", "1,500 values of patients.allergy are lost")
        page.screenshot(path=tmp_path / "waiting.png")

        answering = pages.answer(page, again, picture=tmp_path / "answer.png")
        pages.see_status(answering, "Success")
        pages.see_status(page, "Success")
        page.screenshot(path=tmp_path / "confirmed.png")

    assert site.revision == ["0002"]
    assert not site.has_table("alerts")
