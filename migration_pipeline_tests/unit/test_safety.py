"""The rules by their own examples, what a plan made itself, and the verdict of three witnesses."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from migration_pipeline import errors
from migration_pipeline.domain import rules, safety
from migration_pipeline.domain.annotations import Annotation, Declared, Source
from migration_pipeline.domain.effects import Loss, RevisionEffects, RowChange, Statement

FILE = "alembic/versions/a1b2c3_drop_allergy.py"


def predict(*texts, version_table="alembic_version", source=""):
    statements = [Statement(sql=text, revision="a1b2c3") for text in texts]
    return safety.predict(statements, version_table=version_table, sources={"a1b2c3": source})


def found(*texts, **options):
    """What was found, in short: the rule's code, with a question mark where only running tells, and the objects."""
    return [
        f"{one.rule}{'' if one.certain else '?'} {', '.join(one.objects)}"
        for one in predict(*texts, **options)
        if one.grade in {safety.Grade.LOSES_DATA, safety.Grade.UNKNOWN}
    ]


@pytest.mark.parametrize("rule", safety.RULES, ids=lambda rule: rule.code)
def test_a_rule_finds_its_bad_example_and_not_its_good_one(rule):
    assert rule.code in {one.rule for one in predict(rule.bad)}
    assert predict(rule.good) == ()


