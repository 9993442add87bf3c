"""Dagster's queue in a real browser: runs of one Target wait for each other, whoever launched them, and for no other Target's."""

import json

import pytest
from playwright.sync_api import expect

from migration_pipeline_tests.conftest import execute
from migration_pipeline_tests.pipeline.conftest import Site, start
from migration_pipeline_tests.ui import pages
from migration_pipeline_tests.ui.test_ui import browser, ui

__all__ = ["browser"]
SECOND = "queue_second"


@pytest.fixture
def site(make_site18, server18):
    """Two Targets with a destructive plan and a verified backup each."""
    site = make_site18("drops_table", at="0001")
    second = server18.url(SECOND)
    execute(server18.url(), f"CREATE DATABASE {SECOND} TEMPLATE template0")
    start(Site(url=second, folder=site.folder, project=site.project, binaries=site.binaries), "0001")
    site.query("INSERT INTO alerts (message) SELECT 'm' FROM generate_series(1, 7)")
    site.configure()
    keys = {"database_url": "env:SECOND_URL", "environment": "staging", "backup_location": str(site.folder / "backups"),
            "alembic_config": str(site.project / "alembic.ini"), "pg_bin": str(site.binaries)}  # fmt: skip
    with (site.folder / "pipeline.toml").open("a") as file:
        file.write("[targets.second]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items()))
    site.more["SECOND_URL"] = second
    for name in ("default", "second"):
        taken = site.run("backup-db", "--target", name)
        assert taken.returncode == 0, taken.stderr
    yield site
    execute(server18.url(), f"DROP DATABASE {SECOND} WITH (FORCE)")


@pytest.mark.long
def test_a_second_run_of_a_target_waits_in_the_queue_and_one_of_another_target_does_not(site, browser, tmp_path):
    with ui(site) as address:
        first = pages.opened(browser)
        asking = pages.launch(first, address, "migrate", target="default", reuse_recent_backup=True)
        pages.see_question(first, "7 rows of alerts are lost")

        second, other = pages.opened(browser), pages.opened(browser)
        waiting = pages.launch(second, address, "migrate", target="default", reuse_recent_backup=True)
        passing = pages.launch(other, address, "migrate", target="second", revision="0001")
        pages.see_status(other, "Success")
        pages.see_status(second, "Queued")

        other.goto(f"{address}/runs")
        for run, status in ((asking, "Started"), (waiting, "Queued"), (passing, "Success")):
            row = other.locator("[data-index]").filter(has=other.locator(f'a[href="/runs/{run}"]'))
            expect(row.get_by_text(status, exact=True)).to_be_visible()
        other.screenshot(path=tmp_path / "queue.png")

        pages.answer(first, asking)
        pages.see_status(first, "Success")
        pages.see_status(second, "Success")
        pages.look_at(second, "preflight")
        expect(second.get_by_text("Nothing is pending: the database is at 0002.").first).to_be_visible()

    assert site.revision == ["0002"]
    assert execute(site.more["SECOND_URL"], "SELECT version_num FROM alembic_version") == [("0001",)]
