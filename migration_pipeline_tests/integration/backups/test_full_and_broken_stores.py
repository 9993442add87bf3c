"""A store that is full, slow, locked or broken, and stores that are to hold the same: nothing half-written counts anywhere."""

import io
import os
import re
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyrage
import pytest

from migration_pipeline import errors, housekeeping, steps
from migration_pipeline.adapters import streams
from migration_pipeline.adapters.storage_s3 import S3Store
from migration_pipeline.domain.backups import Level
from migration_pipeline_tests.conftest import execute, wait_until
from migration_pipeline_tests.integration.backups import clinic
from migration_pipeline_tests.integration.backups.clinic import FAT, LAYOUTS, RANDOM, TARGET, FolderOfBackups, plan_of

pytest_plugins = ["migration_pipeline_tests.s3"]

DISK = 3 << 20
#: Who writes a dump to the disk, and says that it is full.
WRITER = {
    "plain": "pg_dump failed",
    "directory": "pg_dump failed",
    "plain-zstd": "The dump cannot be written",
    "age": "The dump cannot be written",
}


@pytest.fixture
def disk(tmp_path):
    with clinic.small_disk(tmp_path / "disk", DISK) as mounted:
        if mounted is None:
            pytest.skip("the right to mount a file system is missing")
        yield mounted


only_folder = pytest.mark.parametrize("store", ["folder"])
only_s3 = pytest.mark.parametrize("store", ["s3"])


def fatten(site, text):
    execute(site.url, text)
    site.settle()


def fill(disk, leave=0):
    status = os.statvfs(disk)
    (disk / "ballast").write_bytes(bytes(status.f_bavail * status.f_frsize - leave))


def refused_backup(site, **keys):
    with pytest.raises(errors.BackupFailed) as caught:
        site.backup(verified=False, **keys)
    assert site.open(**keys).store.entries() == ([], [])
    return caught.value


@only_folder
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_dump_that_fills_the_disk_is_no_backup(site, disk, layout):
    fatten(site, RANDOM)
    site.lay_out(layout)

    told = refused_backup(site, backup_location=str(disk))

    assert told.what == f"{WRITER[layout]}; no backup was made."
    assert "No space left on device" in str(told)
    assert [path.name for path in disk.rglob("*")] == [TARGET]


NO_ROOM_FOR_A_PASSFILE = "The temporary files that PostgreSQL's programs need cannot be written."


@only_s3
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_dump_that_fills_this_machine_on_its_way_to_a_bucket_is_no_backup(site, kept, disk, layout, monkeypatch):
    fatten(site, RANDOM)
    site.lay_out(layout)
    clinic.set_temporary_folder(monkeypatch, disk)

    told = refused_backup(site)

    # two write there at once, the dump and the passfile of the next program: whoever comes too late tells
    assert told.what in {f"{WRITER[layout]}; no backup was made.", NO_ROOM_FOR_A_PASSFILE}
    assert kept.names() == []
    assert [path.name for path in disk.iterdir()] == []


@pytest.mark.parametrize("recipients", [0, 1])
def test_a_write_that_a_full_disk_takes_in_part_is_no_write(disk, recipients):
    keys = [str(pyrage.x25519.Identity.generate().to_public()) for _ in range(recipients)]
    fill(disk, leave=32 << 10)

    with (disk / "dump").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left on device"):
        streams.write(io.BytesIO(bytes(48 << 10)), file, compress=False, recipients=keys)


def test_a_copy_that_fills_its_disk_is_no_backup_anywhere(site, kept, disk):
    fatten(site, RANDOM)

    told = refused_backup(site, copies=[str(disk)])

    assert str(told) == (
        "The copy cannot be written; no backup was made.\n"
        f"  folder: {disk / TARGET}\n"
        "  reason: No space left on device\n"
        "Next: make room or name another folder in BACKUP_LOCATION, then: just backup-db"
    )
    assert (kept.names(), [path.name for path in disk.rglob("*")]) == ([], [TARGET])


