"""The question of a destructive plan in Dagster's UI, in a real browser: a time-out, going on from it, the link, CONFIRM."""

import pytest
import yaml
from playwright.sync_api import expect

from migration_pipeline_tests.ui.test_ui import LOCATION, PATIENCE, browser, ui

__all__ = ["browser"]


@pytest.mark.long
def test_a_run_that_nobody_answered_goes_on_from_its_question_and_confirm_lets_it_migrate(make_site18, browser, tmp_path):
    site = make_site18("drops_table", at="0001")
    site.query("INSERT INTO alerts (message) SELECT 'm' FROM generate_series(1, 7)")
    site.configure(confirmation_minutes=0.05)
    site.take_backup()

    with ui(site) as address:
        page = browser.new_page(viewport={"width": 1500, "height": 1100})
        page.set_default_timeout(2 * PATIENCE)
        expect.set_options(timeout=2 * PATIENCE)

        page.goto(f"{address}/{LOCATION}/jobs/migrate/playground")
        page.locator(".CodeMirror").click()
        page.keyboard.press("Control+a")
        page.keyboard.insert_text(yaml.safe_dump({"reuse_recent_backup": True}))
        page.locator("button", has_text="Launch Run").click()
        page.wait_for_url("**/runs/*")
        first = page.url
        expect(page.get_by_text("Nobody confirmed the migration within 3 s; nothing was changed.").first).to_be_visible()
        expect(page.get_by_text("Failure", exact=True)).to_be_visible()
        assert site.has_table("alerts")
        page.screenshot(path=tmp_path / "timed-out.png")

        site.configure(confirmation_minutes=30)
        page.locator("button", has_text="Re-execute all").locator("xpath=following::button[1]").click()
        page.get_by_text("From failure", exact=True).click()
        page.wait_for_url(lambda url: "/runs/" in url and url != first)
        page.get_by_placeholder("Filter").fill("step:confirm")  # of a long list, what is out of sight is not on the page
        expect(page.get_by_text("This migration is DESTRUCTIVE.").first).to_be_visible()
        expect(page.get_by_text("7 rows of alerts are lost").first).to_be_visible()
        page.screenshot(path=tmp_path / "waiting.png")

        with page.expect_popup() as opened:
            page.get_by_role("link", name="confirm_migration/playground").first.click()
        answering = opened.value
        expect(answering.locator(".CodeMirror")).to_contain_text("answer")
        answering.locator(".CodeMirror").click()
        answering.keyboard.press("Control+End")
        answering.keyboard.press("ArrowLeft")
        answering.keyboard.insert_text("CONFIRM")
        answering.screenshot(path=tmp_path / "answer.png")
        answering.locator("button", has_text="Launch Run").click()
        answering.wait_for_url("**/runs/*")
        expect(answering.get_by_text("Success", exact=True)).to_be_visible()

        expect(page.get_by_text("Success", exact=True)).to_be_visible()
        page.screenshot(path=tmp_path / "confirmed.png")

    assert site.revision == ["0002"]
    assert not site.has_table("alerts")
