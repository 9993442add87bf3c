"""What every backup store must do, whichever it is."""

import contextlib
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from migration_pipeline import errors
from migration_pipeline.adapters import storage
from migration_pipeline.adapters.storage_folder import FolderStore
from migration_pipeline.adapters.storage_s3 import S3Store
from migration_pipeline.domain.backups import Layout, Level, Manifest, Pin, StoredFile, Verification, name_at
from migration_pipeline.domain.plan import Identity
from migration_pipeline.domain.schema import SchemaSnapshot

pytest_plugins = ["migration_pipeline_tests.s3"]

NOW = datetime(2026, 11, 22, 13, 25, 8, tzinfo=UTC)
IDENTITY = Identity(target="clinic", database="clinic", system_identifier="7", oid=5)
PLAIN = {".sql": b"-- a dump\n", ".globals.sql": b"CREATE ROLE app;\n"}
DIRECTORY = {
    ".dir/toc.dat": b"toc",
    ".dir/4711.dat.zst": b"rows" * 5,
    ".dir/empty.dat": b"",
    ".globals.sql": b"CREATE ROLE app;\n",
}


@dataclass
class Place:
    """A store, and a look at what lies in its place."""

    store: object
    again: object  #: a second store in the same place
    names: object


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path):
    if request.param == "folder":
        return Place(FolderStore(tmp_path, "clinic"), FolderStore(tmp_path, "clinic"), lambda: folder_names(tmp_path / "clinic"))
    bucket = request.getfixturevalue("bucket")
    base = "some/prefix/clinic/"
    stores = [S3Store(bucket.location, "clinic", clock=lambda: datetime.now(UTC) + timedelta(hours=25)) for _ in range(2)]
    return Place(*stores, lambda: sorted(key.removeprefix(base) for key in bucket.names() if not key.startswith(f"{base}index/")))


def folder_names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def manifest_of(backup_id, files, **changes):
    known = [
        StoredFile(name=backup_id + end, bytes=len(text), checksum=hashlib.sha256(text).hexdigest())
        for end, text in files.items()
    ]
    return Manifest(**{
        "id": backup_id,
        "identity": IDENTITY,
        "server_version": "180006",
        "client_version": "18.6",
        "snapshot_time": NOW,
        "heads": ("0001",),
        "layout": Layout.DIRECTORY if files is DIRECTORY else Layout.PLAIN,
        "files": tuple(known),
        "seconds": 0.5,
        "rows": {"public.patients": 3},
        "schema": SchemaSnapshot(objects={}),
        "schema_fingerprint": "f",
        "extensions": {},
        "roles": (),
        **changes,
    })  # fmt: skip


def write(folder, backup_id, files):
    for end, text in files.items():
        path = folder / (backup_id + end)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text)


def made(store, moment=NOW, files=PLAIN, **changes):
    with store.new(lambda: moment) as new:
        write(new.folder, new.id, files)
        return store.publish(new, manifest_of(new.id, files, **{"snapshot_time": moment, **changes}))


@pytest.mark.parametrize("files", [PLAIN, DIRECTORY], ids=["plain", "directory"])
def test_what_is_published_is_read_listed_intact_and_fetched(place, files):
    published = made(place.store, files=files)

    assert published.id == name_at(NOW)
    assert published.location.startswith(place.store.where)
    assert place.again.read(published.id) == published
    assert place.again.entries() == ([published.entry], [])
    assert place.again.is_intact(published)
    with place.again.fetched(published) as folder:
        assert {end: (folder / (published.id + end)).read_bytes() for end in files} == files
    assert place.names() == sorted([f"{published.id}.json", *(published.id + end for end in files)])


def test_what_is_not_published_leaves_nothing(place):
    with contextlib.suppress(ZeroDivisionError), place.store.new(lambda: NOW) as new:
        write(new.folder, new.id, PLAIN)
        raise ZeroDivisionError

    assert place.names() == []
    assert place.store.entries() == ([], [])
    assert place.store.garbage() == []


def test_a_new_backup_takes_the_next_name_that_is_free(place):
    first = made(place.store)
    moments = iter([NOW, NOW, NOW + timedelta(seconds=1)])

    with place.again.new(lambda: next(moments)) as new:
        assert (first.id, new.id) == (name_at(NOW), name_at(NOW + timedelta(seconds=1)))


def test_nothing_that_is_there_is_replaced(place, tmp_path):
    first = made(place.store)
    other = tmp_path / "other"
    other.mkdir()
    write(other, first.id, {".sql": b"-- another dump\n"})

    with pytest.raises(errors.BackupFailed):
        place.again.take(other, manifest_of(first.id, {".sql": b"-- another dump\n"}))

    assert place.store.read(first.id) == first
    assert place.store.is_intact(first)
    with place.store.fetched(first):
        pass


