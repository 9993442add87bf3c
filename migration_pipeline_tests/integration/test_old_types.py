"""What is said of a type change without running it, beside what PostgreSQL does; and the plan that says it."""

import itertools

import psycopg

from migration_pipeline import steps
from migration_pipeline.domain import effects, safety
from migration_pipeline.domain.old_types import Column
from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import execute

#: Type → values at its limits.
TYPES = {
    "varchar(5)": ("'12345'", "'a  '"), "varchar(9)": ("'123456789'",), "varchar": (f"'{'x' * 3000}'",), "text": (f"'{'y' * 3000}'",),
    "char(3)": ("'a'",), "smallint": ("-32768", "32767"), "integer": ("-2147483648", "2147483647"),
    "bigint": ("-9223372036854775808", "9223372036854775807"), "numeric": ("1e50", "0.000000001"), "numeric(5,2)": ("999.99",),
    "numeric(6,2)": ("-9999.99",), "numeric(6,3)": ("999.999",), "numeric(5)": ("99999",), "real": ("0.1",), "float8": ("0.1",),
    "timestamp(3)": ("'2026-01-02 03:04:05.678'",), "timestamp(6)": ("'2026-01-02 03:04:05.678901'",),
    "timestamp": ("'2026-01-02 03:04:05.678901'",), "timestamptz(0)": ("'2026-01-02 03:04:05'",), "timestamptz": ("'infinity'",),
    "time(2)": ("'03:04:05.67'",), "time": ("'24:00'",), "varbit(3)": ("B'101'",), "varbit(8)": ("B'10101010'",), "varbit": ("B'1'",),
    "varchar(5)[]": ("'{12345,NULL}'",), "varchar(9)[]": ("'{123456789}'",), "cidr": ("'10.1.0.0/16'",), "inet": ("'10.1.2.3/16'",),
    "json": ("""'{"b": 1,  "b": 2}'""",), "jsonb": ("'{}'",), "date": ("'2026-01-02'",), "uuid": ("'6f1c0e9a-2a53-4c0e-9d59-4c1a0f1d1b11'",),
}  # fmt: skip


def test_postgresql_keeps_every_value_and_every_file_where_that_is_said(database18):
    kept, files_kept = set(), set()
    with psycopg.connect(database18, autocommit=True) as opened:
        for old, new in itertools.product(TYPES, TYPES):
            change = f"ALTER TABLE t ALTER v TYPE {new}"
            opened.execute(f"DROP TABLE IF EXISTS t; CREATE TABLE t (v {old}, was {old})")
            ((printed,),) = opened.execute(
                "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attname = 'was'"
            ).fetchall()
            columns = [Column("public", "t", "v", printed)]
            sent = [effects.Statement(sql=change, has_parameters=False, revision="a1")]
            found = {one.rule for one in safety.predict(sent, version_table="alembic_version", columns=columns)}
            if "L17" in found:
                continue
            kept.add((old, new))
            opened.execute("INSERT INTO t " + " UNION ALL ".join(f"SELECT ({one})::{old}, ({one})::{old}" for one in TYPES[old]))
            query = "SELECT pg_relation_filenode('t')"
            before = opened.execute(query).fetchall()
            opened.execute(change)
            differing = f"SELECT count(*) FROM t WHERE v::{old}::text IS DISTINCT FROM was::text"
            assert opened.execute(differing).fetchall() == [(0,)], (old, new)
            if "S05" not in found:
                files_kept.add((old, new))
                assert opened.execute(query).fetchall() == before, (old, new)

    assert len(kept) > len(TYPES) + 20
    assert ("integer", "bigint") in kept - files_kept
    assert ("varchar(5)", "text") in files_kept


def test_a_plan_says_nothing_of_a_type_that_holds_all_of_the_old_one(site, database18):
    place = site("linear")
    execute(database18, "CREATE TABLE patients (id serial PRIMARY KEY, name varchar(50), weight numeric(5,2))",
            "CREATE TABLE alembic_version (version_num varchar(32))", "INSERT INTO alembic_version VALUES ('0001')")  # fmt: skip
    file = projects.revision_file(place.project_folder, "0002")
    changes = "ALTER TABLE patients ALTER name TYPE varchar(80), ALTER weight TYPE numeric(4,1)"
    file.write_text(file.read_text().replace("ALTER TABLE patients ADD COLUMN ward text", changes))

    first, *_ = steps.preview(place, "0002").shown["0002"].predicts

    assert first == "type changed: patients.weight"
