"""The ledger's numbers are those that SQL counts by hand: one plan, a revision for each kind of loss, on thousands of rows.

The ledger comes from a rehearsal of the whole plan. By hand: the same statements, committed one revision after the other in a
copy of the database that holds everything once more, as it was, in the schema `was`; each number is a query of its own there.
"""

import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from migration_pipeline.adapters import attempts, losses, pending, postgres
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.adapters.transaction import Limits
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.plan import Identity
from migration_pipeline.domain.segments import Segment
from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import execute, make_database

CLINIC, MORE = (Path(__file__).parent / "ledger" / f"{name}.sql" for name in ("clinic", "more"))
LIMITS = Limits(lock_timeout=timedelta(seconds=5), transaction=timedelta(minutes=30))
KEEP_ALL = """
DO $$ DECLARE r record; BEGIN
  CREATE SCHEMA was;
  FOR r IN SELECT c.oid::regclass AS old, c.relname, string_agg(quote_ident(attname)
        || CASE WHEN t.typtype = 'e' THEN '::text' ELSE '' END || ' AS ' || quote_ident(attname), ', ') AS columns
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid
    WHERE c.relkind IN ('r', 'p', 'm') AND c.relnamespace::regnamespace::text IN ('clinical', 'audit') AND a.attnum > 0
      AND NOT a.attisdropped GROUP BY 1, 2
  LOOP EXECUTE format('CREATE TABLE was.%I AS SELECT %s FROM %s', r.relname, r.columns, r.old); END LOOP;
  CREATE TABLE was.large_objects AS SELECT oid FROM pg_largeobject_metadata;
  CREATE TABLE was.labels AS SELECT enumtypid::regtype::text AS type, enumlabel FROM pg_enum;
  CREATE TABLE was.patient_number AS SELECT last_value FROM clinical.patients_patient_id_seq;
END $$
"""


@dataclass(frozen=True)
class Kind:
    """One way of losing data: what a revision sends, and each number of its ledger as SQL counts it."""

    sent: tuple[str, ...]
    by_hand: dict[tuple[str, str], str]


def fewer(table):
    schema, _, name = table.rpartition(".")
    return f"SELECT (SELECT count(*) FROM was.{name}) - (SELECT count(*) FROM {schema}.{name})"


def where(condition, table, what="*"):
    return f"SELECT count({what}) FROM was.{table} WHERE {condition}"


def differ(table, key, column):
    return f"SELECT count(*) FROM was.{table} b JOIN clinical.{table} a USING ({key}) WHERE b.{column} IS NOT NULL AND a.{column}::text IS DISTINCT FROM b.{column}::text"


def all_of(table, column="*", gone=True):
    return f"SELECT count({column}) FROM was.{table}" + (f" HAVING to_regclass('clinical.{table}') IS NULL" if gone else "")


LO_UNLINKED = "SELECT (SELECT count(*) FROM was.large_objects) - (SELECT count(*) FROM pg_largeobject_metadata)"
LABELS_GONE = "SELECT count(*) FROM was.labels w WHERE type = '{}' AND NOT EXISTS (SELECT FROM pg_enum WHERE enumtypid = to_regtype(w.type) AND enumlabel = w.enumlabel)"
SET_BACK = "SELECT count(*) FROM was.patient_number w, clinical.patients_patient_id_seq s WHERE s.last_value < w.last_value"
SHORTER = "SELECT count(*) FROM was.letters WHERE length(body) > 40"
ROUNDED = "SELECT count(*) FROM was.observations JOIN clinical.observations a USING (observation_id) WHERE round(was.observations.value_num) <> was.observations.value_num"

