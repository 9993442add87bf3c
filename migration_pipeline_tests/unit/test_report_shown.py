"""Where the safety report is, as the terminal, the JSON and Dagster say it; and what a rehearsal found, in the terminal."""

import io

import dagster as dg
import pytest
from rich.console import Console

from migration_pipeline import errors
from migration_pipeline.cli import drawing
from migration_pipeline.defs import metadata
from migration_pipeline.domain import safety
from migration_pipeline.domain.annotations import Annotation, Declared
from migration_pipeline.domain.effects import Statement
from migration_pipeline.domain.report_results import Classified, KeptReport

KEPT = KeptReport(location="/backups/default/report_2026-11-22_13-25-08_e4db4ad1.html")
NOT_KEPT = KeptReport(note="the report could not be kept: the disk is full")


def classified(declared, kept):
    report = safety.classify(
        annotations={"a1": Annotation(declared=declared)},
        files={"a1": "a1.py"},
        statements=[Statement(sql="DROP TABLE alerts", revision="a1")],
        measured=None,
        version_table="alembic_version",
        sources={},
    )
    return Classified(report=report, kept=kept)


def drawn(found):
    line, below = drawing.found(found)
    console = Console(file=io.StringIO(), width=160)
    for one in below:
        console.print(one, soft_wrap=True)
    return line, console.file.getvalue()


def test_the_terminal_says_where_the_report_is():
    found = classified(Declared.DESTRUCTIVE, KEPT)
    assert drawn(found) == ("1 of 1 DESTRUCTIVE", f"    report: {KEPT.location}\n")
    assert drawing.result(found) == {"report": KEPT.location}
    assert drawn(classified(Declared.DESTRUCTIVE, NOT_KEPT))[1] == f"    note: {NOT_KEPT.note}\n"


def test_a_refusal_names_the_report_as_evidence_once():
    found = classified(Declared.NON_DESTRUCTIVE, KEPT)
    assert drawn(found) == ("1 of 1 revisions refused", "")
    with pytest.raises(errors.LossNotDeclared) as refused:
        found.raise_if_refused()
    assert refused.value.evidence["report"] == KEPT.location
    assert metadata.of_error(refused.value)["report"] == dg.MetadataValue.path(KEPT.location)

    without = classified(Declared.NON_DESTRUCTIVE, NOT_KEPT)
    assert drawn(without)[1] == f"    note: {NOT_KEPT.note}\n"
    with pytest.raises(errors.LossNotDeclared) as refused:
        without.raise_if_refused()
    assert "report" not in refused.value.evidence
    assert "report" not in metadata.of_error(refused.value)


def test_dagster_shows_the_report_as_a_path_beside_the_ledger():
    shown = metadata.of(classified(Declared.DESTRUCTIVE, KEPT))
    assert shown["report"] == dg.MetadataValue.path(KEPT.location)
    assert shown["ledger"].value == "**a1**\n- nothing is lost that is there today"
    assert metadata.of(classified(Declared.DESTRUCTIVE, NOT_KEPT))["report"] == dg.MetadataValue.text(NOT_KEPT.note)
