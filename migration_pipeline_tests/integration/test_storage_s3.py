"""The S3 store against moto over HTTP: what breaks on the way loses nothing, and is told."""

import io
import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
import zstandard

from migration_pipeline import errors
from migration_pipeline.adapters import s3_client, s3_index, s3_transfer
from migration_pipeline.adapters.s3_client import Bucket
from migration_pipeline.adapters.storage_s3 import S3Store
from migration_pipeline.domain.backups import Garbage, Pin, name_at
from migration_pipeline_tests.integration.test_stores import DIRECTORY, NOW, PLAIN, made, manifest_of, write

pytest_plugins = ["migration_pipeline_tests.s3"]

BASE = "some/prefix/clinic/"
ID = name_at(NOW)
LARGE = {".sql": bytes(range(256)) * (133 << 10), ".globals.sql": b"-- roles\n"}  # 33 MiB and a bit: three parts
INDEX = BASE + s3_index.NAME
TOMORROW = timedelta(hours=25)


@pytest.fixture
def store(bucket):
    made = S3Store(bucket.location, "clinic")
    assert made.records("*") == []  # its client is made now, so that no proxy comes between
    return made


@pytest.fixture
def far(bucket, faults):
    """A store behind the proxy."""
    return S3Store(bucket.location, "clinic")


def later(bucket):
    return S3Store(bucket.location, "clinic", clock=lambda: datetime.now(UTC) + TOMORROW)


