"""What an operator does in Dagster's UI: launch a job, look at one step of its log, answer a run that waits, end one.

The log shows only what is in sight: a test looks at one step, or for one text, so that what it waits for is.
"""

from urllib.parse import urlsplit

import yaml
from playwright.sync_api import expect

LOCATION = "locations/migration_pipeline.definitions"
PATIENCE = 120_000  # milliseconds; a busy machine with two cores, and Dagster's queue looks every 5 s
TAKEN_OVER = 1000  # milliseconds after which the Launchpad has taken over what was typed


def opened(browser):
    page = browser.new_page(viewport={"width": 1500, "height": 1100})
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    return page


def launch(page, address, job, **config):
    """Launch a job from its Launchpad; return the id of the run, whose page is open then."""
    page.goto(f"{address}/{LOCATION}/jobs/{job}/playground")
    page.locator(".CodeMirror").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(yaml.safe_dump(config))
    return _launched(page)


def _launched(page):
    page.wait_for_timeout(TAKEN_OVER)
    page.locator("button", has_text="Launch Run").click()
    page.wait_for_url("**/runs/*")
    return run_of(page)


def run_of(page):
    """Return the id of the run whose page is open."""
    return urlsplit(page.url).path.rpartition("/")[2]


def look_at(page, step):
    """Show the events of one step alone."""
    page.get_by_placeholder("Filter").fill(f"step:{step}")


def see_question(page, *losses):
    """Wait for the question of the run whose page is open, and for what its ledger says."""
    look_at(page, "confirm")
    expect(page.get_by_text("This migration is DESTRUCTIVE.").first).to_be_visible()
    for loss in losses:
        expect(page.get_by_text(loss).first).to_be_visible()


def answer(page, run_id, text="CONFIRM", picture=None):
    """Follow the link of the run that waits, and answer it; return the answer's page."""
    with page.expect_popup() as opening:
        page.get_by_role("link", name="confirm_migration/playground").first.click()
    answering = opening.value
    answering.set_default_timeout(PATIENCE)
    expect(answering.locator(".CodeMirror")).to_contain_text(run_id)  # before, it shows the job's own defaults
    answering.locator(".CodeMirror").click()
    answering.keyboard.press("Control+End")
    answering.keyboard.press("ArrowLeft")
    answering.keyboard.insert_text(text)
    expect(answering.locator(".CodeMirror")).to_contain_text(f'answer: "{text}"')
    if picture:
        answering.screenshot(path=picture)
    _launched(answering)
    return answering


def see_status(page, status):
    """Wait for the run's status beside its name."""
    expect(page.get_by_text(status, exact=True).first).to_be_visible()
