"""A change of a column's type is no finding where the old type is known, and the new one holds its every value."""

import pytest

from migration_pipeline.domain import effects, safety
from migration_pipeline.domain.old_types import Column, altered

COLUMNS = [
    Column("public", "patients", name, kind)
    for name, kind in {
        "name": "character varying(50)",
        "notes": "text",
        "visits": "integer",
        "weight": "numeric(5,2)",
        "dose": "numeric",
        "code": "character(4)",
        "seen": "timestamp(3) without time zone",
        "born": "timestamp without time zone",
        "tags": "character varying(10)[]",
        "ratio": "real",
        "chart": "json",
        "mood": "",
        "host": "cidr",
    }.items()
]


def predict(*texts, columns=COLUMNS):
    statements = [effects.Statement(sql=text, has_parameters=False, revision="a1") for text in texts]
    found = safety.predict(statements, version_table="alembic_version", columns=columns)
    return [(one.rule, *one.objects) for one in found]


def change(column, to):
    told = {"L17": "values", "S05": "rewrite"}
    return sorted(told[rule] for rule, _ in predict(f"ALTER TABLE patients ALTER {column} TYPE {to}"))


@pytest.mark.parametrize(
    ("column", "to"),
    [
        ("name", "varchar(50)"), ("name", "varchar(51)"), ("name", "varchar"), ("name", "text"), ("notes", "varchar"),
        ("notes", "pg_catalog.text"), ("notes", 'text COLLATE "C"'), ("visits", "int4"), ("weight", "numeric(6,2)"),
        ("weight", "numeric"), ("dose", "decimal"), ("seen", "timestamp(6)"), ("seen", "timestamp"), ("chart", "json"),
        ("tags", "varchar(10)[]"),
    ],
)  # fmt: skip
def test_a_type_that_only_lifts_a_limit_is_no_finding(column, to):
    assert change(column, to) == (["rewrite"] if "COLLATE" in to else [])


@pytest.mark.parametrize(
    ("column", "to"),
    [("visits", "bigint"), ("visits", "numeric"), ("weight", "numeric(7,3)"), ("tags", "varchar(20)[]"), ("host", "inet")],
)
def test_a_wider_type_keeps_every_value_and_may_rewrite_the_table(column, to):
    assert change(column, to) == ["rewrite"]


@pytest.mark.parametrize(
    ("column", "to"),
    [
        ("name", "varchar(49)"), ("name", "char(60)"), ("name", "varchar(50)[]"), ("name", "app.text"), ("notes", "varchar(9000)"),
        ("visits", "smallint"), ("visits", "numeric(12)"), ("visits", "real"), ("weight", "numeric(5,3)"), ("weight", "numeric(5)"),
        ("dose", "numeric(30,10)"), ("code", "char(5)"), ("code", "text"), ("seen", "timestamp(2)"), ("born", "timestamp(6)"),
        ("seen", "timestamptz"), ("tags", "varchar(9)[]"), ("tags", "varchar(20)"), ("ratio", "float8"), ("chart", "jsonb"),
        ("mood", "mood"), ("unknown", "text"), ("name", "text USING name"), ("name", "varchar(100) USING upper(name)"),
    ],
)  # fmt: skip
def test_whatever_else_a_type_becomes_is_for_the_rehearsal(column, to):
    assert change(column, to) == ["rewrite", "values"]


def test_without_the_catalog_every_change_is_a_finding():
    assert predict("ALTER TABLE patients ALTER name TYPE text", columns=()) == [
        ("L17", "patients.name"), ("S05", "patients.name")
    ]  # fmt: skip


def test_the_second_change_is_held_against_what_the_first_made():
    wider, narrower = "ALTER TABLE patients ALTER name TYPE varchar(80)", "ALTER TABLE patients ALTER name TYPE varchar(60)"

    assert predict(wider, narrower) == [("L17", "patients.name"), ("S05", "patients.name")]
    assert predict(wider, wider.replace("80", "90")) == []
    assert predict(wider.replace("patients", "public.patients"), narrower) == [("L17", "patients.name"), ("S05", "patients.name")]


@pytest.mark.parametrize(
    "before",
    [
        "ALTER TABLE patients RENAME TO people; ALTER TABLE archive RENAME TO patients",
        "ALTER TABLE patients RENAME notes TO old_name",
        "ALTER TABLE archive.patients SET SCHEMA public",
        "CREATE TEMPORARY TABLE IF NOT EXISTS patients (name varchar(90))",
        "SET search_path = archive",
        "ALTER SCHEMA archive RENAME TO public",
        "SAVEPOINT a; ROLLBACK TO a",
        "DO $$ BEGIN IF true THEN ALTER TABLE patients ALTER name TYPE varchar(90); END IF; END $$",
        "ALTER TABLE patients ADD COLUMN IF NOT EXISTS name varchar(90)",
    ],
)
def test_a_name_that_may_be_another_column_by_then_is_not_known(before):
    assert ("L17", "patients.name") in predict(before, "ALTER TABLE patients ALTER name TYPE varchar(60)")


def test_a_name_in_two_schemas_is_known_with_its_schema_alone():
    columns = [Column("public", "patients", "name", "text"), Column("archive", "patients", "name", "character varying(9)")]

    assert predict("ALTER TABLE archive.patients ALTER name TYPE text", columns=columns) == []
    assert predict("ALTER TABLE patients ALTER name TYPE text", columns=columns) == [
        ("L17", "patients.name"), ("S05", "patients.name")
    ]  # fmt: skip


def test_only_tables_whose_types_change_are_looked_up():
    sent = ["ALTER TABLE app.patients ALTER a TYPE text", "ALTER TABLE visits ADD COLUMN type text", "SELECT 'ALTER TYPE'"]

    assert altered([effects.Statement(sql=one, has_parameters=False, revision="a1") for one in sent]) == {"patients"}
