"""A backup system of the operator's own: pgBackRest for real, and small programs that keep the contract or break it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from migration_pipeline import errors
from migration_pipeline.adapters import belongings, binaries, embedded, postgres, readings
from migration_pipeline.adapters.own_system import Commands, Found, OwnSystem
from migration_pipeline.domain import bounds
from migration_pipeline.domain.backups import Layout, Manifest
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.plan import Identity
from migration_pipeline_tests.conftest import execute, fast_folder, marked_processes, missing, wait_until

VERSION_TABLE = (None, "alembic_version")
PATIENTS = (
    "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
    "INSERT INTO alembic_version VALUES ('0001')",
    "CREATE TABLE patients (id int PRIMARY KEY, name text)",
    "INSERT INTO patients SELECT n, 'P' || n FROM generate_series(1, 1000) n",
)
EXAMPLE = Path(__file__).parents[2] / "examples" / "pgbackrest" / "backups.py"
NEXT = "mend it: docs/own-backup-system.md says what {} must do"

# small programs ──────────────────────────────────────────────────────────────────────────────────

#: A backup system of pg_dump's archives in a folder, as an operator may write one.
SYSTEM = """
import configparser, datetime, json, os, pathlib, subprocess, sys
folder, programs, verb = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]

def told(path):
    time = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.timezone.utc).isoformat()
    return {"id": path.stem, "time": time, "bytes": path.stat().st_size}

if verb == "list":
    print(json.dumps([told(path) for path in folder.glob("*.dump")]))
elif verb == "create":
    path = folder / f"{len(list(folder.iterdir()))}.dump"
    subprocess.run([programs / "pg_dump", "-Fc", "-Z0", "-f", path], check=True)
    print(json.dumps(told(path)))
else:
    service = configparser.ConfigParser()
    service.read(os.environ["PGSERVICEFILE"])
    server = service[os.environ["PGSERVICE"]]
    password = pathlib.Path(server["passfile"]).read_text().strip().rpartition(":")[2]
    url = f"postgresql://{server['user']}:{password}@{server['host']}:{server['port']}/"
    name = "copy_of_" + os.environ["MIGRATION_DATABASE"]
    environ = {**os.environ, "PGPASSWORD": password}  # a test: an operator takes a passfile
    sql = lambda text: subprocess.run([programs / "psql", "-qXc", text], check=True, env=environ)
    sql(f"CREATE DATABASE {name}")
    try:
        restore = [programs / "pg_restore", "-d", f"service={os.environ['PGSERVICE']} dbname={name}"]
        subprocess.run([*restore, folder / (os.environ["MIGRATION_BACKUP_ID"] + ".dump")], check=True, env=environ)
        print(json.dumps({"database_url": url + name}), flush=True)
        sys.stdin.read()
    finally:
        sql(f"DROP DATABASE {name} WITH (FORCE)")
