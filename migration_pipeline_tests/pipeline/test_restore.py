"""The way back, through `just restore-db`: what was backed up is there again, value for value, and nothing else is lost."""

import contextlib
import json
import re
import threading
import time

import psycopg
import pytest

HASH = "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {} t"
PROMPT = r"This replaces database (\S+) with the backup of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\. Type 'RESTORE' to proceed:"


def fill(site, number=1000):
    site.query(
        f"INSERT INTO patients (name, allergy) SELECT 'p' || i, 'a' || i FROM generate_series(1, {number}) i",
        "CREATE TABLE IF NOT EXISTS alerts_kept (id int PRIMARY KEY, told text)",
        f"INSERT INTO alerts_kept SELECT i, md5(i::text) FROM generate_series(1, {number}) i ON CONFLICT DO NOTHING",
    )


def hashes(site, *tables):
    return {table: site.query(HASH.format(table)) for table in tables}


@pytest.fixture
def site(make_site):
    site = make_site("drops_table", at="0001")
    fill(site)
    return site


@pytest.mark.control("T5")
@pytest.mark.control("O2")
def test_a_corrupted_database_is_brought_back_from_before_the_migration(site):
    tables = ("patients", "alerts_kept", "alembic_version")
    before = hashes(site, *tables)
    assert site.just("backup-db").returncode == 0
    migrated = site.just("migrate", answer="CONFIRM\n")
    assert migrated.returncode == 0, migrated.stderr
    site.query("UPDATE patients SET name = md5(name)", "DROP TABLE IF EXISTS alerts_kept", "CREATE TABLE scribble (a int)")

    restored = site.just("restore-db", answer="RESTORE\n")

    assert restored.returncode == 0, restored.stderr
    assert re.search(PROMPT, restored.stderr)
    assert hashes(site, *tables) == before
    assert site.query("SELECT to_regclass('scribble')") == [(None,)]
    (aside,) = site.query("SELECT datname FROM pg_database WHERE starts_with(datname, current_database() || '_before_restore_')")
    assert f"the replaced database stays as {aside[0]}" in restored.stderr
    dropped = site.just("drop-replaced", aside[0])
    assert dropped.returncode == 0, dropped.stderr
    assert site.query("SELECT count(*) FROM pg_database WHERE datname LIKE '%before_restore%'") == [(0,)]
