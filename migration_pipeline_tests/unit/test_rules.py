"""Lost protection and risks for the service: what is found, what is not, and the safe form in the user's own names."""

import re

import pytest
from pydantic import TypeAdapter

from migration_pipeline.domain import rules, safety, sql
from migration_pipeline.domain.annotations import Annotation, Declared
from migration_pipeline.domain.effects import Statement
from migration_pipeline.domain.rule import Grade
from migration_pipeline_tests import rules_page

FORMS = {rule.code: form for rule in rules.SERVICE_RULES if (form := rules_page.safe_form(rule)) is not None}


def predict(*texts, source=None):
    statements = [Statement(sql=text, revision="r") for text in texts]
    return safety.predict(
        statements, version_table="alembic_version", sources={"r": " ".join(texts) if source is None else source}
    )


def found(*texts, grade):
    """What was found, in short: the rule's code, with a question mark where only running tells, and the objects."""
    return [f"{one.rule}{'' if one.certain else '?'} {', '.join(one.objects)}" for one in predict(*texts) if one.grade is grade]


def form(text, code=None):
    return next(one.safe_form for one in predict(text) if one.rule == code or (code is None and one.grade is Grade.RISKS_SERVICE))


def test_the_page_says_what_the_rules_say():
    assert rules_page.PAGE.read_text() == rules_page.text(), "write it anew with `just rules`"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ALTER TABLE a DISABLE TRIGGER t", ["P01 a.t"]),
        ("ALTER TABLE s.a DISABLE TRIGGER USER", ["P01 s.a"]),
        ("ALTER TABLE a ENABLE REPLICA TRIGGER t", ["P01 a.t"]),
        ("ALTER TABLE a ENABLE ALWAYS TRIGGER t", []),
        ("ALTER TABLE a NO FORCE ROW LEVEL SECURITY", ["P02 a"]),
        ("DROP POLICY p ON s.a", ["P03 s.a.p"]),
        ("DROP TRIGGER IF EXISTS audit ON a", ["P03 a.audit"]),
        ("DROP EVENT TRIGGER e", ["P03 e"]),
        ("SET session_replication_role TO DEFAULT", []),
        ("SET session_replication_role = origin", []),
        ("SELECT set_config('session_replication_role', 'replica', true)", ["P04 session_replication_role"]),
        ("SELECT pg_catalog.set_config('Session_Replication_Role', x, true) FROM y", ["P04 session_replication_role"]),
        ("SELECT set_config('search_path', 'x', true)", []),
        ("ALTER ROLE app SET session_replication_role = replica", ["P04 session_replication_role"]),
        ("ALTER DOMAIN d DROP CONSTRAINT c", ["P05 d.c"]),
        ("ALTER TABLE a DROP CONSTRAINT IF EXISTS c", ["P05? a.c"]),
        ("ALTER TABLE a ADD FOREIGN KEY (x, y) REFERENCES b ON DELETE SET NULL", ["P08 a.x, a.y"]),
        ("ALTER TABLE a ADD c int REFERENCES b ON DELETE CASCADE", ["P08 a.c"]),
        ("ALTER TABLE a ADD c int REFERENCES b ON DELETE RESTRICT", []),
        ("ALTER TABLE a ADD c int REFERENCES b ON UPDATE CASCADE", []),
        ("CREATE TABLE new (a int REFERENCES b ON DELETE CASCADE)", []),
        ("ALTER TABLE a NO INHERIT b", ["P09 a"]),
        ("ALTER TABLE a DETACH PARTITION s.b", ["P09 s.b"]),
        ("GRANT ALL ON ALL TABLES IN SCHEMA s TO PUBLIC", ["P10 s"]),
        ("GRANT USAGE ON SCHEMA s TO nurse, PUBLIC", ["P10 s"]),
        ("GRANT EXECUTE ON FUNCTION s.f(int, text) TO PUBLIC", ["P10? s.f(int4, text)"]),
        ("ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO PUBLIC", ["P10 what is made from now on"]),
        ("GRANT SELECT ON a TO nurse", []),
        ("REVOKE SELECT ON a FROM PUBLIC", []),
        ("REVOKE GRANT OPTION FOR SELECT ON a FROM nurse", []),
        ("GRANT doctor TO nurse", []),
        ("GRANT doctor TO nurse WITH ADMIN OPTION", ["P11 doctor"]),
        ("GRANT doctor TO nurse WITH ADMIN FALSE", []),
        ("GRANT pg_write_all_data TO nurse", ["P12 nurse"]),
        ("CREATE ROLE x SUPERUSER BYPASSRLS", ["P12 x"]),
        ("CREATE ROLE x NOSUPERUSER LOGIN", []),
        ("ALTER ROLE x BYPASSRLS", ["P12 x"]),
        ("ALTER DOMAIN d DROP NOT NULL", ["P13 d"]),
        ("ALTER DOMAIN d SET NOT NULL", []),
        ("ALTER TABLE a ALTER x DROP DEFAULT", []),
        ("ALTER TABLE a ALTER CONSTRAINT c ENFORCED", []),
        ("ALTER POLICY p ON a TO PUBLIC", ["P15? a.p"]),
        ("CREATE POLICY p ON a AS RESTRICTIVE USING (true)", []),
        ("CREATE POLICY p ON a FOR INSERT WITH CHECK (true::boolean)", ["P16 a.p"]),
        ("CREATE POLICY p ON a USING (false)", []),
        ("ALTER EVENT TRIGGER e ENABLE", []),
        ("ALTER EVENT TRIGGER e ENABLE REPLICA", ["P17 e"]),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'", []),
        ("CREATE OR REPLACE FUNCTION f(a int, OUT b int) LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'", ["P19? f(int4)"]),
        ("ALTER VIEW v RESET (security_barrier)", ["P20 v"]),
        ("ALTER TABLE a SET (fillfactor = 70)", []),
        ("SELECT 'DROP TRIGGER t ON a' -- DISABLE TRIGGER", []),
        ("DO $$ BEGIN ALTER TABLE a DISABLE TRIGGER t; END $$", ["P01 a.t"]),
    ],
)
def test_lost_protection_is_found(text, expected):
    assert found(text, grade=Grade.LOSES_PROTECTION) == expected


