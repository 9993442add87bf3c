"""What a run keeps outside its own process, so that nothing of it outlives it: private folders, and client programs.

A run that is killed cannot clean up. Its folders are locked as long as it lives, and the next run removes what nobody
locks; its programs are told by the kernel that their parent is gone.
"""

import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "migration_pipeline-"
OWNER = "owner"  # the file in a folder that its run holds a lock on
TETHER = Path(__file__).with_name("tether.py")


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Yield a 0700 folder that is removed in the end, by us or by the next run."""
    folder, descriptor = new_folder(PREFIX)
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(descriptor)


def sweep() -> None:
    """Remove the folders of runs that are dead: one of them may hold a password."""
    for folder in dead(Path(tempfile.gettempdir()), PREFIX):
        _remove(folder)


def dead(home: Path, prefix: str, owner: str = OWNER) -> Iterator[Path]:
    """Yield the folders of this account whose runs are dead, each locked until the next one is asked for."""
    for folder in home.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            if folder.lstat().st_uid == os.geteuid():
                descriptor = os.open(folder / owner, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    yield folder
                finally:
                    os.close(descriptor)


def new_folder(prefix: str, home: Path | None = None, owner: str = OWNER) -> tuple[Path, int]:
    """Make a 0700 folder; return it, and the open file in it whose lock says that we are alive."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=home))
        descriptor = os.open(folder / owner, os.O_RDONLY | os.O_CREAT, 0o600)
        with contextlib.suppress(OSError):  # a sweep was there between the two, or still is: it takes this one away
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), (folder / owner).stat()):
                return folder, descriptor
        os.close(descriptor)


def _remove(folder: Path) -> None:
    """Remove a folder, the file by which it is found last of all: a removal that is cut off is finished by the next sweep."""
    with contextlib.suppress(OSError):  # somebody has tidied up
        for path in folder.iterdir():
            if path.name != OWNER:
                path.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def tethered(command: list[str]) -> list[str]:
    """Return the command for a program that shall end when we do, however we end."""
    if sys.platform != "linux":
        return command
    return [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *command]
