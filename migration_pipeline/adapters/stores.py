"""Which store a location means."""

from collections.abc import Sequence
from pathlib import Path

from migration_pipeline.adapters.storage import BackupStore
from migration_pipeline.adapters.storage_copies import CopiedStore
from migration_pipeline.adapters.storage_folder import FolderStore

S3 = "s3://"


def of(target: str, location: str, copies: Sequence[str] = (), *, kms_key: str | None = None) -> BackupStore:
    """Return the store of a Target's backups: a folder or s3://bucket/prefix, with copies in others."""
    first = _one(target, location, kms_key)
    return CopiedStore(first, [_one(target, one, kms_key) for one in copies]) if copies else first


def _one(target: str, location: str, kms_key: str | None) -> BackupStore:
    if not location.startswith(S3):
        return FolderStore(Path(location), target)
    from migration_pipeline.adapters.storage_s3 import S3Store  # noqa: PLC0415 - boto3 takes its time, and a folder needs none

    return S3Store(location, target, kms_key=kms_key)
