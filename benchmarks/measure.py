"""Wall, CPU and size of two ways to do the same, in turn: machines are noisy, so the ratio of each pair is what counts."""

import os
import resource
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psycopg

WALL, CPU, WITH_SERVER, SIZE = range(4)
NAMES = ("wall", "client CPU", "client and server CPU", "size")
SETTLE_SECONDS = 0.5  # a backend that has just ended is counted once the postmaster has noticed


class Cost(NamedTuple):
    """What one run took; in the order of NAMES."""

    wall: float
    cpu: float  #: of this process and its children
    with_server: float
    bytes: int = 0


@dataclass(frozen=True)
class Row:
    """One comparison, and the most that some of its ratios should be."""

    name: str
    aims: dict[int, float]
    pairs: list[tuple[Cost, Cost]]  #: bare, ours

    def medians(self, index):
        """Return ours and bare's."""
        return tuple(statistics.median(pair[side][index] for pair in self.pairs) for side in (1, 0))

    def ratios(self, index):
        return [ours[index] / bare[index] for bare, ours in self.pairs if bare[index]]

    def cell(self, index):
        mine, theirs = (f"{one / 1e6:.1f} MB" if index == SIZE else f"{one:.2f}" for one in self.medians(index))
        ratios = self.ratios(index)
        if not ratios:
            return "-"
        span = f" ({min(ratios):.2f} to {max(ratios):.2f})" if index != SIZE else ""
        return f"{mine} / {theirs} = {statistics.median(ratios):.2f}{span}"

    def verdicts(self):
        for index, most in self.aims.items():
            found = statistics.median(self.ratios(index))
            yield f"{self.name}: {NAMES[index]} {found:.2f}, aim <= {most:.2f}: {'reached' if found <= most else 'MISSED'}"


def used():
    """Return the CPU seconds of this process and of its children that have ended."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def cost(url, run):
    """Run something on a server of this machine; what it returns, if anything, is the bytes that it wrote."""
    at_server, at_client, started = server_cpu(url), used(), time.perf_counter()
    written = run()
    wall, client = time.perf_counter() - started, used() - at_client
    time.sleep(SETTLE_SECONDS)
    return Cost(wall, client, client + server_cpu(url) - at_server, written or 0)


def server_cpu(url):
    """Return the CPU seconds of a server on this machine: its postmaster, the backends that ended and those that run."""
    with psycopg.connect(url) as session:
        (folder,) = session.execute("SHOW data_directory").fetchone()
        postmaster = int(Path(folder, "postmaster.pid").read_text().split()[0])
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(stat.parent.name) == postmaster:
            total += sum(map(int, fields[11:15]))
        elif int(fields[1]) == postmaster:
            total += sum(map(int, fields[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


def shell(script, environ, cwd):
    """Run a script of bare tools."""
    command = ["bash", "-c", f"set -e -o pipefail\n{script}"]
    done = subprocess.run(command, env=environ, cwd=cwd, stdin=subprocess.DEVNULL, text=True, capture_output=True)
    if done.returncode:
        raise SystemExit(f"{script} failed:\n{done.stdout}\n{done.stderr}")


def pairs(bare, ours, runs):
    """Run the two in turn, each first every other time."""
    found = []
    for turn in range(runs):
        if turn % 2:
            mine = ours()
            found.append((bare(), mine))
        else:
            found.append((bare(), ours()))
    return found


def table(rows, columns=(WALL, CPU, WITH_SERVER, SIZE)):
    """Print what was found: ours / bare = the median of the pairs' ratios, and between which they lie."""
    lines = [["", *(NAMES[index] + ("" if index == SIZE else ", s") for index in columns)]]
    lines += [[row.name, *(row.cell(index) for index in columns)] for row in rows]
    show(lines)
    for row in rows:
        for line in row.verdicts():
            print(line)


def show(lines):
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(one.ljust(width) for one, width in zip(line, widths, strict=True)).rstrip())
    print()
