"""Holds a run at a moment, inside its own process: it says so and waits, and the world may break."""

import configparser
import contextlib
import functools
import importlib
import os
import signal
import subprocess
import time
from multiprocessing.connection import Connection
from pathlib import Path

import psycopg

from migration_pipeline.adapters import attempts

STEPS = ("preflight", "backup", "verify_backup", "rehearse", "classify_safety", "confirm", "upgrade", "post_check")
INSIDE = ("planning", "dumping", "restoring", "comparing", "rehearsing", "upgrading", "committing")  #: what goes on in a step
PROGRAMS = {"dumping": "pg_dump", "restoring": "psql"}
HALF_WAY = "0003"  # the plan's second revision: the first has been applied inside the transaction


def hold(moment, inside, there: Connection):
    """Stop at a moment: a step is about to begin, or what its name says goes on. Called in the run, before it starts.

    `inside` is what happens in the run's own process, once it goes on.
    """
    attempts.OUTCOME_SECONDS = 5  # a server that stays away is asked for a minute otherwise
    pause = functools.partial(_pause, there, inside)
    if moment in PROGRAMS:
        _freeze(PROGRAMS[moment], there)
    elif moment == "planning":
        _before("migration_pipeline.adapters.execution", "Reader.connected", lambda _run, session: pause(session._process.pid))
    elif moment in ("rehearsing", "upgrading"):
        now = (moment == "rehearsing", HALF_WAY)
        _before(
            "migration_pipeline.adapters.execution", "Execution.revision",
            lambda run, session, revision: pause(session._process.pid) if (run.rehearsing, revision) == now else None,
        )  # fmt: skip
    elif moment == "comparing":
        _before("migration_pipeline.adapters.comparison", "check_copy", lambda *_, **__: pause())
    elif moment == "committing":  # the answer to the runner's last question is "commit", and is not sent yet
        _before("migration_pipeline.adapters.surprises", "check_effects", lambda *_, **__: pause())
    elif moment != "confirm":  # there it waits for an answer by itself
        _before("migration_pipeline.steps", moment, lambda *_, **__: pause())


def _pause(there, inside, child=None):
    there.send(child)
    there.recv()
    if inside:
        inside()


def _before(module, path, act):
    owner = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    original = getattr(owner, name)

    @functools.wraps(original)
    def held(*args, **kwargs):
        act(*args, **kwargs)
        return original(*args, **kwargs)

    setattr(owner, name, held)


def _freeze(program, there):
    """Stop a client program itself, as soon as it is at work; the run goes on and waits for it."""

    class Popen(subprocess.Popen):
        def __init__(self, command, *args, **kwargs):
            if program not in map(_name, command) or "--version" in command:
                super().__init__(command, *args, **kwargs)
                return
            with _catalog_locked(kwargs["env"]) if program == "psql" else contextlib.nullcontext() as wait_until_it_waits:
                super().__init__(command, *args, **kwargs)
                _wait_until_it_has_a_session(self.pid, program)
                if wait_until_it_waits:
                    wait_until_it_waits()
                os.kill(self.pid, signal.SIGSTOP)
            there.send(self.pid)

    subprocess.Popen = Popen


@contextlib.contextmanager
def _catalog_locked(environ):
    """Let nobody make a table in the database that a program is started for; yield a wait until somebody would.

    pg_dump goes on by itself for a while; a restore as small as ours could be over before it is stopped.
    """
    service = configparser.ConfigParser(interpolation=None)
    service.read(environ["PGSERVICEFILE"])
    with psycopg.connect(**service[environ["PGSERVICE"]]) as keeper:
        keeper.execute("LOCK TABLE pg_catalog.pg_class IN SHARE MODE")

        def wait_until_it_waits():
            while not keeper.execute("SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'pg_class'::regclass").fetchall():
                time.sleep(0.001)

        yield wait_until_it_waits


def _name(part):
    return Path(str(part)).name


def _wait_until_it_has_a_session(pid, program):
    process = Path("/proc", str(pid))
    with contextlib.suppress(OSError):  # it has ended
        while (process / "comm").read_text().strip() != program:
            time.sleep(0.001)
        while not any("socket:" in str(one.readlink()) for one in (process / "fd").iterdir()):
            time.sleep(0.001)
