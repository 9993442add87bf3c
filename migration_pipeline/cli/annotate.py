"""`migration-pipeline annotate`: the SAFETY comments that are missing; without a database, unless it shall measure."""

import contextlib
import hashlib
import os
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.text import Text

from migration_pipeline import errors, settings_source
from migration_pipeline.adapters import alembic_project, revision_files
from migration_pipeline.adapters.revision_files import History, RevisionFile
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.cli.options import here, load, target_option
from migration_pipeline.cli.terminal import Terminal
from migration_pipeline.cli.wording import counted, plain
from migration_pipeline.domain import annotations, proposals
from migration_pipeline.domain.annotations import Annotation, Declared, SafetyFile, Source
from migration_pipeline.domain.prediction import Finding
from migration_pipeline.domain.proposals import NEEDS_A_REHEARSAL, Fault, NotEditable, Proposal
from migration_pipeline.settings_table import Table

CANNOT_BE_READ = "the file cannot be read; look at its rights"
STYLES = {"+": "green", "-": "red", "@": "cyan"}


@click.command()
@click.argument("revision", default="")
@click.option("--write", is_flag=True, help="Write the comments into the files; without it they are only shown.")
@click.option(
    "--measured",
    is_flag=True,
    help="Rehearse the pending revisions on the newest backup, restored, and propose what was measured.",
)
@target_option
def annotate(revision: str, write: bool, measured: bool, target: str | None) -> int:
    """Propose the SAFETY comment for each revision that has none, or for REVISION alone; show the changes as a diff."""
    place = place_of(target)
    history = revision_files.read(place.project)
    if history.problem is not None:
        raise errors.ProjectFailed(
            f"There is no history to annotate: {history.problem}.",
            evidence={"file": f"{history.culprit[0]}, line {history.culprit[1]}"} if history.culprit else {},
            next_step="mend the project until `alembic history` works, then: just annotate",
        )
    made = _Made(place=place, version_table=history.version_table, measured=_measured(target) if measured else {})
    for file in _wanted(history, revision):
        made.take(file)
    made.add_entries()
    terminal = LineTerminal()
    for change in made.changes:
        terminal.diff(change)
    if write:
        for change in made.changes:
            revision_files.write(change.path, change.after, instead_of=change.before)
    for one in made.left:
        terminal.note(f"left as it is: {proposals.in_text(one)}", "yellow")
    terminal.note(made.summary(written=write))
    return errors.Refusal.exit_code if made.left else 0


def _measured(target: str | None) -> dict[str, Proposal]:
    from migration_pipeline import annotating  # noqa: PLC0415 - what reaches the database, the other way need not wait for
    from migration_pipeline.workplace import Workplace  # noqa: PLC0415

    with contextlib.closing(Workplace(target=load(target), run_id="annotate")) as workplace:
        return annotating.measured(workplace)


@dataclass(kw_only=True)
class Place:
    """A project without its database."""

    project: Project
    safety_file: Path  #: it need not be there
    folders: tuple[Path, ...]  #: what is below them is the project's own
    shown_from: Path
    safety_bytes: bytes | None = field(init=False)
    safety: SafetyFile = field(init=False)

    def __post_init__(self) -> None:
        self.safety_bytes = revision_files.content(self.safety_file)
        self.safety = annotations.from_safety_file((self.safety_bytes or b"").decode("utf-8-sig", "replace"))

    def shown(self, path: Path) -> str:
        folder, path = self.shown_from.resolve(), path.resolve()
        return str(path.relative_to(folder) if folder in path.parents else path)

    def line_in_safety_file(self, revision: str) -> int:
        return proposals.line_of(
            self.safety_bytes or b"", rb"^\s*id\s*=\s*[\"']" + revision.encode("utf-8", "replace") + b"[\"']"
        )

    def fault(self, file: RevisionFile, annotation: Annotation) -> Fault | None:
        if annotation.source is Source.SAFETY_FILE:
            return proposals.fault(self.shown(self.safety_file), annotation, self.line_in_safety_file(file.revision))
        return proposals.fault(self.shown(file.path), annotation)


def place_of(target: str | None) -> Place:
    """Return where the files are. The settings about the database need not be there, nor right: CI has none."""
    source = settings_source.read(os.environ, here())
    name = settings_source.choose(source, target)
    wanted = {key: source.tables[name][key] for key in ("alembic_config", "project_python", "safety_file")
              if key in source.tables[name]}  # fmt: skip
    variables = {} if source.file else settings_source.VARIABLES
    table = Table(wanted, folder=source.folder, environ=os.environ, variables=variables)
    config = table.file("alembic_config", "the path of the project's alembic.ini", "alembic.ini")
    python = table.path("project_python", sys.executable)
    safety_file = table.file("safety_file", "the path of a safety.toml") if table.has("safety_file") else None
    if python and not (os.path.isfile(python) and os.access(python, os.X_OK)):  # noqa: PTH113 - as in settings
        table.wrong_path("project_python", "names no program that can be run", "the project's python, such as .venv/bin/python")
    if table.problems or config is None or python is None:
        raise settings_source.wrong_settings(table.problems, file=source.file, target=name)
    live = alembic_project.NOWHERE
    with contextlib.suppress(errors.SettingsError):
        live = load(target).connection  # its password leaves the runner's environment
    folders = (config.parent, source.folder, revision_files.repository(config.parent))
    return Place(
        project=Project(config=config, python=python, live=live, driver=live.driver, target=name),
        safety_file=safety_file or config.parent / "safety.toml",
        folders=folders,
        shown_from=here(),
    )


