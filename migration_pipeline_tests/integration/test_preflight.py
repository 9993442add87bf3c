"""What preflight refuses, each against the real thing: a standby, a pooler, prepared and long transactions, broken indexes."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from migration_pipeline import errors
from migration_pipeline.adapters import embedded, explanation, preflight
from migration_pipeline.adapters.execution import Execution
from migration_pipeline.adapters.transaction import Limits
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.plan import Identity, Plan
from migration_pipeline_tests.conftest import execute, missing


def refused(url):
    with pytest.raises(errors.NotAllowed) as caught:
        preflight.examine(Connection.from_url(url))
    return caught.value


def test_a_server_that_meets_all_conditions_passes(database):
    assert preflight.examine(Connection.from_url(database)).database in database


def test_a_server_that_does_not_answer_is_named_without_its_password(server18):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"postgresql://app:geheim@127.0.0.1:{free.getsockname()[1]}/clinic"
        with pytest.raises(errors.ServerUnreachable) as caught:
            preflight.examine(Connection.from_url(url))

    assert "geheim" not in str(caught.value)
    assert "clinic on 127.0.0.1" in caught.value.evidence["database"]
    assert caught.value.next_step == "check DATABASE_URL and that the server runs, then run the same command again"


def test_a_wrong_password_is_told_without_it(server18):
    with pytest.raises(errors.ServerUnreachable) as caught:
        preflight.examine(Connection.from_url(f"postgresql://postgres:geheim@127.0.0.1:{server18.port}/postgres"))

    assert "password authentication failed" in caught.value.evidence["reason"]
    assert "geheim" not in str(caught.value)


def test_a_prepared_transaction_is_named(database18):
    with psycopg.connect(database18) as session:
        session.execute("CREATE TABLE t (id int)")
        session.execute("PREPARE TRANSACTION 'left behind'")
    try:
        assert refused(database18).evidence["prepared transactions"] == (
            "left behind (0 min old) hold locks: COMMIT PREPARED or ROLLBACK PREPARED them"
        )
    finally:
        execute(database18, "ROLLBACK PREPARED 'left behind'")


def test_an_old_transaction_is_named_with_its_process(database18, monkeypatch):
    monkeypatch.setattr(preflight, "LONG_TRANSACTION_MINUTES", 0)
    with psycopg.connect(database18, application_name="report") as session:
        pid = session.execute("SELECT pg_backend_pid()").fetchone()[0]
        time.sleep(0.1)
        evidence = refused(database18).evidence

    assert evidence[f"process {pid}"] == 'a transaction of "report" is 0 min old; the migration would wait behind its locks'


def test_an_index_that_a_failed_concurrent_build_left_is_named(database18):
    execute(database18, "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1), (1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        execute(database18, "CREATE UNIQUE INDEX CONCURRENTLY broken ON t (id)")

    assert refused(database18).evidence["invalid indexes"] == "broken: a dump leaves them out; REINDEX or DROP INDEX"


def test_the_storage_of_dagster_is_refused(database18):
    execute(database18, "CREATE TABLE event_logs (id int)", "CREATE TABLE run_tags (id int)")

    assert refused(database18).evidence["dagster"].startswith("this database is Dagster's own storage")


def test_a_standby_is_refused(server18, database18):
    with standby(server18) as copy:
        assert (
            refused(copy.url(database18.rpartition("/")[2])).evidence["standby"] == "this server is a standby; name the primary"
        )


def test_a_pooler_in_between_is_refused(server18, database18, tmp_path):
    with pooler(server18, tmp_path) as port:
        error = refused(f"postgresql://postgres:{server18.password}@127.0.0.1:{port}/{database18.rpartition('/')[2]}")

    assert error.what == "A connection pooler stands between us and the server: sessions and locks would not be ours."


@contextmanager
def standby(server):
    folder = server.folder.with_name("standby")
    folder.mkdir(mode=0o700)
    if server.account:
        shutil.chown(folder, server.account)
    copy = replace(server, folder=folder, port=embedded._free_port())
    url = f"host=127.0.0.1 port={server.port} user=postgres password={server.password}"
    embedded._run(
        server.account, server.binaries / "pg_basebackup", "-D", folder / "data", "-R", "-X", "stream", "-c", "fast", "-d", url
    )
    with (folder / "data" / "postgresql.auto.conf").open("a") as conf:
        conf.write(f"port = '{copy.port}'\n")
    copy.launch()
    try:
        yield copy
    finally:
        copy.stop("immediate")
        shutil.rmtree(folder)


@contextmanager
def pooler(server, folder):
    program = shutil.which("pgbouncer") or (os.path.exists("/usr/sbin/pgbouncer") and "/usr/sbin/pgbouncer")
    if not program:
        missing("pgbouncer")
    port = embedded._free_port()
    home = embedded.HOME / f"mp-pooler-{port}"
    home.mkdir()
    (home / "users").write_text(f'"postgres" "{server.password}"\n')
    (home / "ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {home}/users\npool_mode = transaction\n"
        "ignore_startup_parameters = extra_float_digits\n"
    )
    for path in (home, home / "users", home / "ini"):
        if server.account:
            shutil.chown(path, server.account)
    group = pwd.getpwnam(server.account).pw_gid if server.account else None
    process = subprocess.Popen(
        [program, "-q", home / "ini"], user=server.account, group=group, extra_groups=[] if server.account else None
    )
    try:
        wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(home)


def wait_for(port):
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)


def test_the_state_of_a_server_that_went_away_before_the_transaction_is_told():
    plan = Plan(
        identity=Identity(target="t", database="d", system_identifier="1", oid=1),
        target="head",
        current=("0001",),
        revisions=(),
        version_table="alembic_version",
    )
    limits = Limits(lock_timeout=timedelta(seconds=1), transaction=timedelta(seconds=1))
    run = Execution(plan=plan, limits=limits, server_version=180000, rehearsing=False, sources={})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = Connection.from_url(f"postgresql://app@127.0.0.1:{free.getsockname()[1]}/clinic")

        assert explanation._state(gone, plan, run, "aborted", "mend it") == (
            "the server does not answer; no transaction had been begun",
            "check that the server runs, then: just migrate",
        )
