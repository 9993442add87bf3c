"""How long the check of downgrades takes: a history of 300 revisions, and beside it pytest-alembic's up/down test.

    python benchmarks/downgrades.py [--revisions 300] [--pytest-alembic PYTHON]

PYTHON is an interpreter that has pytest-alembic, SQLAlchemy and psycopg: `uv venv V && uv pip install --python V/bin/python
pytest-alembic 'psycopg[binary]'`. Both sides run the same project on the same server in turn, the check in the project's own
interpreter; the ratio is of wall times, starts included. pytest-alembic compares nothing: it asks whether each step raises.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from migration_pipeline.adapters import embedded, throwaway
from migration_pipeline.domain.connection import Connection

INI = """
[alembic]
script_location = %(here)s/migrations
path_separator = os
"""
ENV = """
import os, re
from alembic import context
from sqlalchemy import create_engine, pool
connectable = context.config.attributes.get("connection")
if connectable is None:
    url = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", os.environ["DATABASE_URL"])
    connectable = create_engine(url, poolclass=pool.NullPool)
with connectable.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = '''"""{title}"""
import sqlalchemy as sa
from alembic import op

revision = "{revision:04}"
down_revision = {down}


def upgrade():
    {up}


def downgrade():
    {down_code}
'''
TEST = """
import os, re, pytest
from sqlalchemy import create_engine
from pytest_alembic.tests import test_up_down_consistency

@pytest.fixture
def alembic_config():
    return {"file": "alembic.ini"}

@pytest.fixture
def alembic_engine():
    return create_engine(re.sub("^postgresql", "postgresql+psycopg", os.environ["DATABASE_URL"]))
"""


def steps(number):
    """Yield what such histories are made of: of six revisions one makes a table, the others change what is there."""
    for at in range(number):
        table, before = f"t{at // 6}", f"t{max(at // 6 - 1, 0)}"
        column = f"c{at}"
        match at % 6:
            case 0:
                link = "" if at == 0 else f'sa.Column("parent_id", sa.Integer, sa.ForeignKey("{before}.id")), '
                up = (
                    f'op.create_table("{table}", sa.Column("id", sa.Integer, primary_key=True), {link}'
                    'sa.Column("name", sa.String(40), nullable=False), sa.Column("made_at", sa.DateTime(timezone=True), '
                    'server_default=sa.func.now(), nullable=False), sa.Column("amount", sa.Numeric(8, 2)))'
                )
                yield f"Create {table}.", up, f'op.drop_table("{table}")'
            case 1:
                yield (
                    f"Add {column}.",
                    f'op.add_column("{table}", sa.Column("{column}", sa.Text))',
                    f'op.drop_column("{table}", "{column}")',
                )
            case 2:
                yield (
                    f"Index {table}.",
                    f'op.create_index("ix_{column}", "{table}", ["name", "made_at"])',
                    f'op.drop_index("ix_{column}", "{table}")',
                )
            case 3:
                kind = f"sa.Enum('a', 'b', name='kind_{at}')"
                up = f'{kind}.create(op.get_bind()); op.add_column("{table}", sa.Column("{column}", {kind}))'
                yield f"Add {column}.", up, f'op.drop_column("{table}", "{column}"); {kind}.drop(op.get_bind())'
            case 4:
                yield (
                    f"Check {table}.",
                    f'op.create_check_constraint("ck_{column}", "{table}", "amount > 0")',
                    f'op.drop_constraint("ck_{column}", "{table}")',
                )
            case _:
                up = f"op.execute(\"UPDATE {table} SET amount = coalesce(amount, 1)\"); op.execute('CREATE VIEW v{at} AS SELECT id, name FROM {table}')"
                yield f"List {table}.", up, f"op.execute('DROP VIEW v{at}')"


def write(folder, number):
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True)
    (folder / "alembic.ini").write_text(INI)
    (folder / "migrations" / "env.py").write_text(ENV)
    (folder / "test_up_down.py").write_text(TEST)
    for at, (title, up, down_code) in enumerate(steps(number), 1):
        down = repr(f"{at - 1:04}") if at > 1 else None
        text = REVISION.format(title=title, revision=at, down=down, up=up, down_code=down_code)
        (versions / f"{at:04}_step.py").write_text(text)


def run(command, folder, **environ):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST") and name != "DATABASE_URL"}
    start = time.monotonic()
    done = subprocess.run(list(map(str, command)), cwd=folder, env={**kept, **environ}, capture_output=True, text=True)
    seconds = time.monotonic() - start
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return seconds, done.stdout.strip().splitlines()[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--revisions", type=int, default=300)
    parser.add_argument("--pytest-alembic", metavar="PYTHON", type=Path)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="migration_pipeline-benchmark-", dir=embedded.HOME))
    try:
        write(folder, asked.revisions)
        with throwaway.server() as server:
            url = server.driver_url("", with_password=True)
            check = [Path(sys.executable).with_name("migration-pipeline"), "test-downgrades"]
            ours, told = run(check, folder, SCRATCH_DATABASE_URL=url, PROJECT_PYTHON=str(asked.pytest_alembic or sys.executable))
            print(f"check: {ours:.1f} s; {told}")
            if asked.pytest_alembic:
                print_ratio(asked.pytest_alembic, folder, server, ours)
        alone, _ = run(check, folder, PROJECT_PYTHON=str(asked.pytest_alembic or sys.executable))
        print(f"check with a throw-away server of its own: {alone:.1f} s")
    finally:
        shutil.rmtree(folder)


def print_ratio(python, folder, server: Connection, ours):
    with psycopg.connect(server.driver_url("", with_password=True), autocommit=True) as session:
        session.execute("CREATE DATABASE theirs")
    url = server.replace(database="theirs").driver_url("", with_password=True)
    theirs, told = run([python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_up_down.py"], folder, DATABASE_URL=url)
    print(f"pytest-alembic: {theirs:.1f} s; {told}; ratio {ours / theirs:.2f}")


main()