KINDS = {
    "a dropped table": Kind(
        ("DROP TABLE clinical.old_visits",),
        {("table", "clinical.old_visits"): all_of("old_visits")}),
    "a dropped column": Kind(
        ("ALTER TABLE clinical.patients DROP COLUMN address",),
        {("column", "clinical.patients.address"): all_of("patients", "address", gone=False)}),
    "a DELETE with its cascades": Kind(
        ("DELETE FROM clinical.encounters WHERE encounter_id % 10 = 0",),
        {("rows", f"clinical.{table}"): fewer(f"clinical.{table}") for table in ("encounters", "observations", "attachments")}),
    "a TRUNCATE": Kind(
        ("TRUNCATE clinical.visit_imports",),
        {("rows", "clinical.visit_imports"): fewer("clinical.visit_imports")}),
    "an UPDATE over values": Kind(
        ("UPDATE clinical.patients SET given_name = 'X' || given_name WHERE patient_id % 3 = 0",),
        {("values", "clinical.patients.given_name"): differ("patients", "patient_id", "given_name"),
         ("values", "clinical.patients.display_name"): differ("patients", "patient_id", "display_name"),
         ("updated", "clinical.patients"): where("patient_id % 3 = 0", "patients")}),
    "an UPDATE over some values and some NULLs": Kind(
        ("UPDATE clinical.referrals SET reason = 'none' WHERE id % 5 = 0",),
        {("values", "clinical.referrals.reason"): differ("referrals", "id", "reason"),
         ("updated", "clinical.referrals"): where("id % 5 = 0", "referrals")}),
    "an UPDATE that fills NULLs": Kind(
        ("UPDATE clinical.referrals SET ended_at = '2029-01-01 UTC' WHERE ended_at IS NULL",),
        {("updated", "clinical.referrals"): where("ended_at IS NULL", "referrals")}),
    "a number without its fraction": Kind(
        ("ALTER TABLE clinical.observations ALTER COLUMN value_num TYPE numeric(12, 0)",),
        {("values", "clinical.observations.value_num"): ROUNDED}),
    "a text that is cut": Kind(
        ("ALTER TABLE clinical.letters ALTER COLUMN body TYPE varchar(40) USING left(body, 40)",),
        {("values", "clinical.letters.body"): SHORTER}),
    "an enum without one of its labels": Kind(
        ("ALTER TYPE clinical.bed_state RENAME TO bed_state_old",
         "CREATE TYPE clinical.bed_state AS ENUM ('free', 'taken')",
         ("ALTER TABLE clinical.beds ALTER COLUMN state TYPE clinical.bed_state"
         " USING (CASE state WHEN 'cleaning' THEN 'free' ELSE state::text END)::clinical.bed_state"),
         "DROP TYPE clinical.bed_state_old"),
        {("values", "clinical.beds.state"): where("state::text = 'cleaning'", "beds"),
         ("type", "clinical.bed_state"): LABELS_GONE.format("clinical.bed_state")}),
    "a label taken from the catalog": Kind(
        ("DELETE FROM pg_enum WHERE enumtypid = 'clinical.colour'::regtype AND enumlabel = 'black'",),
        {("enum label", "clinical.colour.black"): LABELS_GONE.format("clinical.colour")}),
    "a type with its columns": Kind(
        ("DROP TYPE clinical.triage CASCADE",),
        {("type", "clinical.triage"): "SELECT (to_regtype('clinical.triage') IS NULL)::int",
         ("column", "clinical.beds.triage"): all_of("beds", "triage", gone=False)}),
    "large objects": Kind(
        ("SELECT lo_unlink(lo) FROM clinical.scans WHERE scan_id % 2 = 0",),
        {("large objects", "large objects"): LO_UNLINKED}),
    "a sequence set back": Kind(
        ("SELECT setval('clinical.patients_patient_id_seq', 7)",),
        {("sequence", "clinical.patients_patient_id_seq"): SET_BACK}),
    "a materialized view": Kind(
        ("DROP MATERIALIZED VIEW clinical.mv_site_activity",),
        {("materialized view", "clinical.mv_site_activity"): all_of("mv_site_activity")}),
    "a partition": Kind(
        ("DROP TABLE audit.events_2025_03",),
        {("table", "audit.events_2025_03"): all_of("events_2025_03")}),
    "rows of a partition": Kind(
        ("DELETE FROM audit.events WHERE at >= '2025-05-01 UTC' AND at < '2025-06-01 UTC' AND actor = 'etl'",),
        {("rows", "audit.events_2025_05"): fewer("audit.events_2025_05")}),
    "an UPDATE without a key": Kind(
        ("UPDATE clinical.lab_feed SET result = result || ' new' WHERE line % 4 = 0",),
        {("values", "clinical.lab_feed.result"): where("line % 4 = 0", "lab_feed", "result"),
         ("updated", "clinical.lab_feed"): where("line % 4 = 0", "lab_feed")}),
    "a DELETE without a key": Kind(
        ("DELETE FROM clinical.lab_log WHERE line % 4 = 1",),
        {("rows", "clinical.lab_log"): fewer("clinical.lab_log")}),
    "a DELETE without a key, after an UPDATE": Kind(
        ("DELETE FROM clinical.lab_feed WHERE line % 4 = 1",),
        {("rows", "clinical.lab_feed"): fewer("clinical.lab_feed")}),
    "an UPDATE and a DELETE at once, without a key": Kind(
        ("UPDATE clinical.results SET result = 'none' WHERE line % 10 = 0", "DELETE FROM clinical.results WHERE line % 10 = 1"),
        {("rows", "clinical.results"): fewer("clinical.results"),
         ("values", "clinical.results.result"): where("line % 10 = 0", "results", "result"),
         ("updated", "clinical.results"): where("line % 10 = 0", "results")}),
    "ON CONFLICT DO UPDATE": Kind(
        (("INSERT INTO clinical.codes SELECT i, 'new ' || i FROM generate_series(501, 1300) i"
         " ON CONFLICT (id) DO UPDATE SET display = excluded.display"),),
        {("values", "clinical.codes.display"): differ("codes", "id", "display"),
         ("updated", "clinical.codes"): where("id > 500", "codes"),
         ("inserted", "clinical.codes"): "SELECT (SELECT count(*) FROM clinical.codes) - (SELECT count(*) FROM was.codes)"}),
    "MERGE": Kind(
        (("MERGE INTO clinical.stock s USING (SELECT i FROM generate_series(1, 2100) i) n ON s.id = n.i"
         " WHEN MATCHED AND n.i % 10 = 0 THEN DELETE WHEN MATCHED AND n.i % 10 = 1 THEN UPDATE SET amount = 100"
         " WHEN NOT MATCHED THEN INSERT VALUES (n.i, 1, 'box')"),),
        {("rows", "clinical.stock"): "SELECT count(*) FROM was.stock b WHERE NOT EXISTS (SELECT FROM clinical.stock a WHERE a.id = b.id)",
         ("values", "clinical.stock.amount"): differ("stock", "id", "amount"),
         ("updated", "clinical.stock"): where("id % 10 = 1", "stock"),
         ("inserted", "clinical.stock"): "SELECT count(*) FROM clinical.stock WHERE id > 2000"}),
    "what a trigger deletes": Kind(
        ("INSERT INTO clinical.closures SELECT i FROM generate_series(0, 3) i",),
        {("rows", "clinical.bookings"): fewer("clinical.bookings"),
         ("inserted", "clinical.closures"): "SELECT count(*) FROM clinical.closures"}),
    "rows moved by a WITH": Kind(
        ("WITH moved AS (DELETE FROM clinical.inbox WHERE id % 2 = 0 RETURNING *) INSERT INTO clinical.archive SELECT * FROM moved",),
        {("rows", "clinical.inbox"): fewer("clinical.inbox"),
         ("inserted", "clinical.archive"): "SELECT count(*) FROM clinical.archive"}),
}  # fmt: skip