@pytest.mark.parametrize(
    "texts",
    [
        ("CREATE TABLE a (x int NOT NULL)", "ALTER TABLE a ALTER x DROP NOT NULL", "ALTER TABLE a DISABLE ROW LEVEL SECURITY"),
        (
            "CREATE TABLE a (x int)",
            "ALTER TABLE a ADD FOREIGN KEY (x) REFERENCES b ON DELETE CASCADE",
            "GRANT SELECT ON a TO PUBLIC",
        ),
        ("CREATE TABLE a (x int)", "CREATE POLICY p ON a USING (true)", "DROP POLICY p ON a", "ALTER TABLE a SET UNLOGGED"),
        ("CREATE SCHEMA s", "GRANT USAGE ON SCHEMA s TO PUBLIC", "GRANT SELECT ON ALL TABLES IN SCHEMA s TO PUBLIC"),
        (
            "CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "ALTER FUNCTION f(int) SECURITY DEFINER",
            "GRANT EXECUTE ON FUNCTION f(int) TO PUBLIC",
        ),
        ("ALTER TABLE a ADD CONSTRAINT c CHECK (x > 0) NOT VALID", "ALTER TABLE a DROP CONSTRAINT c"),
        (
            "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f()",
            "ALTER TABLE a DISABLE TRIGGER t",
            "DROP TRIGGER t ON a",
        ),
        (
            "CREATE POLICY p ON a USING (x)",
            "ALTER POLICY p ON a RENAME TO q",
            "ALTER POLICY q ON a USING (y)",
            "DROP POLICY q ON a",
        ),
        ("ALTER TABLE a ADD c int NOT NULL DEFAULT 0", "ALTER TABLE a ALTER c DROP NOT NULL"),
        ("CREATE TABLE p (x int)", "ALTER TABLE a DETACH PARTITION p"),
        ("ALTER TABLE a ALTER x DROP NOT NULL", "UPDATE b SET x = 1", "ALTER TABLE a ALTER x SET NOT NULL"),
        ("ALTER TABLE a DISABLE ROW LEVEL SECURITY", "ALTER TABLE a ENABLE ROW LEVEL SECURITY"),
    ],
)
def test_what_the_plan_made_or_puts_back_is_no_lost_protection(texts):
    assert found(*texts, grade=Grade.LOSES_PROTECTION) == []


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'", "ALTER FUNCTION f(text) SECURITY DEFINER"), ["P19 f(text)"]),
        (("CREATE TABLE IF NOT EXISTS a (x int)", "DROP TRIGGER t ON a"), ["P03? a.t"]),
        (("ALTER TABLE a ADD COLUMN c int", "ALTER TABLE a DROP CONSTRAINT c"), ["P05 a.c"]),
        (("ALTER TABLE b ADD CONSTRAINT c CHECK (x > 0) NOT VALID", "ALTER TABLE a DROP CONSTRAINT c"), ["P05 a.c"]),
        (("ALTER TABLE a ALTER x SET NOT NULL", "ALTER TABLE a ALTER x DROP NOT NULL"), ["P13 a.x"]),
        (("ALTER TABLE a ALTER x DROP NOT NULL", "ALTER TABLE a RENAME TO b", "CREATE TABLE a (x int)", "ALTER TABLE a ALTER x SET NOT NULL"), ["P13 a.x"]),
        (("ALTER TABLE a ALTER x DROP NOT NULL", "ALTER TABLE s.a ALTER x SET NOT NULL"), ["P13 a.x"]),
        (("ALTER TABLE a ALTER x DROP NOT NULL", "SAVEPOINT s", "ALTER TABLE a ALTER x SET NOT NULL", "ROLLBACK TO s"), ["P13 a.x"]),
        (("ALTER TABLE a DISABLE ROW LEVEL SECURITY", "DO $$ BEGIN ALTER TABLE a ENABLE ROW LEVEL SECURITY; END $$"), ["P02 a"]),
        (("ALTER TABLE a DISABLE TRIGGER ALL", "UPDATE a SET x = 1", "ALTER TABLE a ENABLE TRIGGER ALL"), ["P01 a"]),
    ],
)  # fmt: skip
def test_when_in_doubt_protection_is_lost(texts, expected):
    assert found(*texts, grade=Grade.LOSES_PROTECTION) == expected