@pytest.mark.parametrize("which", ["store", "copy"])
@only_folder
def test_a_disk_with_too_little_room_for_the_next_backup_is_refused_beforehand(site, kept, disk, which):
    fatten(site, "CREATE TABLE scans AS SELECT repeat('x', 1000000) AS body FROM generate_series(1, 2)")
    place = {"backup_location": str(disk)} if which == "store" else {}
    backup = site.backup(**place)
    keys = place or {"copies": [str(disk)]}
    if which == "copy":
        fill(disk, leave=1 << 20)

    with pytest.raises(errors.BackupFailed) as caught:
        site.backup(**keys)

    assert caught.value.what == "The backup folder has too little room; no backup was begun."
    assert caught.value.evidence["folder"] == str(disk / TARGET)
    assert caught.value.evidence["needed"] == f"about {int(backup.manifest.bytes * 1.5):,} bytes"
    assert int(re.sub(r"\D", "", caught.value.evidence["free"])) < int(backup.manifest.bytes * 1.5)
    assert [one.id for one in site.open(**place).store.entries()[0]] == [backup.id]


def test_a_full_disk_for_temporary_files_stops_a_verification_and_says_so(site, disk, monkeypatch):
    backup = site.backup()
    place = site.open()
    fill(disk)
    clinic.set_temporary_folder(monkeypatch, disk)

    with pytest.raises(errors.Failure) as caught:
        steps.verify(place, backup, Level.RESTORE)

    assert caught.value.what in {
        "The temporary files that PostgreSQL's programs need cannot be written.",
        "This machine has too little room for the backup's files; the backup was not fetched.",
    }
    assert caught.value.evidence["folder"] == str(disk)
    assert "TMPDIR" in caught.value.next_step
    assert place.store.read(backup.id) == backup, "it is not the backup that failed"


@only_folder
def test_a_second_copy_that_fails_takes_the_first_one_and_the_backup_back(site, kept, bucket, faults, tmp_path):
    faults.do(r"PUT .*\.json", status=500)

    told = refused_backup(site, copies=[str(tmp_path / "copy"), bucket.location])

    assert str(told) == (
        "The copy cannot be sent to the bucket; no backup was made.\n"
        f"  bucket: {bucket.name}\n"
        "  reason: InternalError\n"
        "Next: just backup-db"
    )
    assert (kept.names(), FolderOfBackups(tmp_path / "copy").names(), bucket.names()) == ([], [], [])


@only_s3
def test_a_first_store_that_fails_takes_its_copies_back(site, kept, faults, tmp_path):
    faults.do(r"PUT .*\.json", status=500)

    told = refused_backup(site, copies=[str(tmp_path / "copy")])

    assert told.what == "The dump cannot be sent to the bucket; no backup was made."
    assert kept.names() == []
    assert FolderOfBackups(tmp_path / "copy").names() == []


def test_a_copy_is_a_store_to_restore_from_when_the_first_is_lost(site, kept, tmp_path):
    copy = tmp_path / "copy"
    backup = site.backup(copies=[str(copy)])
    for name in kept.names():
        if name.endswith(".json"):
            kept.write(name, b"")

    place = site.open(backup_location=str(copy))

    assert place.store.entries() == ([replace(backup.entry, location=str(copy / TARGET / backup.manifest.dump_name))], [])
    assert steps.newest_backup(place, plan_of(place)).manifest == backup.manifest
    execute(site.url, "DROP TABLE visits")
    clinic.restore(place, place.store.read(backup.id))
    before = site.before[1]
    assert clinic.live_state(place)[1] == before
    site.settle()


def test_a_failed_verification_counts_though_its_copy_cannot_be_reached(site, kept, tmp_path):
    copy = tmp_path / "copy"
    backup = site.backup(copies=[str(copy)])
    place = site.open(copies=[str(copy)])
    kept.write(backup.manifest.dump_name, b"rotten")
    (copy / TARGET).rename(copy / "away")
    (copy / TARGET).write_text("in the way")

    with pytest.raises(errors.MigrationPipelineError):
        steps.verify(place, backup, Level.CHECKSUM)

    assert place.store.read(backup.id).entry.failed == f'The dump of backup "{backup.id}" is not what its manifest says.'


FAULTS = [
    ("PUT .*sql", {"status": 500}, "The dump cannot be sent to the bucket; no backup was made.", "InternalError"),
    ("PUT .*sql", {"stall": 2}, "The dump cannot be sent to the bucket; no backup was made.", "ReadTimeoutError"),
    ("PUT .*json", {"status": 503, "code": "SlowDown"}, "The dump cannot be sent to the bucket; no backup was made.", "SlowDown"),
    (
        "POST .*uploads",
        {"status": 403, "code": "AccessDenied"},
        "The bucket cannot be written; no backup was begun.",
        "AccessDenied",
    ),
]