"""


@pytest.fixture
def dumps(server18, database18, tmp_path):
    """A system that keeps the contract, on a database of its own."""
    execute(database18, *PATIENTS)
    (tmp_path / "system.py").write_text(SYSTEM)
    (tmp_path / "dumps").mkdir()
    command = (sys.executable, str(tmp_path / "system.py"), str(tmp_path / "dumps"), str(server18.binaries))
    commands = Commands(list=(*command, "list"), create=(*command, "create"), restore_to=(*command, "restore_to"))
    return OwnSystem(commands, Connection.from_url(database18), Connection.from_url(server18.url()))


def copies(server):
    return execute(server.url(), "SELECT datname FROM pg_database WHERE datname LIKE 'copy_of_%'")


def check(copy, taken):
    contents = taken.before.contents
    manifest = Manifest(
        id="backup_2026-11-22_13-25-08",
        identity=Identity(target="default", database="clinic", system_identifier="7", oid=5),
        server_version="180006",
        client_version="none",
        snapshot_time=taken.before.time,
        heads=contents.heads,
        layout=Layout.OWN_SYSTEM,
        files=(),
        seconds=1,
        rows=contents.rows,
        schema=contents.schema,
        schema_fingerprint=contents.schema.fingerprint,
        extensions=contents.extensions,
        roles=contents.roles,
        bounds=taken.bounds,
    )
    readings.check_copy(manifest, copy)


def test_a_backup_is_taken_listed_restored_and_taken_away(dumps, server18, database18):
    assert dumps.list() == []

    taken = dumps.take(VERSION_TABLE)

    assert dumps.list() == [taken.found]
    assert taken.found.id == "0"
    assert taken.bounds == {"public.alembic_version": (1, 1), "public.patients": (1000, 1000)}
    with dumps.restored("0") as copy:
        check(copy, taken)
        assert copies(server18) == [(copy.database,)]
        assert copy.database == "copy_of_" + database18.rpartition("/")[2]
    assert copies(server18) == []


def test_a_copy_outside_the_bounds_is_refused(dumps):
    taken = dumps.take(VERSION_TABLE)
    with dumps.restored("0") as copy:
        execute(
            copy.driver_url("", with_password=True),
            "DELETE FROM patients WHERE id = 7",
            "ALTER TABLE patients ADD ward int",
            "DELETE FROM alembic_version",
        )
        with pytest.raises(errors.VerificationFailed) as failed:
            check(copy, taken)

    assert str(failed.value).splitlines() == [
        "The restored copy is not what the database was at the backup.",
        "  rows of public.alembic_version: 0, right: 1",
        "  rows of public.patients: 999, right: 1,000",
        "  schema: column public.patients.ward is new",
        "  revision: none, right: 0001",
    ]


def during(monkeypatch, system, *statements):
    """Let these happen between the two readings, before the backup is taken."""
    create = system.create

    def after_them():
        execute(system._live.driver_url("", with_password=True), *statements)
        return create()

    monkeypatch.setattr(system, "create", after_them)


def test_a_schema_that_changes_meanwhile_makes_no_backup(dumps, monkeypatch):
    during(monkeypatch, dumps, "ALTER TABLE patients ADD ward int")

    with pytest.raises(errors.BackupFailed) as failed:
        dumps.take(VERSION_TABLE)

    assert str(failed.value).splitlines() == [
        "The schema changed while the backup was taken: nobody knows which of the two it holds.",
        "  schema: column public.patients.ward is new",
        "Next: just backup-db, while nobody changes the schema",
    ]


def test_what_is_written_meanwhile_widens_the_bounds_by_as_much(dumps, monkeypatch):
    during(
        monkeypatch,
        dumps,
        "INSERT INTO patients SELECT n, 'new' FROM generate_series(2001, 2007) n",
        "DELETE FROM patients WHERE id <= 3",
        "UPDATE patients SET name = 'changed' WHERE id BETWEEN 11 AND 15",
    )

    taken = dumps.take(VERSION_TABLE)

    assert taken.bounds["public.patients"] == (992, 1007)
    with dumps.restored("0") as copy:
        check(copy, taken)


def test_a_table_that_is_emptied_meanwhile_has_no_bounds(dumps, monkeypatch):
    during(monkeypatch, dumps, "TRUNCATE patients", "INSERT INTO patients VALUES (1, 'P1')")

    assert dumps.take(VERSION_TABLE).bounds["public.patients"] == (0, None)


def test_a_backup_of_another_time_or_that_is_not_listed_is_not_recorded(dumps, monkeypatch):
    moment = datetime.now(UTC) - timedelta(hours=1)
    monkeypatch.setattr(dumps, "create", lambda: Found(id="old", time=moment, bytes=1))
    with pytest.raises(errors.BackupFailed, match='Backup "old" is of a time at which it was not taken; no backup was recorded.'):
        dumps.take(VERSION_TABLE)

    monkeypatch.setattr(dumps, "create", lambda: Found(id="lost", time=datetime.now(UTC), bytes=1))
    with pytest.raises(
        errors.BackupFailed, match='Backup "lost" was taken, and the command list does not know it; no backup was recorded.'
    ):
        dumps.take(VERSION_TABLE)


WRITES = (
    "INSERT INTO patients SELECT 100000 + {n} * 10 + g, 'x' FROM generate_series(0, 9) g",
    "DELETE FROM patients WHERE id IN (SELECT id FROM patients ORDER BY random() LIMIT 7)",
    "UPDATE patients SET name = name || '+' WHERE id % 50 = {n} % 50",
    "BEGIN; SAVEPOINT a; INSERT INTO patients VALUES (-{n}, 'sub'); RELEASE a; DELETE FROM patients WHERE id = {n} % 1000; COMMIT",
    "BEGIN; DELETE FROM patients; ROLLBACK",
    "BEGIN; SAVEPOINT a; DELETE FROM patients WHERE id < 500; ROLLBACK TO a; INSERT INTO parts VALUES ({n} % 2); COMMIT",
    "UPDATE parts SET half = 1 - half WHERE ctid IN (SELECT ctid FROM parts LIMIT 3)",
)


def test_every_moment_between_two_readings_is_within_the_bounds(database18, monkeypatch):
    monkeypatch.setattr(readings, "COUNTERS_SECONDS", 1.5)  # each of these sessions ends a transaction all the time
    halves = [f"CREATE TABLE parts_{n} PARTITION OF parts FOR VALUES IN ({n})" for n in (0, 1)]
    execute(database18, *PATIENTS, "CREATE TABLE parts (half int) PARTITION BY LIST (half)", *halves)
    live = Connection.from_url(database18)
    stop = threading.Event()

    def write(start):
        with psycopg.connect(database18, autocommit=True) as opened:
            number = start
            while not stop.is_set():
                with contextlib.suppress(
                    psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure
                ):
                    opened.execute(WRITES[number % len(WRITES)].format(n=number))
                if opened.info.transaction_status:
                    opened.rollback()
                number += 3

    threads = [threading.Thread(target=write, args=(start,)) for start in (1, 2, 3)]
    for thread in threads:
        thread.start()
    moments = []
    try:
        first = readings.before(live, VERSION_TABLE)
        for _ in range(20):
            with psycopg.connect(database18, autocommit=True) as opened:
                opened.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
                moments.append(postgres.count_rows(opened))
                opened.execute("ROLLBACK")
            time.sleep(0.02)
        last = readings.after(live, VERSION_TABLE, first)
    finally:
        stop.set()
        for thread in threads:
            thread.join()

    found = readings.enclose(first, last)
    assert [bounds.violations(found, rows) for rows in moments] == [{}] * 20
    least, most = found["public.patients"]
    assert least < most


def printing(tmp_path, text, *, more="", limit=20.0):
    """Return a system whose every command is this."""
    program = tmp_path / "bad.py"
    program.write_text(f"import sys, os, time, signal\nsys.stdout.write({text!r})\nsys.stdout.flush()\n" + textwrap.dedent(more))
    command = (sys.executable, str(program))
    live = Connection.from_url("postgresql://app:geheim@127.0.0.1:1/clinic")
    return OwnSystem(
        Commands(
            list=command, create=command, restore_to=command, limit=timedelta(seconds=limit), stop_limit=timedelta(seconds=1)
        ),
        live,
        None,
    )


GOOD = {"id": "one", "time": "2026-01-02T03:04:05+01:00", "bytes": 7}


def test_a_list_is_newest_first(tmp_path):
    newer = {**GOOD, "id": "two", "time": "2026-01-02T03:04:05Z", "more": "is not looked at"}

    assert [one.id for one in printing(tmp_path, json.dumps([GOOD, newer])).list()] == ["two", "one"]


@pytest.mark.parametrize(
    ("printed", "where"),
    [
        ("", "output: Invalid JSON: EOF while parsing a value at line 1 column 0"),
        ("Jane Doe", "output: Invalid JSON: expected value at line 1 column 1"),
        ('{"id": "x"}', "output: Input should be a valid array"),
        (json.dumps([{**GOOD, "time": "2026-01-02T03:04:05"}]), "0.time: Input should have timezone info"),
        (json.dumps([{**GOOD, "time": 1767323045}]), "0.time: Input should be a valid datetime"),
        (json.dumps([GOOD, {**GOOD, "bytes": -1}]), "1.bytes: Input should be greater than or equal to 0"),
        (json.dumps([{**GOOD, "bytes": "7"}]), "0.bytes: Input should be a valid integer"),
        (json.dumps([{**GOOD, "bytes": 2**63}]), "0.bytes: Input should be less than or equal to 9223372036854775807"),
        (json.dumps([{**GOOD, "id": "a\nb"}]), "0.id: String should match pattern '^[!-~]{1,200}$'"),
        (json.dumps([{"time": GOOD["time"], "bytes": 1}]), "0.id: Field required"),
        ("[" * 100_000, "output: Invalid JSON: recursion limit exceeded at line 1 column"),
    ],
)
def test_a_list_that_cannot_be_understood_is_said_without_what_it_says(tmp_path, printed, where):
    with pytest.raises(errors.Failure) as failed:
        printing(tmp_path, printed).list()

    what, program, told, following = str(failed.value).splitlines()
    assert what == "The backup system's command list printed what cannot be understood; its backups are not known."
    assert program == f"  program: {Path(sys.executable).name}"
    assert told.startswith(f"  {where}")
    assert following == f"Next: {NEXT.format('list')}"


def test_two_backups_of_one_name_are_refused(tmp_path):
    with pytest.raises(
        errors.Failure, match="The backup system's command list named two backups alike; its backups are not known."
    ):
        printing(tmp_path, json.dumps([GOOD, GOOD])).list()


def test_output_without_an_end_is_cut_off(tmp_path):
    with pytest.raises(errors.Failure, match="command list printed more than 16,777,216 bytes; its backups are not known."):
        printing(tmp_path, "", more="while True: os.write(1, b' ' * 65536)").list()


def test_a_command_that_hangs_is_ended_with_what_it_started(tmp_path, monkeypatch):
    monkeypatch.setenv("MARK", str(tmp_path))
    system = printing(tmp_path, "", more="import subprocess; subprocess.Popen(['sleep', '60']); time.sleep(60)", limit=0.5)

    with pytest.raises(errors.BackupFailed, match="command create was not done after 0 s; no backup was recorded."):
        system.create()

    wait_until(lambda: not marked_processes(tmp_path), lambda: marked_processes(tmp_path), 5)


def test_a_command_that_leaves_a_program_with_its_output_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setenv("MARK", str(tmp_path))
    more = "import subprocess; subprocess.Popen(['sleep', '60'])"

    assert [one.id for one in printing(tmp_path, json.dumps([GOOD]), more=more).list()] == ["one"]

    wait_until(lambda: not marked_processes(tmp_path), lambda: marked_processes(tmp_path), 5)


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ("backups: error: no room in the repository", ["  error: no room in the repository"]),
        ("backups: error: password geheim for app, token=abc at https://u:p@host/x", ["  error: password … for app, token=… at …"]),
        ("P00  ERROR: [055]: unable to open 'x y'", ["  error: [055]: unable to open …"]),
        ("pg_dump: error: query failed: ERROR:  invalid input: Jane Doe", ["  error: query failed: (message withheld: it may hold row values)"]),
        ("ERROR:  42501: permission denied for table patients", ["  error: permission denied for table patients"]),
        ("DETAIL:  Key (name)=(Jane Doe) already exists.", ["  error: (message withheld: it may hold row values)"]),
        ("Jane Doe", []),
    ],
)  # fmt: skip
def test_of_stderr_only_an_error_of_the_program_itself_is_shown(tmp_path, last, told):
    more = f"print('Jane Doe was here', file=sys.stderr); print({last!r}, file=sys.stderr); sys.exit(3)"

    with pytest.raises(errors.Failure) as failed:
        printing(tmp_path, json.dumps([GOOD]), more=more).list()

    assert str(failed.value).splitlines() == [
        "The backup system's command list failed; its backups are not known.",
        f"  program: {Path(sys.executable).name}",
        "  ended by: exit code 3",
        *told,
        f"Next: {NEXT.format('list')}",
    ]


def test_a_program_that_is_not_there_is_named(tmp_path):
    commands = Commands(list=(str(tmp_path / "none"), "x"), create=(), restore_to=())

    with pytest.raises(errors.Failure) as failed:
        OwnSystem(commands, Connection.from_url("postgresql://127.0.0.1/clinic"), None).list()

    assert str(failed.value).splitlines() == [
        "The program of the backup system's command list was not found.",
        "  program: none",
        "Next: name a program that can be run in backup_system.list",
    ]


RESTORES = [
    ("", "import time; os.close(1); time.sleep(0.1); sys.exit(4)", "ended before its copy was ready", ["ended by: exit code 4"]),
    ('{"database_url": "x"}', "", "ended before its copy was ready", []),  # a line has an end
    ("", "os.kill(os.getpid(), signal.SIGKILL)", "ended before its copy was ready", ["ended by: SIGKILL"]),
    ("Jane Doe\n", "sys.stdin.read()", "printed what cannot be understood", ["output: Invalid JSON: expected value at line 1 column 1"]),
    ('{"database_url": "mysql://root:geheim@host/x"}\n', "sys.stdin.read()", "printed a URL that cannot be used", ["database_url: is "]),
    ("", "time.sleep(60)", "was not done after 1 s", []),
    (" " * 100_000, "time.sleep(60)", "printed more than 65,536 bytes", []),
]  # fmt: skip


@pytest.mark.parametrize(("printed", "more", "what", "lines"), RESTORES)
def test_a_restore_that_goes_wrong_leaves_nothing(tmp_path, monkeypatch, printed, more, what, lines):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("MARK", str(tmp_path))
    limit = 1.0 if "60" in more and not printed else 20.0

    with pytest.raises(errors.VerificationFailed) as failed, printing(tmp_path, printed, more=more, limit=limit).restored("one"):
        pass

    said = str(failed.value).splitlines()
    assert said[0] == f"The backup system's command restore_to {what}; the backup was not restored."
    assert [line for line in lines if not any(one.startswith(f"  {line}") for one in said)] == []
    assert "geheim" not in str(failed.value)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert marked_processes(tmp_path) == {}


def test_the_live_database_is_no_copy_of_itself_under_any_name(server18, database18, tmp_path):
    execute(database18, *PATIENTS)
    live = Connection.from_url(database18)
    other_name = database18.replace("127.0.0.1", "localhost")
    program = tmp_path / "live.py"
    program.write_text(f"import json, sys\nprint(json.dumps({{'database_url': {other_name!r}}}), flush=True)\nsys.stdin.read()\n")
    command = (sys.executable, str(program))
    system = OwnSystem(Commands(list=command, create=command, restore_to=command), live, None)

    with pytest.raises(errors.Failure) as failed, system.restored("one"):
        pass

    assert str(failed.value).splitlines() == [
        "The backup system's command restore_to named the live database; nothing was done to it.",
        f"  program: {Path(sys.executable).name}",
        f"  database: {live.database} on localhost:{server18.port} as postgres",
        "Next: mend the command restore_to: it must name a copy of the backup, and nothing else may use that",
    ]


def test_a_copy_that_does_not_answer_is_said(database18, tmp_path):
    program = tmp_path / "away.py"
    program.write_text(
        'import sys\nprint(\'{"database_url": "postgresql://u:geheim@127.0.0.1:1/x"}\', flush=True)\nsys.stdin.read()\n'
    )
    command = (sys.executable, str(program))
    system = OwnSystem(Commands(list=command, create=command, restore_to=command), Connection.from_url(database18), None)

    with pytest.raises(errors.VerificationFailed) as failed, system.restored("one"):
        pass

    assert failed.value.what == "The backup system's command restore_to named a database that cannot be reached."
    assert failed.value.evidence["database"] == "x on 127.0.0.1:1 as u"
    assert "geheim" not in str(failed.value)


def test_commands_know_the_database_by_name_and_restore_to_no_way_to_it(tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://app:geheim@host/clinic")
    monkeypatch.setenv("PGPASSWORD", "geheim")
    monkeypatch.setenv("PGBACKREST_STANZA", "clinic")
    more = (
        "open(sys.argv[0] + '.env', 'w').write(repr(dict(os.environ)) + repr(os.listdir(os.environ['MIGRATION_SCRATCH_FOLDER'])))"
    )
    with pytest.raises(errors.VerificationFailed), printing(tmp_path, "", more=more).restored("one"):
        pass

    seen = (tmp_path / "bad.py.env").read_text()

    assert "geheim" not in seen
    assert "PGSERVICE" not in seen
    for part in ("'MIGRATION_BACKUP_ID': 'one'", "'MIGRATION_DATABASE': 'clinic'", "'PGBACKREST_STANZA': 'clinic'", "}[]"):
        assert part in seen


# pgBackRest ──────────────────────────────────────────────────────────────────────────────────────

CONFIGURATION = """
[global]
repo1-path={folder}/repo
repo1-retention-full=9
lock-path={folder}/lock
log-path={folder}/lock
log-level-file=off
spool-path={folder}/spool
compress-type=none
archive-timeout=30