@pytest.mark.parametrize(
    ("dropped", "made", "made_again"),
    [
        ("DROP POLICY p ON a", "CREATE POLICY p ON a USING (x)", True),
        ("DROP TRIGGER t ON a", "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f()", True),
        ("ALTER TABLE a DROP CONSTRAINT c", "ALTER TABLE a ADD CONSTRAINT c CHECK (x > 0)", True),
        ("ALTER TABLE a DROP CONSTRAINT c, ADD CONSTRAINT c UNIQUE (x)", "SELECT 1", True),
        ("ALTER TABLE a DROP CONSTRAINT c", "ALTER TABLE a ADD CONSTRAINT c CHECK (x > 0) NOT ENFORCED", False),
        ("ALTER TABLE a DROP CONSTRAINT c", "ALTER TABLE b ADD CONSTRAINT c CHECK (x > 0)", False),
        (
            "DROP TRIGGER t ON a",
            "DO $$ BEGIN CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f(); END $$",
            False,
        ),
        ("DROP POLICY p ON a", "CREATE POLICY q ON a USING (x)", False),
    ],
)
def test_a_guard_that_is_made_again_is_still_a_finding_that_says_so(dropped, made, made_again):
    (finding,) = [one for one in predict(dropped, made) if one.grade is Grade.LOSES_PROTECTION]
    assert finding.made_again is made_again


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ALTER VIEW v RENAME TO w", ["S01 v"]),
        ("ALTER TABLE a SET SCHEMA s", ["S01 a"]),
        ("ALTER SCHEMA s RENAME TO t", ["S01 s"]),
        ("ALTER INDEX i RENAME TO j", []),
        ("ALTER TABLE a RENAME CONSTRAINT c TO d", []),
        ("ALTER TYPE e RENAME TO f", []),
        ("ALTER TABLE a ADD c uuid DEFAULT now()", []),
        ("ALTER TABLE a ADD c text DEFAULT 'x' || upper('y')", []),
        ("ALTER TABLE a ADD c timestamptz DEFAULT clock_timestamp()", ["S03 a.c"]),
        ("ALTER TABLE a ADD c text DEFAULT md5(random()::text)", ["S03 a.c"]),
        ("ALTER TABLE a ADD c text DEFAULT app.code()", ["S03? a.c"]),
        ("ALTER TABLE a ADD c serial", ["S03 a.c"]),
        ("ALTER TABLE a ADD c int GENERATED ALWAYS AS IDENTITY", ["S03 a.c"]),
        ("ALTER TABLE a ADD c int GENERATED ALWAYS AS (x + 1) VIRTUAL", []),
        ("ALTER TABLE a ALTER x TYPE text", ["S05? a.x"]),
        ("ALTER TABLE a ADD CONSTRAINT n NOT NULL x", ["S06? a.x"]),
        ("ALTER TABLE a ADD CONSTRAINT n NOT NULL x NOT VALID", []),
        ("ALTER TABLE a ADD c int NOT NULL", ["S07 a.c"]),
        ("ALTER TABLE a ADD c int NOT NULL DEFAULT 0", []),
        ("ALTER TABLE a ADD c int PRIMARY KEY", ["S07 a.c", "S10 a.c"]),
        ("ALTER TABLE a ADD c int REFERENCES b", ["S08 a.c"]),
        ("ALTER TABLE a ADD FOREIGN KEY (x) REFERENCES b NOT ENFORCED", []),
        ("ALTER TABLE a ADD c int CHECK (c > 0)", ["S09 a.c"]),
        ("ALTER TABLE a ADD PRIMARY KEY (id)", ["S10 a"]),
        ("ALTER TABLE a ADD PRIMARY KEY USING INDEX i", []),
        ("CREATE UNIQUE INDEX i ON s.a (x)", ["S11 s.a.i"]),
        ("CREATE INDEX IF NOT EXISTS i ON a (x)", ["S11? a.i"]),
        ("DROP INDEX i, s.j", ["S12 i, s.j"]),
        ("REINDEX SCHEMA s", ["S13 s"]),
        ("CLUSTER", ["S14 every table"]),
        ("VACUUM (FULL) a, b", ["S14 a, b"]),
        ("VACUUM a", []),
        ("LOCK TABLE a IN SHARE MODE", []),
        ("ALTER TABLE a SET LOGGED", ["S16 a"]),
        ("ALTER TABLE ALL IN TABLESPACE t SET TABLESPACE u", ["S16 everything in t"]),
        ("ALTER TABLE a ATTACH PARTITION b DEFAULT", ["S17? b"]),
        ("ALTER TABLE a DETACH PARTITION b CONCURRENTLY", []),
        ("REFRESH MATERIALIZED VIEW v WITH NO DATA", ["S19 v"]),
        ("ALTER TABLE a ADD EXCLUDE USING gist (x WITH &&)", ["S20 a"]),
        ("ALTER DOMAIN d ADD CHECK (value > 0)", ["S21 d"]),
        ("CREATE TABLE a (id serial PRIMARY KEY, x int REFERENCES b CHECK (x > 0))", []),
        ("COMMENT ON TABLE a IS 'LOCK TABLE a'", []),
        ("DO $$ BEGIN CREATE INDEX i ON a (x); END $$", ["S11 a.i"]),
    ],
)
def test_a_risk_for_the_service_is_found(text, expected):
    assert found(text, grade=Grade.RISKS_SERVICE) == expected


