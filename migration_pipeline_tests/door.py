"""The console script without its start: forked from a process that has imported Dagster already, four seconds sooner.

What runs is `migration_pipeline.cli.main` with a process, session, environment and descriptors of its own, so that it can
be signalled, killed and looked at like any other.
"""

import contextlib
import io
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from migration_pipeline_tests import runner_forks

forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload(["migration_pipeline_tests.warm"])


class Run:
    """A command that runs in a folder; what it says is in the files `NAME.stdout` and `NAME.stderr` there."""

    def __init__(
        self, arguments, environ, folder, *, answer="", terminal=None, name="run", prepare: Callable[[], None] | None = None
    ):
        self._outputs = [Path(folder, f"{name}.{stream}") for stream in ("stdout", "stderr")]
        for path in self._outputs:
            path.write_text("")  # what the run before it said is not its own
        theirs, self._answers = forks.Pipe(duplex=False)
        given = (arguments, environ, str(folder), theirs, terminal or self._outputs, runner_forks.address(), prepare)
        self._process = forks.Process(target=_walk_in, args=given, daemon=True)
        self._process.start()
        theirs.close()
        self.answer(answer)

    @property
    def pid(self):
        return self._process.pid

    @property
    def said(self):
        return self._outputs[1].read_text()

    @property
    def printed(self):
        return self._outputs[0].read_text()

    def answer(self, text):
        """Type something; without an answer, end of input comes with `wait`."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._answers.fileno(), text.encode())

    def send(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    @property
    def is_alive(self):
        return self._process.is_alive()

    def wait(self, seconds=120):
        """Return the exit code, negative for a signal, as `subprocess` has it."""
        if not self._answers.closed:
            self._answers.close()
        self._process.join(seconds)
        if self._process.is_alive():
            self.send(signal.SIGKILL)
            self._process.join()
            raise TimeoutError(f"still running after {seconds} s:\n{self.said}")
        return self._process.exitcode


def _walk_in(arguments, environ, folder, answers: Connection, outputs, runners, prepare) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started the tests may ignore them
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environ)
    tempfile.tempdir = None  # where that is was asked before there was this environment
    os.chdir(folder)
    if isinstance(outputs, str):
        terminal = os.open(outputs, os.O_RDWR)  # of a session without one, it becomes the controlling terminal
        descriptors = (terminal, terminal, terminal)
    else:
        descriptors = (answers.fileno(), *(os.open(path, os.O_WRONLY) for path in outputs))
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    answers.close()
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False))
    sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(number, "w", closefd=False)) for number in (1, 2))
    sys.argv = ["migration-pipeline", *arguments]
    runner_forks.replace_spawn(lambda: runners)
    if prepare:
        prepare()
    from migration_pipeline.cli import main

    try:
        main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