[clinic]
pg1-path={folder}/server/data
pg1-user=postgres
pg1-socket-path={folder}/socket
"""


class Stanza:
    """A cluster with an archive and a repository, and the example's commands for it."""

    def __init__(self, folder, server):
        self.folder = folder
        self.server = server
        self.url = server.url("clinic")
        self.commands = self.of(EXAMPLE)

    def of(self, script):
        command = (sys.executable, str(script), "--stanza=clinic", f"--config={self.folder / 'pgbackrest.conf'}")
        command = (*command, f"--programs={self.server.binaries}")
        return Commands(
            list=(*command, "list"),
            create=(*command, "create"),
            restore_to=(*command, "restore_to"),
            limit=timedelta(minutes=2),
        )

    @property
    def system(self):
        return OwnSystem(self.commands, Connection.from_url(self.url), None)

    def archived(self):
        return sorted(path.name for path in (self.folder / "repo" / "archive").rglob("*") if path.is_file())

    def copies(self):
        """Return the programs that serve or restore a copy."""
        found = {}
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if str(self.folder / "temporary").encode() in (text := path.read_bytes()):
                    found[path.parent.name] = text.replace(b"\0", b" ").decode()
        return found


@pytest.fixture(scope="module")
def stanza():
    if shutil.which("pgbackrest") is None:
        missing("pgbackrest")
    try:
        programs = binaries.find(15)
    except errors.ToolMissing:
        missing("PostgreSQL 15")
    folder = Path(tempfile.mkdtemp(prefix="mp-pgbackrest-", dir=fast_folder()))
    folder.chmod(0o755)
    account = embedded.unprivileged_account() if os.geteuid() == 0 else None
    for name in ("repo", "lock", "spool", "socket", "tablespace", "temporary"):
        (folder / name).mkdir(mode=0o755)
        if account and name != "temporary":
            shutil.chown(folder / name, account)
    (folder / "temporary").chmod(0o1777)
    configuration = folder / "pgbackrest.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder))
    pgbackrest = f"pgbackrest --config={configuration} --stanza=clinic --log-level-console=off --log-level-stderr=error"
    options = {
        "archive_mode": "on",
        "archive_command": f"{pgbackrest} archive-push %p",
        "unix_socket_directories": str(folder / "socket"),
        "shared_buffers": "32MB",
        "max_prepared_transactions": "5",
        "wal_level": "logical",
    }
    server = embedded.start(folder / "server", programs, options=options)
    try:
        make_stanza(folder, server, configuration)
        embedded._run(account, *pgbackrest.split(), "stanza-create")
        yield Stanza(folder, server)
    finally:
        server.stop("immediate")
        shutil.rmtree(folder)