@pytest.fixture(scope="module")
def counted(server18, tmp_path_factory):
    """For each kind, what the ledger says, and what was counted by hand."""
    for url in make_database(server18):
        execute(url, CLINIC.read_text(), MORE.read_text())
        yield count(url, tmp_path_factory.mktemp("project"))


def count(url, folder):
    by_hand = counted_by_hand(url)  # first: a rehearsal does not take sequences back
    return {name: (ledger, hand) for name, ledger, hand in zip(KINDS, ledgers(url, folder), by_hand, strict=True)}


def counted_by_hand(url):
    """Commit the plan in a copy of the database, and count after each revision."""
    original, twin = (url.rpartition("/")[2].partition("?")[0], url.rpartition("/")[2].partition("?")[0] + "_twin")
    admin = url.replace(f"/{original}", "/postgres")
    execute(admin, f'CREATE DATABASE "{twin}" TEMPLATE "{original}"')
    try:
        with psycopg.connect(url.replace(f"/{original}", f"/{twin}"), autocommit=True) as session:
            session.execute(KEEP_ALL)
            return [counted_after(session, kind) for kind in KINDS.values()]
    finally:
        execute(admin, f'DROP DATABASE "{twin}" WITH (FORCE)')


def counted_after(session, kind):
    for statement in kind.sent:
        session.execute(statement)
    return {line: session.execute(query).fetchone()[0] for line, query in kind.by_hand.items()}


def ledgers(url, folder):
    """Rehearse the plan; return the ledger of each revision, its losses and the rows that it added and updated."""
    connection = Connection.from_url(url)
    project = Project(config=write_project(folder) / "alembic.ini", python=sys.executable, live=connection)
    plan = pending.plan(project, connection, Identity(target="t", database="d", system_identifier="1", oid=1), "head")
    ran, _ = attempts.rehearse(
        project, connection, Segment(plan=plan), LIMITS, lambda _revision, _statement: None, role=None, is_part=False
    )
    with postgres.session(connection, purpose="counts") as opened:
        found = losses.effects(ran.parts, ran.base, lambda query: postgres.catalog_query(opened, query), plan.is_version_table)
    *revisions, outside = found
    assert not outside.lost
    return [lines(one) for one in revisions]


def write_project(folder):
    """Write the plan, and return the project's folder."""
    project = projects.copy("linear", folder)
    for revision in ("0002", "0003"):
        projects.remove_revision(project, revision)
    for number, kind in enumerate(KINDS.values(), 2):
        body = "\n".join(f"    op.execute({statement!r})" for statement in kind.sent)
        head = f'"""Lose."""\n\nfrom alembic import op\n\nrevision = "{number:04}"\ndown_revision = "{number - 1:04}"\n\n\n'
        (project / "versions" / f"{number:04}_lose.py").write_text(f"{head}def upgrade():\n{body}\n")
    return project


def lines(one):
    """Return a ledger's lines with their numbers; what holds no rows and no values of its own is one."""
    found = {(loss.kind, loss.name): amount(loss) for loss in one.lost}
    for change in one.rows:
        found |= {(verb, change.table): getattr(change, verb) for verb in ("inserted", "updated") if getattr(change, verb)}
        assert found.get(("rows", change.table), 0) == change.deleted
    assert len(one.lost) == len({(loss.kind, loss.name) for loss in one.lost}), "no line stands there twice"
    return found


def amount(loss):
    held = loss.rows if loss.values is None else loss.values
    return 1 if held is None else held


@pytest.mark.parametrize("kind", KINDS)
def test_the_ledger_says_what_is_counted_by_hand(counted, kind):
    ledger, by_hand = counted[kind]

    assert ledger == by_hand
    assert all(by_hand.values()), "it counts nothing"