@pytest.mark.parametrize(
    "texts",
    [
        ("CREATE TABLE a (x int)", "CREATE INDEX i ON a (x)", "ALTER TABLE a ADD PRIMARY KEY (x)", "ALTER TABLE a ALTER x SET NOT NULL"),
        ("CREATE TABLE a (x int)", "ALTER TABLE a RENAME x TO y", "ALTER TABLE a RENAME TO b", "LOCK TABLE b"),
        ("CREATE TEMP TABLE a (x int)", "ALTER TABLE a ALTER x TYPE text", "LOCK TABLE a", "DROP TABLE a"),
        ("CREATE TABLE new (x int)", "DROP TABLE a", "ALTER TABLE new RENAME TO a"),
        ("ALTER TABLE a ADD COLUMN x int", "ALTER TABLE a RENAME x TO y"),
        ("CREATE INDEX CONCURRENTLY i ON a (x)", "DROP INDEX i"),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1", "REFRESH MATERIALIZED VIEW v"),
        ("CREATE TABLE p (x int)", "ALTER TABLE a ATTACH PARTITION p DEFAULT"),
        ("ALTER TABLE a ADD CONSTRAINT c CHECK (x IS NOT NULL AND y > 0) NOT VALID", "ALTER TABLE a VALIDATE CONSTRAINT c", "ALTER TABLE a ALTER x SET NOT NULL"),
        ("ALTER TABLE a RENAME TO b", "CREATE VIEW a AS SELECT * FROM b"),
        ("ALTER TABLE a RENAME TO b", "CREATE TABLE a (x int) PARTITION BY LIST (x)"),
        ("CREATE TABLE new (x int)", "ALTER TABLE a RENAME TO old", "ALTER TABLE new RENAME TO a"),
    ],
)  # fmt: skip
def test_what_the_plan_made_or_proved_is_no_risk(texts):
    assert found(*texts, grade=Grade.RISKS_SERVICE) == []


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("ALTER TABLE a ADD COLUMN x int", "ALTER TABLE a ALTER x SET NOT NULL"), ["S06? a.x"]),
        (("ALTER TABLE a ADD CONSTRAINT c CHECK (x IS NOT NULL) NOT VALID", "ALTER TABLE a ALTER x SET NOT NULL"), ["S06? a.x"]),
        (("ALTER TABLE a ADD CONSTRAINT c CHECK (x IS NOT NULL OR y) NOT VALID", "ALTER TABLE a VALIDATE CONSTRAINT c", "ALTER TABLE a ALTER x SET NOT NULL"), ["S06? a.x"]),
        (("ALTER TABLE a ADD CONSTRAINT c CHECK (x IS NOT NULL) NOT VALID", "ALTER TABLE a VALIDATE CONSTRAINT c, DROP CONSTRAINT c", "ALTER TABLE a ALTER x SET NOT NULL"), ["S06? a.x"]),
        (("CREATE VIEW a AS SELECT 1", "ALTER TABLE b RENAME TO c", "ALTER TABLE d RENAME TO e"), ["S01 b", "S01 d"]),
    ],
)  # fmt: skip
def test_when_in_doubt_it_is_a_risk(texts, expected):
    assert found(*texts, grade=Grade.RISKS_SERVICE) == expected