def test_every_rule_has_a_code_of_its_own_and_says_everything():
    assert len(rules.BY_CODE) == len(safety.RULES)
    for rule in safety.RULES:
        assert all([rule.name, rule.sees, rule.effect, rule.instead, rule.bad, rule.good])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('DROP TABLE a, clinic."B" CASCADE', ["L01 a, clinic.B"]),
        ("DROP TABLE IF EXISTS a", ["L01? a"]),
        ("ALTER TABLE a DROP COLUMN IF EXISTS b, DROP c", ["L02 a.b, a.c"]),
        ("ALTER TABLE IF EXISTS ONLY a DROP b", ["L02? a.b"]),
        ("ALTER TYPE address DROP ATTRIBUTE zip", ["L02 address.zip"]),
        ("ALTER TABLE a ADD COLUMN x int, DROP COLUMN y, ALTER z TYPE text", ["L02 a.y", "L17? a.z"]),
        ("DROP SCHEMA s", ["L06? s"]),
        ("DROP SCHEMA s CASCADE", ["L06 s"]),
        ("DROP TYPE e", ["L07? e"]),
        ("DROP DOMAIN d CASCADE", ["L07? d"]),
        ("DROP VIEW v CASCADE", ["L10? v"]),
        ("DROP VIEW v", []),
        ("DROP INDEX i", []),
        ("ALTER TABLE a DROP CONSTRAINT c CASCADE", ["L10? a.c"]),
        ("DELETE FROM a USING b WHERE a.id = b.id", ["L11 a"]),
        ("DELETE FROM ONLY s.a WHERE false", ["L11 s.a"]),
        ("WITH d AS (DELETE FROM a RETURNING *) SELECT * FROM d", ["L11 a"]),
        ("WITH d AS (UPDATE a SET x = NULL RETURNING *), e AS (DELETE FROM b) SELECT 1", ["L14? a.x", "L11 b"]),
        ("CREATE TABLE new AS WITH d AS (SELECT 1) SELECT * FROM d", []),
        ("TRUNCATE a, b RESTART IDENTITY CASCADE", ["L12 a, b"]),
        ("UPDATE a SET (x, y) = (1, 2)", ["L14? a.x, a.y"]),
        ("INSERT INTO a VALUES (1) ON CONFLICT (id) DO UPDATE SET x = 1, y = 2", ["L15? a.x, a.y"]),
        ("MERGE INTO a USING b ON true WHEN MATCHED AND b.x THEN DELETE WHEN MATCHED THEN UPDATE SET y = 1", ["L13 a", "L16? a.y"]),
        ("ALTER TABLE a ALTER x RESTART WITH 1", ["L20? a.x"]),
        ("ALTER TABLE a ALTER x DROP IDENTITY", ["L05? a.x"]),
        ("SELECT pg_catalog.setval('s.a_id_seq', max(id)) FROM a", ["L19? s.a_id_seq"]),
        ("DO $$ BEGIN IF x THEN DELETE FROM a; END IF; END $$", ["L11 a"]),
        ("DO $$ BEGIN EXECUTE 'TRUNCATE a'; END $$", ["L12 a"]),
        (
            "DO $$ BEGIN EXECUTE format('DROP TABLE %I', t); END $$",
            ["U02 EXECUTE runs a text that the block builds", "L01 …"],
        ),
        (
            "DO $$ BEGIN EXECUTE 'DELETE FROM ' || t || ' WHERE x = ' || quote_literal(y); END $$",
            ["U02 EXECUTE runs a text that the block builds", "L11 …"],
        ),
        ("DO $$ BEGIN EXECUTE t; END $$", ["U02 EXECUTE runs a text that the block builds"]),
        ("DO $$ BEGIN PERFORM tidy(); x := tidy_too(); END $$", ["U02 the block cannot be parsed", "U03 tidy"]),
        ("DO $$ DECLARE x int := tidy(); BEGIN x := tidy_too(); END $$", ["U03 tidy", "U03 tidy_too"]),
        ("DO $$ DECLARE r a%ROWTYPE; x app.t; BEGIN FOR r IN q LOOP DELETE FROM a; END LOOP; END $$",
         ["U02 the block cannot be parsed", "L11 a"]),
        ("DO LANGUAGE plpython3u $$ plpy.execute('DELETE') $$", ["U02 a block in plpython3u cannot be read"]),
        ("CALL tidy(1)", ["U03 tidy"]),
        ("SELECT app.tidy(), now(), count(*) FROM a", ["U03 app.tidy"]),
        ("SELECT app.now()", ["U03 app.now"]),
        ("INSERT INTO a SELECT tidy()", ["U03 tidy"]),
        ("ALTER TABLE a ADD COLUMN b uuid DEFAULT make_id()", ["U03 make_id"]),
        ("ALTER TABLE a ADD COLUMN b uuid DEFAULT uuid_generate_v4()", []),
        ("ALTER TABLE a ALTER b SET DEFAULT make_id()", []),
        ("SELECT query_to_xml('DELETE FROM a', true, true, '')", ["U03 query_to_xml"]),
        ("EXECUTE prepared", ["U04 Execute"]),
        ("PREPARE p AS DELETE FROM a", []),
        ("PREPARE p AS DELETE FROM a; PREPARE q AS SELECT 1; EXECUTE q", []),
        ("PREPARE p AS DELETE FROM a; EXPLAIN EXECUTE p", []),
        ("PREPARE p AS DELETE FROM a; EXECUTE p", ["L11 a"]),
        ("PREPARE p (int) AS DELETE FROM a WHERE id = $1; EXECUTE p (1); EXECUTE p (2)", ["L11 a", "L11 a"]),
        ("PREPARE p AS DELETE FROM a; DO $$ BEGIN EXECUTE 'EXECUTE p'; END $$", ["L11 a"]),
        ("PREPARE p AS DELETE FROM a; CREATE TABLE b AS EXECUTE p", ["L11 a"]),
        ("DEALLOCATE p; PREPARE p AS DELETE FROM a; DEALLOCATE p; EXECUTE q", ["U04 Execute"]),
        ("REFRESH MATERIALIZED VIEW v", ["L23? v"]),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY s.v", ["L23? s.v"]),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1; REFRESH MATERIALIZED VIEW v WITH NO DATA", []),
        ("SELECT lo_unlink(scan) FROM a", ["L21 lo_unlink"]),
        ("SELECT lo_unlink($1)", ["L21 lo_unlink"]),
        ("SELECT pg_catalog.lo_unlink('4711'::oid)", ["L21? 4711"]),
        ("DO $$ BEGIN IF x THEN DROP TABLE a; DELETE FROM b; END IF; DROP TABLE c; END $$", ["L01? a", "L11 b", "L01 c"]),
        ("DO $$ BEGIN DROP TABLE a; EXCEPTION WHEN OTHERS THEN DROP TABLE b; END $$", ["L01? a", "L01? b"]),
        ("DO $$ BEGIN BEGIN DROP TABLE a; END; DROP TABLE b; END $$", ["L01 a", "L01 b"]),
        ("DO $$ BEGIN IF x THEN TRUNCATE a; END IF; TRUNCATE b; END $$", ["L12? a", "L12 b"]),
        ("DO $$ BEGIN IF x THEN DROP TABLE a; END IF; DROP TABLE a; END $$", ["L01 a", "L01 a"]),
        ("ALTER ROLE x BYPASSRLS", []),
        ("ALTER ROLE x SET search_path = s", []),
        ("DROP ROLE x", []),
        ("SAVEPOINT s; DROP TABLE a; ROLLBACK TO s", []),
        ("SAVEPOINT s; DROP TABLE a; ROLLBACK TO s; DROP TABLE b", ["L01 b"]),
        ("SAVEPOINT s; DROP TABLE a; RELEASE s", ["L01 a"]),
        ("SAVEPOINT s; DROP TABLE a; ROLLBACK TO other", ["L01 a"]),
        ("SAVEPOINT s; DROP TABLE a; SAVEPOINT s; DROP TABLE b; ROLLBACK TO s; DROP TABLE c", ["L01 a", "L01 c"]),
        ("SAVEPOINT s; DROP TABLE a; SAVEPOINT s; RELEASE s; ROLLBACK TO s", []),
        ("SAVEPOINT s; DROP TABLE a; RELEASE s; ROLLBACK TO s", ["L01 a"]),
        ("SAVEPOINT s; SELECT setval('q', 1), tidy(); ROLLBACK TO s", ["L19? q", "U03 tidy"]),
        ("EXPLAIN DELETE FROM a", []),
        ("EXPLAIN ANALYZE DELETE FROM a", ["L11 a"]),
        ("COPY (SELECT tidy()) TO STDOUT", ["U03 tidy"]),
        ("SELECT 1; DROP TABLE a; FROBNICATE", ["U01 the text cannot be parsed"]),
        ("SELECT 1; DROP TABLE a", ["L01 a"]),
    ],
)  # fmt: skip
def test_loss_is_predicted(text, expected):
    assert found(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 'DROP TABLE a', \"DELETE\" FROM x -- TRUNCATE a", "COMMENT ON TABLE a IS 'DROP TABLE a'", "GRANT DELETE ON a TO b",
        "REVOKE TRUNCATE ON a FROM b", "CREATE TRIGGER t BEFORE DELETE ON a FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DELETE FROM a; END $$",
        "CREATE FUNCTION f() RETURNS void BEGIN ATOMIC DELETE FROM a; END", "CREATE RULE r AS ON INSERT TO a DO ALSO DELETE FROM b",
        "CREATE VIEW v AS SELECT tidy()", "ALTER TYPE e ADD VALUE 'x'", "ALTER TYPE e RENAME VALUE 'x' TO 'y'",
        "ALTER TABLE a ADD COLUMN x int NOT NULL DEFAULT 0", "ALTER TABLE a ALTER x SET NOT NULL", "ALTER TABLE a RENAME x TO y",
        "ALTER TABLE a ALTER x SET DEFAULT 1", "ALTER TABLE a VALIDATE CONSTRAINT c", "ALTER TABLE a OWNER TO b",
        "ALTER TABLE a ADD CONSTRAINT c FOREIGN KEY (x) REFERENCES b (id) ON DELETE CASCADE", "ALTER TABLE a ATTACH PARTITION b DEFAULT",
        "CREATE TABLE a (id serial PRIMARY KEY, x int DEFAULT tidy())", "CREATE INDEX i ON a (lower(x))", "CREATE SCHEMA s",
        "CREATE TYPE e AS ENUM ('DELETE')", "CREATE SEQUENCE s", "CREATE EXTENSION hstore", "CREATE POLICY p ON a USING (allowed())",
        "INSERT INTO a (x) VALUES (1), (lower('X'))", "INSERT INTO a VALUES (1) ON CONFLICT DO NOTHING", "SELECT extract(year FROM now())",
        "SET LOCAL lock_timeout = '5s'", "LOCK TABLE a", "ANALYZE a", "SAVEPOINT s", "RELEASE s",
        "SHOW x", "REINDEX TABLE a", "ALTER SEQUENCE s OWNED BY a.x", "ALTER INDEX i RENAME TO j", "DROP FUNCTION f()", "DROP TRIGGER t ON a",
        "DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_type) THEN CREATE TYPE e AS ENUM ('x'); END IF; END $$", "COPY a FROM STDIN",
        "DO $$ BEGIN EXECUTE 'COMMENT ON TABLE a IS ''x'''; RAISE NOTICE 'done'; END $$", "ALTER DOMAIN d ADD CHECK (value > 0)",
    ],
)  # fmt: skip
def test_harmless_statements_are_no_findings(text):
    assert found(text) == []


