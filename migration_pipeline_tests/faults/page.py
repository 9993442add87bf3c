"""`docs/faults.md`: a line a fault, as the run itself told it. What differs from run to run is left out of it.

`python -m migration_pipeline_tests.faults.page` (`just faults`) runs all of them and writes the page anew.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from migration_pipeline_tests.faults.faults import FAULTS, GROUPS

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
WRITE = "FAULTS_LINES"  #: the folder for the lines of a page that is written anew
HEAD = "| fault | when | exit code | database | the run says | and of the database | and to do next |\n"
RULE = "| --- | --- | --- | --- | --- | --- | --- |\n"
VOLATILE = (
    (re.compile(r"backup_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d"), "backup_…"),
    (re.compile(r"(xact_status\(')\d+"), r"\1…"),
)
INTRODUCTION = """\
# Faults

What happens to a migration when something breaks. Each line is a test: a real `migrate` on a real server is held at a moment (before
a step, or while a program or a transaction is at work), the fault is done to it, and then

- the database is compared, row by row and definition by definition as `pg_dump` writes them, with what it was *before* and with what
  the whole migration makes of it, *after*; anything else would be *between*;
- no session, program, scratch database or listed part of a backup is left 10 s after a run was ended, and what a killed run could
  not take away is gone after the next one;
- the next `migrate` simply works, and ends at *after*.

**{count} faults: {before} leave the database as before, {after} with the whole migration, 0 between. 0 lost.** Exit codes: 0 done, 1 failed,
2 wrong settings, 3 refused, 130 interrupted. `just faults` runs all of them and writes this page anew, with the words of its runs;
`just test` restarts the server, ends sessions and sends signals at some of the moments only.
"""


def check(fault, ended):
    """Compare what became of the database with the page; or keep the line, where the page is written anew.

    Which of two messages comes first, that of pg_dump or that of the session beside it, is not the same in each run.
    """
    found = line(fault, ended)
    if folder := os.environ.get(WRITE):
        Path(folder, str(FAULTS.index(fault))).write_text(found)
        return
    (told_there,) = [one for one in lines(PAGE.read_text()) if one.startswith(start(fault))]
    assert told_there.split(" | ")[3] == ended.database, found


def lines(text):
    return [one for one in text.splitlines() if one.startswith("| ") and one not in (HEAD.strip(), RULE.strip())]


def start(fault):
    return f"| {fault.what} | {fault.at or 'from the start'} |"


def line(fault, ended):
    cells = ("killed" if ended.code < 0 else str(ended.code), ended.database, *told(ended.said))
    return f"{start(fault)} " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def told(said):
    """Return the error that ended a run, the state that it tells, and what to do next; nothing where there was none."""
    found = said.splitlines()
    end = next((n for n, one in enumerate(found) if one.startswith("Next: ")), None)
    if end is None:
        return "", "", ""
    first = max(n for n in range(end) if found[n].strip() and not found[n].startswith(" "))
    evidence = dict(one.strip().split(": ", 1) for one in found[first + 1 : end] if ": " in one)
    return tuple(_stable(one) for one in (found[first], evidence.get("state", ""), found[end].removeprefix("Next: ")))


def _stable(text):
    for pattern, instead in VOLATILE:
        text = pattern.sub(instead, text)
    return text


def write():
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-n",
            "auto",
            "--dist",
            "worksteal",
            str(Path(__file__).with_name("test_faults.py")),
        ]
        tests = ["--deselect", f"{command[-1]}::test_the_page_has_a_line_for_each_fault"]
        if subprocess.run([*command, *tests, *sys.argv[1:]], env={**os.environ, WRITE: folder}, check=False).returncode:
            sys.exit("a fault is not survived: the page stays as it is")
        found = {int(path.name): path.read_text() for path in Path(folder).iterdir()}
    before = lines(PAGE.read_text()) if len(found) < len(FAULTS) else []
    ends = Counter(fault.database for fault in FAULTS)
    text = INTRODUCTION.format(count=len(FAULTS), before=ends["before"], after=ends["after"])
    for group, faults in GROUPS.items():
        text += f"\n## {group}\n\n{HEAD}{RULE}"
        for fault in faults:
            kept = found.get(FAULTS.index(fault)) or next(one for one in before if one.startswith(start(fault)))
            text += f"{kept}\n"
    PAGE.write_text(text)


if __name__ == "__main__":
    write()
