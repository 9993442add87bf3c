"""A small clinic with what backups get wrong in it, its Target in a pipeline.toml, and a look at what a fault left behind."""

import contextlib
import gzip
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pyrage
import pytest
import zstandard

from migration_pipeline import errors, restoring, settings, steps
from migration_pipeline.adapters import postgres, snapshot
from migration_pipeline.domain.backups import DATABASE, GLOBALS
from migration_pipeline.domain.plan import Plan
from migration_pipeline.domain.restoration import RestoreConfirmation
from migration_pipeline.workplace import Workplace
from migration_pipeline_tests.conftest import execute, marked_processes, wait_until

TARGET = "clinic"
LAYOUTS = ("plain", "plain-zstd", "directory", "age")
BASE = f"some/prefix/{TARGET}/"  # in a bucket of `s3.TestBucket`

CLINIC = """
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('0001');
CREATE TYPE mood AS ENUM ('well', 'ill');
CREATE TABLE patients (id serial PRIMARY KEY, name text NOT NULL, mood mood, image oid, seen timestamptz DEFAULT now());
INSERT INTO patients (name, mood, image)
SELECT 'patient ' || i, (ARRAY['well', 'ill'])[1 + i % 2]::mood,
       CASE WHEN i < 3 THEN lo_from_bytea(0, decode(repeat(md5(i::text), 9), 'hex')) END
FROM generate_series(1, 40) i;
ALTER TABLE patients ENABLE ROW LEVEL SECURITY;
CREATE POLICY ours ON patients USING (mood = 'well');
CREATE TABLE visits (patient int REFERENCES patients, at date NOT NULL, note text) PARTITION BY RANGE (at);
CREATE TABLE visits_2025 PARTITION OF visits FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE visits_2026 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO visits SELECT i, date '2025-11-12' + 2 * i, E'a note,\\twith a tab\\nand two lines' FROM generate_series(1, 40) i;
CREATE INDEX ON visits (note);
"""
#: Intact in every dump, and in none restorable: while it is restored, no schema is searched.
UNRESTORABLE = """
CREATE TABLE bounds (most int);
INSERT INTO bounds VALUES (100);
CREATE FUNCTION within(int) RETURNS bool LANGUAGE sql AS 'SELECT $1 <= most FROM bounds';
CREATE TABLE doses (amount int CHECK (within(amount)));
INSERT INTO doses VALUES (7);
"""
#: The same of an index, which comes after all the data, large objects too.
UNRESTORABLE_INDEX = """
CREATE TABLE bounds (most int);
INSERT INTO bounds VALUES (100);
CREATE FUNCTION beyond(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1 - (SELECT most FROM bounds); END';
CREATE TABLE doses (amount int);
CREATE INDEX ON doses (beyond(amount));
INSERT INTO doses VALUES (7);
"""
#: 48 MB for a dump, little for the disk and for zstd: time to do something to it meanwhile.
FAT = "CREATE TABLE scans AS SELECT i, repeat('x', 1000000) AS body FROM generate_series(1, 48) i"
#: 8 MB for a dump, and 4 of these in every way to compress it: more than a `small_disk` of a test has.
RANDOM = """
CREATE TABLE scans AS SELECT i, (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 8000 + i * 0)) AS body
FROM generate_series(1, 32) i
"""

RUN = """
import sys
from pathlib import Path
from migration_pipeline_tests.integration.backups.clinic import ACTS, workplace
place = workplace(Path(sys.argv[1]))
ACTS[sys.argv[2]](place)
"""