@pytest.mark.parametrize(
    "texts",
    [
        ("CREATE TABLE a (x int)", "UPDATE a SET x = 1", "DELETE FROM a", "ALTER TABLE a DROP x", "TRUNCATE a", "DROP TABLE a"),
        ("CREATE TEMP TABLE a (x int)", "DELETE FROM a", "DROP TABLE a"),
        ("DELETE FROM pg_temp.a", "DROP TABLE pg_temp.a"),
        ("CREATE TABLE a AS SELECT 1", "DELETE FROM a"),
        ("SELECT 1 INTO a", "DELETE FROM a"),
        ("CREATE TABLE a (x int)", "ALTER TABLE a RENAME TO b", "DELETE FROM b"),
        ("CREATE TABLE a (x int)", "ALTER TABLE a SET SCHEMA s", "DELETE FROM s.a"),
        ("CREATE SCHEMA s", "DELETE FROM s.a", "DROP SCHEMA s CASCADE"),
        ("ALTER TABLE a ADD COLUMN x int", "UPDATE a SET x = 1", "ALTER TABLE a ALTER x TYPE text", "ALTER TABLE a DROP x"),
        ("ALTER TABLE a ADD COLUMN x int", "ALTER TABLE a RENAME x TO y", "UPDATE a SET y = 1"),
        ("CREATE TYPE e AS ENUM ('x')", "DROP TYPE e"),
        ("CREATE SEQUENCE s", "SELECT setval('s', 5)", "ALTER SEQUENCE s RESTART", "DROP SEQUENCE s"),
        ("CREATE TABLE a (id serial)", "SELECT setval('a_id_seq', 5)"),
        ("CREATE TABLE a (x int); DELETE FROM a; DROP TABLE a",),
    ],
)
def test_what_the_plan_made_itself_is_no_loss(texts):
    assert found(*texts) == []


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("CREATE TABLE IF NOT EXISTS a (x int)", "DROP TABLE a"), ["L01? a"]),
        (("CREATE TABLE s.a (x int)", "DELETE FROM a"), ["L11? a"]),
        (("CREATE TABLE s.a (x int)", "DELETE FROM t.a"), ["L11 t.a"]),
        (("CREATE TABLE a (x int)", "SET search_path = other", "DELETE FROM a"), ["L11? a"]),
        (("CREATE TABLE a (x int)", "ROLLBACK TO s", "DELETE FROM a"), ["L11? a"]),
        (("DO $$ BEGIN CREATE TABLE a (x int); END $$", "DELETE FROM a"), ["L11? a"]),
        (("ALTER TABLE a ADD COLUMN x int", "UPDATE a SET x = 1, y = 2"), ["L14? a.y"]),
        (("ALTER TABLE a ADD COLUMN x int", "DELETE FROM a"), ["L11 a"]),
        (("CREATE TEMP TABLE a (x int)", "DROP TABLE a", "DROP TABLE a"), ["L01 a"]),
        (("CREATE TABLE a (x int)", "ALTER TABLE a RENAME TO b", "DELETE FROM a"), ["L11 a"]),
        (("CREATE TABLE new (x int)", "DROP TABLE a", "ALTER TABLE new RENAME TO a", "DELETE FROM a"), ["L01 a"]),
        (("ALTER TABLE a RENAME TO old", "CREATE TABLE a (x int)", "DELETE FROM a", "DROP TABLE old"), ["L01 old"]),
    ],
)
def test_when_in_doubt_an_object_was_there_before(texts, expected):
    assert found(*texts) == expected


