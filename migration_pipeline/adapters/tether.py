"""Becomes a program that the kernel ends when its parent dies: `tether.py PARENT PROGRAM ARGUMENTS`. Linux only.

A process of its own, because nothing may run between fork and exec of a program that has threads.
https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, program, *arguments = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == int(parent):  # else it died before the kernel knew
        os.execv(program, [program, *arguments])  # noqa: S606 - there is no shell, and shall be none