class BackupSite:
    """A Target whose places are closed, and looked after, at the end of the test."""

    def __init__(self, server, url, folder, location, **keys):
        self.server, self.url, self.folder = server, url, folder
        self.tmp = folder / "tmp"
        self.tmp.mkdir()
        self.identity_file = folder / "age.txt"
        self.keys = {"environment": "staging", "database_url": url, "pg_bin": str(server.binaries), **keys}
        self.keys |= {"backup_location": str(location), "migration_lock_wait_seconds": 0.3}
        self.places = []
        self.settle()

    @property
    def database(self):
        return self.url.rpartition("/")[2]

    def settle(self):
        """Take the live database as it is now for what it must be in the end."""
        self.before = live_state(self.open())

    def lay_out(self, layout):
        self.keys["backup_format"] = layout
        if layout == "age":
            key = pyrage.x25519.Identity.generate()
            self.identity_file.write_text(f"# a key for a test\n{key}\n")
            self.keys |= {"backup_format": "plain-zstd", "backup_identity_file": str(self.identity_file)}
            self.keys["backup_recipients"] = [str(key.to_public())]

    def open(self, **keys):
        """Return a place, as a run of its own would have it."""
        self.write(**keys)
        self.places.append(workplace(self.folder))
        return self.places[-1]

    def write(self, **keys):
        (self.folder / "alembic.ini").touch()
        text = [f"{key} = {json.dumps(value)}" for key, value in {**self.keys, **keys}.items()]
        (self.folder / "pipeline.toml").write_text("\n".join([f"[targets.{TARGET}]", *text]))

    def start(self, act, **keys):
        """Start a run in a process of its own."""
        self.write(**keys)
        environ = {**os.environ, "TMPDIR": str(self.tmp), "MARK": str(self.folder)}
        return subprocess.Popen([sys.executable, "-c", RUN, str(self.folder), act], env=environ, stderr=subprocess.DEVNULL)

    def backup(self, *, verified=True, **keys):
        place = self.open(**keys)
        backup = steps.backup(place, plan_of(place), protects=False)
        if verified:
            backup, _ = steps.verify(place, backup, place.target.backups.level)
        place.close()
        return backup

    def programs(self, name=""):
        """Return the client programs that this test's runs have started: process → command line."""
        return {pid: line for pid, line in marked_processes(self.folder).items() if (name or "pg_") in line or "psql" in line}

    def left(self):
        """Return what no fault may leave."""
        found = [str(path) for path in self.folder.rglob("*.partial")]
        found += [path.name for path in self.tmp.glob("migration_pipeline-*")]
        databases = execute(self.server.url(), "SELECT datname::text FROM pg_database")
        found += [name for (name,) in databases if name.startswith(("mp_scratch", f"{self.database}_restore_"))]
        return found

    def look_after(self):
        for place in self.places:
            place.close()
        wait_until(lambda: not self.programs(), self.programs, 5)
        assert self.left() == []
        place = self.open()
        assert live_state(place) == self.before


def workplace(folder):
    return Workplace(target=settings.load({}, folder), run_id="test")


def plan_of(place):
    with postgres.session(place.live, purpose="looks") as opened:
        identity = place.identity(postgres.server(opened))
    return Plan(identity=identity, target="head", current=("0001",), revisions=(), version_table="alembic_version")


def live_state(place):
    with postgres.session(place.live, purpose="test", autocommit=False) as opened:
        oid = postgres.one(opened, "SELECT oid FROM pg_database WHERE datname = current_database()")
        return oid, snapshot.contents(opened, (None, "alembic_version"), hashed=True)


def cost_of(place, backup):
    cost = restoring.weigh(place, backup)
    return cost, RestoreConfirmation(database=cost.database, backup_id=backup.id, how="a test")


def rejections(place):
    """Return why D1 takes no backup: backup → reason."""
    with pytest.raises(errors.NoRecentBackup) as caught:
        steps.newest_backup(place, plan_of(place))
    assert caught.value.what == "No recent backup found. Create backup before running migration: just backup-db"
    return caught.value.evidence


def restore_beside(place, backup):
    return restoring.restore_beside(place, *cost_of(place, backup))


def restore(place, backup):
    cost, consent = cost_of(place, backup)
    return restoring.swap_names(place, cost, restoring.restore_beside(place, cost, consent), consent)


ACTS = {
    "backup": lambda place: steps.backup(place, plan_of(place), protects=False),
    "verify": lambda place: steps.verify(place, newest(place), place.target.backups.level),
    "restore": lambda place: restore_beside(place, newest(place)),
}


def newest(place):
    return place.store.read(place.store.entries()[0][0].id)


