"""What a revision loses is measured, however it hides it: one row a way of losing, counted by hand beside it."""

import itertools
import sys
from datetime import timedelta

import psycopg
import pytest

from migration_pipeline.adapters import attempts, losses, pending, postgres
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.adapters.transaction import Limits
from migration_pipeline.domain import ledger
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.plan import Identity
from migration_pipeline.domain.segments import Segment
from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import make_database

LIMITS = Limits(lock_timeout=timedelta(seconds=5), transaction=timedelta(minutes=1))
WORLD = """
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('0001');
CREATE TYPE mood AS ENUM ('a', 'b');
CREATE TABLE patients (id serial PRIMARY KEY, name text NOT NULL, allergy text, mood mood, weight numeric(8,2), notes json,
                       doubled int GENERATED ALWAYS AS (length(name) * 2) STORED);
INSERT INTO patients (name, allergy, mood, weight, notes)
  SELECT 'n' || i, 'a' || i, 'a', i + 0.5, json_build_object('i', i) FROM generate_series(1, 100) i;
CREATE TABLE visits (id int PRIMARY KEY, patient int REFERENCES patients ON DELETE CASCADE);
INSERT INTO visits SELECT i, i FROM generate_series(1, 50) i;
CREATE TABLE keyless (who text, result text);
INSERT INTO keyless VALUES ('ann', 'positive'), ('bob', 'negative');
CREATE TABLE "Odd.Table%" ("select" int PRIMARY KEY, "wéird ""col" text);
INSERT INTO "Odd.Table%" SELECT i, 'x' FROM generate_series(1, 7) i;
CREATE TABLE parted (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
INSERT INTO parted SELECT i, '2020-05-05' FROM generate_series(1, 5) i;
CREATE MATERIALIZED VIEW summary AS SELECT count(*) FROM patients;
CREATE MATERIALIZED VIEW empty_summary AS SELECT count(*) FROM patients WITH NO DATA;
CREATE SEQUENCE bed_no; SELECT nextval('bed_no') FROM generate_series(1, 30);
CREATE SEQUENCE chart_no; SELECT nextval('chart_no') FROM generate_series(1, 30);
SELECT lo_from_bytea(4711, 'scan of a page');
CREATE SCHEMA billing; CREATE TABLE billing.alembic_version (version_num text); INSERT INTO billing.alembic_version VALUES ('x');
CREATE FUNCTION lose() RETURNS void LANGUAGE sql AS 'DELETE FROM billing.alembic_version';
CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM visits; RETURN NULL; END';
CREATE TABLE audit (id int);
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON audit DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION at_commit();
"""


@pytest.fixture(scope="module")
def world(server18):
    """A database in which each way of losing has something to lose; a rehearsal leaves it as it was."""
    for url in make_database(server18):
        with psycopg.connect(url, autocommit=True) as session:
            session.execute(WORLD)
        yield url


@pytest.fixture
def measure(world, tmp_path):
    """Return a function: SQL texts of one revision → the ledger's sentences, measured by a rehearsal."""
    connection = Connection.from_url(world)
    counter = itertools.count()

    def run(*statements):
        folder = projects.copy("linear", tmp_path / str(next(counter)))
        projects.remove_revision(folder, "0003")
        body = "\n".join(f"    op.execute({sql!r})" for sql in statements)
        projects.revision_file(folder, "0002").write_text(
            f'"""Lose."""\nfrom alembic import op\nrevision = "0002"\ndown_revision = "0001"\n\n\ndef upgrade():\n{body}\n'
        )
        project = Project(config=folder / "alembic.ini", python=sys.executable, live=connection)
        identity = Identity(target="t", database="d", system_identifier="1", oid=1)
        plan = pending.plan(project, connection, identity, "head")
        ran, _ = attempts.rehearse(project, connection, Segment(plan=plan), LIMITS, lambda _revision, _statement: None)
        with postgres.session(connection, purpose="counts") as opened:
            revision, outside = losses.effects(
                ran.parts, ran.base, lambda query: postgres.catalog_query(opened, query), plan.is_version_table
            )
        assert not outside.lost
        return list(ledger.data_lost(revision.lost, revision.rows))

    return run