def deny(bucket, action, key):
    statement = {"Effect": "Deny", "Principal": "*", "Action": action, "Resource": f"arn:aws:s3:::{bucket.name}/{key}"}
    bucket.client.put_bucket_policy(Bucket=bucket.name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


def fails(kind, work):
    with pytest.raises(kind) as caught:
        work()
    assert "canary-secret-key" not in str(caught.value)
    assert "http" not in str(caught.value)
    return str(caught.value)


def fetch(store, backup):
    with store.fetched(backup) as folder:
        return {path.name for path in folder.iterdir()}


# Downloads


def test_a_stream_that_always_ends_early_is_no_backup(bucket, store, far, faults):
    backup = made(store)
    faults.do(r"GET .*\.sql", cut=4)
    fetched = []

    message = fails(errors.Failure, lambda: fetched.append(fetch(far, backup)))

    assert (
        message
        == f'Backup "{ID}" cannot be fetched.\n  bucket: {bucket.name}\n  reason: IncompleteReadError\nNext: run the same command again'
    )
    assert fetched == []


def test_a_stream_that_is_cut_once_is_taken_up_where_it_ended(store, far, faults):
    backup = made(store, files=LARGE)
    faults.do(r"GET .*-25-08\.sql", cut=20 << 20, times=1)

    assert fetch(far, backup) >= {f"{ID}.sql"}
    assert sum(f"{ID}.sql" in one for one in faults.seen) == 2


def test_a_bit_that_flips_on_the_way_is_seen(store, far, faults):
    backup = made(store)
    faults.do(r"GET .*-25-08\.sql", flip=3)

    message = fails(errors.VerificationFailed, lambda: fetch(far, backup))

    assert (
        message
        == f'The dump of backup "{ID}" is not what its manifest says.\n  file: {ID}.sql\n  store: {backup.location}\nNext: just backup-db'
    )


@pytest.mark.parametrize("text", [b"-- a dum", b"-- a dump\nand more", b"-- a bump\n"], ids=["shorter", "longer", "other"])
def test_an_object_that_somebody_changed_is_neither_intact_nor_fetched(bucket, store, text):
    backup = made(store)
    bucket.put(f"{BASE}{ID}.sql", text)

    assert not store.is_intact(backup)
    assert "is not what its manifest says" in fails(errors.VerificationFailed, lambda: fetch(store, backup))


def test_an_object_that_is_gone_makes_its_backup_none(bucket, store):
    backup = made(store)
    bucket.client.delete_object(Bucket=bucket.name, Key=f"{BASE}{ID}.globals.sql")

    assert not store.is_intact(backup)
    assert fails(errors.Failure, lambda: store.read(ID)) == f'Backup "{ID}" does not fit its manifest.\nNext: just backups'
    entries, rejected = store.entries()
    assert (entries, [one.reason for one in rejected]) == ([], [f'Backup "{ID}" does not fit its manifest.'])
    assert "is not what its manifest says" in fails(errors.VerificationFailed, lambda: fetch(store, backup))


# Servers that are in trouble


def test_what_fails_twice_and_then_works_is_fine(far, faults):
    faults.do(r"PUT .*\.json", status=503, code="SlowDown", times=2)
    faults.do(r"GET .*list-type", status=500, times=2)
    faults.do(r"HEAD ", status=503, times=2)

    backup = made(far)

    assert far.is_intact(backup)
    assert far.entries() == ([backup.entry], [])


def test_a_server_that_fails_for_good_is_told_soon(bucket, far, faults):
    faults.do(r"list-type", status=500)
    begun = time.monotonic()

    message = fails(errors.Failure, far.entries)

    assert (
        message
        == f"The backups in the bucket cannot be listed.\n  bucket: {bucket.name}\n  reason: InternalError\nNext: run the same command again"
    )
    assert time.monotonic() - begun < 15
    assert len(faults.seen) == 3


def test_a_slow_answer_is_asked_for_again(store, far, faults):
    backup = made(store)
    faults.do(r"GET .*-25-08\.sql", stall=2, times=1)

    assert fetch(far, backup) >= {f"{ID}.sql"}


def test_a_server_that_never_answers_is_told(bucket, far, faults):
    faults.do(r"list-type", stall=2.5)

    message = fails(errors.Failure, lambda: far.read(ID))

    assert (
        message
        == f"The backup cannot be read.\n  bucket: {bucket.name}\n  reason: ReadTimeoutError\nNext: run the same command again"
    )


def test_a_server_that_is_not_there_is_told(bucket, monkeypatch, faults):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")

    message = fails(errors.BackupFailed, lambda: S3Store(bucket.location, "clinic").check_room(1))

    assert message == (
        f"The bucket cannot be written; no backup was begun.\n  bucket: {bucket.name}\n  reason: EndpointConnectionError\n"
        "Next: name a bucket that can be written in BACKUP_LOCATION, then: just backup-db"
    )


def test_a_bucket_that_is_not_there_is_told(s3_settings):
    message = fails(errors.BackupFailed, lambda: S3Store("s3://nowhere", "clinic").check_room(1))

    assert message == (
        "The bucket cannot be written; no backup was begun.\n  bucket: nowhere\n  reason: 404\n"
        "Next: name a bucket that can be written in BACKUP_LOCATION, then: just backup-db"
    )


def test_missing_credentials_are_told(bucket, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    message = fails(errors.Failure, S3Store(bucket.location, "clinic").garbage)

    assert message == (
        f"The bucket cannot be listed.\n  bucket: {bucket.name}\n  reason: no credentials were found\n"
        "Next: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret"
    )


@pytest.mark.parametrize(
    "location", ["", "/backups", "s3://", "s3:///x", "s3://key:canary-secret-key@bucket", "s3://bucket/x?y", "https://bucket/x"]
)
def test_what_is_no_bucket_is_refused(location):
    message = fails(errors.SettingsError, lambda: S3Store(location, "clinic"))

    assert message == (
        "The place for backups is no bucket: it reads s3://bucket or s3://bucket/prefix.\nNext: name a bucket so in BACKUP_LOCATION"
    )


# Uploads


def test_a_large_file_goes_in_parts_and_comes_back(bucket, store):
    backup = made(store, files=LARGE)

    assert bucket.client.head_object(Bucket=bucket.name, Key=f"{BASE}{ID}.sql")["ETag"].endswith('-3"')
    assert store.is_intact(backup)
    with store.fetched(backup) as folder:
        assert (folder / f"{ID}.sql").read_bytes() == LARGE[".sql"]
    assert bucket.uploads() == []


@pytest.mark.parametrize(
    ("size", "part"),
    [(0, 16 << 20), (9000 * (16 << 20), 16 << 20), (9000 * (16 << 20) + 1, (16 << 20) + 1), (5 << 40, 610_839_794)],
)
def test_parts_grow_with_the_file(size, part):
    assert s3_transfer.part_size(size) == part
    assert -(-size // part) <= 9000


def test_every_object_is_encrypted_with_the_key(bucket):
    store = S3Store(bucket.location, "clinic", kms_key="arn:aws:kms:us-east-1:123456789012:key/of-ours")
    store.check_room(1)
    store.rewrite(made(store, files=LARGE).manifest)
    store.keep("migration_1.json", b"{}")
    store.entries()

    found = [bucket.client.head_object(Bucket=bucket.name, Key=key) for key in bucket.names()]

    assert len(found) == 5
    assert {(one["ServerSideEncryption"], one["SSEKMSKeyId"]) for one in found} == {
        ("aws:kms", "arn:aws:kms:us-east-1:123456789012:key/of-ours")
    }


@pytest.mark.parametrize(
    "request_", [r"PUT .*partNumber=2", r"POST .*uploadId=", r"PUT .*globals", r"HEAD .*globals", r"PUT .*\.json"]
)
def test_an_upload_that_fails_leaves_nothing_of_its_own(bucket, far, faults, request_):
    bucket.put("some/prefix/clinic/of-somebody-else", b"x")
    faults.do(request_, status=500, times=3)

    message = fails(errors.BackupFailed, lambda: made(far, files=LARGE))

    assert message.splitlines()[0] == "The dump cannot be sent to the bucket; no backup was made."
    assert bucket.names() == ["some/prefix/clinic/of-somebody-else"]
    assert bucket.uploads() == []


@pytest.mark.parametrize("request_", [r"PUT .*-25-08\.sql", r"PUT .*partNumber=2", r"POST .*uploadId=", r"PUT .*\.json"])
@pytest.mark.parametrize("files", [PLAIN, LARGE], ids=["small", "large"])
def test_a_write_whose_answer_is_lost_is_known_as_our_own(far, store, faults, request_, files):
    faults.do(request_, lost=True, times=1)

    backup = made(far, files=files)

    assert store.entries() == ([backup.entry], [])
    assert store.is_intact(backup)


def test_files_stay_where_nobody_knows_whether_their_manifest_does(store, far, faults):
    faults.do(r"PUT .*\.json", lost=True, times=3)
    faults.do(r"HEAD .*\.json", status=500)

    fails(errors.BackupFailed, lambda: made(far))

    assert store.is_intact(store.read(ID))


def test_a_file_that_changed_since_it_was_hashed_is_not_stored(bucket, store):
    for files in (PLAIN, LARGE):
        with store.new(lambda: NOW) as new:
            write(new.folder, new.id, {**files, ".sql": files[".sql"][:-1] + b"?"})
            message = fails(errors.BackupFailed, lambda new=new, files=files: store.publish(new, manifest_of(new.id, files)))
        assert message == (
            f"A file of the backup is not what was written; no backup was made.\n  file: {ID}.sql\nNext: look at this machine's disk, then: just backup-db"
        )
    assert (bucket.names(), bucket.uploads()) == ([], [])


def test_of_two_writers_of_one_name_the_second_fails_and_the_first_is_intact(bucket, store):
    second = S3Store(bucket.location, "clinic")
    with second.new(lambda: NOW) as new:
        first = made(store)
        write(new.folder, new.id, LARGE)
        message = fails(errors.BackupFailed, lambda: second.publish(new, manifest_of(new.id, LARGE)))

    assert message == (
        f"The bucket holds something under the name of this backup; no backup was made.\n  bucket: {bucket.name}\n"
        f"  object: {BASE}{ID}.globals.sql\nNext: just backup-db"
    )
    assert store.read(ID) == first
    assert fetch(store, first) >= {f"{ID}.sql"}


@pytest.mark.parametrize("files", [PLAIN, LARGE], ids=["small", "large"])
def test_what_appears_while_a_backup_is_sent_is_not_replaced(bucket, s3_settings, tmp_path, files):
    """The writer has looked before: only the condition of its request stands between."""
    bucket.put(f"{BASE}{ID}.sql", b"the first")
    write(tmp_path, ID, files)
    upload = s3_transfer.Upload(Bucket(bucket.name))

    message = fails(errors.BackupFailed, lambda: upload.files(tmp_path, BASE, manifest_of(ID, files).files))
    upload.undo()

    assert message == (
        f"Another run has written a backup under this name; no backup was made.\n  bucket: {bucket.name}\n  object: {BASE}{ID}.sql\nNext: just backup-db"
    )
    assert bucket.names() == [f"{BASE}{ID}.sql"]
    assert bucket.text(f"{BASE}{ID}.sql") == b"the first"
    assert bucket.uploads() == []


def test_a_disk_that_fills_up_is_told(store):
    def dumps():
        with store.new(lambda: NOW):
            raise OSError(28, "No space left on device")

    assert fails(errors.BackupFailed, dumps).startswith("The dump cannot be written; no backup was made.\n  folder: ")


# Manifests


def test_the_manifest_of_a_backup_that_was_removed_is_not_brought_back(bucket, store):
    backup = made(store)
    later(bucket).remove([ID])

    message = fails(errors.BackupFailed, lambda: store.rewrite(backup.manifest))

    assert (
        message
        == f'Backup "{ID}" was removed meanwhile; its manifest is not written anew.\n  store: {store.where}\nNext: just backups'
    )
    assert bucket.names() == []


def test_a_rewrite_whose_answer_is_lost_is_known_as_our_own(far, faults):
    backup = made(far)
    faults.do(r"PUT .*\.json", lost=True, times=1)
    changed = manifest_of(ID, PLAIN, pinned=Pin(at=NOW))

    assert far.rewrite(changed) == far.read(ID)
    assert far.read(ID) != backup


# The index


def gets(faults, ending):
    return sum(one.startswith("GET") and one.endswith(ending) for one in faults.seen)


def test_a_list_reads_each_manifest_once(far, faults):
    backups = [made(far, NOW + timedelta(days=day)) for day in range(3)]
    assert len(far.entries()[0]) == gets(faults, ".json") == 3
    faults.seen.clear()

    assert far.entries() == ([one.entry for one in reversed(backups)], [])

    assert (gets(faults, ".json"), len(faults.seen)) == (0, 3)  # two answers list it all; one is the index


def test_a_manifest_that_changed_is_read_anew_and_one_that_went_is_forgotten(bucket, far, faults):
    made(far)
    other = made(far, NOW + timedelta(days=1))
    far.entries()
    faults.seen.clear()

    changed = far.rewrite(manifest_of(ID, PLAIN, pinned=Pin(at=NOW, reason="an audit")))
    bucket.client.delete_object(Bucket=bucket.name, Key=f"{BASE}{other.id}.json")

    assert far.entries() == ([changed.entry], [])
    assert gets(faults, ".json") == 1


def broken_indexes():
    def repacked(change):
        lines = zstandard.ZstdDecompressor().stream_reader
        return lambda text: zstandard.ZstdCompressor().compress(change(lines(io.BytesIO(text)).read()))

    return {
        "empty": lambda text: b"",
        "no zstd": lambda text: b"{}",
        "cut": lambda text: text[:-9],
        "flipped": lambda text: text[:40] + bytes([text[40] ^ 16]) + text[41:],
        "no rows": repacked(lambda text: text.splitlines()[0]),
        "no header": repacked(lambda text: text.partition(b"\n")[2]),
        "of another bucket": repacked(lambda text: text.replace(b"s3://backups-", b"s3://other-", 1)),
        "of another format": repacked(lambda text: text.replace(b'"format": 1', b'"format": 0', 1)),
        "wrong types": repacked(lambda text: text.replace(b'"bytes":', b'"pytes":')),
        "nested": repacked(lambda text: text.partition(b"\n")[0] + b"\n" + b"[" * 100_000),
    }


@pytest.mark.parametrize("change", broken_indexes().values(), ids=broken_indexes().keys())
def test_an_index_that_is_damaged_is_made_anew(bucket, store, change):
    backup = made(store)
    store.entries()
    whole = bucket.text(INDEX)
    bucket.put(INDEX, change(whole))

    assert store.entries() == ([backup.entry], [])
    assert bucket.text(INDEX) == whole


def test_an_index_that_lies_about_a_manifest_of_another_etag_is_not_believed(bucket, store):
    backup = made(store)
    store.entries()
    bucket.put(f"{BASE}{ID}.json", bucket.text(f"{BASE}{ID}.json").replace(b'"0001"', b'"0002"'))

    assert store.entries()[0][0].heads == ("0002",)
    assert backup.entry.heads == ("0001",)


def test_whoever_may_not_write_the_index_lists_without_it(bucket, store):
    backup = made(store)
    deny(bucket, "s3:PutObject", f"{BASE}index/*")

    assert store.entries() == store.entries() == ([backup.entry], [])
    assert INDEX not in bucket.names()


def test_more_than_one_answer_lists_and_one_request_deletes(bucket, store, monkeypatch):
    monkeypatch.setattr(s3_client, "BATCH", 4)
    backups = [made(store, NOW + timedelta(seconds=second)) for second in range(9)]

    assert store.entries() == ([one.entry for one in reversed(backups)], [])
    assert store.remove([one.id for one in backups[1:]]) == {}
    assert [one for one in bucket.names() if one != INDEX] == [f"{BASE}{ID}.{end}" for end in ("globals.sql", "json", "sql")]


# Removal


def test_what_object_lock_retains_is_kept_and_said(locked_bucket):
    store = S3Store(locked_bucket.location, "clinic")
    backup = made(store)
    names = locked_bucket.names()
    until = locked_bucket.client.head_object(Bucket=locked_bucket.name, Key=f"{BASE}{ID}.json")["ObjectLockRetainUntilDate"]

    kept = store.remove([ID])

    assert kept == {ID: f"the bucket's object lock keeps it until {until:%Y-%m-%d %H:%M} UTC"}
    assert locked_bucket.names() == names
    assert store.is_intact(backup)


def test_what_object_lock_retains_no_more_is_removed(locked_bucket):
    made(S3Store(locked_bucket.location, "clinic"))

    assert later(locked_bucket).remove([ID]) == {}
    assert locked_bucket.names() == []


def test_a_legal_hold_is_honoured(locked_bucket):
    made(S3Store(locked_bucket.location, "clinic"))
    key = f"{BASE}{ID}.json"
    locked_bucket.client.put_object_legal_hold(Bucket=locked_bucket.name, Key=key, LegalHold={"Status": "ON"})

    assert later(locked_bucket).remove([ID]) == {ID: "a legal hold of the bucket keeps it"}


def test_a_manifest_that_may_not_be_deleted_keeps_its_backup(bucket, store):
    backup = made(store)
    other = made(store, NOW + timedelta(days=1))
    deny(bucket, "s3:DeleteObject", f"{BASE}{ID}.json")

    assert store.remove([ID, other.id]) == {ID: "it cannot be removed: AccessDenied"}

    assert store.entries() == ([backup.entry], [])
    assert store.is_intact(backup)


def test_files_that_may_not_be_deleted_are_told_and_are_garbage(bucket, store):
    made(store)
    deny(bucket, "s3:DeleteObject", f"{BASE}*.sql")

    assert store.remove([ID]) == {ID: "its manifest was removed, its files cannot be: AccessDenied"}

    found = later(bucket).garbage()
    assert [one.name for one in found] == [f"{ID}.globals.sql", f"{ID}.sql"]
    message = fails(errors.Failure, lambda: store.remove_garbage(found))
    assert message == (
        f'"{ID}.globals.sql" cannot be removed.\n  bucket: {bucket.name}\n  reason: AccessDenied\n'
        "Next: give the right to delete it, or remove it with the bucket's own tools"
    )


def test_a_removal_that_the_server_does_not_answer_touches_no_files(bucket, store, far, faults):
    backup = made(store)
    faults.do(r"POST .*delete", status=500)

    assert far.remove([ID]) == {ID: "it cannot be removed: InternalError"}
    assert store.is_intact(store.read(backup.id))


def test_in_a_bucket_that_keeps_versions_a_removed_backup_is_hidden(bucket, store):
    bucket.client.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    made(store)

    assert store.remove([ID]) == {}

    assert bucket.names() == []
    assert len(bucket.client.list_object_versions(Bucket=bucket.name)["Versions"]) == 3
    made(store)


# Garbage


def test_what_a_living_run_may_be_sending_is_no_garbage(bucket, store):
    for end, text in DIRECTORY.items():
        bucket.put(BASE + ID + end, text)

    assert store.garbage() == []
    assert [one.name for one in later(bucket).garbage()] == [f"{ID}.dir", f"{ID}.globals.sql"]


def test_an_upload_that_was_left_open_is_garbage(bucket, store):
    key = f"{BASE}{ID}.sql"
    upload = bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)["UploadId"]
    bucket.client.upload_part(Bucket=bucket.name, Key=key, UploadId=upload, PartNumber=1, Body=b"x" * 100)
    bucket.client.create_multipart_upload(Bucket=bucket.name, Key="somebody-elses")

    found = store.garbage()

    assert [(one.name, one.bytes) for one in found] == [(f"{ID}.sql?uploadId={upload}", 100)]
    store.remove_garbage(found)
    store.remove_garbage(found)
    assert bucket.uploads() == ["somebody-elses"]


def test_what_has_got_its_manifest_is_garbage_no_more(bucket, store):
    backup = made(store)

    store.remove_garbage([Garbage(name=f"{ID}.sql", bytes=1, at=NOW)])

    assert store.is_intact(backup)


def test_names_that_are_not_of_backups_are_left_alone(bucket):
    bucket.put(f"{BASE}backup_of_my_own.sql", b"x")
    bucket.put(f"{BASE}notes.txt", b"x")
    bucket.put(f"some/prefix/other/{ID}.sql", b"x")

    assert later(bucket).garbage() == []


# Cost


def test_boto3_is_not_imported_for_a_folder():
    code = "import sys; import migration_pipeline.adapters.storage_s3; print([one for one in ('boto3', 'botocore') if one in sys.modules])"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