@pytest.mark.parametrize("name", ["alembic_version", "public.alembic_version"])
def test_alembics_own_rows_are_no_data(name):
    texts = [
        "UPDATE alembic_version SET version_num = 'b'",
        "DELETE FROM public.alembic_version",
        "INSERT INTO alembic_version VALUES (1)",
    ]
    assert found(*texts, version_table=name) == []
    assert found("DROP TABLE alembic_version", version_table=name) == ["L01 alembic_version"]
    assert found("DELETE FROM clinic.alembic_version", version_table="public.alembic_version") == ["L11 clinic.alembic_version"]


def test_a_finding_shows_no_literal_that_is_not_the_revisions_own():
    source = "op.execute(f\"DELETE FROM a WHERE x = 'old' AND name = '{name}'\")"
    (finding,) = predict("DELETE FROM a WHERE x = 'old' AND name = 'Jane'", source=source)
    assert finding.statement == "DELETE FROM a WHERE x = 'old' AND name = '…'"
    assert predict("DELETE FROM a WHERE name = 'Jane'")[0].statement == "DELETE FROM a WHERE name = '…'"


@pytest.mark.parametrize(
    "text", ["ALTER TABLE a ALTER x TYPE VARCHAR(…)", "ALTER SEQUENCE s RESTART WITH …", "DELETE FROM a LIMIT_ID"]
)
def test_a_redacted_statement_is_still_understood(text):
    assert predict(text)[0].rule.startswith("L")