def _wanted(history: History, revision: str) -> list[RevisionFile]:
    if not revision:
        return list(history.files)
    exact = [file for file in history.files if file.revision == revision]
    found = exact or [file for file in history.files if file.revision.startswith(revision)]
    if len(found) != 1:
        many = f" more than one revision that begins with {revision!r}" if found else f' no revision "{revision}"'
        raise errors.NoPlan(f"The project has{many}.", next_step="alembic history, or just annotate, for all of them")
    return found


@dataclass(frozen=True, kw_only=True)
class _Change:
    path: Path
    shown: str
    before: bytes | None  #: None: there is no file yet
    after: bytes


@dataclass(kw_only=True)
class _Made:
    """What `annotate` proposes for the files that it has taken."""

    place: Place
    version_table: str
    measured: Mapping[str, Proposal]  #: of the revisions that were rehearsed
    changes: list[_Change] = field(default_factory=list)
    left: list[Fault] = field(default_factory=list)  #: why a file is not touched
    _entries: dict[str, tuple[str, Proposal]] = field(default_factory=dict)
    _proposed: list[Proposal] = field(default_factory=list)

    def take(self, file: RevisionFile) -> None:
        shown = self.place.shown(file.path)
        if file.source is None:
            self.left.append(Fault(path=shown, line=1, message=CANNOT_BE_READ))
            return
        annotation = self.place.safety.annotation(file.revision, file.source)
        if not annotation.is_missing:
            self.left += [found] if (found := self.place.fault(file, annotation)) else []
            return
        proposal = self.measured.get(file.revision) or proposals.propose(
            findings(file, self.version_table),
            sent=len(file.statements),
            unknown=file.unknown,
            harmless_calls=file.harmless_calls,
        )
        if not revision_files.is_own(file.path, self.place.folders):
            self._entries[file.revision] = (hashlib.sha256(file.source).hexdigest(), proposal)
            return
        try:
            after = proposals.with_comment(file.source, proposal)
        except NotEditable as error:
            self.left.append(Fault(path=shown, line=1, message=f'{error}; add "{annotations.line(proposal.declared)}" by hand'))
            return
        self.changes.append(_Change(path=file.path, shown=shown, before=file.source, after=after))
        self._proposed.append(proposal)

    def add_entries(self) -> None:
        """Propose for the files of installed packages, which are not the project's to edit."""
        if not self._entries:
            return
        path, before = self.place.safety_file, self.place.safety_bytes
        shown = self.place.shown(path)
        try:
            after = proposals.with_entries((before or b"").decode(), self._entries).encode()
        except (NotEditable, UnicodeDecodeError):
            self.left.append(Fault(path=shown, line=1, message="no entry can be added; correct the file"))
            return
        self.changes.append(_Change(path=path, shown=shown, before=before, after=after))
        self._proposed += [proposal for _, proposal in self._entries.values()]

    def summary(self, *, written: bool) -> str:
        count = len(self._proposed)
        if not count:
            return "No revision lacks a safety annotation." if not self.left else "Nothing can be proposed."
        values = Counter(proposal.declared for proposal in self._proposed)
        unsure = sum(proposal.reason.startswith(NEEDS_A_REHEARSAL) for proposal in self._proposed)
        told = f"{values[Declared.NON_DESTRUCTIVE]:,} NON_DESTRUCTIVE, {values[Declared.DESTRUCTIVE]:,} DESTRUCTIVE"
        doubt = f" ({unsure:,} because only a rehearsal can tell)" if unsure else ""
        if written:
            return f"Annotated {counted(count, 'revision')}: {told}{doubt}. Next: read the comments, then commit them."
        return f"Proposed for {counted(count, 'revision')}: {told}{doubt}; nothing was changed. Next: just annotate --write"


def findings(file: RevisionFile, version_table: str) -> tuple[Finding, ...]:
    source = (file.source or b"").decode("utf-8", "replace")
    return proposals.predicted(file.revision, file.statements, version_table=version_table, source=source)


class LineTerminal(Terminal):
    """Lines that are never broken: others read them."""

    def say(self, line: str) -> None:
        self._out.print(plain(line), soft_wrap=True)

    def note(self, line: str, style: str = "") -> None:
        self._err.print(plain(line, style), soft_wrap=True)

    def diff(self, change: _Change) -> None:
        for line in proposals.diff(change.before or b"", change.after, change.shown, is_new=change.before is None):
            self._out.print(Text(line, style=STYLES.get(line[:1], "")), soft_wrap=True)