def make_stanza(folder, server, configuration):
    with configuration.open("a") as file:
        file.write(f"pg1-port={server.port}\n")
    hba = folder / "server" / "data" / "pg_hba.conf"
    hba.write_text("local all all trust\n" + hba.read_text())
    execute(server.url(), "SELECT pg_reload_conf()", "CREATE DATABASE clinic", "CREATE DATABASE other")
    execute(
        server.url("clinic"),
        *PATIENTS,
        f"CREATE TABLESPACE cold LOCATION '{folder}/tablespace'",
        "CREATE TABLE archive (id int PRIMARY KEY) TABLESPACE cold",
        "INSERT INTO archive SELECT generate_series(1, 50)",
        "CREATE UNLOGGED TABLE cache AS SELECT generate_series(1, 5) id",
    )
    execute(
        server.url("other"),
        "CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false, slot_name = s)",
        "ALTER SUBSCRIPTION s ENABLE",
    )


@pytest.fixture
def own_temporary_folder(stanza, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(stanza.folder / "temporary"))
    yield stanza.folder / "temporary"
    assert list((stanza.folder / "temporary").iterdir()) == []
    assert stanza.copies() == {}


@contextlib.contextmanager
def writing(url):
    """Insert, delete and change rows in short transactions, until the block is left; yields how many so far."""
    done, stop = [0], threading.Event()

    def write():
        with psycopg.connect(url, autocommit=True) as opened:
            while not stop.is_set():
                number = done[0]
                opened.execute(
                    "INSERT INTO patients SELECT n, 'new' FROM generate_series(%s::int, %s::int) n",
                    (10_000 + 3 * number, 10_002 + 3 * number),
                )
                opened.execute("DELETE FROM patients WHERE id IN (SELECT id FROM patients ORDER BY id DESC OFFSET 5 LIMIT 1)")
                opened.execute("UPDATE patients SET name = name || '+' WHERE id = %s", (number % 100,))
                done[0] += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join()


