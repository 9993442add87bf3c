"""Where a report lies in a store: kept beside the backups, no garbage, no backup, and not removed with one."""

import pytest

from migration_pipeline.adapters.storage_copies import CopiedStore
from migration_pipeline.adapters.storage_folder import FolderStore
from migration_pipeline.adapters.storage_s3 import S3Store

pytest_plugins = ["migration_pipeline_tests.s3"]

NAME = "report_2026-11-22_13-25-08_e4db4ad1.html"


@pytest.fixture(params=["folder", "s3", "copies"])
def store(request, tmp_path):
    if request.param == "folder":
        return FolderStore(tmp_path, "clinic")
    if request.param == "s3":
        return S3Store(request.getfixturevalue("bucket").location, "clinic")
    return CopiedStore(FolderStore(tmp_path, "clinic"), [FolderStore(tmp_path / "copy", "clinic")])


def test_a_report_is_kept_whole_and_is_neither_a_backup_nor_garbage(store):
    store.keep(NAME, b"<!DOCTYPE html>1")
    store.keep(NAME, b"<!DOCTYPE html>2")

    store.sweep()
    assert store.records("report_*.html") == [b"<!DOCTYPE html>2"]
    assert store.records("migration_*.json") == []
    assert store.garbage() == []
    assert store.entries() == ([], [])
    assert store.remove(["backup_2026-11-22_13-25-08"]) == {}
    assert store.records("report_*.html") == [b"<!DOCTYPE html>2"]
