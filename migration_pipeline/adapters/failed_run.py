"""A run of the project that failed, in words that hold no row's value."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from migration_pipeline import errors
from migration_pipeline.adapters import postgres
from migration_pipeline.adapters.runner_process import RUNNER, Project
from migration_pipeline.domain import redaction

FUSE_SQLSTATE = "MP001"  #: raised by the commit fuse, see transaction.py

Message = dict[str, Any]


class RunFailed(errors.ProjectFailed):
    """The project's revisions did not run to their end; the transaction was rolled back."""

    def __init__(self, *, told: Message, **parts: Any) -> None:
        super().__init__(**parts)
        self.told = told

    @property
    def stopped(self) -> str | None:
        """The kind of Stop that ended the run, or None when the project itself failed."""
        return self.told.get("stopped")

    @property
    def sqlstate(self) -> str | None:
        return (self.told.get("database") or {}).get("sqlstate")

    @property
    def was_cut_off(self) -> bool:
        """Whether no revision is at fault: somebody ended the connection, or the interpreter."""
        return _cut_off(self.told) is not None


def failed(project: Project, told: Message) -> RunFailed:
    """Put what the runner told of a failure into words that hold no row values."""
    database = told.get("database") or {}
    revision = told.get("revision")
    frames, folders = told.get("frames") or [], [str(project.config.parent), *told.get("folders", ())]
    # The server's first error may have been swallowed: what raised in the end is only what came after it.
    answer = {} if told.get("stopped") else database
    first = answer.get("frames") or []
    source = _source([*frames, *first], folders)
    evidence: dict[str, object] = {}
    statement = answer.get("statement") or told.get("statement")
    cut_off = _cut_off(told)
    if cut_off:
        what = cut_off
    elif told.get("stopped"):
        what = f'Revision "{revision}": {told["message"]}.' if revision else f"env.py: {told['message']}."
    else:
        what = f'Revision "{revision}" failed.' if revision else "The project failed outside its revisions."
        if told.get("message") is not None:
            evidence["error"] = _said(told, source, own=bool(frames) and _is_own(frames[-1][0], folders))
            first = []  # no error of the server's has ended it
    if statement:
        evidence["statement"] = redaction.one_line(redaction.statement(statement, source))
    if database.get("message_primary"):
        sqlstate = database.get("sqlstate") or ""
        raised_by_user = database.get("source_function") == "exec_stmt_raise"  # RAISE may borrow any code
        if sqlstate == FUSE_SQLSTATE:
            message = database["message_primary"]
        else:
            message = redaction.server_message(
                sqlstate, database["message_primary"], source=source, raised_by_user=raised_by_user
            )
        evidence["server"] = f"{sqlstate} {message}".strip()
    evidence |= {name: database[f"{name}_name"] for name in ("table", "constraint") if database.get(f"{name}_name")}
    where = _last_frame(first, folders) or _last_frame(frames, folders)
    if where:
        evidence["file"] = where
    return RunFailed(told=told, what=what, evidence=evidence, next_step=postgres.TRY_AGAIN if cut_off else None)


def _cut_off(told: Message) -> str | None:
    if told.get("stopped"):
        return None
    if told.get("type") == "builtins.KeyboardInterrupt":
        return "Somebody interrupted the project's interpreter."
    database = told.get("database") or {}
    kind, said_by_server = database.get("type", ""), bool(database.get("source_function"))
    lost = database and postgres.is_connection_lost(database.get("sqlstate"), kind, said_by_server=said_by_server)
    return postgres.LOST if lost else None


def _said(told: Message, source: str, *, own: bool) -> str:
    """Return an exception's type and, where it can hold no row's value, its message; `own`: the project's code raised it."""
    kind = told["type"].rpartition(".")[2]
    if kind == "KeyError" and not told["connected"]:  # no row was read yet: it names a variable or a setting
        return f"KeyError: {redaction.one_line(told['message'])}"
    may_hold_rows = told["revision"] is not None or (told["connected"] and own)
    return f"{kind}: {redaction.exception_message(told['type'], told['message'], source, may_hold_rows=may_hold_rows)}"


def _last_frame(frames: Sequence[Sequence[Any]], folders: Sequence[str]) -> str | None:
    own = [frame for frame in frames if _is_own(frame[0], folders)]
    return f"{own[-1][0]}, line {own[-1][1]}" if own else None


def _source(frames: Sequence[Sequence[Any]], folders: Sequence[str]) -> str:
    """Return the text of the project's files that the failure went through: what stands in them is code, not patient data."""
    files = {frame[0] for frame in frames if _is_own(frame[0], folders)}
    texts = []
    for file in sorted(files):
        with contextlib.suppress(OSError):
            texts.append(Path(file).read_text("utf-8", "replace"))
    return "\n".join(texts)


def _is_own(file: str, folders: Sequence[str]) -> bool:
    return (
        Path(file) != RUNNER
        and ("site-packages" not in file or "versions" in file)
        and "importlib" not in file
        and any(folder in file for folder in folders)
    )