@pytest.fixture(scope="module")
def taken(stanza):
    """A backup that was taken while somebody wrote, and rows that were archived after it."""
    with pytest.MonkeyPatch.context() as patch, writing(stanza.url) as done:
        patch.setattr(readings, "COUNTERS_SECONDS", 2.0)  # who writes all the time tells once a second what he wrote
        wait_until(lambda: done[0] > 20, lambda: "nothing was written", 10)
        taken = stanza.system.take(VERSION_TABLE)
        written = done[0]
        wait_until(lambda: done[0] > written + 20, lambda: "nothing was written", 10)
    execute(
        stanza.url, "INSERT INTO patients SELECT n, 'later' FROM generate_series(1000001, 1050000) n", "SELECT pg_switch_wal()"
    )
    return taken


def test_pgbackrest_restores_what_lies_within_the_bounds(stanza, taken, own_temporary_folder):
    least, most = taken.bounds["public.patients"]
    assert 900 - 5 <= least < most < 50_000
    assert taken.bounds["public.archive"] == (50, 50)
    assert taken.bounds["public.cache"] == (0, 5)  # unlogged: no physical backup holds its rows
    assert [one.id for one in stanza.system.list()] == [taken.found.id]
    assert taken.before.time - timedelta(seconds=1) <= taken.found.time <= taken.after.time
    assert taken.found.bytes > 20_000_000
    archived = stanza.archived()

    with stanza.system.restored(taken.found.id, taken.transactions) as copy:
        check(copy, taken)
        url = copy.driver_url("")
        assert execute(url, "SELECT count(*) FROM cache") == [(0,)]
        names = ("archive_mode", "archive_command", "listen_addresses", "max_logical_replication_workers", "primary_conninfo")
        assert execute(url, *(f"SHOW {name}" for name in names[:1])) == [("off",)]
        assert [execute(url, f"SHOW {name}") for name in names[1:]] == [[("(disabled)",)], [("",)], [("0",)], [("",)]]
        assert execute(url, "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'logical%%'") == [(0,)]
        assert execute(url, "SELECT system_identifier FROM pg_control_system()") == execute(
            stanza.url, "SELECT system_identifier FROM pg_control_system()"
        )
        (place,) = execute(url, "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'cold'")[0]
        assert place.startswith(str(own_temporary_folder))
        execute(url, "CREATE TABLE rehearsed (id int)", "SELECT pg_switch_wal()", "CHECKPOINT")
        time.sleep(1)

    assert stanza.archived() == archived
    assert execute(stanza.url, "SELECT to_regclass('rehearsed')") == [(None,)]


