"""Tiny Alembic projects, one a scenario; README.md lists them."""

import shutil
from pathlib import Path

HERE = Path(__file__).parent
CLINIC = HERE.parents[1] / "examples" / "clinic"


def path(name):
    """Return the folder of a project: it holds `alembic.ini`."""
    folder = HERE / name
    if not (folder / "alembic.ini").is_file():
        raise LookupError(f'"{name}" is no project in {HERE}')
    return folder


def names():
    return sorted(ini.parent.name for ini in HERE.glob("*/alembic.ini"))


def copy(name, folder):
    """Copy a project, or "clinic", below `folder`, for a test to edit; return the folder with its `alembic.ini`.

    The environment that most projects share comes along, to the place where their `alembic.ini` looks for it.
    """
    source = CLINIC if name == "clinic" else path(name)
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(HERE / "shared", folder / "shared", ignore=unwanted, dirs_exist_ok=True)
    return shutil.copytree(source, folder / name, ignore=unwanted)


def revision_file(project, revision):
    """Return the file of a revision: its name begins with the revision's id."""
    (found,) = project.glob(f"**/versions/{revision}_*.py")
    return found


def remove_revision(project, revision):
    """Scenario `missing_file`: in a copy, take away the file of a revision that a database may be at."""
    revision_file(project, revision).unlink()


def break_revision(project, revision):
    """Scenario `broken_revision`: in a copy, give the file of a revision a SyntaxError.

    No folder, for every tool that reads the repository would stumble over such a file.
    """
    with revision_file(project, revision).open("a") as file:
        file.write("\ndef unfinished(:\n")