def test_a_statement_is_read_as_it_was_sent():
    sent = Statement(sql="DELETE FROM a WHERE x = %(x)s AND y IN %(y)s", has_parameters=True, revision="r")
    (finding,) = safety.predict([sent], version_table="v")
    assert (finding.rule, finding.statement) == ("L11", sent.sql)


# --- the verdict ---

DROP = Statement(sql="ALTER TABLE patients DROP COLUMN allergy", revision="a1b2c3")
ADD = Statement(sql="ALTER TABLE patients ADD COLUMN note text", revision="a1b2c3")
UPDATE = Statement(sql="UPDATE patients SET name = upper(name)", revision="a1b2c3")
UNKNOWN = Statement(sql="SELECT tidy_up()", revision="a1b2c3")
DELETE = Statement(sql="DELETE FROM visits WHERE day > now()", revision="a1b2c3")
NON_DESTRUCTIVE = Annotation(declared=Declared.NON_DESTRUCTIVE)
DESTRUCTIVE = Annotation(declared=Declared.DESTRUCTIVE)
LOST_COLUMN = Loss(kind="column", name="public.patients.allergy", how="dropped", values=48213)


def ran(*statements, lost=(), rows=(), unmeasured=(), revision="a1b2c3"):
    return RevisionEffects(revision=revision, statements=statements, rows=rows, lost=lost, seconds=0.1, unmeasured=unmeasured)


def classify(annotation, *statements, measured=None, **options):
    return safety.classify(
        annotations={"a1b2c3": annotation} if annotation else {},
        files={"a1b2c3": FILE},
        statements=statements,
        measured=None if measured is None else [measured],
        version_table="alembic_version",
        **options,
    )


def refusal(report, kind):
    with pytest.raises(kind) as caught:
        report.raise_if_refused()
    assert type(caught.value) is kind
    return str(caught.value)


def test_lost_values_under_non_destructive_are_refused_with_the_line_to_change():
    report = classify(NON_DESTRUCTIVE, DROP, measured=ran(DROP, lost=(LOST_COLUMN,)))
    assert refusal(report, errors.LossNotDeclared) == (
        'Revision "a1b2c3" is annotated NON_DESTRUCTIVE, but it loses data.\n'
        "  statement: ALTER TABLE patients DROP COLUMN allergy\n"
        "  measured: 48,213 values of patients.allergy are lost\n"
        f"  file: {FILE}\n"
        'Next: change the comment to "# SAFETY: DESTRUCTIVE", or keep the column.'
    )