def test_a_restore_to_the_end_of_the_archive_is_refused(stanza, taken, own_temporary_folder, tmp_path):
    """What pgBackRest does without --type=immediate: other rows than were counted."""
    script = tmp_path / "default.py"
    script.write_text(EXAMPLE.read_text().replace('"--type=immediate", "--target-action=promote", ', ""))
    system = OwnSystem(stanza.of(script), Connection.from_url(stanza.url), None)

    with system.restored(taken.found.id) as copy, pytest.raises(errors.VerificationFailed) as failed:
        check(copy, taken)
    assert list(failed.value.evidence) == ["rows of public.patients"]

    with pytest.raises(errors.VerificationFailed) as failed, system.restored(taken.found.id, taken.transactions):
        pass
    assert failed.value.what == "The copy is of a later moment than the backup."

    with (
        pytest.raises(errors.VerificationFailed) as failed,
        stanza.system.restored(taken.found.id, (taken.after.following, taken.after.following)),
    ):
        pass
    assert failed.value.what == "The copy is of an earlier moment than the backup."


def test_a_standby_is_no_copy(stanza, taken, own_temporary_folder, tmp_path):
    script = tmp_path / "standby.py"
    text = EXAMPLE.read_text().replace('"--type=immediate", "--target-action=promote", ', '"--type=standby", ')
    as_standby = {'"hot_standby": "off"': '"hot_standby": "on"', '"max_wal_senders": "0"': '"max_wal_senders": "10"'}
    for before, after in as_standby.items():
        assert before in text
        text = text.replace(before, after)
    script.write_text(text)
    system = OwnSystem(stanza.of(script), Connection.from_url(stanza.url), None)

    with pytest.raises(errors.Failure) as failed, system.restored(taken.found.id, taken.transactions):
        pass

    assert (
        failed.value.what
        == "The backup system's command restore_to named a standby, which cannot be written; nothing was done to it."
    )


