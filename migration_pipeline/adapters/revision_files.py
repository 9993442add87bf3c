"""The files of a project's whole history: what stands in them, what they would send, and writing into them."""

import contextlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from migration_pipeline import errors
from migration_pipeline.adapters import alembic_project
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.domain import proposals, unreached, upgrade_reader
from migration_pipeline.domain.effects import Statement
from migration_pipeline.domain.upgrade_code import Helper

NOT_RENDERED = "it was not rendered in time, or ended the interpreter"
NOT_OURS = frozenset({"site-packages", "dist-packages"})


@dataclass(frozen=True, kw_only=True)
class RevisionFile:
    """One revision: its file's bytes, and the statements that it would send to a database."""

    revision: str
    path: Path  #: of the file itself, where a link leads to it
    source: bytes | None  #: None: it cannot be read
    statements: tuple[Statement, ...] = ()
    unknown: str | None = None  #: why the statements are not all, a clause; None: they are
    #: It asks what is there; these calls may follow, and whatever the answer is, none of all that it does loses data.
    harmless_calls: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class History:
    """Every revision in its order, from the first one on."""

    files: tuple[RevisionFile, ...]
    strays: tuple[Path, ...] = ()  #: files beside them that Alembic made no revision of
    version_table: str
    problem: str | None = None  #: why there is no order: a clause; no revision is rendered then
    culprit: tuple[Path, int] | None = None  #: the file and line that the problem comes from


def read(project: Project) -> History:
    """Return the project's history, without any database. Raise ProjectFailed where its Alembic cannot be started."""
    told = alembic_project.render(project)
    rendered = told["rendered"]
    files = tuple(_file(one, rendered.get(one["id"])) for one in told["revisions"])
    known = {one.path for one in files}
    listed = [Path(path).resolve() for path in told["files"]]
    schema = told["version_table_schema"]
    return History(
        files=files,
        strays=tuple(path for path in listed if path not in known),
        version_table=f"{schema}.{told['version_table']}" if schema else told["version_table"],
        **_problem(told["error"], listed),
    )


def _file(one: Mapping[str, Any], rendered: Mapping[str, Any] | None) -> RevisionFile:
    path = Path(one["path"]).resolve()
    statements = () if rendered is None else tuple(
        Statement(sql=sql, has_parameters=has_parameters, revision=one["id"]) for sql, has_parameters in rendered["statements"]
    )  # fmt: skip
    made = RevisionFile(revision=one["id"], path=path, source=content(path), statements=statements, unknown=NOT_RENDERED)
    return made if rendered is None else _read(made, rendered)


def _read(file: RevisionFile, rendered: Mapping[str, Any]) -> RevisionFile:
    """Say of a revision what its code tells where its run does not."""
    source, unknown = file.source or b"", rendered["problem"]
    if unknown is not None and not rendered["reads"]:
        return replace(file, unknown=unknown)
    helpers = {name: made for name, (path, function) in rendered["helpers"].items() if (made := _helper(Path(path), function))}
    if unknown is None:
        call = unreached.doubt(source, rendered["lines"], helpers)
        return replace(file, unknown=call and f"{proposals.shortened(call)}() did not run here, and may elsewhere")
    calls = upgrade_reader.calls_of(source, helpers)
    return replace(file, unknown=unknown if calls is None else None, harmless_calls=calls)


def _helper(path: Path, function: str | None) -> Helper | None:
    source = content(path) if path.suffix == ".py" else None
    return None if source is None else Helper(source=source, function=function)


def _problem(error: Mapping[str, Any] | None, files: list[Path]) -> dict[str, Any]:
    """Return why there is no history. Only what Alembic itself says is repeated: a file's own words may hold anything."""
    if error is None:
        return {}
    kind = error["type"].rpartition(".")[2]
    said = f": {errors.printable(error['message'])}" if error["type"].startswith("alembic.") and error["message"] else ""
    frames = [(Path(name).resolve(), line) for name, line, _ in error["frames"] if name]
    culprit = next(((path, line or 1) for path, line in reversed(frames) if path in set(files)), None)
    return {"problem": f"the revisions cannot be loaded ({kind}{said})", "culprit": culprit}


def content(path: Path) -> bytes | None:
    """Return a file's bytes, or None where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def is_own(path: Path, folders: tuple[Path, ...]) -> bool:
    """Tell whether a file is the project's to edit: below its folders, and not of an installed package."""
    return not NOT_OURS.intersection(path.parts) and any(folder.resolve() in path.parents for folder in folders)


def repository(folder: Path) -> Path:
    """Return the root of the repository that a folder is in, or the folder itself."""
    return next((one for one in (folder, *folder.parents) if os.path.lexists(one / ".git")), folder)


def write(path: Path, new: bytes, *, instead_of: bytes | None) -> None:
    """Put new bytes in the place of a file's, all or none, with its mode. Raise Stale, Failure; None: there is no file yet."""
    path = path.resolve()
    if content(path) != instead_of:
        raise errors.Stale(
            f'The file "{path}" has changed since it was read; it was left as it is.', next_step="just annotate --write"
        )
    try:
        _replace(path, new)
    except OSError as error:
        raise errors.Failure(
            f'The file "{path}" cannot be written; it is as it was.',
            evidence={"reason": error.strerror},
            next_step="just annotate --write",
        ) from None


def _replace(path: Path, new: bytes) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".partial", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(new)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, path.stat().st_mode & 0o7777 if path.exists() else 0o644)  # noqa: PTH101 - a name, as os.replace takes
        os.replace(name, path)  # noqa: PTH105 - as above
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108 - as above
        raise
