"""The way back, through `just restore-db`: what was backed up is there again, value for value, and nothing else is lost."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from urllib.parse import urlsplit

import psycopg
import pyrage
import pytest

from migration_pipeline_tests import long
from migration_pipeline_tests.conftest import execute, missing, wait_until
from migration_pipeline_tests.door import Run

pytest_plugins = ["migration_pipeline_tests.s3"]

HASH = "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {} t"
PROMPT = r"This replaces database (\S+) with the backup of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\. Type 'RESTORE' to proceed:"
TABLES = ("patients", "alerts", "kept", "alembic_version")


def fill(site, number=1000):
    site.query(
        f"INSERT INTO patients (name, allergy) SELECT 'p' || i, 'a' || i FROM generate_series(1, {number}) i",
        f"INSERT INTO alerts (message) SELECT md5(i::text) FROM generate_series(1, {number}) i",
        "CREATE TYPE mood AS ENUM ('well', 'ill')",
        "CREATE TABLE kept (id int PRIMARY KEY, mood mood, seen timestamptz, note json, image oid)",
        """INSERT INTO kept SELECT i, (ARRAY['well', 'ill'])[1 + i % 2]::mood, now() - i * interval '1 h', '{"a": 1}',
            lo_from_bytea(0, decode(md5(i::text), 'hex')) FROM generate_series(1, 10) i""",
    )


def hashes(site):
    return {table: site.query(HASH.format(table)) for table in TABLES}


def oid(site):
    return site.query("SELECT oid FROM pg_database WHERE datname = current_database()")


def put_aside(site):
    name = site.url.rpartition("/")[2]
    server = site.url.rpartition("/")[0] + "/postgres"
    return [row[0] for row in execute(server, f"SELECT datname FROM pg_database WHERE starts_with(datname, '{name}_')")]


def corrupt(site):
    site.query("UPDATE patients SET name = md5(name)", "DROP TABLE kept", "CREATE TABLE scribble (a int)")


@pytest.fixture
def site(make_site18):
    site = make_site18("drops_table", at="0001")
    fill(site)
    return site


@pytest.mark.control("T5")
@pytest.mark.control("O2")
def test_a_corrupted_database_is_brought_back_from_before_the_migration(make_site):
    site = make_site("drops_table", at="0001")
    fill(site)
    before = hashes(site)
    assert site.just("backup-db").returncode == 0
    migrated = site.just("migrate", answer="CONFIRM\n")
    assert migrated.returncode == 0, migrated.stderr
    corrupt(site)

    restored = site.just("restore-db", answer="RESTORE\n")

    assert restored.returncode == 0, restored.stderr
    assert re.search(PROMPT, restored.stderr)
    for line in (
        "the revision goes from 0002 back to 0001 (0002 since the backup)",
        "public.alerts: no such table now; 1,000 rows in the backup",
        "public.kept: no such table now; 10 rows in the backup",
        "public.scribble: 0 rows now; the backup has no such table",
    ):
        assert "  " + line in restored.stderr.splitlines()
    assert hashes(site) == before
    assert site.query("SELECT to_regclass('scribble')") == [(None,)]
    (aside,) = put_aside(site)
    assert f"the replaced database stays as {aside}" in restored.stderr
    listed = site.just("drop-replaced")
    assert aside in listed.stdout
    dropped = site.just("drop-replaced", aside)
    assert dropped.returncode == 0, dropped.stderr
    assert put_aside(site) == []


@pytest.mark.parametrize(
    ("store", "layout"),
    [("folder", "plain"), ("s3", "directory"), *(long(*one) for one in (("folder", "plain-zstd"), ("folder", "directory"),
                                                                        ("s3", "plain"), ("s3", "plain-zstd")))],
)  # fmt: skip
def test_every_format_comes_back_from_every_store_row_by_row(site, layout, store, request):
    before = hashes(site)
    keys = {"backup_format": layout, "verify_level": "rows"}
    if store == "s3":
        keys["backup_location"] = request.getfixturevalue("bucket").location
    if layout != "directory":
        identity = pyrage.x25519.Identity.generate()
        (site.folder / "key.txt").write_text(f"# a key\n{identity}\n")
        keys |= {"backup_recipients": [str(identity.to_public())], "backup_identity_file": "key.txt"}
    site.configure(**keys)
    taken = site.run("backup-db", "--json")
    assert taken.returncode == 0, taken.stderr
    assert json.loads(taken.stdout)["backup"]["level"] == "rows"
    corrupt(site)

    restored = site.run("restore-db", "--yes", "--json")

    assert restored.returncode == 0, restored.stderr
    assert hashes(site) == before
    told = json.loads(restored.stdout)
    assert told["replaced_database"] in put_aside(site)
    assert told["swap_seconds"] < 3


@pytest.mark.control("T5")
def test_three_clients_hammer_it_and_are_kept_out_for_less_than_a_second(site):
    before = hashes(site)
    site.take_backup()
    stop, refused, seen = threading.Event(), [], []

    def hammer():
        while not stop.is_set():
            try:
                with psycopg.connect(site.url, connect_timeout=10, autocommit=True) as client:
                    while not stop.is_set():
                        seen.append(client.execute("SELECT (SELECT count(*) FROM alerts), to_regclass('scribble')").fetchone())
                        client.execute("INSERT INTO patients (name) VALUES ('hammered')")
            except psycopg.Error:
                refused.append(time.monotonic())

    site.query("CREATE TABLE scribble (a int)")
    clients = [threading.Thread(target=hammer) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        restored = site.run("restore-db", "--yes")
    finally:
        time.sleep(0.5)
        stop.set()
        for client in clients:
            client.join()

    assert restored.returncode == 0, restored.stderr
    assert {count for count, _ in seen} == {1000}, "each sees a whole database, the old one or the new one"
    assert seen[-1][1] is None
    assert len(refused) >= 3, "each client's session was ended"
    assert max(refused) - min(refused) < 1, "seconds between the first refusal and the last"
    site.query("DELETE FROM patients WHERE name = 'hammered'")
    assert hashes(site) == before


def test_a_database_that_is_gone_altogether_is_made_again(site):
    before = hashes(site)
    site.query("ALTER DATABASE {} SET app.key = 'geheim'".format(site.url.rpartition("/")[2]))
    site.take_backup()
    server = site.url.rpartition("/")[0] + "/postgres"
    execute(server, f"DROP DATABASE {site.url.rpartition('/')[2]} WITH (FORCE)")

    restored = site.run("restore-db", answer="RESTORE\n")

    assert restored.returncode == 0, restored.stderr
    assert "rows now: not known, for there is no database" in restored.stderr
    assert hashes(site) == before
    assert put_aside(site) == []
    assert site.query("SELECT current_setting('app.key')") == [("geheim",)]
    kept = [path for path in site.folder.rglob("*") if path.is_file() and b"geheim" in path.read_bytes()]
    assert [path.name.partition(".")[2] for path in kept] == ["database.sql"], "no manifest, and nothing of Dagster's"


@pytest.mark.parametrize("answer", [long("restore\n"), "CONFIRM\n", long("")])
def test_any_other_answer_changes_nothing(site, answer):
    site.take_backup()
    was = oid(site)

    declined = site.run("restore-db", answer=answer)

    assert declined.returncode == 3
    assert "The restore was not confirmed; nothing was changed." in declined.stderr.splitlines()
    assert f"  state: database {site.url.rpartition('/')[2]} is as it was" in declined.stderr.splitlines()
    assert oid(site) == was
    assert put_aside(site) == []


def test_a_file_that_its_checksum_denies_is_refused_before_anything_is_made(site):
    site.take_backup()
    (dump,) = (site.folder / "backups").rglob("backup_*-[0-9][0-9].sql")
    dump.write_bytes(dump.read_bytes().replace(b"p999", b"q999"))

    refused = site.run("restore-db", "--yes")

    assert refused.returncode == 1
    assert f'The dump of backup "{dump.stem}" is not what its manifest says.' in refused.stderr.splitlines()
    assert put_aside(site) == []
    assert site.query("SELECT count(*) FROM patients WHERE name = 'p999'") == [(1,)]


def test_an_interrupted_restore_leaves_the_database_as_it_was_and_a_killed_one_is_swept(site):
    fill_more = "INSERT INTO patients (name) SELECT md5(i::text) FROM generate_series(1, 300000) i"
    site.query(fill_more)
    site.take_backup()
    was = oid(site)
    for number, code in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        run = Run(["restore-db", "--yes"], site.environ, site.folder)
        wait_until(lambda: any("_restore_" in one for one in put_aside(site)), lambda run=run: run.said, 60)
        run.send(number)
        assert run.wait() == code
        assert oid(site) == was
        if number == signal.SIGINT:
            assert "is as it was" in run.said
            assert put_aside(site) == []

    assert any("_restore_" in one for one in put_aside(site)), "nobody was left to remove it"
    swept = site.run("restore-db", answer="no\n")
    assert swept.returncode == 3
    assert put_aside(site) == []


def test_a_dump_from_elsewhere_is_restored_without_its_own_commands(site):
    before = hashes(site)
    site.take_backup()
    (dump,) = (site.folder / "backups").rglob("backup_*-[0-9][0-9].sql")
    elsewhere = site.folder / "elsewhere.sql"
    elsewhere.write_bytes(dump.read_bytes())
    refused = site.run("restore-db", str(elsewhere), "--yes")
    assert refused.returncode == 1
    assert "is missing or damaged: it is no backup." in refused.stderr
    corrupt(site)

    restored = site.run("restore-db", "--unverified", str(elsewhere), answer="RESTORE\n")

    assert restored.returncode == 0, restored.stderr
    assert "no manifest vouches for the file" in restored.stderr
    assert hashes(site) == before

    elsewhere.write_bytes(dump.read_bytes() + b"\\! touch proof\n")
    was = oid(site)
    attacked = site.run("restore-db", "--unverified", str(elsewhere), "--yes")
    assert attacked.returncode == 1
    assert "the dump holds commands of psql's own: backslash commands are restricted" in attacked.stderr
    assert not (site.folder / "proof").exists()
    assert oid(site) == was


def test_without_a_verified_backup_there_is_nothing_to_restore(site):
    refused = site.run("restore-db", "--yes")

    assert refused.returncode == 3
    assert refused.stderr.splitlines()[2:] == [
        "There is no verified backup of this database to restore; nothing was changed.",
        f"  backups: none in {site.folder}/backups/default",
        f"  state: database {site.url.rpartition('/')[2]} is as it was; nothing was begun",
        "Next: name one: just restore-db <backup>. With none: alembic downgrade -1; if that fails, the administrator",
    ]


@pytest.mark.control("O2")
@pytest.mark.parametrize("layout", ["plain", "plain-zstd", "directory"])
def test_the_commands_in_the_manifest_restore_it_without_this_product(site, layout):
    if layout == "plain-zstd" and not shutil.which("zstd"):
        missing("zstd")
    site.configure(backup_format=layout)
    before = hashes(site)
    site.take_backup()
    (manifest,) = (site.folder / "backups").rglob("backup_*.json")
    commands = json.loads(manifest.read_text())["by_hand"]
    url = urlsplit(site.url)
    environ = {"PATH": f"{site.binaries}:{os.environ['PATH']}", "PGHOST": url.hostname, "PGPORT": str(url.port), "PGUSER": url.username,
               "PGPASSWORD": url.password}  # fmt: skip

    for command in commands:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command], cwd=manifest.parent, env=environ, capture_output=True, text=True
        )
        assert done.returncode == 0, (command, done.stderr)

    by_hand = f"{site.url}_restored"
    try:
        assert {table: execute(by_hand, HASH.format(table)) for table in TABLES} == before
    finally:
        execute(site.url, f'DROP DATABASE "{by_hand.rpartition("/")[2]}"')
