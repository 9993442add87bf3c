"""Where the settings stand: a pipeline.toml with its tables, or the environment variables of a single Target."""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from migration_pipeline.domain.connection_url import nearest
from migration_pipeline.errors import SettingsError

FILE = "pipeline.toml"
ONLY = "default"  #: the name of the Target that environment variables make
VARIABLES = {
    "database_url": "DATABASE_URL",
    "alembic_config": "ALEMBIC_CONFIG",
    "environment": "MIGRATION_ENVIRONMENT",
    "backup_location": "BACKUP_LOCATION",
    "project_python": "PROJECT_PYTHON",
    "scratch_database_url": "SCRATCH_DATABASE_URL",
    "pg_bin": "PG_BIN",
}
MOST_TOLD = 20  #: so many Targets or wrong keys a message names: a file that is none of ours can have thousands
WAVES = ("canary", "rest")  #: in which a fleet is migrated, where [fleet] names none
NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,62}")  # a folder of the store, and a tag of a run


@dataclass(frozen=True, kw_only=True)
class Source:
    file: Path | None  #: None: the environment variables
    folder: Path  #: where relative paths start
    tables: Mapping[str, Mapping[str, object]]
    waves: tuple[str, ...] = WAVES


def find(environ: Mapping[str, str], folder: Path) -> Path | None:
    """Return the file that PIPELINE_CONFIG names, or the pipeline.toml of the folder or of one above it in its repository."""
    here = absolute(folder)
    if given := environ.get("PIPELINE_CONFIG"):
        named = absolute(here / given)
        if not os.path.isfile(named):  # noqa: PTH113 - Path.is_file raises for a name that is too long
            raise wrong_settings(
                {"PIPELINE_CONFIG": [f"names no file; right: the path of a {FILE} (a relative path starts at {here})"]}
            )
        return named
    above = (here, *here.parents)
    root = next((index for index, each in enumerate(above) if os.path.lexists(each / ".git")), 0)
    return next((each / FILE for each in above[: root + 1] if os.path.lexists(each / FILE)), None)


def read(environ: Mapping[str, str], folder: Path) -> Source:
    file = find(environ, folder)
    if file is None:
        values = {key: environ[variable] for key, variable in VARIABLES.items() if environ.get(variable)}
        return Source(file=None, folder=absolute(folder), tables={ONLY: values})
    tables, waves = _tables(file)
    return Source(file=file, folder=file.parent, tables=tables, waves=waves)


def choose(source: Source, target: str | None) -> str:
    """Return the name of the Target that is meant."""
    known = list(source.tables)
    shown = ", ".join(known[:MOST_TOLD]) + (f", … and {len(known) - MOST_TOLD} more" if len(known) > MOST_TOLD else "")
    listed = {"Targets": shown, "settings": source.file or "environment variables"}
    if target is None and len(known) > 1:
        raise SettingsError("There are several Targets, and none is named.", evidence=listed, next_step="add --target NAME")
    if target is not None and target not in known:
        shown = f'Target "{target}"' if NAME.fullmatch(target) else "such Target"
        close = get_close_matches(target, known, n=1) or (known if len(known) == 1 else ["NAME"])
        raise SettingsError(f"There is no {shown}.", evidence=listed, next_step=f"use --target {close[0]}")
    return target or known[0]


def wrong_settings(problems: Mapping[str, list[str]], *, file: Path | None = None, target: str | None = None) -> SettingsError:
    """Return the one error that says everything that is wrong."""
    count = sum(len(clauses) for clauses in problems.values())
    subject = ("1 setting" if count == 1 else f"{count} settings") + (f' of Target "{target}"' if target else "")
    lines = {key: "\n".join(clauses[:MOST_TOLD]) for key, clauses in [*problems.items()][:MOST_TOLD]}
    more = {"more": f"{len(problems) - MOST_TOLD} keys"} if len(problems) > MOST_TOLD else {}
    return SettingsError(
        f"{subject} {'is' if count == 1 else 'are'} wrong; nothing was started.",
        evidence={**({"file": file} if file else {}), **lines, **more},
        next_step="correct them; docs/configuration.md has every key",
    )


def absolute(path: Path) -> Path:
    """Make a path absolute, its symbolic links as they are."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() follows links, absolute() keeps ".."


def _tables(file: Path) -> tuple[dict[str, Mapping[str, object]], tuple[str, ...]]:
    content = _content(file)
    problems: dict[str, list[str]] = {}
    for key in [key for key in content if key not in {"targets", "fleet"}]:
        shown = key if re.fullmatch(r"[A-Za-z_][\w-]{0,60}", key, re.ASCII) else "a key"
        hint = nearest(key, ["targets", "fleet"]) or "; right: keys below [targets.NAME]"
        problems.setdefault(shown, []).append("is nothing that stands at the top" + hint)
    targets = content.get("targets", {})
    if not isinstance(targets, dict) or not targets:
        problems["targets"] = ["is missing; right: a table [targets.NAME] for each database"]
        targets = {}
    for name, table in targets.items():
        if not NAME.fullmatch(name):
            problems.setdefault("targets", []).append(
                "has a name that is no name; right: up to 63 letters, digits, _ and -, the first a letter or a digit"
            )
        elif not isinstance(table, dict):
            problems[f"targets.{name}"] = [f"is no table; right: [targets.{name}]"]
    waves = _waves(content.get("fleet", {}), problems)
    if problems:
        raise wrong_settings(problems, file=file)
    return targets, waves


def _waves(fleet: object, problems: dict[str, list[str]]) -> tuple[str, ...]:
    if not isinstance(fleet, dict):
        problems["fleet"] = ["is no table; right: [fleet]"]
        return WAVES
    if fleet.keys() - {"waves"}:
        problems["fleet"] = ["has a key that is no setting; right: waves alone"]
    waves = fleet.get("waves", list(WAVES))
    if not isinstance(waves, list) or not waves or not all(isinstance(one, str) and NAME.fullmatch(one) for one in waves):
        problems["fleet.waves"] = ['is no list of names; right: waves = ["canary", "rest"], in their order']
    elif len(set(waves)) < len(waves):
        problems["fleet.waves"] = ["names a wave twice; right: each once"]
    else:
        return tuple(waves)
    return WAVES


def _content(file: Path) -> dict[str, object]:
    try:
        if not os.path.isfile(file):  # noqa: PTH113 - as above; a pipe would be waited for
            raise wrong_settings({"content": ["is no file; right: a text file in TOML"]}, file=file)
        return tomllib.loads(file.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        problem = f"cannot be read ({error.strerror}); right: a file that this account can read"
    except UnicodeDecodeError:
        problem = "is no text; right: TOML in UTF-8"
    except RecursionError:
        problem = "is nested too deep; right: tables [targets.NAME]"
    except ValueError as error:  # its message can repeat parts of the file: only the place is told
        place = re.search(r"\(at (line \d+, column \d+|end of document)\)", str(error))
        problem = f'is no TOML{f" at {place[1]}" if place else ""}; right: KEY = "VALUE" below [targets.NAME]'
    raise wrong_settings({"content": [problem]}, file=file) from None
