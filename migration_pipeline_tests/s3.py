"""S3 for tests: moto's server over HTTP, a bucket a test, and a proxy in front of it that breaks things.

A test module that wants them says `pytest_plugins = ["migration_pipeline_tests.s3"]`.
"""

import contextlib
import http.client
import http.server
import itertools
import os
import re
import select
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.config import Config

from migration_pipeline.adapters import s3_client

HOST = "127.0.0.1"
PAGE = 7  # keys that one LIST answers: S3's are 1,000
HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "expect")
SETTINGS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "canary-secret-key",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}
UNSET = ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN")
counter = itertools.count(1)


@dataclass
class TestBucket:
    """A bucket of a test: its name, and a client that goes round the store and the proxy."""

    name: str
    client: Any

    __test__ = False

    @property
    def location(self):
        return f"s3://{self.name}/some/prefix"

    def names(self):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return [one["Key"] for page in pages for one in page.get("Contents", ())]

    def uploads(self):
        return [one["Key"] for one in self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", ())]

    def put(self, key, text, **options):
        return self.client.put_object(Bucket=self.name, Key=key, Body=text, **options)

    def text(self, key):
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()


@dataclass
class Fault:
    """What is done to requests whose method and path with query match, the next so many times."""

    request: str  #: a pattern, matched against "PUT /bucket/key?query"
    status: int | None = None  #: answer this, and do not ask the server
    lost: bool = False  #: ask the server, and answer nothing
    cut: int | None = None  #: end the answer after so many bytes of its body
    flip: int | None = None  #: flip a bit of this byte of the answer's body
    stall: float | None = None  #: ask the server after so many seconds, if the client still waits
    times: int = 1 << 30
    code: str = "InternalError"


@dataclass
class Faults:
    """A proxy in front of the server. It counts requests, and does to them what it was told."""

    port: int
    to: int
    seen: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def url(self):
        return f"http://{HOST}:{self.port}"

    def do(self, request, **what):
        self.faults.append(Fault(request, **what))

    def of(self, request):
        self.seen.append(request)
        for one in self.faults:
            if one.times > 0 and re.search(one.request, request):
                one.times -= 1
                return one
        return None


@pytest.fixture(scope="session")
def moto():
    """The port of moto's server, in a process of its own."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", HOST, "-p", str(port)]
    environment = {**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE)}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
            break
        time.sleep(0.1)
    yield port
    server.kill()
    server.wait()


@pytest.fixture
def s3_settings(moto, monkeypatch):
    """AWS_* so that boto3 finds moto and nothing else."""
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{HOST}:{moto}")


@pytest.fixture
def bucket(moto, s3_settings):
    return new_bucket(moto)


@pytest.fixture
def locked_bucket(moto, s3_settings):
    """A bucket with object lock: each object is retained for a day."""
    made = new_bucket(moto, ObjectLockEnabledForBucket=True)
    rule = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}}
    made.client.put_object_lock_configuration(Bucket=made.name, ObjectLockConfiguration=rule)
    return made


@pytest.fixture
def faults(moto, s3_settings, monkeypatch):
    """A proxy in front of moto, and a store that loses its patience within seconds."""
    monkeypatch.setattr(s3_client, "READ_SECONDS", 1)
    monkeypatch.setattr(s3_client, "ATTEMPTS", 3)
    server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
    server.faults = Faults(server.server_address[1], moto)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.faults.url)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server.faults
    server.shutdown()
    server.socket.close()
    thread.join()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def relay(self):
        fault = self.server.faults.of(f"{self.command} {self.path}") or Fault("")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if fault.stall:
            time.sleep(fault.stall)
            if self.is_alone():
                return self.end()  # on a busy machine it would reach the server after the client has cleared away
        if fault.status:
            text = f"<Error><Code>{fault.code}</Code><Message>for a test</Message></Error>".encode()
            return self.answer(fault.status, {"Content-Type": "application/xml"}, text)
        status, headers, text = self.ask(body)
        if fault.lost:
            return self.end()
        if fault.flip is not None:
            text = text[: fault.flip] + bytes([text[fault.flip] ^ 1]) + text[fault.flip + 1 :]
        self.answer(status, headers, text, fault.cut)
        return None

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = relay  # noqa: N815 - http.server's names

    def is_alone(self):
        """Tell whether the client has gone."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and self.connection.recv(1, socket.MSG_PEEK) == b""

    def ask(self, body):
        connection = http.client.HTTPConnection(HOST, self.server.faults.to)
        with contextlib.closing(connection):
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def answer(self, status, headers, text, cut=None):
        with contextlib.suppress(OSError):  # the other end has lost its patience
            self.send_response_only(status)
            kept = {name: value for name, value in headers.items() if name.lower() not in (*HOP_BY_HOP, "content-length")}
            length = headers.get("Content-Length", len(text)) if self.command == "HEAD" else len(text)
            for name, value in {**kept, "Content-Length": str(length)}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text[:cut])
        if cut is not None:
            self.end()

    def end(self):
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_):
        pass


def new_bucket(port, **options):
    name = f"backups-{next(counter)}"
    config = Config(request_checksum_calculation="when_required")
    client = boto3.Session().client("s3", region_name="us-east-1", endpoint_url=f"http://{HOST}:{port}", config=config)
    client.create_bucket(Bucket=name, **options)
    return TestBucket(name, client)


def free_port():
    with socket.create_server((HOST, 0)) as listener:
        return listener.getsockname()[1]