LOSSES = {
    "a dropped column": (["ALTER TABLE patients DROP COLUMN allergy"], ["100 values of patients.allergy are lost"]),
    "a column dropped and added again": (
        ["ALTER TABLE patients DROP COLUMN allergy", "ALTER TABLE patients ADD COLUMN allergy text"],
        ["100 values of patients.allergy are lost"],
    ),
    "a dropped table": (["DROP TABLE visits"], ["50 rows of visits are lost"]),
    "an odd name": (['DROP TABLE "Odd.Table%"'], ["7 rows of Odd.Table% are lost"]),
    "an odd column": (['UPDATE "Odd.Table%" SET "wéird ""col" = NULL'], ['7 values of Odd.Table%.wéird "col are overwritten']),
    "a cascade": (["DELETE FROM patients WHERE id <= 10"], ["10 rows of patients are lost", "10 rows of visits are lost"]),
    "a truncated table": (["TRUNCATE visits"], ["50 rows of visits are lost"]),
    "a truncation and a rewrite": (
        ["TRUNCATE visits", "ALTER TABLE visits ALTER COLUMN patient TYPE bigint"],
        ["50 rows of visits are lost"],
    ),
    "values set to NULL": (["UPDATE patients SET allergy = NULL WHERE id <= 30"], ["30 values of patients.allergy are overwritten"]),
    "values set to others": (["UPDATE patients SET allergy = 'x' WHERE id <= 30"], ["30 values of patients.allergy are overwritten"]),
    "json that changes": (["""UPDATE patients SET notes = '{"i": 0}'"""], ["100 values of patients.notes are overwritten"]),
    "USING of the same type": (
        ["ALTER TABLE patients ALTER COLUMN allergy TYPE text USING NULL"],
        ["100 values of patients.allergy are overwritten"],
    ),
    "a lossy type change": (
        ["ALTER TABLE patients ALTER COLUMN weight TYPE int"],
        ["100 values of patients.weight are overwritten"],
    ),
    "an enum swapped for another of its name": (
        ["ALTER TYPE mood RENAME TO mood_old", "CREATE TYPE mood AS ENUM ('a', 'b')",
         "ALTER TABLE patients ALTER COLUMN mood TYPE mood USING 'b'::mood"],
        ["100 values of patients.mood are overwritten"],
    ),
    "keys and values changed together": (
        ["ALTER TABLE visits DROP CONSTRAINT visits_patient_fkey", "UPDATE patients SET id = id + 1000000, allergy = NULL"],
        ["100 rows of patients are overwritten"],
    ),
    "an update before a rename": (
        ["UPDATE patients SET allergy = NULL", "ALTER TABLE patients RENAME TO persons"],
        ["100 values of patients.allergy are overwritten"],
    ),
    "values swapped between rows without a key": (
        ["UPDATE keyless SET result = CASE result WHEN 'positive' THEN 'negative' ELSE 'positive' END"],
        ["2 rows of keyless are overwritten"],
    ),
    "an update in a DO block": (
        ["DO $$ BEGIN EXECUTE 'UPDATE patients SET allergy = NULL'; END $$"],
        ["100 values of patients.allergy are overwritten"],
    ),
    "ON CONFLICT DO UPDATE": (
        ["INSERT INTO visits SELECT 1, 2 ON CONFLICT (id) DO UPDATE SET patient = 2"],
        ["1 value of visits.patient is overwritten"],
    ),
    "a sequence set back": (["SELECT setval('chart_no', 1, false)"],
                            ["the sequence chart_no is set back: it will give out numbers again"]),
    "a restarted sequence": (["ALTER SEQUENCE bed_no RESTART WITH 1"],
                             ["the sequence bed_no is set back: it will give out numbers again"]),
    "a large object unlinked": (["SELECT lo_unlink(4711)"], ["1 large object is lost"]),
    "a large object overwritten": (["SELECT lo_put(4711, 0, 'XXXX')"], ["large objects are overwritten"]),
    "a deferred trigger at COMMIT": (["INSERT INTO audit VALUES (1)"], ["50 rows of visits are lost"]),
    "another schema's version table": (["SELECT lose()"], ["1 row of billing.alembic_version is lost"]),
    "a materialized view": (["DROP MATERIALIZED VIEW summary"], ["1 row of summary is lost"]),
    "an unpopulated materialized view": (
        ["DROP MATERIALIZED VIEW empty_summary"], ["the materialized view empty_summary is lost"]),
    "a schema with its tables": (["DROP SCHEMA billing CASCADE"], ["1 row of billing.alembic_version is lost"]),
    "rows of a partition": (["DELETE FROM parted"], ["5 rows of parted_1 are lost"]),
}  # fmt: skip


@pytest.mark.parametrize("how", LOSSES)
def test_a_loss_is_counted(measure, how):
    statements, expected = LOSSES[how]

    found = measure(*statements)

    assert sorted(found) == sorted(expected)


KEPT = {
    "a new column, filled": ["ALTER TABLE patients ADD COLUMN ward text", "UPDATE patients SET ward = name"],
    "a backfill of what was NULL": ["ALTER TABLE patients ADD COLUMN x int", "UPDATE patients SET x = 1 WHERE x IS NULL"],
    "a wider number": ["ALTER TABLE patients ALTER COLUMN weight TYPE numeric(12,4)"],
    "a wider key": ["ALTER TABLE visits ALTER COLUMN patient TYPE bigint"],
    "a text from a number": ["ALTER TABLE patients ALTER COLUMN weight TYPE text"],
    "an enum made text, its type dropped": ["ALTER TABLE patients ALTER COLUMN mood TYPE text", "DROP TYPE mood"],
    "an enum swapped for a wider one": [
        "ALTER TYPE mood RENAME TO mood_old", "CREATE TYPE mood AS ENUM ('a', 'b', 'c')",
        "ALTER TABLE patients ALTER COLUMN mood TYPE mood USING mood::text::mood", "DROP TYPE mood_old"],
    "an update to the same values": ["UPDATE patients SET allergy = allergy"],
    "renames": ["ALTER TABLE patients RENAME TO persons", "ALTER TABLE persons RENAME COLUMN allergy TO reaction"],
    "a table that comes and goes": ["CREATE TABLE t AS SELECT * FROM patients", "DELETE FROM t", "DROP TABLE t"],
    "a sequence that goes on": ["SELECT nextval('chart_no')"],
    "an index and a comment": ["CREATE INDEX ON patients (name)", "COMMENT ON TABLE patients IS 'x'"],
}  # fmt: skip


@pytest.mark.parametrize("how", KEPT)
def test_what_keeps_everything_is_no_loss(measure, how):
    assert measure(*KEPT[how]) == []
