"""The files that say what each revision changes in the schema: written to be committed, then compared.

A file whose revision is gone would be believed by whoever reads the folder.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from migration_pipeline.domain import expected, redaction
from migration_pipeline.domain.downgrades import Checked, Finding, Kind

FOLDER = "expected"  #: beside the revisions' own
WRITE = "next: migration-pipeline test-downgrades --write-expected"

Shown = Callable[[Path], str]


def is_there(scripts: Path) -> bool:
    """Tell whether changes are to be compared."""
    return (scripts / FOLDER).is_dir()


def write(scripts: Path, revision: str, text: str) -> None:
    file = _file(scripts, revision)
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, "utf-8")


def compare(scripts: Path, revision: str, text: str, shown: Shown) -> list[str]:
    """Return what is not as committed."""
    file = _file(scripts, revision)
    if not file.is_file():
        return [f"there is no {shown(file)}; {WRITE}"]
    return expected.differences(file.read_text("utf-8"), text)


def tidy(scripts: Path, history: Mapping[str, Path], shown: Shown, *, write: bool) -> list[Checked]:
    """Remove the files of revisions that are gone, or tell them, each as a result; a file that we did not write stays.

    Several histories may share one folder of scripts: a revision is gone when no file in that folder has its name.
    """
    if not all(path.resolve().is_relative_to(scripts.resolve()) for path in history.values()):
        return []
    kept = {_file(scripts, one).name for one in history}
    found = [file for file in sorted((scripts / FOLDER).glob("*.txt")) if file.name not in kept and _is_ours(file)]
    stale = [file for file in found if not _is_named(file.stem, scripts)]
    if write:
        for file in stale:
            file.unlink()
        return []
    return [_gone(file, shown) for file in stale]


def _gone(file: Path, shown: Shown) -> Checked:
    finding = Finding(kind=Kind.UNEXPECTED, what=f"no revision has this file; {WRITE}")
    return Checked(revision=file.stem, title="", file=shown(file), line=1, findings=(finding,))


def _is_ours(file: Path) -> bool:
    with file.open(encoding="utf-8", errors="replace") as opened:
        return opened.readline() == expected.HEAD


def _is_named(revision: str, scripts: Path) -> bool:
    return any(redaction.is_quoted_in(revision, file.read_text("utf-8", "replace")) for file in scripts.rglob("*.py"))


def _file(scripts: Path, revision: str) -> Path:
    return scripts / FOLDER / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', revision)}.txt"
