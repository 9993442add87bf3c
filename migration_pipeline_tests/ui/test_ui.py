"""The job from Dagster's UI, in a real browser: `just ui`, the Launchpad with its flat config, the run's page."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import expect, sync_playwright

from migration_pipeline_tests.conftest import marked_processes, missing
from migration_pipeline_tests.pipeline.test_keeping import older

CHROMIUM = "/usr/bin/chromium"
OPTIONS = [
    "--no-sandbox", "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
LOCATION = "locations/migration_pipeline.definitions"
PATIENCE = 60_000  # milliseconds; a busy machine with two cores


@pytest.fixture
def browser():
    if not Path(CHROMIUM).exists():
        missing("Chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield running
        running.close()


@contextlib.contextmanager
def ui(site):
    """Yield the address of `just ui`; it is ended as a service manager would end it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with (site.folder / "ui.log").open("wb") as log:
        process = subprocess.Popen(
            [*site.command, "ui", "--port", str(port)], env=site.environ, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_for_server(process, address)
            yield address
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for_server(process, address):
    for _ in range(240):
        assert process.poll() is None, "just ui ended"
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(f"{address}/server_info"):
            return
        time.sleep(0.5)
    pytest.fail("just ui does not answer")


def test_the_job_runs_from_the_launchpad_and_its_page_shows_the_ledger(make_site18, browser, tmp_path):
    site = make_site18("drops_table", at="0001", MARK=str(tmp_path))
    site.query("INSERT INTO alerts (message) SELECT 'm' FROM generate_series(1, 7)")
    assert site.just("backup-db").returncode == 0
    fingerprint = json.loads(site.just("plan", "--json").stdout)["fingerprint"]

    with ui(site) as address:
        page = browser.new_page(viewport={"width": 1500, "height": 1300})
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)

        page.goto(f"{address}/runs")  # what a terminal ran is there, with its status
        expect(page.get_by_role("link", name="backup_database")).to_be_visible()
        expect(page.get_by_text("Success", exact=True)).to_be_visible()

        page.goto(f"{address}/{LOCATION}/jobs/migrate/playground")
        page.locator(".CodeMirror").click()
        page.keyboard.press("Control+a")
        page.keyboard.insert_text(yaml.safe_dump({"confirmation": f"CONFIRM {fingerprint[:8]}", "revision": "head"}))
        page.screenshot(path=tmp_path / "launchpad.png")
        page.locator("button", has_text="Launch Run").click()
        page.wait_for_url("**/runs/*")
        expect(page.get_by_text("Success", exact=True)).to_be_visible()
        page.get_by_placeholder("Filter").fill("step:classify_safety")
        expect(page.get_by_text("7 rows of alerts are lost").first).to_be_visible()
        page.screenshot(path=tmp_path / "run.png")

        page.goto(f"{address}/assets/default/schema?view=overview")
        expect(page.get_by_text("rows lost", exact=True)).to_be_visible()
        expect(page.get_by_text("The schema of default, as migrate left it")).to_be_visible()
        page.screenshot(path=tmp_path / "asset.png")

        page.goto(f"{address}/assets/default/backup?view=checks")
        expect(page.get_by_text("backup_restorable").first).to_be_visible()
        expect(page.get_by_text("restore seconds", exact=True).first).to_be_visible()
        page.screenshot(path=tmp_path / "check.png")

    assert site.revision == ["0002"]
    assert not site.has_table("alerts")
    assert marked_processes(tmp_path) == {}
    assert "SupersessionWarning" not in (site.folder / "ui.log").read_text()


@pytest.mark.control("B2")
@pytest.mark.long
def test_the_nightly_prune_shows_its_tick_and_the_table_of_its_run(make_site18, browser, tmp_path):
    every_minute = {"PRUNE_BACKUPS_CRON": "* * * * *", "VERIFY_BACKUP_CRON": "0 0 1 1 *"}
    site = make_site18("linear", at="0001", **every_minute)
    site.take_backup()
    for days in (1, 2):  # the newest three stay whatever their age
        older(site, days)
    old = older(site, 50)

    with ui(site) as address:
        page = browser.new_page(viewport={"width": 1500, "height": 1300})
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=2 * PATIENCE)
        page.goto(f"{address}/{LOCATION}/schedules/prune_backups_daily")
        expect(page.get_by_text("1 run requested").or_(page.get_by_text("Success", exact=True)).first).to_be_visible()
        page.screenshot(path=tmp_path / "schedule.png")

        page.goto(f"{address}/runs")
        view = page.get_by_role("link", name="View", exact=True)
        expect(page.get_by_text("prune_backups_da").last).to_be_visible()
        view.nth(view.count() - 2).click()  # the last one is the backup's: newer runs come first
        page.get_by_placeholder("Filter").fill("step:prune")
        page.get_by_text("View full message").first.click()
        expect(page.get_by_text(old).last).to_be_visible()
        expect(page.get_by_text("50 days old; the limit is 30 days").last).to_be_visible()
        page.screenshot(path=tmp_path / "prune.png")

    assert old not in [path.stem for path in (site.folder / "backups").rglob("*.json")]
