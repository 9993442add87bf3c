"""The backup store: what somebody else wrote into the folder is listed, refused with its reason or passed over; never removed."""

import hashlib
import io
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from rich.console import Console

from migration_pipeline import errors, settings, steps
from migration_pipeline.adapters import storage
from migration_pipeline.adapters.storage_folder import FolderStore
from migration_pipeline.cli import drawing_backups
from migration_pipeline.domain.backups import Backup, DatabaseFacts, Level, Manifest, Pin, Setting, StoredFile, Verification
from migration_pipeline.domain.plan import Identity, Plan
from migration_pipeline.domain.schema import SchemaSnapshot
from migration_pipeline.workplace import Workplace
from migration_pipeline_tests.bad_input.bad import CANARY, ODD, Tally, assert_shows_nothing, damaged, edited, made, snapshot

ID = "backup_2026-11-22_13-25-08"
NOW = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
IDENTITY = Identity(target="default", database="clinic", system_identifier="7", oid=5)
PLAN = Plan(identity=IDENTITY, target="head", current=("0001",), revisions=(), version_table="alembic_version")
RIGHT = Manifest(
    id=ID,
    identity=IDENTITY,
    server_version="180006",
    client_version="18.6",
    snapshot_time=NOW - timedelta(minutes=35),
    heads=("0001",),
    files=(StoredFile(name=f"{ID}.sql", bytes=2, checksum=hashlib.sha256(b"--").hexdigest()),),
    row_hashes={"public.patients": "-77"},
    sequences={"public.patients_id_seq": 3},
    large_objects=1,
    database=DatabaseFacts(owner="app", access=((None, "CONNECT", False),), settings=(Setting(name="work_mem", value="4MB"),)),
    by_hand=("createdb x",),
    pinned=Pin(at=NOW, reason="an audit"),
    seconds=0.5,
    rows={"public.patients": 3},
    schema=SchemaSnapshot(objects={"table public.patients": {"owner": "app"}}),
    schema_fingerprint="f",
    extensions={"plpgsql": "1.0"},
    roles=("app",),
    verifications=(Verification(level=Level.RESTORE, at=NOW - timedelta(minutes=34), seconds=1.0, passed=True),),
)
TEXT = storage.dumped(RIGHT).decode()
ODD_VALUES = ["", "x", "\x1b[2J", "[/x]", "../../etc/passwd", "/", "\x00", "é" * 500, -1, 0, 1, 2**63, 2**64, 10**400, 1.5, 1e308, float("nan"), float("inf"),
              True, None, [], {}, [[]], {"a": {}}, "NaN", "1", "2026-11-22", "2026-11-22T13:25:08", "2026-11-22T13:25:08Z", "2026-13-45T99:99:99Z", "9999-12-31T23:59:59Z",
              "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", 1e18, "restore", "checksum", ["\x1b"], {"\x1b[/x]": 1}, {"public.patients": -1}]  # fmt: skip
NESTED = ["[" * 100_000, '{"id":' * 50_000, "9" * 5000, "null", "{}", "[]", '"x"', "\ufeff{}", "\x00" * 100, " " * 100_000]


def places(value, path=()):
    """Every place in a value of JSON."""
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


PLACES = [path for path in places(json.loads(TEXT)) if path]


def manifest(random):
    """Return the bytes of a manifest with wrong values at any place, or of a damaged text."""
    chance = random.random()
    if chance < 0.05:
        return damaged(random, random.choice(NESTED))
    if chance < 0.3:
        return damaged(random, edited(random, TEXT))
    content = json.loads(TEXT)
    for _ in range(random.randint(1, 2)):
        *path, last = random.choice(PLACES)
        held = content
        try:
            for key in path:
                held = held[key]
            what = random.randint(0, 6)
            if what == 0:
                del held[last]
            elif what == 1 and isinstance(held, dict):
                held[random.choice(["", "x", "\x1b", "id", "format"])] = random.choice(ODD_VALUES)
            else:
                held[last] = random.choice(ODD_VALUES)
        except (LookupError, TypeError):
            continue  # the place went with the first edit
    return json.dumps(content, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "backups/default").mkdir(parents=True)
    (tmp_path / "backups/default" / f"{ID}.sql").write_text("--")
    (tmp_path / "alembic.ini").touch()
    return tmp_path


@pytest.fixture
def place(folder):
    environ = {"DATABASE_URL": "postgresql://app@db/clinic", "MIGRATION_ENVIRONMENT": "staging"}
    made = Workplace(target=settings.load(environ, folder), run_id="test", clock=lambda: NOW)
    made.server_time = lambda: NOW
    return made


def look(tally, place):
    """Do all that is done with a folder of backups before a server is asked; everything shown must be fit to be shown."""
    try:
        found, rejected = place.store.entries()
    except errors.Failure as error:
        tally.refused(error)
        return []
    console = Console(file=io.StringIO(), width=160, highlight=False)
    console.print(drawing_backups.backups(found, rejected, NOW))
    assert_shows_nothing(console.file.getvalue())
    assert_shows_nothing(json.dumps(drawing_backups.backups_result(found, rejected), allow_nan=False))
    for note in place.history.notes(PLAN):
        assert_shows_nothing(note)
    try:
        assert isinstance(steps.newest_backup(place, PLAN), Backup)
    except errors.NoRecentBackup as error:
        tally.refused(error)
    else:
        tally.value()
    return found


