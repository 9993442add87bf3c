"""A bucket over boto3: what is asked of it, and its errors as ours.

boto3 takes endpoint, credentials and region from where it always does: AWS_ENDPOINT_URL, AWS_*, profiles, roles. It is
imported when a bucket is first asked for something, so that nobody else pays for it.
"""

import base64
import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple, TypeVar
from xml.etree import ElementTree as ET

from migration_pipeline import errors

CONNECT_SECONDS = 10
READ_SECONDS = 60
ATTEMPTS = 5
WORKERS = 8
BATCH = 1_000  # the most keys that one DeleteObjects takes, or one LIST answers
REGION = "us-east-1"
#: What a request that asks for a condition is answered when the condition does not hold.
CONFLICTS = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
MISSING = ("NoSuchKey", "NotFound", "404")

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Listed(NamedTuple):
    """An object, as a LIST tells of it."""

    key: str
    bytes: int
    etag: str
    at: datetime


@dataclass(frozen=True)
class Bucket:
    """One bucket. Errors of boto3 pass: `told` makes ours of them."""

    name: str
    kms_key: str | None = None

    @functools.cached_property
    def client(self) -> Any:
        return _client()

    @property
    def encryption(self) -> dict[str, str]:
        """Return what a request that writes an object says of its encryption."""
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.kms_key} if self.kms_key else {}

    def put(self, key: str, body: Any, md5: str, **options: Any) -> None:
        """Write an object. The Content-MD5 is what every vendor checks, and object lock demands."""
        self.client.put_object(Bucket=self.name, Key=key, Body=body, ContentMD5=md5, **self.encryption, **options)

    def put_text(self, key: str, text: bytes, **options: Any) -> None:
        self.put(key, text, content_md5(text), **options)

    def get(self, key: str) -> bytes:
        body = self.client.get_object(Bucket=self.name, Key=key)["Body"]
        with contextlib.closing(body):
            return bytes(body.read())

    def head(self, key: str) -> dict[str, Any] | None:
        """Return what HEAD tells of an object; None: there is none."""
        from botocore.exceptions import ClientError  # noqa: PLC0415 - as the module says

        try:
            return dict(self.client.head_object(Bucket=self.name, Key=key))
        except ClientError as error:
            if code_of(error) in MISSING:
                return None
            raise

    def listed(self, prefix: str, after: str = "") -> Iterator[Listed]:
        """Yield the objects under a prefix, in the order of their keys."""
        for page in self._pages(prefix, StartAfter=after):
            yield from _objects(page)

    def level(self, prefix: str) -> Iterator[Listed | str]:
        """Yield the objects right under a prefix, and the names of the folders in it, each with its slash."""
        for page in self._pages(prefix, Delimiter="/"):
            yield from _objects(page)
            yield from (one["Prefix"] for one in page.get("CommonPrefixes", ()))

    def delete(self, keys: Iterable[str]) -> dict[str, str]:
        """Delete objects; return the keys that stay, each with the code of the reason."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as the module says

        kept = {}
        for batch in batches(keys):
            objects = [{"Key": key} for key in batch]
            try:
                answer = self.client.delete_objects(Bucket=self.name, Delete={"Objects": objects, "Quiet": True})
            except (ClientError, BotoCoreError) as error:
                kept.update(dict.fromkeys(batch, code_of(error)))
            else:
                kept.update({one["Key"]: one.get("Code", "unknown") for one in answer.get("Errors", ())})
        return kept

    def _pages(self, prefix: str, **options: str) -> Iterator[dict[str, Any]]:
        options = {name: value for name, value in options.items() if value}
        yield from self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix, **options)


@contextlib.contextmanager
def told(
    kind: type[errors.MigrationPipelineError], what: str, bucket: Bucket, next_step: str = "run the same command again"
) -> Iterator[None]:
    """Tell an error of boto3 as ours: its code, never its text, which may hold addresses and keys."""
    from botocore.exceptions import (  # noqa: PLC0415 - as the module says
        BotoCoreError,
        ClientError,
        NoCredentialsError,
        PartialCredentialsError,
    )

    try:
        yield
    except (NoCredentialsError, PartialCredentialsError):
        evidence = {"bucket": bucket.name, "reason": "no credentials were found"}
        raise kind(what, evidence=evidence, next_step="set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret") from None
    except (ClientError, BotoCoreError) as error:
        raise kind(what, evidence={"bucket": bucket.name, "reason": code_of(error)}, next_step=next_step) from None


def code_of(error: Any) -> str:
    """Return the code that S3 answered, or the kind of failure where it answered nothing."""
    answer = getattr(error, "response", None)
    return str(answer.get("Error", {}).get("Code") or "unknown") if isinstance(answer, dict) else type(error).__name__


def content_md5(text: bytes) -> str:
    return base64.b64encode(hashlib.md5(text, usedforsecurity=False).digest()).decode()


def batches(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch


def in_parallel(work: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Yield the results of a few requests at a time, in order; the first that fails ends them."""
    with ThreadPoolExecutor(WORKERS) as pool:
        for batch in batches(items):
            try:
                yield from pool.map(work, batch)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _client() -> Any:
    import boto3  # noqa: PLC0415 - as the module says
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=WORKERS + 1,
        tcp_keepalive=True,
        request_checksum_calculation="when_required",  # other vendors refuse what boto3 adds by itself
        response_checksum_validation="when_required",
    )
    session = boto3.Session()
    client = session.client("s3", region_name=session.region_name or REGION, config=config)
    client.meta.events.register("before-call.s3.DeleteObjects", _add_content_md5)
    client.meta.events.register_first("before-parse.*.ListObjectsV2", _parse_objects)  # the star puts it before botocore's own
    return client


def _add_content_md5(params: dict[str, Any], **_: Any) -> None:
    """Send the checksum that DeleteObjects always had: boto3 sends a newer one, which other vendors do not know."""
    params["headers"]["Content-MD5"] = content_md5(params["body"])


def _parse_objects(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Read the objects of a LIST as botocore would: it takes 100 µs an object, most of it for the time, and this takes 8."""
    try:
        root = ET.fromstring(response_dict["body"])  # noqa: S314 - botocore parses it with the same parser
    except ET.ParseError:
        return  # botocore tells it
    space = root.tag.partition("ListBucketResult")[0]
    if response_dict["status_code"] != 200 or root.tag != f"{space}ListBucketResult":  # noqa: PLR2004 - OK
        return
    found = root.findall(f"{space}Contents")
    root[:] = [one for one in root if one.tag != f"{space}Contents"]
    response_dict["body"] = ET.tostring(root)
    names = [f"{space}{name}" for name in ("Key", "Size", "ETag", "LastModified")]
    customized_response_dict["Contents"] = [
        {"Key": key, "Size": int(size), "ETag": etag, "LastModified": datetime.fromisoformat(at)}
        for key, size, etag, at in ([one.findtext(name, "") for name in names] for one in found)
    ]


def _objects(page: dict[str, Any]) -> list[Listed]:
    return [Listed(one["Key"], one["Size"], one["ETag"], one["LastModified"]) for one in page.get("Contents", ())]
