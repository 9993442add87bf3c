"""What is taken out of a bucket: backups, manifests first, and what belongs to none."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from migration_pipeline import errors
from migration_pipeline.adapters import s3_client
from migration_pipeline.adapters.s3_client import Bucket, Listed
from migration_pipeline.domain import backups
from migration_pipeline.domain.backups import Garbage

#: A run elsewhere may be sending a backup; what is younger than this is its.
YOUNG = timedelta(hours=24)
UPLOAD = "?uploadId="
NO_LOCK = ("ObjectLockConfigurationNotFoundError", "NotImplemented", "MethodNotAllowed")
NO_UPLOADS = ("NotImplemented", "MethodNotAllowed")


def remove(bucket: Bucket, base: str, ids: list[str], now: datetime) -> dict[str, str]:
    """Remove backups; return those that stay, each with the reason. Where a manifest stays, nothing of its backup is touched.

    Under object lock S3 hides an object at a plain DELETE and keeps its version. That would take the backup from us and
    free nothing: a backup whose manifest is under retention or a legal hold is kept as long as that lasts.
    """
    kept = _locked(bucket, base, ids, now)
    manifests = {f"{base}{one}.json": one for one in ids if one not in kept}
    kept |= {manifests[key]: f"it cannot be removed: {code}" for key, code in bucket.delete(manifests).items()}
    for key, code in bucket.delete(_keys_of(bucket, base, [one for one in ids if one not in kept])).items():
        kept[_id_of(key, base)] = f"its manifest was removed, its files cannot be: {code}"
    return kept


def find(bucket: Bucket, base: str, now: datetime) -> list[Garbage]:
    found = list(bucket.level(f"{base}backup_"))
    objects = [one for one in found if isinstance(one, Listed)]
    folders = [one for one in found if isinstance(one, str)]
    whole = {_id_of(one.key, base) for one in objects if one.key.endswith(".json")}
    parts = [Garbage(name=one.key.removeprefix(base), bytes=one.bytes, at=one.at) for one in objects]
    parts += [_folder(bucket, base, one, now) for one in folders if _id_of(one, base) not in whole]
    uploads = list(_uploads(bucket, base, now))
    kept = whole | {_id_of(one.name) for one in parts + uploads if one.at > now - YOUNG}
    left = [one for one in parts if _id_of(one.name) not in kept and backups.NAME.fullmatch(_id_of(one.name))]
    return sorted(left + [one for one in uploads if one.at <= now - YOUNG], key=lambda one: one.name)


def sweep(bucket: Bucket, base: str, found: Iterable[Garbage]) -> None:
    """Remove garbage; what has got its manifest since it was found is none any more."""
    for one in found:
        name, _, upload = one.name.partition(UPLOAD)
        key = base + name
        if upload:
            _abort(bucket, key, upload)
        elif bucket.head(f"{base}{_id_of(name)}.json") is None:
            keys = [there.key for there in bucket.listed(key) if there.key == key or there.key.startswith(f"{key}/")]
            for code in bucket.delete(keys).values():
                raise errors.Failure(
                    f'"{name}" cannot be removed.',
                    evidence={"bucket": bucket.name, "reason": code},
                    next_step="give the right to delete it, or remove it with the bucket's own tools",
                )


def _locked(bucket: Bucket, base: str, ids: list[str], now: datetime) -> dict[str, str]:
    if not ids or not _may_have_locks(bucket):
        return {}
    heads = s3_client.in_parallel(lambda one: bucket.head(f"{base}{one}.json") or {}, ids)
    reasons = {one: _lock(head, now) for one, head in zip(ids, heads, strict=True)}
    return {one: reason for one, reason in reasons.items() if reason}


def _lock(head: dict[str, Any], now: datetime) -> str | None:
    until = head.get("ObjectLockRetainUntilDate")
    if head.get("ObjectLockLegalHoldStatus") == "ON":
        return "a legal hold of the bucket keeps it"
    if until and until > now:
        return f"the bucket's object lock keeps it until {until:%Y-%m-%d %H:%M} UTC"
    return None


def _may_have_locks(bucket: Bucket) -> bool:
    """Return whether objects may be locked; where we may not ask, they may be."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - see s3_client

    try:
        answer = bucket.client.get_object_lock_configuration(Bucket=bucket.name)
    except ClientError as error:
        return s3_client.code_of(error) not in NO_LOCK
    return bool(answer["ObjectLockConfiguration"].get("ObjectLockEnabled") == "Enabled")


def _keys_of(bucket: Bucket, base: str, ids: list[str]) -> Iterator[str]:
    """Yield the keys of backups, from one LIST over all between the first and the last of them."""
    if ids:
        wanted, first, last = set(ids), min(ids), max(ids)
        listed = bucket.listed(base + _common(first, last), after=base + first)
        for one in takewhile(lambda one: _id_of(one.key, base) <= last, listed):
            if _id_of(one.key, base) in wanted:
                yield one.key


def _common(first: str, last: str) -> str:
    return "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))


def _folder(bucket: Bucket, base: str, prefix: str, now: datetime) -> Garbage:
    objects = list(bucket.listed(prefix))
    at = max((one.at for one in objects), default=now)
    return Garbage(name=prefix.removeprefix(base).rstrip("/"), bytes=sum(one.bytes for one in objects), at=at)


def _uploads(bucket: Bucket, base: str, now: datetime) -> Iterator[Garbage]:
    """Yield the multipart uploads that are neither complete nor aborted; their parts are paid for, and no list shows them."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - see s3_client

    pages = bucket.client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket.name, Prefix=f"{base}backup_")
    try:
        uploads = [one for page in pages for one in page.get("Uploads", ())]
    except ClientError as error:
        if s3_client.code_of(error) in NO_UPLOADS:
            return
        raise
    for one in uploads:
        size = _bytes_of(bucket, one) if one["Initiated"] <= now - YOUNG else 0
        yield Garbage(name=f"{one['Key'].removeprefix(base)}{UPLOAD}{one['UploadId']}", bytes=size, at=one["Initiated"])


def _bytes_of(bucket: Bucket, upload: dict[str, Any]) -> int:
    pages = bucket.client.get_paginator("list_parts").paginate(Bucket=bucket.name, Key=upload["Key"], UploadId=upload["UploadId"])
    return sum(part["Size"] for page in pages for part in page.get("Parts", ()))


def _abort(bucket: Bucket, key: str, upload: str) -> None:
    from botocore.exceptions import ClientError  # noqa: PLC0415 - see s3_client

    try:
        bucket.client.abort_multipart_upload(Bucket=bucket.name, Key=key, UploadId=upload)
    except ClientError as error:
        if s3_client.code_of(error) != "NoSuchUpload":
            raise


def _id_of(key: str, base: str = "") -> str:
    return key.removeprefix(base).partition(".")[0]