def test_the_safe_form_is_written_in_the_users_own_names():
    assert form("ALTER TABLE ONLY visits ADD FOREIGN KEY(patient) REFERENCES patients (id) ON UPDATE CASCADE") == (
        "ALTER TABLE ONLY visits ADD CONSTRAINT visits_patient_fkey FOREIGN KEY (patient) REFERENCES patients (id) ON UPDATE CASCADE NOT VALID;\n"
        "-- in a later migration:\n"
        "ALTER TABLE visits VALIDATE CONSTRAINT visits_patient_fkey;"
    )
    assert form('ALTER TABLE "Clinic"."Order" ADD "from" uuid DEFAULT gen_random_uuid() NOT NULL UNIQUE') == (
        'ALTER TABLE "Clinic"."Order" ADD COLUMN "from" uuid;\n'
        'ALTER TABLE "Clinic"."Order" ALTER COLUMN "from" SET DEFAULT gen_random_uuid();\n'
        "-- in batches:\n"
        'UPDATE "Clinic"."Order" SET "from" = DEFAULT WHERE "from" IS NULL;\n'
        "-- once every row has a value, in a later migration:\n"
        'ALTER TABLE "Clinic"."Order" ADD CONSTRAINT "Order_from_set" CHECK ("from" IS NOT NULL) NOT VALID;\n'
        "-- in a later migration again:\n"
        'ALTER TABLE "Clinic"."Order" VALIDATE CONSTRAINT "Order_from_set";\n'
        'ALTER TABLE "Clinic"."Order" ALTER COLUMN "from" SET NOT NULL;\n'
        'ALTER TABLE "Clinic"."Order" DROP CONSTRAINT "Order_from_set";\n'
        "-- in a migration of its own, outside a transaction:\n"
        'CREATE UNIQUE INDEX CONCURRENTLY "Order_from_key" ON "Clinic"."Order" ("from");\n'
        "-- in a later migration:\n"
        'ALTER TABLE "Clinic"."Order" ADD CONSTRAINT "Order_from_key" UNIQUE USING INDEX "Order_from_key";'
    )
    assert form("CREATE UNIQUE INDEX i ON s.a USING gin (lower(x) DESC) INCLUDE (y) WHERE x > 5") == (
        "-- in a migration of its own, outside a transaction:\n"
        "CREATE UNIQUE INDEX CONCURRENTLY i ON s.a USING gin (lower(x) DESC) INCLUDE (y) WHERE x > 5;"
    )
    assert form("DROP INDEX IF EXISTS s.i, j") == (
        "-- in a migration of its own, outside a transaction:\nDROP INDEX CONCURRENTLY IF EXISTS s.i;\nDROP INDEX CONCURRENTLY IF EXISTS j;"
    )
    assert form("ALTER TABLE a ADD c bigserial", "S03").startswith(  # the name of the sequence is no value
        "ALTER TABLE a ADD COLUMN c bigint;\n"
        "CREATE SEQUENCE a_c_seq OWNED BY a.c;\n"
        "ALTER TABLE a ALTER COLUMN c SET DEFAULT nextval('a_c_seq');\n"
        "-- in batches:\n"
    )
    assert form("ALTER TABLE a ADD PRIMARY KEY (x, y) INCLUDE (z)", "S10") == (
        "-- in a migration of its own, outside a transaction:\n"
        "CREATE UNIQUE INDEX CONCURRENTLY a_pkey ON a (x, y) INCLUDE (z);\n"
        "-- once its columns are NOT NULL, in a later migration:\n"
        "ALTER TABLE a ADD CONSTRAINT a_pkey PRIMARY KEY USING INDEX a_pkey;"
    )