def test_a_drop_that_was_only_predicted_is_refused_too():
    assert refusal(classify(NON_DESTRUCTIVE, DROP), errors.LossNotDeclared) == (
        'Revision "a1b2c3" is annotated NON_DESTRUCTIVE, but it loses data.\n'
        "  statement: ALTER TABLE patients DROP COLUMN allergy\n"
        "  predicted: patients.allergy: its values are gone\n"
        f"  file: {FILE}\n"
        'Next: change the comment to "# SAFETY: DESTRUCTIVE", or keep the column.'
    )


def test_a_delete_that_hit_no_row_in_the_rehearsal_is_refused():
    delete = replace(DROP, sql="DELETE FROM visits WHERE day < '1990-01-01'")
    assert refusal(classify(NON_DESTRUCTIVE, delete, measured=ran(delete)), errors.LossNotDeclared) == (
        'Revision "a1b2c3" is annotated NON_DESTRUCTIVE, but it loses data.\n'
        "  statement: DELETE FROM visits WHERE day < '…'\n"
        "  predicted: visits: its rows are gone\n"
        "  measured: no loss in the rehearsal; what this statement would lose on other rows counts all the same\n"
        f"  file: {FILE}\n"
        'Next: change the comment to "# SAFETY: DESTRUCTIVE", or keep the rows.'
    )


def test_rows_that_no_statement_explains_are_refused():
    deleted = RowChange(table="public.visits", deleted=1204)
    assert refusal(classify(NON_DESTRUCTIVE, ADD, measured=ran(ADD, rows=(deleted,))), errors.LossNotDeclared) == (
        'Revision "a1b2c3" is annotated NON_DESTRUCTIVE, but it loses data.\n'
        "  statement: none that a rule knows: a trigger, a cascade or a function did it\n"
        "  measured: 1,204 rows of visits are lost\n"
        f"  file: {FILE}\n"
        'Next: change the comment to "# SAFETY: DESTRUCTIVE", or keep the rows.'
    )


def test_overwritten_values_are_refused_with_the_statement_that_overwrote_them():
    loss = Loss(kind="values", name="public.patients.name", how="overwritten", values=1)
    assert refusal(classify(NON_DESTRUCTIVE, UPDATE, measured=ran(UPDATE, lost=(loss,))), errors.LossNotDeclared) == (
        'Revision "a1b2c3" is annotated NON_DESTRUCTIVE, but it loses data.\n'
        "  statement: UPDATE patients SET name = upper(name)\n"
        "  measured: 1 value of patients.name is overwritten\n"
        f"  file: {FILE}\n"
        'Next: change the comment to "# SAFETY: DESTRUCTIVE", or write a new column.'
    )


def test_what_is_not_understood_is_refused_until_it_was_measured():
    assert classify(NON_DESTRUCTIVE, UNKNOWN, measured=ran(UNKNOWN)).refused == ()
    part = ran(UNKNOWN, unmeasured=("track_counts is off: deleted rows were not counted",))
    assert refusal(classify(NON_DESTRUCTIVE, UNKNOWN, measured=part), errors.LossNotDeclared) == (
        'Revision "a1b2c3" is annotated NON_DESTRUCTIVE, but it may lose data.\n'
        "  statement: SELECT tidy_up()\n"
        "  predicted: tidy_up: what it does is not known\n"
        "  not measured: track_counts is off: deleted rows were not counted\n"
        f"  file: {FILE}\n"
        'Next: change the comment to "# SAFETY: DESTRUCTIVE", or write its statements into the revision.'
    )


def test_a_value_in_safety_toml_is_changed_there():
    annotation = replace(NON_DESTRUCTIVE, source=Source.SAFETY_FILE)
    told = refusal(classify(annotation, DROP), errors.LossNotDeclared)
    assert told.endswith('Next: change the value of "a1b2c3" in safety.toml to "DESTRUCTIVE", or keep the column.')


