"""A project's interpreter that starts at once: a process with the project imported, which forks where another would start.

The runner takes three seconds to import an application, and it is started some five hundred times. It is the same runner,
and the same interpreter; only what it imports is there already.
"""

import contextlib
import subprocess

#: Started in place of the interpreter: hands its files, arguments and environment over, and waits for the exit code.
CLIENT = """#!{python} -IS
import array, json, os, socket, sys
asked = socket.socket(socket.AF_UNIX)
asked.connect({path!r})
told = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
asked.sendmsg([len(told).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
asked.sendall(told)
code = asked.recv(1)
os._exit(code[0] if code else 1)
"""
SERVER = """
import contextlib, importlib, json, os, runpy, signal, socket, subprocess, sys, traceback
imports, kept_out = sys.argv[2].split(), sys.argv[3].split()
code = "import importlib, sys\\nfor name, _, called in (one.partition(':') for one in sys.argv[1:]):\\n"
code += "    module = importlib.import_module(name)\\n    called and getattr(module, called)()\\nprint(*sys.modules)"
for name in subprocess.run([sys.executable, "-c", code, *imports], stdout=subprocess.PIPE, text=True).stdout.split():
    if name.split(".")[0] not in kept_out and name != "__main__":
        with contextlib.suppress(Exception):
            importlib.import_module(name)
assert not {name.split(".")[0] for name in sys.modules} & {*kept_out}
waiting = socket.socket(socket.AF_UNIX)
waiting.bind(sys.argv[1])
waiting.listen()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)

def run(asked):
    size, files, _, _ = socket.recv_fds(asked, 4, 3)
    told = b""
    while len(told) < int.from_bytes(size, "big"):
        told += asked.recv(1 << 16)
    arguments, environment, folder = json.loads(told)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child:
        for file in files:
            os.close(file)
        asked.sendall(bytes([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) % 256]))
        return
    asked.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = arguments
    sys.path[0] = os.path.dirname(arguments[0])
    for name in ("psycopg2", "psycopg", "asyncpg", "anyio.from_thread"):  # the runner replaces them as they are imported
        sys.modules.pop(name, None)
    if vars(anyio := sys.modules.get("anyio", sys)).pop("from_thread", None):  # it comes back when somebody asks for it
        others = vars(anyio).get("__getattr__", lambda name: importlib.import_module("anyio." + name))
        anyio.__getattr__ = lambda name: importlib.import_module("anyio." + name) if name == "from_thread" else others(name)
    try:
        runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    else:
        code = 0
    sys.stdout.flush()
    os._exit(code)

while True:
    asked, _ = waiting.accept()
    if not os.fork():
        waiting.close()
        run(asked)
        os._exit(0)
    asked.close()
"""


@contextlib.contextmanager
def ready(python, folder, imports, kept_out, environ):
    """Yield the path of a program to start in place of the interpreter; `kept_out` are packages that each run imports anew."""
    path, client = folder / "python.socket", folder / "python"
    client.write_text(CLIENT.format(python=python, path=str(path)))
    client.chmod(0o755)
    command = [
        str(python),
        "-P",
        "-c",
        SERVER,
        str(path),
        " ".join(("alembic.command", "sqlalchemy.orm", *imports)),
        " ".join(kept_out),
    ]
    process = subprocess.Popen(command, env=environ, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        while process.stdout.readline().strip() not in {"ready", ""}:
            pass
        assert process.poll() is None, f"{python} ended"
        yield client
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
