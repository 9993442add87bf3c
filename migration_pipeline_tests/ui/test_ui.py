"""The job from Dagster's UI, in a real browser: `just ui`, the Launchpad with its flat config, the run's page."""

import contextlib
import json
import os
import shutil
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

from migration_pipeline_tests.conftest import missing

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
            process.wait(30)
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


def processes(site):
    """Return the command lines of all processes that this site's commands have started."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"MARK={site.folder}\0".encode() in (path / "environ").read_bytes():
                found.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def test_the_job_runs_from_the_launchpad_and_its_page_shows_the_ledger(make_site18, browser, tmp_path):
    site = make_site18("drops_table", at="0001", MARK=str(tmp_path))
    site.query("INSERT INTO alerts (message) SELECT 'm' FROM generate_series(1, 7)")
    assert site.just("backup-db").returncode == 0
    fingerprint = json.loads(site.just("plan", "--json").stdout)["fingerprint"]

    with ui(site) as address:
        page = browser.new_page(viewport={"width": 1500, "height": 1300})
        page.set_default_timeout(PATIENCE)
        __import__("shutil").copytree(tmp_path/"dagster", "/tmp/x/dh", dirs_exist_ok=True)
        expect.set_options(timeout=20000)

        page.goto(f"{address}/runs")  # what a terminal ran is there, with its status
        expect(page.get_by_role("link", name="backup_database")).to_be_visible()
        expect(page.get_by_text("Success", exact=True)).to_be_visible()

        page.goto(f"{address}/{LOCATION}/jobs/migrate/playground")
        page.locator(".CodeMirror").click()
        page.keyboard.press("Control+a")
        page.keyboard.insert_text(yaml.safe_dump({"confirmation": f"CONFIRM {fingerprint[:8]}", "revision": "head"}))
        page.screenshot(path="/tmp/x/launchpad.png")
        page.get_by_role("button", name="Launch run", exact=True).click()
        page.wait_for_url("**/runs/*")
        page.screenshot(path="/tmp/x/run0.png")
        expect(page.get_by_text("Success", exact=True)).to_be_visible()
        page.screenshot(path="/tmp/x/run.png")
        page.goto(f"{address}/assets/default/backup?view=overview")
        page.wait_for_timeout(5000)
        page.screenshot(path="/tmp/x/asset.png")
        page.goto(f"{address}/assets/default/schema?view=events")
        page.wait_for_timeout(5000)
        page.screenshot(path="/tmp/x/asset2.png")

    assert site.revision == ["0002"]
    assert not site.has_table("alerts")
    assert processes(site) == []
    assert "SupersessionWarning" not in (site.folder / "ui.log").read_text()
