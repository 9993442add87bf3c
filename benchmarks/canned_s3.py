"""Many backups that were never taken: a bucket that answers from memory, over HTTP, and a folder of manifests.

moto takes half a second for a page of a LIST, so that it would be moto that is measured.
"""

import contextlib
import hashlib
import json
import multiprocessing
import os
import re
import urllib.request
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock
from urllib.parse import parse_qs, unquote, urlsplit

import pydantic

from migration_pipeline.adapters import storage
from migration_pipeline.adapters.s3_client import Bucket
from migration_pipeline.adapters.s3_index import Index, Row
from migration_pipeline.domain import backups
from migration_pipeline.domain.backups import Backup, Level, Manifest, Migration, Outcome, Verification

BUCKET = "canned"
BASE = "backups/default/"  # prefix and Target
LOCATION = f"s3://{BUCKET}/backups"
APART = timedelta(hours=1)
MIGRATIONS = 100
PAGE = 1_000  # objects that one LIST answers
MANIFEST_BYTES = 20_000
SETTINGS = {
    "AWS_ACCESS_KEY_ID": "benchmark",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
OBJECT = (
    "<Contents><Key>{}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>{}</ETag>"
    "<Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>"
)
PAGE_OF_OBJECTS = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>{}</Name>'
    "<IsTruncated>{}</IsTruncated><NextContinuationToken>{}</NextContinuationToken>{}</ListBucketResult>"
)
NO_SUCH_KEY = b"<Error><Code>NoSuchKey</Code><Message>canned</Message></Error>"
_migrations = pydantic.TypeAdapter(Migration)


@dataclass(frozen=True)
class Many:
    """So many backups like the sample, verified, one an hour until now; the newest few were taken for migrations."""

    sample: Manifest
    many: int
    now: datetime

    def moments(self):
        return [self.now - APART * (index + 1) for index in range(self.many)]

    def ids(self):
        return map(backups.name_at, self.moments())

    def names(self, backup_id):
        return [one.name.replace(self.sample.id, backup_id) for one in self.sample.files]

    def manifest(self, at):
        name = backups.name_at(at)
        files = [replace(one, name=new) for one, new in zip(self.sample.files, self.names(name), strict=True)]
        return replace(self.sample, id=name, snapshot_time=at, files=tuple(files), verifications=(_verified(at),))

    def rows(self):
        """Yield what the index of a bucket holds of them."""
        entry = Backup(manifest=self.manifest(self.now), location="").entry
        for at in self.moments():
            name = backups.name_at(at)
            names = self.names(name)
            there = f"s3://{BUCKET}/{BASE}{names[0]}"
            one = replace(entry, id=name, snapshot_time=at, location=there, restored=_verified(at))
            yield Row(f"{name}.json", etag(f"{BASE}{name}.json"), MANIFEST_BYTES, tuple(sorted(names)), one)

    def records(self):
        """Return the records of the migrations by name."""
        made = [
            Migration(
                at=at,
                outcome=Outcome.COMMITTED,
                finished=at,
                identity=self.sample.identity,
                plan_fingerprint="0" * 64,
                heads_before=("1",),
                heads_after=("2",),
                revisions=("2",),
                backup_id=backups.name_at(at),
                confirmed="CONFIRM",
            )
            for at in self.moments()[:MIGRATIONS]
        ]
        return {one.name: _migrations.dump_json(one, indent=1) for one in made}


def fill_folder(folder, sample, many):
    folder.mkdir(parents=True)
    made = Many(sample, many, datetime.now(UTC))
    for manifest in map(made.manifest, made.moments()):
        for one in manifest.files:
            (folder / one.name).touch()
        (folder / f"{manifest.id}.json").write_bytes(storage.dumped(manifest))
    for name, text in made.records().items():
        (folder / name).write_bytes(text)


@contextlib.contextmanager
def serving(sample, many, *, with_index):
    """Serve a bucket from another process, and let boto3 find it; yield what tells the requests since the last time."""
    made = Many(sample, many, datetime.now(UTC))
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    server = spawn.Process(target=serve, args=(made, theirs), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}"
    try:
        with mock.patch.dict(os.environ, {**SETTINGS, "AWS_ENDPOINT_URL": url}):
            if with_index:
                Index(Bucket(BUCKET), BASE).keep(list(made.rows()), 0)
            requests(url)
            yield lambda: requests(url)
    finally:
        server.terminate()
        server.join()


def requests(url):
    with urllib.request.urlopen(f"{url}/requests") as answer:
        return json.load(answer)


def serve(made, started):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    keys = [name for backup_id in made.ids() for name in (*made.names(backup_id), f"{backup_id}.json")]
    server.texts = {BASE + name: text for name, text in made.records().items()}
    server.keys = sorted([*server.texts, *(BASE + name for name in keys)])
    server.moments = dict(zip(made.ids(), made.moments(), strict=True))
    server.made, server.requests = made, Counter()
    started.send(server.server_address[1])
    server.serve_forever()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        asked = urlsplit(self.path)
        options = parse_qs(asked.query)
        key = unquote(asked.path).removeprefix(f"/{BUCKET}").removeprefix("/")
        if asked.path == "/requests":
            self.answer(200, json.dumps(self.server.requests).encode())
            self.server.requests.clear()
        elif "list-type" in options:
            self.server.requests["LIST"] += 1
            self.answer(200, self.page(options["prefix"][0], int(options.get("continuation-token", ["0"])[0])).encode())
        else:
            self.server.requests["GET"] += 1
            text = self.text(key)
            self.answer(404 if text is None else 200, text or NO_SUCH_KEY)

    def do_PUT(self):
        key = unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}/")
        self.server.requests["PUT"] += 1
        self.server.texts[key] = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, b"")

    def page(self, prefix, start):
        """Answer a page of the objects right under a prefix; what lies deeper is the index alone."""
        keys = self.server.keys
        first = start or next((index for index, key in enumerate(keys) if key.startswith(prefix)), len(keys))
        found = [key for key in keys[first : first + PAGE] if key.startswith(prefix)]
        more = first + PAGE < len(keys) and keys[first + PAGE].startswith(prefix)
        objects = "".join(OBJECT.format(key, etag(key), MANIFEST_BYTES) for key in found)
        return PAGE_OF_OBJECTS.format(BUCKET, str(more).lower(), first + PAGE if more else "", objects)

    def text(self, key):
        name = re.fullmatch(rf"{BASE}(backup_.*)\.json", key)
        if name and name[1] in self.server.moments:
            return storage.dumped(self.server.made.manifest(self.server.moments[name[1]]))
        return self.server.texts.get(key)

    def answer(self, status, text):
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("ETag", etag("answer"))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def etag(key):
    return f'"{hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()}"'


def _verified(at):
    return Verification(level=Level.RESTORE, at=at, seconds=1, passed=True)