def test_a_manifest_is_a_backup_or_a_reason(place):
    tally = Tally("manifests")
    path = place.store.folder / f"{ID}.json"
    path.write_text(TEXT)
    assert place.store.entries() == ([Backup(manifest=RIGHT, location=str(place.store.folder / f"{ID}.sql")).entry], [])

    @given(made(manifest))
    def prove(content):
        path.write_bytes(content)
        before = snapshot(place.store.folder)
        for backup in look(tally, place):
            assert backup.id == ID
        assert snapshot(place.store.folder) == before

    tally.run(prove)


NAMES = [f"{ID}.json", f"{ID}.sql", f"{ID}.partial", "backup_.json", "backup_x.json", "backup_\x1b[2J.json", "backup_[bold].json", "backup_a\nb.json", f"backup_{'x' * 200}.json",
         "backup_\udcff.json", "backup_é.json", "backup_2026-02-31_99-99-99.json", "migration_.json", "migration_2026-11-22_13-25-08_000001.json", "migration_x.json",
         "BACKUP_X.JSON", "backup_x.json.json", ".json", "x.partial", "backup_x.sql", "notes.txt"]  # fmt: skip


def put(path, kind, content):
    """Put something under a name: a file, a folder, a link to nowhere, to itself, to a device or out of the store, or a pipe."""
    match kind:
        case "file":
            path.write_bytes(content)
        case "folder":
            path.mkdir()
        case "gone":
            path.symlink_to("gone")
        case "loop":
            path.symlink_to(path.name)
        case "device":
            path.symlink_to("/dev/zero")
        case "away":
            path.symlink_to("../../alembic.ini")
        case "pipe":
            os.mkfifo(path)


KINDS = ["file", "file", "folder", "gone", "loop", "device", "away", "pipe"]


def odd_folder(random):
    right = {f"{ID}.json": ("file", TEXT.encode()), f"{ID}.sql": ("file", b"--")} if random.random() < 0.2 else {}
    odd = {
        name: (random.choice(KINDS), random.choice([b"", b"{}", TEXT.encode(), b"\xff"]))
        for name in random.sample(NAMES, random.randint(1, 5))
    }
    return {**right, **odd}


def test_a_folder_of_anything_is_listed_and_left_alone(place):
    tally = Tally("backup folders")
    store = place.store.folder

    @given(made(odd_folder))
    def prove(content):
        for path in store.iterdir():
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        for name, (kind, held) in content.items():
            put(store / name, kind, held)
        before = snapshot(store)
        look(tally, place)
        assert snapshot(store) == before

    tally.run(prove)


def test_a_store_that_is_no_folder_is_a_clear_error(folder):
    (folder / "a file").write_text(CANARY)
    (folder / "loop").symlink_to("loop")
    for location, target in [("a file", "default"), ("loop", "default"), ("x" * 300, "default"), (".", "a file"), (".", "loop")]:
        store = FolderStore(folder / location, target)
        before = snapshot(folder)
        for ask in (store.entries, store.sweep, lambda store=store: store.records("migration_*.json")):
            with pytest.raises(errors.Failure) as error:
                ask()
            assert str(error.value).startswith("The backup folder cannot be read.\n  folder: ")
        assert snapshot(folder) == before
    assert FolderStore(folder / "none", "default").entries() == ([], [])


def test_a_sweep_removes_what_a_dead_run_left_and_nothing_else(folder):
    store = FolderStore(folder / "backups", "default")
    for kind in ("file", "folder", "gone", "loop", "device", "pipe"):
        put(store.folder / f"{kind}.partial", kind, b"")
    store.sweep()
    assert sorted(path.name for path in store.folder.iterdir()) == [
        f"{ID}.sql",
        "device.partial",
        "folder.partial",
        "gone.partial",
        "loop.partial",
        "pipe.partial",
    ]


def test_a_name_that_is_no_backups_is_refused(place):
    tally = Tally("backup names")
    path = place.store.folder / f"{ID}.json"
    path.write_text(TEXT)
    elsewhere = place.store.folder.parent / "other"
    elsewhere.mkdir()
    (elsewhere / f"{ID}.json").write_text(TEXT)
    (elsewhere / f"{ID}.sql").write_text("--")
    before = snapshot(Path(place.target.backups.location))
    names = [
        ID,
        f"../other/{ID}",
        f"{elsewhere}/{ID}",
        f"./{ID}",
        f"{ID}/",
        ID.upper(),
        f"{ID}.json",
        "",
        ".",
        "..",
        "-",
        "--help",
        "x" * 300,
        "\udcff",
        "a\nb",
        "\x00",
    ]

    @given(made(lambda random: edited(random, random.choice(names), (*ODD, "\udcff"))))
    @example(f"../other/{ID}")
    def prove(name):
        try:
            assert place.store.read(name).id == ID == name
        except errors.Failure as error:
            tally.refused(error)
        else:
            tally.value()
        assert snapshot(Path(place.target.backups.location)) == before

    tally.run(prove)
