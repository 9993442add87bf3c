"""One PostgreSQL server of each major a session; one database a test, cloned from a template."""

import contextlib
import gc
import itertools
import os
import shutil
import tempfile
import time
from pathlib import Path

import hypothesis
import psycopg
import pytest

from migration_pipeline import errors
from migration_pipeline.adapters import binaries, embedded
from migration_pipeline_tests import runner_forks

MAJORS = (18, 15)  # the wheel's and Debian 12's
MEMORY = Path("/dev/shm")
ENOUGH_BYTES = 6 << 30
counter = itertools.count(1)


def fast_folder():
    """Return where servers and sites live: in memory where there is enough, for a third of the time went to the disk."""
    with contextlib.suppress(OSError):
        status = os.statvfs(MEMORY)
        if status.f_bavail * status.f_frsize > ENOUGH_BYTES and not status.f_flag & os.ST_NOEXEC:
            return MEMORY
    return embedded.HOME


os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(fast_folder()))
hypothesis.settings.register_profile("unhurried", deadline=None)  # a machine may be busy, and is no fault of the input's
hypothesis.settings.load_profile("unhurried")


def missing(part):
    """Skip the test for a missing part; where every part must be there (CI), fail it."""
    if os.environ.get("CI"):
        pytest.fail(f"{part} is missing, and CI must have it")
    pytest.skip(f"{part} is missing")


#: Here the older major is for the long run: every day it is tried where steps run, and the controls are proved on it.
NEWER_EVERY_DAY = frozenset({"test_restore.py", "test_roles.py", "test_projects.py"})


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Begin with what waits longest, for a clock of Dagster's: then nothing waits alone in the end."""
    items.sort(key=lambda item: item.path.parent.name != "ui")
    for item in items:
        if item.path.name in NEWER_EVERY_DAY and f"pg{MAJORS[1]}" in item.name:
            item.add_marker("long")


@pytest.fixture(scope="session", autouse=True)
def forked_runners():
    runner_forks.replace_spawn(runner_forks.address)
    yield
    runner_forks.stop()


def pytest_collection_finish():
    """Let the garbage collector pass over all that was imported: it looked at it again for each big text."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", params=MAJORS, ids=lambda major: f"pg{major}")
def server(request):
    """A running server of each major: `embedded.Server`."""
    yield from run_server(request.param)


@pytest.fixture(scope="session")
def server18():
    """A server of the wheel alone, for what does not depend on the major."""
    yield from run_server(18)


@pytest.fixture(scope="session")
def second_server():
    """Another cluster of the wheel's major: a scratch server that lacks the first one's roles."""
    yield from run_server(18)


def run_server(major):
    try:
        folder_of_programs = binaries.find(major)
    except errors.ToolMissing:
        missing(f"PostgreSQL {major}")
    folder = Path(tempfile.mkdtemp(prefix="mp-tests-", dir=fast_folder()))
    folder.chmod(0o755)
    options = {
        "fsync": "off",
        "max_connections": "60",
        "max_prepared_transactions": "5",
        "shared_buffers": "128MB",
        "max_wal_size": "64MB",
    }
    running = embedded.start(folder / "server", folder_of_programs, options=options)
    yield running
    running.stop("immediate")
    shutil.rmtree(folder)


@pytest.fixture
def database(server):
    """The URL of an empty database that lives as long as the test."""
    yield from make_database(server)


@pytest.fixture
def database18(server18):
    """The URL of an empty database on the wheel's server."""
    yield from make_database(server18)


def make_database(server):
    name = f"test_{os.getpid()}_{next(counter)}"
    execute(server.url(), f'CREATE DATABASE "{name}" TEMPLATE template0')
    yield server.url(name)
    put_aside = execute(server.url(), f"SELECT datname FROM pg_database WHERE starts_with(datname, '{name}_before_restore_')")
    for one in (name, *(row[0] for row in put_aside)):
        execute(server.url(), f'DROP DATABASE IF EXISTS "{one}" WITH (FORCE)')


def execute(url, *statements):
    """Run statements, each in a transaction of its own; return the rows of the last one that has any."""
    rows = []
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
            if cursor.description:
                rows = cursor.fetchall()
    return rows


def wait_until(reached, otherwise, seconds):
    """Wait until something is so; after that many seconds, fail with what is there instead."""
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, f"after {seconds:.0f} s: {otherwise()}"
        time.sleep(0.05)


def marked_processes(folder):
    """Return the programs alive whose environment has this folder for its MARK: process → command line."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"MARK={folder}\0".encode() in (path / "environ").read_bytes():
                found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return {pid: command for pid, command in found.items() if command}  # a dead one has none