@pytest.mark.parametrize("files", [PLAIN, DIRECTORY], ids=["plain", "directory"])
def test_a_backup_of_another_store_is_taken(place, tmp_path, files):
    other = tmp_path / "other"
    other.mkdir()
    manifest = manifest_of(name_at(NOW), files)
    write(other, manifest.id, files)

    taken = place.store.take(other, manifest)

    assert place.again.read(manifest.id) == taken
    assert place.again.is_intact(taken)
    assert sorted(folder_names(other)) == sorted(manifest.id + end for end in files)


def test_a_manifest_is_rewritten(place):
    backup = made(place.store)
    place.store.entries()
    proof = Verification(level=Level.RESTORE, at=NOW, seconds=2.0, passed=True)
    changed = manifest_of(backup.id, PLAIN, verifications=(proof,), pinned=Pin(at=NOW, reason="an audit"))

    rewritten = place.store.rewrite(changed)

    assert rewritten.manifest == changed
    assert place.again.read(backup.id) == rewritten
    assert place.again.entries() == ([rewritten.entry], [])
    assert place.again.entries()[0][0].restored == proof


def test_backups_are_listed_newest_first(place):
    backups = [made(place.store, NOW + timedelta(days=day)) for day in (2, 0, 1)]

    entries, rejected = place.again.entries()

    assert [one.id for one in entries] == sorted((one.id for one in backups), reverse=True)
    assert rejected == []


def test_a_backup_that_is_not_there_is_no_backup(place):
    with pytest.raises(errors.Failure) as caught:
        place.store.read("backup_2026-01-01_00-00-00")

    assert str(caught.value) == str(storage.no_backup("backup_2026-01-01_00-00-00"))


def test_a_damaged_manifest_is_listed_with_its_reason_and_spoils_nothing(place):
    backup = made(place.store)
    place.store.keep("backup_2026-01-01_00-00-00.json", b"{")

    entries, rejected = place.again.entries()

    assert entries == [backup.entry]
    assert [(one.id, one.reason) for one in rejected] == [
        (
            "backup_2026-01-01_00-00-00",
            'The manifest of backup "backup_2026-01-01_00-00-00" is missing or damaged: it is no backup.',
        )
    ]


def test_removed_backups_are_gone_and_the_others_are_not(place):
    backups = [made(place.store, NOW + timedelta(days=day), files) for day, files in enumerate((PLAIN, DIRECTORY, PLAIN, PLAIN))]

    kept = place.store.remove([backups[3].id, backups[1].id])

    assert kept == {}
    assert [one.id for one in place.again.entries()[0]] == [backups[2].id, backups[0].id]
    assert {name.partition(".")[0] for name in place.names()} == {backups[0].id, backups[2].id}
    assert place.again.garbage() == []
    assert place.store.remove([backups[1].id]) == {}


@pytest.mark.parametrize("files", [PLAIN, DIRECTORY], ids=["plain", "directory"])
def test_what_has_no_manifest_is_garbage_and_can_be_removed(place, files, tmp_path):
    backup = made(place.store)
    other = "backup_2026-01-01_00-00-00"
    if isinstance(place.store, FolderStore):
        write(tmp_path / "clinic", other, files)
    else:
        for end, text in files.items():
            place.store.keep(other + end, text)

    found = place.store.garbage()

    ends = {end.partition("/")[0] for end in files}
    assert {one.name for one in found} == {other + end for end in ends}
    assert sum(one.bytes for one in found) == sum(len(text) for text in files.values())
    place.store.remove_garbage(found)
    assert place.store.garbage() == []
    assert {name.partition(".")[0] for name in place.names()} == {backup.id}


def test_records_are_kept_beside_backups_and_read_in_order(place):
    assert place.store.records("migration_*.json") == []
    made(place.store)
    for name in ("migration_2.json", "migration_1.json", "other_1.json"):
        place.store.keep(name, name.encode())
    place.store.keep("migration_2.json", b"changed")

    assert place.again.records("migration_*.json") == [b"migration_1.json", b"changed"]
    assert place.again.records("migration_[2-9].json") == [b"changed"]
    assert len(place.again.entries()[0]) == 1


def test_a_store_of_nothing_is_empty(place):
    assert place.store.entries() == ([], [])
    assert place.store.garbage() == []
    place.store.sweep()
    place.store.check_room(1 << 20)
    assert place.store.remove(["backup_2026-01-01_00-00-00"]) == {}
    assert place.names() == []


def test_a_place_too_small_is_told_before_anything_is_begun(place):
    with pytest.raises(
        errors.BackupFailed, match="has too little room for the backup's files; |has too little room; no backup was begun"
    ):
        place.store.check_room(1 << 60)
