"""Runs of terminals that were killed: nobody else marks them, and Dagster would show them as running for ever."""

import os
import socket
from pathlib import Path

import dagster as dg

TAG = "migration/process"  #: of a run that a terminal holds: the process that it lives in
UNDER_WAY = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def this_process() -> str:
    """Return what no other process has: host, boot, process namespace, number and start. Without /proc, nothing is known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
    return " ".join((_here(), boot, str(os.getpid()), _start_of(os.getpid()) or "0"))


def fail(instance: dg.DagsterInstance) -> None:
    """Mark as failed the runs whose process is certainly gone: of this host and boot, and no longer there."""
    mine = this_process().split()
    for record in instance.get_run_records(filters=dg.RunsFilter(statuses=UNDER_WAY)):
        run = record.dagster_run
        found = run.tags.get(TAG, "").split()
        if run.parent_run_id or len(found) != len(mine) or not found[-2].isdigit():  # a run inherits its parent's tags
            continue
        if found[:-2] == mine[:-2] and _is_gone(int(found[-2]), started=found[-1]):
            now = instance.get_run_by_id(run.run_id)
            if now is not None and now.status in UNDER_WAY:  # it may have ended meanwhile
                instance.report_run_failed(now, f"Its process {found[-2]} is gone; the next run found it so.")


def _here() -> str:
    return f"{socket.gethostname()}/{Path('/proc/self/ns/pid').readlink()}"


def _is_gone(pid: int, *, started: str) -> bool:
    now = _start_of(pid)
    if now is not None:
        return now != started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's, and hidden from us
        return False
    return False


def _start_of(pid: int) -> str | None:
    """Return the time at which a process was started, in ticks since the boot; None where there is none of that number."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None
