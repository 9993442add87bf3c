"""The safe form of each rule's bad example runs on PostgreSQL as it is written, and rewrites no table."""

import pytest

from migration_pipeline.domain import rules
from migration_pipeline_tests import rules_page
from migration_pipeline_tests.conftest import execute

SCHEMA = (
    "CREATE TABLE patients (id int PRIMARY KEY, name text, weight real, size real, mrn text)",
    "CREATE TABLE visits (patient int, year int) PARTITION BY LIST (year)",
    "CREATE TABLE visits_2019 PARTITION OF visits FOR VALUES IN (2019)",
    "CREATE TABLE visits_2027 (patient int, year int)",
    "INSERT INTO patients SELECT n, 'x', 1, 1, n FROM generate_series(1, 3) n",
    "INSERT INTO visits VALUES (1, 2019)",
    "INSERT INTO visits_2027 VALUES (1, 2027)",
    "CREATE MATERIALIZED VIEW report AS SELECT id FROM patients",
    "CREATE UNIQUE INDEX ON report (id)",
    "CREATE DOMAIN mrn AS text",
)
#: What the text of a statement does not tell, and a person fills in.
FILLED_IN = {"S02": "text", "S07": "'east'", "S17": "year IS NOT NULL AND year = 2027"}
BEFORE = {
    "S08": ("DROP TABLE visits", "CREATE TABLE visits (patient int)"),  # NOT VALID on a partitioned table: from PostgreSQL 18 on
    "S11": ("ALTER TABLE patients ADD COLUMN ward text",),
    "S12": ("CREATE INDEX patients_ward ON patients (name)",),
}
FROM_18 = ("S04",)  #: virtual columns
REWRITES = ("S03", "S04", "S05")
FORMS = {rule.code: form for rule in rules.SERVICE_RULES if (form := rules_page.safe_form(rule)) is not None}
FILES = "SELECT array_agg(pg_relation_filenode(oid) ORDER BY relname) FROM pg_class WHERE relname IN ('patients', 'people', 'visits_2019', 'visits_2027')"


@pytest.fixture
def clinic(database):
    execute(database, *SCHEMA)
    return database


@pytest.mark.parametrize("code", FORMS)
def test_a_safe_form_runs_and_rewrites_nothing(code, clinic):
    if code in FROM_18 and int(execute(clinic, "SHOW server_version_num")[0][0]) < 180000:
        pytest.skip("says itself that it needs PostgreSQL 18")
    execute(clinic, *BEFORE.get(code, ()))
    before = execute(clinic, FILES)
    form = FORMS[code].replace("…", FILLED_IN.get(code, "…"))
    for statement in (line for line in form.splitlines() if not line.startswith("--")):
        execute(clinic, f"BEGIN; {statement} COMMIT" if statement.startswith("LOCK") else statement)
    assert execute(clinic, FILES) == before


@pytest.mark.parametrize("code", REWRITES)
def test_the_bad_example_of_a_rewrite_rewrites(code, clinic):
    before = execute(clinic, FILES)
    execute(clinic, rules.BY_CODE[code].bad)
    assert execute(clinic, FILES) != before
