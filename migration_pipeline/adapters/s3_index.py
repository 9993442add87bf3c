"""What a store knows of its manifests, kept beside them in one object, so that a list need not read each of them.

A row counts only as long as the bucket lists its manifest under the same ETag and size. An index that is missing, damaged
or of another bucket is no index: then each manifest is read.
"""

import contextlib
import gc
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pydantic
import zstandard

from migration_pipeline import errors
from migration_pipeline.adapters import s3_client
from migration_pipeline.adapters.s3_client import Bucket, Listed
from migration_pipeline.domain.backups import Entry

FORMAT = 1
NAME = "index/entries.jsonl.zst"
ROWS_A_LINE = 1_000
MOST_OLD = 1_000  # an index is written anew when more than one row in this many is not as it should be


@dataclass(frozen=True, slots=True)
class Row:
    """What one manifest says, as long as its object has this ETag and size."""

    name: str
    etag: str
    bytes: int
    parts: tuple[str, ...]  #: the files and folders of the backup
    entry: Entry


_rows = pydantic.TypeAdapter(list[Row])


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Pause Python's collector of cycles: nothing here makes any, and looking for them is 40 % of a list of 100,000 backups."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@dataclass(frozen=True)
class Index:
    """The index of one Target's manifests."""

    bucket: Bucket
    base: str

    def valid_rows(self, listed: Mapping[str, Listed]) -> Iterator[Row]:
        """Yield the rows that are still true of the manifests that the bucket lists."""
        for row in self._read():
            there = listed.get(row.name)
            if there is not None and (there.etag, there.bytes) == (row.etag, row.bytes):
                yield row

    def keep(self, rows: list[Row], valid: int) -> None:
        """Write the index, if enough has changed. Whoever may only read goes without."""
        if (len(rows) - valid) * MOST_OLD > len(rows):
            with contextlib.suppress(errors.Failure), s3_client.told(errors.Failure, "The index cannot be written.", self.bucket):
                self.bucket.put_text(self.base + NAME, self._written(rows))

    def _read(self) -> list[Row]:
        with contextlib.suppress(errors.Failure, zstandard.ZstdError, ValueError, RecursionError):
            with s3_client.told(errors.Failure, "The index cannot be read.", self.bucket):
                stored = self.bucket.get(self.base + NAME)
            lines = io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(io.BytesIO(stored)))
            head = json.loads(lines.readline())
            rows = [row for line in lines for row in _rows.validate_json(line)] if self._fits(head) else []
            return rows if rows and len(rows) == head["rows"] else []
        return []

    def _written(self, rows: list[Row]) -> bytes:
        made = io.BytesIO()
        compressor = zstandard.ZstdCompressor(level=1, write_checksum=True)
        with compressor.stream_writer(made, closefd=False) as stream:
            stream.write(json.dumps({**self._head, "rows": len(rows)}).encode() + b"\n")
            for start in range(0, len(rows), ROWS_A_LINE):
                stream.write(_rows.dump_json(rows[start : start + ROWS_A_LINE]) + b"\n")
        return made.getvalue()

    @property
    def _head(self) -> dict[str, Any]:
        return {"format": FORMAT, "of": f"s3://{self.bucket.name}/{self.base}"}

    def _fits(self, head: Any) -> bool:
        return isinstance(head, dict) and self._head.items() <= head.items()
