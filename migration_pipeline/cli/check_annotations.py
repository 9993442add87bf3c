"""`migration-pipeline check-annotations`: what every revision declares, checked without a database."""

import os
from collections.abc import Iterator
from pathlib import Path

import click

from migration_pipeline import errors
from migration_pipeline.adapters import revision_files
from migration_pipeline.adapters.revision_files import History, RevisionFile
from migration_pipeline.cli.annotate import CANNOT_BE_READ, LineTerminal, Place, findings, place_of
from migration_pipeline.cli.options import target_option
from migration_pipeline.cli.wording import counted
from migration_pipeline.domain import annotations, proposals
from migration_pipeline.domain.annotations import Declared, Source
from migration_pipeline.domain.proposals import Fault


@click.command("check-annotations")
@click.option("--format", "form", type=click.Choice(["text", "github"]), default="text", help="How a finding is written.")
@target_option
def check_annotations(form: str, target: str | None) -> int:
    """Check, without a database, what every revision declares; one line a finding. For the project's own CI."""
    place = place_of(target)
    history = revision_files.read(place.project)
    if form == "github" and os.environ.get("GITHUB_WORKSPACE"):
        place.shown_from = Path(os.environ["GITHUB_WORKSPACE"])
    write = proposals.for_github if form == "github" else proposals.in_text
    found = sorted(set(_faults(place, history)))
    terminal = LineTerminal()
    for one in found:
        terminal.say(write(one))
    if not found:
        terminal.say(f"Nothing to say against what {counted(len(history.files), 'revision')} declared.")
    return errors.Refusal.exit_code if found else 0


def _faults(place: Place, history: History) -> Iterator[Fault]:
    for file in history.files:
        yield from _faults_of(place, history, file)
    for path in history.strays:
        source = revision_files.content(path)
        if history.problem is None:
            yield Fault(
                path=place.shown(path), line=1, message="Alembic uses another file of the same revision; remove one of them"
            )
        elif source is None:
            yield Fault(path=place.shown(path), line=1, message=CANNOT_BE_READ)
        elif found := proposals.fault(place.shown(path), annotations.read(source)):
            yield found
    if history.problem is not None:
        path, line = history.culprit or (place.project.config, 1)
        yield Fault(path=place.shown(path), line=line, message=history.problem)
    safety_file = place.shown(place.safety_file)
    if place.safety.problem is not None:
        yield Fault(path=safety_file, line=1, message=place.safety.problem)
    for revision, problem in place.safety.problems.items():
        line = place.line_in_safety_file(revision)
        yield Fault(path=safety_file, line=line, message=f'revision "{revision}": {problem}')


def _faults_of(place: Place, history: History, file: RevisionFile) -> Iterator[Fault]:
    if file.source is None:
        yield Fault(path=place.shown(file.path), line=1, message=CANNOT_BE_READ)
        return
    annotation = place.safety.annotation(file.revision, file.source)
    if annotation.source is Source.SAFETY_FILE and file.revision in place.safety.problems:
        return  # the entry itself is a finding
    if found := place.fault(file, annotation):
        yield found
    if annotation.declared is Declared.NON_DESTRUCTIVE:
        path, line = file.path, proposals.line_of(file.source, rb"#\s*SAFETY\s*:")
        if annotation.source is Source.SAFETY_FILE:
            path, line = place.safety_file, place.line_in_safety_file(file.revision)
        if lost := proposals.contradiction(place.shown(path), findings(file, history.version_table), line):
            yield lost
