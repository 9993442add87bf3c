"""What the ledger costs beside the bare rehearsal: the same plan by `alembic upgrade`, in one transaction, on the same rows.

    python benchmarks/ledger.py URL [--scale 1] [--runs 3] [--plan NAME ...]

URL is that of any database of a server on this machine on which we may make databases, and read the processes of. A clinic of
1 GB (times the scale) is made there, and a copy of it for each run. Both sides run in turn, and the ratio of each pair is what
counts. Ours is all of a rehearsal but its restore: the runs of the plan, what is read between, and what is counted afterwards.
These are no tests.
"""

import argparse
import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import measure
import psycopg
from measure import WALL, WITH_SERVER, Row

from migration_pipeline.adapters import attempts, losses, pending, postgres
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.adapters.transaction import Limits
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.plan import Identity
from migration_pipeline.domain.segments import Segment
from migration_pipeline_tests import projects

LIMITS = Limits(lock_timeout=timedelta(seconds=5), transaction=timedelta(minutes=30))
MOST = {WALL: 1.3}
TABLES = """
CREATE TABLE patients (id bigint PRIMARY KEY, family_name text NOT NULL, given_name text NOT NULL, address jsonb);
CREATE TABLE encounters (id bigint PRIMARY KEY, patient bigint NOT NULL REFERENCES patients, status text NOT NULL,
  started_at timestamptz NOT NULL, ended_at timestamptz, note text);
CREATE TABLE observations (id bigint PRIMARY KEY, encounter bigint NOT NULL REFERENCES encounters ON DELETE CASCADE, code text NOT NULL,
  value double precision, effective_at timestamptz NOT NULL, payload jsonb NOT NULL);
CREATE TABLE events (id bigint PRIMARY KEY, at timestamptz NOT NULL, actor text, detail jsonb);
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('0001');
"""
ROWS = (
    """INSERT INTO patients SELECT i, 'family ' || i, 'given ' || i % 997, jsonb_build_object('city', i % 311, 'street', repeat('street ', 8))
       FROM generate_series(1, {many}) i""",
    """INSERT INTO encounters SELECT i, 1 + i % {many}, (ARRAY['planned', 'finished', 'cancelled'])[1 + i % 3], '2024-01-01 UTC'::timestamptz
       + i * interval '1 min', CASE WHEN i % 7 > 0 THEN '2028-01-01 UTC'::timestamptz END, repeat(md5(i::text) || ' ', 10)
       FROM generate_series(1, {many} * 6) i""",
    """INSERT INTO observations SELECT i, 1 + i / 9, 'code ' || i % 16, i / 8.0, '2024-01-01 UTC'::timestamptz + i * interval '7 s',
       jsonb_build_object('system', 'http://loinc.org', 'device', md5((i % 400)::text), 'value', i / 8.0, 'sequence', i, 'method', 'auto',
       'display', repeat('observation ', 8)) FROM generate_series(1, {many} * 50) i""",
    """INSERT INTO events SELECT i, '2025-01-01 UTC'::timestamptz + i * interval '3 s', (ARRAY['app', 'etl'])[1 + i % 2],
       jsonb_build_object('ip', '192.0.2.' || i % 256) FROM generate_series(1, {many} * 6) i""",
    "CREATE INDEX ON observations (encounter)",
    "CREATE INDEX ON observations (code, effective_at)",
    "CREATE INDEX ON encounters (patient)",
    "VACUUM (ANALYZE)",
)
MANY = 40_000  #: patients of 1 GB
PLANS = {
    "adds": (
        "ALTER TABLE observations ADD COLUMN reviewed boolean NOT NULL DEFAULT false",
        "CREATE TABLE wards (id int PRIMARY KEY, name text)",
        "CREATE INDEX ON observations (effective_at)",
        "ALTER TABLE encounters ADD CHECK (ended_at IS NULL OR ended_at >= started_at)",
    ),
    "drops": (
        "ALTER TABLE observations DROP COLUMN payload",
        "CREATE INDEX ON encounters (started_at)",
        "DELETE FROM encounters WHERE id % 20 = 0",
        "DROP TABLE events",
    ),
    "fills a new column": (
        "ALTER TABLE encounters ADD COLUMN day date",
        "UPDATE encounters SET day = (started_at AT TIME ZONE 'UTC')::date",
        "CREATE INDEX ON encounters (day)",
    ),
    "overwrites": ("UPDATE patients SET family_name = upper(family_name)", "CREATE INDEX ON observations (effective_at)"),
    "changes a type": ("ALTER TABLE observations ALTER COLUMN value TYPE numeric(12, 1)",),
}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A server with the clinic on it, and the folder of the projects."""

    url: str
    folder: Path
    clinic: str

    @contextlib.contextmanager
    def copy(self):
        """Yield the connection of a copy of the clinic, with nothing left to write of what was before."""
        name = f"{self.clinic}_copy"
        with psycopg.connect(self.url, autocommit=True) as session:
            session.execute(f"CREATE DATABASE {name} TEMPLATE {self.clinic} STRATEGY file_copy")
            session.execute("CHECKPOINT")
            try:
                yield Connection.from_url(self.url).replace(database=name)
            finally:
                session.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def project(self, name):
        """Write a plan: a revision a statement."""
        folder = projects.copy("linear", self.folder / name.replace(" ", "_"))
        for revision in ("0002", "0003"):
            projects.remove_revision(folder, revision)
        for number, statement in enumerate(PLANS[name], 2):
            head = f'from alembic import op\n\nrevision = "{number:04}"\ndown_revision = "{number - 1:04}"\n\n\n'
            (folder / "versions" / f"{number:04}_step.py").write_text(f"{head}def upgrade():\n    op.execute({statement!r})\n")
        return folder

    def bare(self, folder):
        with self.copy() as copy:
            environ = {**os.environ, "DATABASE_URL": copy.driver_url("psycopg", with_password=True)}
            return measure.cost(self.url, lambda: upgraded(folder, environ))

    def ours(self, folder):
        with self.copy() as copy:
            project = Project(config=folder / "alembic.ini", python=sys.executable, live=copy)
            plan = pending.plan(project, copy, Identity(target="t", database="d", system_identifier="1", oid=1), "head")
            return measure.cost(self.url, lambda: rehearsed(project, copy, plan))


def upgraded(folder, environ):
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True)


def rehearsed(project, copy, plan):
    ran, _ = attempts.rehearse(
        project, copy, Segment(plan=plan), LIMITS, lambda _revision, _statement: None, role=None, is_part=False
    )
    with postgres.session(copy, purpose="counts") as opened:
        found = losses.effects(ran.parts, ran.base, lambda query: postgres.catalog_query(opened, query), plan.is_version_table)
    assert len(found) == len(plan.revisions) + 1


@contextlib.contextmanager
def bench(url, scale):
    folder = Path(tempfile.mkdtemp(prefix="benchmark-ledger-"))
    clinic = f"benchmark_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(f"CREATE DATABASE {clinic} TEMPLATE template0")
    made = Bench(url=url, folder=folder, clinic=clinic)
    try:
        with psycopg.connect(url, dbname=clinic, autocommit=True) as session:
            session.execute(TABLES)
            for statement in ROWS:
                session.execute(statement.format(many=int(MANY * scale)))
            (size,) = session.execute("SELECT pg_database_size(current_database())").fetchone()
        print(f"a database of {size / 1e6:,.0f} MB; ours / bare = ratio, the median of the pairs'\n")
        yield made
    finally:
        with psycopg.connect(url, autocommit=True) as session:
            session.execute(f"DROP DATABASE {clinic} WITH (FORCE)")
        shutil.rmtree(folder)


def compare(url, scale, runs, names):
    with bench(url, scale) as made:
        rows = []
        for name in names:
            folder = made.project(name)
            found = measure.pairs(lambda: made.bare(folder), lambda: made.ours(folder), runs)  # noqa: B023
            rows.append(Row(name, MOST, found))
        measure.table(rows, (WALL, WITH_SERVER))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--plan", action="append", choices=PLANS)
    arguments = parser.parse_args()
    compare(arguments.url, arguments.scale, arguments.runs, arguments.plan or list(PLANS))