class FolderOfBackups:
    """What lies in a folder store, past the store."""

    def __init__(self, folder):
        self.location = folder
        self._folder = folder / TARGET

    def names(self):
        return sorted(str(path.relative_to(self._folder)) for path in self._folder.rglob("*") if path.is_file())

    def read(self, name):
        return (self._folder / name).read_bytes()

    def write(self, name, text):
        (self._folder / name).write_bytes(text)


class BucketOfBackups:
    """What lies in a bucket, past the store. What is written anew has not the checksum that the store notes beside it."""

    def __init__(self, bucket):
        self.bucket, self.location = bucket, bucket.location

    def names(self):
        return sorted(name.removeprefix(BASE) for name in self.bucket.names() if not name.startswith(f"{BASE}index/"))

    def read(self, name):
        return self.bucket.text(BASE + name)

    def write(self, name, text, **options):
        self.bucket.put(BASE + name, text, **options)

    def rot(self, name, text):
        """Change an object under what is noted beside it."""
        head = self.bucket.client.head_object(Bucket=self.bucket.name, Key=BASE + name)
        self.write(name, text, Metadata=head["Metadata"])


def flipped(text, at):
    return text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :]


def tampered(kept, site, backup, change, *, as_stored=False):
    """Change what the dump holds, or its bytes as they are stored, and let its manifest vouch for that.

    It is as if the memory or the disk had been wrong before the checksum was taken.
    """
    manifest = json.loads(kept.read(f"{backup.id}.json"))
    for one in manifest["files"]:
        text = kept.read(one["name"])
        changed = change(text) if as_stored else _changed(one["name"], text, change, site.identity_file)
        if changed != text and GLOBALS not in one["name"] and DATABASE not in one["name"]:
            sha = hashlib.sha256(changed).hexdigest()
            one |= {"bytes": len(changed), "checksum": sha}
            kept.write(one["name"], changed, **({"Metadata": {"sha256": sha}} if isinstance(kept, BucketOfBackups) else {}))
    kept.write(f"{backup.id}.json", json.dumps(manifest).encode())


def _changed(name, text, change, identity_file):
    if name.endswith(".age"):
        key = pyrage.x25519.Identity.from_str(identity_file.read_text().split()[-1])
        inner, held = _changed(name.removesuffix(".age"), pyrage.decrypt(text, [key]), change, None), io.BytesIO()
        pyrage.encrypt_io(io.BytesIO(inner), held, [key.to_public()])
        return held.getvalue()
    if name.endswith(".zst"):
        plain = zstandard.ZstdDecompressor().decompressobj().decompress(text)
        return zstandard.ZstdCompressor(write_checksum=True).compress(change(plain))
    if name.endswith(".gz"):
        return gzip.compress(change(gzip.decompress(text)))
    return change(text) if name.endswith(".sql") else text


@contextlib.contextmanager
def meanwhile(reached, blow):
    """Deal a blow from aside, once something is so, while the block runs; fail where it never was."""
    over, dealt = threading.Event(), []

    def wait():
        while not over.is_set():
            if found := reached():
                blow(found)
                dealt.append(found)
                return
            time.sleep(0.002)

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert dealt


def children(name):
    """Return the processes of this name that we have started ourselves."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            comm, _, rest = (path / "stat").read_text().partition("(")[2].rpartition(")")
            if comm == name and int(rest.split()[1]) == os.getpid():
                found.append(int(path.name))
    return found


def kill(pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def small_disk(folder, size):
    """Yield a file system of so many bytes, or None where we may not mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def set_temporary_folder(monkeypatch, folder):
    monkeypatch.setattr(tempfile, "tempdir", str(folder))


def kept_in(request, store):
    """Return a folder or a bucket for a test's backups."""
    if store == "folder":
        return FolderOfBackups(request.getfixturevalue("tmp_path") / "backups")
    return BucketOfBackups(request.getfixturevalue("bucket"))


@contextlib.contextmanager
def site(server, url, kept, monkeypatch, folder):
    """Yield a site whose live database must be the same in the end, with nothing left beside it."""
    execute(url, CLINIC)
    monkeypatch.setenv("MARK", str(folder))
    made = BackupSite(server, url, folder, kept.location)
    set_temporary_folder(monkeypatch, made.tmp)
    yield made
    made.look_after()
