"""Becomes a program that the kernel ends when its parent dies: `tether.py PARENT PROGRAM ARGUMENTS`. Linux only.

A process of its own, because nothing may run between fork and exec of a program that has threads.
https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
"""

import contextlib
import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, program, *arguments = sys.argv[1:]
    with contextlib.suppress(OSError, AttributeError):  # a C library that cannot be called: the dump matters more
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit(1)  # it died before the kernel knew
    try:
        os.execv(program, [program, *arguments])  # noqa: S606 - there is no shell, and shall be none
    except OSError as error:
        sys.exit(f"{os.path.basename(program)}: error: {error.strerror}")  # noqa: PTH119 - pathlib is slow to import