@pytest.mark.parametrize(
    ("statement", "measured", "is_refused"),
    [
        (UPDATE, None, False),
        (UPDATE, ran(UPDATE), False),
        (UPDATE, ran(UPDATE, rows=(RowChange(table="public.patients", updated=5),)), False),
        (UPDATE, ran(UPDATE, unmeasured=("patients has no key",)), True),
        (UPDATE, ran(UPDATE, revision="other"), True),
        (UNKNOWN, None, True),
        (ADD, None, False),
        (ADD, ran(ADD, unmeasured=("x",)), False),
        (ADD, ran(ADD, rows=(RowChange(table="public.new", deleted=5, existed=False),)), False),
        (ADD, ran(ADD, rows=(RowChange(table="public.alembic_version", updated=1, deleted=1),)), False),
        (ADD, ran(ADD, lost=(Loss(kind="rows", name="public.alembic_version", how="deleted", rows=1),)), False),
        (ADD, ran(ADD, lost=(Loss(kind="type", name="public.status", how="dropped"),)), False),
        (ADD, ran(ADD, lost=(Loss(kind="table", name="public.empty", how="dropped", rows=0),)), True),
        (ADD, ran(ADD, lost=(Loss(kind="column", name="public.t.empty", how="dropped", values=0),)), True),
        (ADD, ran(ADD, lost=(Loss(kind="something new", name="x", how="dropped"),)), True),
        (DROP, ran(DROP), True),
        (replace(DROP, sql="DROP TABLE IF EXISTS gone"), ran(), False),
        (replace(DROP, sql="DROP TABLE IF EXISTS gone"), ran(unmeasured=("x",)), True),
        (replace(DROP, sql="ALTER TABLE t DISABLE TRIGGER ALL"), None, False),
        (DELETE, ran(DELETE, rows=(RowChange(table="public.visits", deleted=5, lost=0),)), False),
        (DELETE, ran(DELETE, rows=(RowChange(table="public.visits", deleted=5, lost=1),)), True),
        (DELETE, ran(DELETE, rows=(RowChange(table="public.visits", deleted=5),)), True),
        (DELETE, ran(DELETE, rows=(RowChange(table="public.others", deleted=5, lost=0),)), True),
        (DELETE, ran(DELETE, rows=(RowChange(table="public.visits", deleted=5, lost=0),), unmeasured=("x",)), True),
        (
            replace(DELETE, sql="TRUNCATE visits, archive"),
            ran(rows=(RowChange(table="public.visits", inserted=5, lost=0),)),
            True,
        ),
        (replace(DELETE, sql="DROP SCHEMA s CASCADE"), ran(lost=(Loss(kind="schema", name="s", how="dropped"),)), False),
        (replace(DELETE, sql="DROP SCHEMA s, t CASCADE"), ran(lost=(Loss(kind="schema", name="s", how="dropped"),)), True),
        (
            replace(DELETE, sql="DROP SCHEMA s CASCADE"),
            ran(lost=(Loss(kind="schema", name="s", how="dropped"), Loss(kind="table", name="s.t", how="dropped", rows=0))),
            True,
        ),
    ],
)
def test_a_non_destructive_revision_is_refused_when_data_is_lost(statement, measured, is_refused):
    report = classify(NON_DESTRUCTIVE, statement, measured=measured)
    assert bool(report.refused) is is_refused
    assert not report.needs_confirmation


@pytest.mark.parametrize("statement", [ADD, DROP, UNKNOWN])
@pytest.mark.parametrize("measured", [None, ran(), ran(lost=(LOST_COLUMN,)), ran(unmeasured=("x",))])
def test_destructive_asks_and_is_never_refused(statement, measured):
    report = classify(DESTRUCTIVE, statement, measured=measured)
    assert (report.refused, report.needs_confirmation) == ((), True)
    report.raise_if_refused()


