"""`docs/cancelling.md`: a row a way, a column a step, and in each cell what was seen.

`python -m migration_pipeline_tests.cancels.page` (`just cancels`) runs all of them and writes the page anew.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from migration_pipeline_tests.cancels.ward import STEPS
from migration_pipeline_tests.cancels.ways import CELLS, WAYS, End

PAGE = Path(__file__).parents[2] / "docs" / "cancelling.md"
WRITE = "CANCELS_CELLS"  #: the folder for the cells of a page that is written anew
SECONDS = re.compile(r"(\d+\.\d) s")
SWEPT = "then swept"
INTRODUCTION = """\
# Cancelling

What is left of a migration that somebody ends. Each cell is a test: a real `migrate` on a real server is held in a step by the server
itself (a lock that somebody else holds, a statement that goes on), ended in one of these ways, and then

- no session of it is left on the server and no program of it on the machine; the cell says after how many seconds, and 10 is the limit;
- the database is compared, row by row and definition by definition as `pg_dump` writes them, with what it was *before* and with what the
  whole migration makes of it, *after*; anything else would be *between*;
- what it says last, in the terminal and in the event that closes the run's log in Dagster's UI, names the state: in the upgrade
  `rolled back; the database is at 0001, as before` and `free: the upgrade's session has ended`, in post_check
  `the upgrade was committed; the database is at 0003`;
- nothing lies about: no scratch database, no part of a backup, no private folder. *{swept}*: a run that was killed left some, and the
  next run had swept them;
- the next `migrate` simply works, and ends at *after*.

**Goes on**: this way ends no run in this step; the run went on and succeeded.

- The sensor `migration_timeout` (ticked by the daemon, with a limit of 0.6 s; counted from the cancel) cancels an upgrade alone, whose
  transaction has run for too long. Evaluated in another step, it finds nothing to cancel.
- The daemon only starts runs. A run that was started lives without it.
- The interpreter of the project is at work in rehearse and in upgrade. In the other steps the one that was killed waited for its turn, and
  another one is started then; or there was none.

**What is recorded.** A cancelled run ends as cancelled. A launched one whose process gets a SIGTERM ends as failed, for nobody asked
Dagster for it, and says where it left the database all the same. A run that was killed says nothing: a launched one is recorded as failed
within seconds, and the sensor `migration_ended` adds to its log where the database is; one in a terminal is recorded as failed
by the next run, or by the sensor `migration_timeout`.

The UI answers that it was "unable to terminate" a run in a terminal: Dagster sends no signal to a process that it has not started. The run is
marked as being cancelled all the same, sees it within a second, and ends as by Ctrl-C.

"""
COUNTS = """
**{count} cells: {ended} runs ended, {on} went on and succeeded. {before} databases as before, {after} with the whole migration, 0 between.
Nothing was left after {median:.1f} s (median; the slowest: {most:.1f} s). {swept} killed runs left something to sweep, and the next run had
swept all of it. {count} of {count} next migrations succeeded.** Launched runs: `deploy/dagster-one-machine.yaml` with code server, daemon and webserver
in processes of their own; their worker has nothing left to do then, and ends a little later. `just cancels` runs all of them and writes this
page anew; `just test` runs some that need no daemon.
"""


def check(case, seconds, left):
    """Compare what became of the run with the page; or keep the cell, where the page is written anew."""
    found = cell(case, seconds, left)
    place = (case.way.name, case.step)
    if folder := os.environ.get(WRITE):
        index = [(way.name, step) for way, step in CELLS].index(place)
        Path(folder, str(index)).write_text(found)
        return
    told = cells(PAGE.read_text())[place]
    assert SECONDS.sub("", told).partition(SWEPT)[0].strip(", ") == SECONDS.sub("", found).partition(SWEPT)[0].strip(", ")


def cell(case, seconds, left):
    if case.ends is End.GOES_ON:
        return f"goes on: {case.expected}"
    return f"{seconds:.1f} s, {case.expected}" + (f", {SWEPT}" if left else "")


def cells(text):
    """Return what the page has, by way and step."""
    rows = [[part.strip() for part in line.strip("| ").split(" | ")] for line in text.splitlines() if line.startswith("| ")]
    _, _, *found = rows or [[], []]
    return {(way, step): one for way, *told in found for step, one in zip(STEPS, told, strict=True)}


def written(found):
    """Return the page's text for what was seen, by way and step."""
    lines = [f"| ended by | {' | '.join(STEPS)} |", f"| --- |{' --- |' * len(STEPS)}"]
    lines += [f"| {way.name} | {' | '.join(found[way.name, step] for step in STEPS)} |" for way in WAYS]
    seconds = sorted(float(one[1]) for told in found.values() if (one := SECONDS.match(told)))
    counts = {
        "count": len(found),
        "ended": len(seconds),
        "on": len(found) - len(seconds),
        "before": sum("before" in told for told in found.values()),
        "after": sum("after" in told for told in found.values()),
        "median": seconds[len(seconds) // 2],
        "most": seconds[-1],
        "swept": sum(SWEPT in told for told in found.values()),
    }
    return INTRODUCTION.format(swept=SWEPT) + "\n".join(lines) + "\n" + COUNTS.format(**counts)


def write():
    with tempfile.TemporaryDirectory() as folder:
        tests = Path(__file__).with_name("test_cancels.py")
        command = [sys.executable, "-m", "pytest", "-q", "-m", "long or not long", str(tests)]
        others = ["--deselect", f"{tests}::test_the_page_has_each_cell"]
        if subprocess.run([*command, *others, *sys.argv[1:]], env={**os.environ, WRITE: folder}, check=False).returncode:
            sys.exit("something is left of a run: the page stays as it is")
        seen = {int(path.name): path.read_text() for path in Path(folder).iterdir()}
    before = cells(PAGE.read_text()) if len(seen) < len(CELLS) else {}
    PAGE.write_text(written({(way.name, step): seen.get(n) or before[way.name, step] for n, (way, step) in enumerate(CELLS)}))


if __name__ == "__main__":
    write()