def test_a_run_that_is_killed_leaves_no_copy(stanza, taken, own_temporary_folder):
    run = textwrap.dedent(f"""
        import tempfile, time, sys
        tempfile.tempdir = {str(own_temporary_folder)!r}
        from datetime import timedelta
        from migration_pipeline.adapters.own_system import Commands, OwnSystem
        from migration_pipeline.domain.connection import Connection
        commands = Commands(list=(), create=(), restore_to={stanza.commands.restore_to!r})
        with OwnSystem(commands, Connection.from_url({stanza.url!r}), None).restored({taken.found.id!r}) as copy:
            print(copy.where, flush=True)
            time.sleep(60)
    """)
    with subprocess.Popen([sys.executable, "-c", run], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("clinic on ")
        assert stanza.copies() != {}
        process.send_signal(signal.SIGKILL)

    wait_until(lambda: stanza.copies() == {}, stanza.copies, 20)
    belongings.sweep()


def test_a_killed_restore_to_takes_its_server_along(stanza, taken, own_temporary_folder):
    with stanza.system.restored(taken.found.id) as copy:
        script = next(int(pid) for pid, text in all_programs().items() if "restore_to" in text and str(stanza.folder) in text)
        os.kill(script, signal.SIGKILL)
        wait_until(lambda: stanza.copies() == {}, stanza.copies, 10)
        with pytest.raises(errors.ServerUnreachable):
            check(copy, taken)


def all_programs():
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found[path.parent.name] = path.read_bytes().replace(b"\0", b" ").decode()
    return found


def test_a_backup_that_the_repository_does_not_have_is_said_in_its_words(stanza, own_temporary_folder):
    with pytest.raises(errors.VerificationFailed) as failed, stanza.system.restored("20200101-000000F"):
        pass

    assert str(failed.value).splitlines() == [
        "The backup system's command restore_to ended before its copy was ready; the backup was not restored.",
        f"  program: {Path(sys.executable).name}",
        "  ended by: exit code 75",
        "  error: [075]: backup set 20200101-000000F is not valid",
        f"Next: {NEXT.format('restore_to')}",
    ]