def test_a_missing_annotation_is_refused_with_the_line_to_add():
    assert refusal(classify(None, DROP, measured=ran(DROP, lost=(LOST_COLUMN,))), errors.NotClassified) == (
        'Revision "a1b2c3" has no safety annotation.\n'
        "  problem: the file has no # SAFETY: comment\n"
        "  statement: ALTER TABLE patients DROP COLUMN allergy\n"
        "  measured: 48,213 values of patients.allergy are lost\n"
        f"  file: {FILE}\n"
        f'Next: add the line "# SAFETY: DESTRUCTIVE" to {FILE}.'
    )
    assert refusal(classify(None, ADD, measured=ran(ADD)), errors.NotClassified) == (
        'Revision "a1b2c3" has no safety annotation.\n'
        "  problem: the file has no # SAFETY: comment\n"
        f"  file: {FILE}\n"
        f'Next: add the line "# SAFETY: NON_DESTRUCTIVE" to {FILE}.'
    )


def test_where_only_a_rehearsal_would_tell_both_lines_are_offered():
    told = refusal(classify(None, UPDATE), errors.NotClassified)
    assert told.endswith(
        f'Next: add the line "# SAFETY: DESTRUCTIVE" to {FILE}, or "# SAFETY: NON_DESTRUCTIVE" if it loses no data.'
    )


def test_a_typing_error_is_refused_with_its_fix():
    annotation = Annotation(
        problem='line 3 says "DESTRUCTVE", which is not a value',
        fix='change line 3 to "# SAFETY: DESTRUCTIVE", if that is what it means',
    )
    assert refusal(classify(annotation, ADD), errors.NotClassified) == (
        'Revision "a1b2c3" has no valid safety annotation.\n'
        '  problem: line 3 says "DESTRUCTVE", which is not a value\n'
        f"  file: {FILE}\n"
        'Next: change line 3 to "# SAFETY: DESTRUCTIVE", if that is what it means.'
    )


def plan_of_three():
    return safety.classify(
        annotations={"a1b2c3": NON_DESTRUCTIVE, "b2c3d4": Annotation(problem="the file has no # SAFETY: comment")},
        files={"a1b2c3": FILE, "b2c3d4": "versions/b2c3d4.py", "c3d4e5": "versions/c3d4e5.py"},
        statements=[DROP, Statement(sql="SELECT 1", revision="b2c3d4"), Statement(sql="DELETE FROM log", revision=None)],
        measured=None,
        version_table="alembic_version",
    )


def test_one_error_covers_every_refused_revision():
    assert refusal(plan_of_three(), errors.NotClassified) == (
        'Revision "b2c3d4" has no safety annotation.\n'
        "  problem: the file has no # SAFETY: comment\n"
        "  file: versions/b2c3d4.py\n"
        '  refused too: Revision "c3d4e5" has no safety annotation. (versions/c3d4e5.py)\n'
        f'    Revision "a1b2c3" is annotated NON_DESTRUCTIVE, but it loses data. ({FILE})\n'
        'Next: add the line "# SAFETY: NON_DESTRUCTIVE" to versions/b2c3d4.py.'
    )


def test_what_env_py_loses_is_asked_about():
    assert plan_of_three().needs_confirmation
    assert [one.rule for one in plan_of_three().outside] == ["L11"]


def test_many_statements_are_told_in_ten_lines():
    statements = [replace(DROP, sql=f"DROP TABLE t{number}") for number in range(1500)]
    told = refusal(classify(NON_DESTRUCTIVE, *statements), errors.LossNotDeclared)
    assert "    DROP TABLE t9\n    and 1,490 more\n" in told


def test_a_report_travels_as_json():
    adapter = TypeAdapter(safety.SafetyReport)
    report = classify(NON_DESTRUCTIVE, DROP, UNKNOWN, measured=ran(DROP, lost=(LOST_COLUMN,), unmeasured=("x",)))
    text = adapter.dump_json(report)
    assert adapter.validate_json(text) == report
    assert json.loads(text)["verdicts"][0]["predicted"][0]["rule"] == "L02"


@given(st.text())
def test_no_text_makes_prediction_raise(text):
    predict(text, f"SELECT {text}", f"DO $x$ BEGIN {text}; EXECUTE {text}; END $x$", f"DELETE FROM {text}")
