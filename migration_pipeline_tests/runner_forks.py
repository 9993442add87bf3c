"""Runners without their start: forked from an interpreter that has imported Alembic already, half a second sooner.

Started as a program, this file is that interpreter. Each runner has a process, session, environment and pipes of its own, as
`runner_process.spawn` gives them. Where a test looks for the program itself, by the MARK of its environment, it is started.
"""

import atexit
import contextlib
import functools
import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path

RUNNER = Path(__file__).parents[1] / "migration_pipeline" / "runner.py"


def of_python(environment):
    """Return what an interpreter reads at its start."""
    ours = {"PYTHONDONTWRITEBYTECODE"}
    return {name: value for name, value in environment.items() if name.startswith("PYTHON") and name not in ours}


OF_PYTHON = of_python(os.environ)


class Forked:
    """What the pipeline uses of a `subprocess.Popen`."""

    def __init__(self, address, environment):
        order, self.stdin = os.pipe()
        self.stdout, said = os.pipe()
        self._told = socket.socket(socket.AF_UNIX)
        self._told.connect(address)
        request = json.dumps({"environment": environment, "folder": str(Path.cwd())}).encode() + b"\n"
        socket.send_fds(self._told, [request], [order, said])  # what does not fit follows
        self._told.shutdown(socket.SHUT_WR)
        os.close(order)
        os.close(said)
        self.stdin, self.stdout = os.fdopen(self.stdin, "wb"), os.fdopen(self.stdout, "rb")
        self._answers = self._told.makefile()
        self.pid = int(self._answers.readline())
        self.returncode = None

    def wait(self, timeout=None):
        if self.returncode is None:
            self._told.settimeout(timeout)
            try:
                self.returncode = os.waitstatus_to_exitcode(int(self._answers.readline()))
            except TimeoutError:
                self._answers.close()
                self._answers = self._told.makefile()  # one that has timed out reads no more
                raise subprocess.TimeoutExpired("runner", timeout) from None
            self._answers.close()
            self._told.close()
        return self.returncode

    def poll(self):
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0.001)
        return None


def replace_spawn(address):
    """Let this process fork its runners, where these are of the tests' own environment; `address` tells where from."""
    from migration_pipeline.adapters import runner_process

    really = runner_process.spawn

    def spawn(project):
        environment = runner_process.environment(os.environ, project.live)
        is_like = str(project.python) == sys.executable and of_python(environment) == OF_PYTHON
        if not is_like or "MARK" in environment:
            return really(project)
        return Forked(address(), environment)

    runner_process.spawn = spawn


started = []  #: the interpreter that is forked from, once there is one


@functools.cache
def address():
    """Start the interpreter that is forked from; return where it listens."""
    found = f"{tempfile.mkdtemp(prefix='mp-runners-')}/socket"
    started.append(subprocess.Popen([sys.executable, __file__, found], stdin=subprocess.PIPE))
    while not Path(found).exists():
        assert started[0].poll() is None
        time.sleep(0.01)
    return found


def stop():
    for process in started:
        process.stdin.close()
        process.wait()


def listen(where):
    """Fork a runner for each that asks, and tell it how the runner ended; end with what holds our standard input."""
    import alembic.config
    import alembic.runtime.environment  # noqa: F401
    import sqlalchemy  # noqa: F401

    code = compile(RUNNER.read_text(), str(RUNNER), "exec")
    gc.collect()
    gc.freeze()
    waiting = selectors.DefaultSelector()
    door = socket.socket(socket.AF_UNIX)
    door.bind(f"{where}.new")
    door.listen(64)
    Path(f"{where}.new").rename(where)
    waiting.register(door, selectors.EVENT_READ)
    waiting.register(0, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.fileobj == 0:
                Path(where).unlink()
                Path(where).parent.rmdir()
                return
            if key.fileobj is door:
                asking, _ = door.accept()
                if pid := fork(asking, code):
                    waiting.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, asking))
            else:
                waiting.unregister(key.fileobj)
                os.close(key.fileobj)
                pid, asking = key.data
                _, status = os.waitpid(pid, 0)
                with contextlib.suppress(OSError), asking:
                    asking.sendall(f"{status}\n".encode())


def fork(asking, code):
    """Fork a runner for the one that asks; return its process, which is told as well."""
    request, descriptors, _, _ = socket.recv_fds(asking, 1 << 20, 2)
    while not request.endswith(b"\n"):
        request += asking.recv(1 << 20)
    pid = os.fork()
    if pid:
        for descriptor in descriptors:
            os.close(descriptor)
        with contextlib.suppress(OSError):
            asking.sendall(f"{pid}\n".encode())
        return pid
    os.setsid()
    silence = os.open(os.devnull, os.O_RDWR)
    for number, descriptor in enumerate((*descriptors, silence)):
        os.dup2(descriptor, number)
    os.closerange(3, 1 << 16)
    told = json.loads(request)
    os.environ.clear()
    os.environ.update(told["environment"])
    os.chdir(told["folder"])
    time.tzset()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.dont_write_bytecode = True
    sys.argv = [str(RUNNER)]
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0, "r"), os.fdopen(1, "w"), os.fdopen(2, "w")
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__dict__.update(__file__=str(RUNNER), __builtins__=__builtins__)
    status = 0
    try:
        exec(code, main.__dict__)
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # noqa: BLE001 - its end is told by the status alone
        status = 1
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    os._exit(status)


if __name__ == "__main__":
    listen(sys.argv[1])
