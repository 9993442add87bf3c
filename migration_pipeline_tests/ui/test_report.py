"""The safety report in a real browser: all that it says is there, nothing is asked of the network, and it prints."""

import re

import pytest
from playwright.sync_api import expect, sync_playwright

from migration_pipeline_tests import projects
from migration_pipeline_tests.ui.test_ui import CHROMIUM, OPTIONS

TITLE = "Drop <script>document.title='owned'</script> & the allergy"
CANARY = "canary-allergy-7731"
DROPS = f'''"""{TITLE}"""

# SAFETY: DESTRUCTIVE
# SAFETY-REASON: retired with release 4, <b>agreed</b>

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade():
    connection = op.get_bind()
    (note,) = connection.execute(sa.text("SELECT allergy FROM patients WHERE allergy IS NOT NULL ORDER BY id LIMIT 1")).one()
    connection.exec_driver_sql(f"UPDATE letters SET sent = NULL WHERE '{{note}}' = 'nothing'")
    op.execute("DROP POLICY own ON letters")
    op.drop_column("patients", "allergy")
    op.execute("DELETE FROM letters WHERE patient IS NULL")
'''


@pytest.fixture
def report(make_site18):
    """The report of a plan that loses data and protection, rewrites a table, and is over the lock budget."""
    site = make_site18("holds_locks", at="0001")
    site.query(
        f"INSERT INTO patients (name, allergy) SELECT 'Canaryname ' || i, '{CANARY} ' || i FROM generate_series(1, 1500) i",
        "INSERT INTO letters (patient) SELECT NULL FROM generate_series(1, 41)",
        "CREATE POLICY own ON letters USING (true)",
    )
    (projects.revision_file(site.project, "0003").parent / "0004_drop_allergy.py").write_text(DROPS)
    site.configure(lock_budget_reads_seconds=0.4)
    site.take_backup()
    assert site.run("plan", "--rehearse").returncode == 3
    (path,) = (site.folder / "backups").rglob("report_*.html")
    return path


def test_the_report_of_a_destructive_plan_in_a_browser(report, tmp_path):
    said, asked = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        page = browser.new_page(viewport={"width": 1240, "height": 900})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(report.as_uri())

        expect(page.locator(".answer .sentence")).to_have_text(
            re.compile(
                r"^1,500 values of patients\.allergy are lost and 41 rows of letters are lost; reads of patients wait for up to "
                r"[\d.]+ s, writes to letters wait for up to [\d.]+ s; this plan is refused until it is accepted by --accept-locks "
                r"and an operator types CONFIRM\.$"
            )
        )
        last = page.locator("article.revision").last
        expect(last.get_by_role("heading")).to_have_text(f"0004 {TITLE}")
        declared, predicted, measured = last.locator("table.witnesses > tbody > tr > td").all()
        expect(declared).to_contain_text("DESTRUCTIVE")
        expect(declared).to_contain_text("“retired with release 4, <b>agreed</b>”")
        expect(predicted).to_contain_text("L02 column dropped: patients.allergy")
        expect(predicted).to_contain_text("UPDATE letters SET sent = NULL WHERE '…' = 'nothing'")
        expect(measured).to_contain_text("1,500 values of patients.allergy are lost")
        expect(measured.get_by_role("row", name="letters")).to_contain_text("41")
        expect(page.locator("#ledger + p + .card tbody tr")).to_have_count(2)
        bars = page.locator("svg.timeline rect.bar")
        expect(bars).to_have_count(4)
        over = page.locator("svg.timeline g", has=page.locator("rect.over"))
        expect(over).to_have_count(1)
        expect(over.locator("title")).to_have_text(re.compile(r"^patients: ACCESS EXCLUSIVE blocks reads and writes, from "))
        expect(over.locator("title")).to_have_text(re.compile(r"ALTER TABLE patients ALTER COLUMN id TYPE bigint$"))

        assert page.title().startswith("Safety report ")
        assert page.locator("table").count() == page.locator("table:has(thead th[scope=col])").count()
        assert page.locator("tbody > tr").count() >= page.locator("tbody th[scope=row]").count() > 10
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(LOW_CONTRAST) == []
            page.screenshot(path=tmp_path / f"report-{scheme}.png", full_page=True)
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == 390, "a phone scrolls tables, and not the page"
        assert page.pdf(path=tmp_path / "report.pdf", format="A4").startswith(b"%PDF")
        browser.close()

    assert (said, asked) == ([], [report.as_uri()])
    assert CANARY not in report.read_text()


#: The texts whose contrast to what is behind them is less than WCAG AA's 4.5, with their ratio.
LOW_CONTRAST = """() => {
  const channel = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const luminance = (rgb) => 0.2126 * channel(rgb[0]) + 0.7152 * channel(rgb[1]) + 0.0722 * channel(rgb[2]);
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = numbers(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const element of document.querySelectorAll("body *")) {
    if (!element.matches("svg *") && [...element.childNodes].some((one) => one.nodeType === 3 && one.data.trim())) {
      const [one, other] = [numbers(getComputedStyle(element).color), behind(element)].map(luminance);
      const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
      if (ratio < 4.5) low.push(`${element.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
    }
  }
  return low;
}"""