def test_a_long_name_is_cut_as_postgresql_cuts_it():
    table, column = "t" * 40, "ä" * 20
    name = re.search(r'ADD CONSTRAINT "?(\w+)', form(f"ALTER TABLE {table} ADD FOREIGN KEY ({column}) REFERENCES b"))[1]
    assert name.endswith("_fkey")
    assert len(name.encode()) <= 63


def test_a_safe_form_shows_no_literal_that_is_not_the_revisions_own():
    text = "ALTER TABLE a ADD CONSTRAINT c CHECK (x <> 'Jane' AND y < 1234)"
    assert "CHECK (x <> '…' AND y < …) NOT VALID;" in next(one.safe_form for one in predict(text, source=""))
    assert "CHECK (x <> '…' AND y < …) NOT VALID;" in form("ALTER TABLE a ADD CONSTRAINT c CHECK (x <> '…' AND y < …)")


def test_a_number_that_was_hidden_is_not_made_up():
    assert form("ALTER TABLE a ALTER x TYPE VARCHAR(…)", "S05") is None


@pytest.mark.parametrize("code", FORMS)
def test_a_safe_form_parses_and_risks_nothing(code):
    statements = [line for line in FORMS[code].splitlines() if not line.startswith("--")]
    assert all(sql.parse(one, has_parameters=False).tree is not None for one in statements)
    if code != "S17":  # its CHECK is not told by the text, so it does not count
        assert found(*statements, grade=Grade.RISKS_SERVICE) == []


def test_protection_and_service_never_make_a_plan_destructive():
    statements = [Statement(sql=rule.bad, revision="r") for rule in (*rules.PROTECTION_RULES, *rules.SERVICE_RULES)]
    outside = Statement(sql="ALTER TABLE a DISABLE TRIGGER ALL", revision=None)
    report = safety.classify(
        annotations={"r": Annotation(declared=Declared.NON_DESTRUCTIVE)},
        files={"r": "r.py"},
        statements=[*statements, outside],
        measured=None,
        version_table="alembic_version",
    )
    assert not report.refused
    assert not report.needs_confirmation
    assert {one.rule for one in report.protection} == {rule.code for rule in rules.PROTECTION_RULES}
    assert report.protection[-1] == report.outside[0]
    assert {one.rule for one in report.service} == {rule.code for rule in rules.SERVICE_RULES} - {
        "S12"
    }  # of an index that the plan made
    adapter = TypeAdapter(safety.SafetyReport)
    assert adapter.validate_json(adapter.dump_json(report)) == report