@only_s3
@pytest.mark.parametrize(("request_", "fault", "what", "reason"), FAULTS, ids=["500", "slow", "503 for the manifest", "403"])
def test_a_bucket_that_fails_while_a_backup_is_sent_holds_nothing_of_it(site, kept, faults, request_, fault, what, reason):
    faults.do(request_, **fault)

    told = refused_backup(site)

    assert (told.what, told.evidence["reason"]) == (what, reason)
    wait_until(lambda: kept.names() == [], kept.names, 5)
    assert kept.bucket.uploads() == []


@only_s3
def test_a_stream_that_always_ends_early_proves_nothing_and_a_good_one_does(site, faults):
    backup = site.backup()
    place = site.open()
    faults.do(r"GET .*\.sql", cut=100)

    with pytest.raises(errors.Failure) as caught:
        steps.verify(place, backup, Level.RESTORE)

    assert type(caught.value) is errors.Failure, "a network that fails takes no trust away"
    assert place.store.read(backup.id) == backup
    assert caught.value.what == f'Backup "{backup.id}" cannot be fetched.'
    assert caught.value.evidence["reason"] == "IncompleteReadError"
    faults.faults.clear()
    faults.do(r"GET .*\.sql", cut=100, times=1)
    steps.verify(place, place.store.read(backup.id), Level.RESTORE)
    assert steps.newest_backup(place, plan_of(place)).id == backup.id


@only_s3
@pytest.mark.parametrize("fault", [{"status": 500, "times": 2}, {"stall": 1.5, "times": 1}, {"lost": True, "times": 1}])
def test_a_bucket_that_stumbles_is_asked_again(site, faults, fault):
    for request_ in ("PUT .*sql", "HEAD .*sql", "GET .*sql", "GET .*list-type"):
        faults.do(request_, **fault)

    backup = site.backup()

    assert steps.newest_backup(site.open(), plan_of(site.open())) == backup


@only_s3
def test_a_prune_that_object_lock_refuses_keeps_and_says_so(site, kept, locked_bucket):
    location = locked_bucket.location
    old = site.backup(backup_location=location)
    place = site.open(backup_location=location, keep_newest=1)
    site.backup(backup_location=location)
    place.store.rewrite(replace(old.manifest, snapshot_time=old.manifest.snapshot_time - timedelta(days=400)))

    pruned = housekeeping.prune(place, dry_run=False)

    (reason,) = pruned.refused.values()
    assert [*pruned.refused] == [old.id]
    assert re.fullmatch(r"the bucket's object lock keeps it until \d{4}-\d\d-\d\d \d\d:\d\d UTC", reason)
    assert place.store.read(old.id).id == old.id
    with place.store.fetched(place.store.read(old.id)):
        pass


@only_s3
def test_a_prune_that_the_bucket_does_not_answer_removes_nothing_by_half(site, kept, faults):
    old = site.backup()
    site.backup()
    place = site.open(keep_newest=1)
    place.store.rewrite(replace(old.manifest, snapshot_time=old.manifest.snapshot_time - timedelta(days=400)))
    names = kept.names()
    faults.do(r"POST .*delete", status=500)

    pruned = housekeeping.prune(place, dry_run=False)

    assert pruned.refused == {old.id: "it cannot be removed: InternalError"}
    assert kept.names() == names
    assert place.store.is_intact(place.store.read(old.id))


@only_s3
def test_what_a_run_killed_while_it_sends_leaves_is_no_backup_and_is_found(site, kept, faults):
    fatten(site, FAT)
    faults.do(r"PUT .*partNumber=2", stall=3)
    run = site.start("backup")
    wait_until(lambda: any("partNumber=2" in one for one in faults.seen), lambda: faults.seen, 30)
    run.send_signal(signal.SIGKILL)
    run.wait()
    faults.faults.clear()

    assert site.open().store.entries() == ([], [])
    assert kept.bucket.uploads() != []

    backup = site.backup()

    assert site.left() == []
    tomorrow = S3Store(kept.location, TARGET, clock=lambda: datetime.now(UTC) + timedelta(hours=25))
    found = tomorrow.garbage()
    assert found != []
    assert not any(one.name.startswith(backup.id) for one in found)
    tomorrow.remove_garbage(found)
    assert (tomorrow.garbage(), kept.bucket.uploads()) == ([], [])
    assert [one.id for one in site.open().store.entries()[0]] == [backup.id]
