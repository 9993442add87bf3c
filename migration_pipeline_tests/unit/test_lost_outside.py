"""What env.py itself loses, outside any revision: on every ledger that somebody reads before CONFIRM."""

import io
from dataclasses import replace

from rich.console import Console

from migration_pipeline.adapters import report_html
from migration_pipeline.cli import drawing
from migration_pipeline.defs import metadata, ops_confirm
from migration_pipeline.domain import report, report_page, safety
from migration_pipeline.domain.annotations import Annotation, Declared
from migration_pipeline.domain.effects import Loss, Rehearsal, Rehearsed, RevisionEffects, Statement
from migration_pipeline.domain.schema import SchemaSnapshot
from migration_pipeline.domain.segments import Segment
from migration_pipeline_tests.unit.test_report_page import SETTING, plan_of_one, read

DROPPED = Loss(kind="column", name="public.patients.allergy", how="dropped", rows=9, values=7)
GONE = Loss(kind="type", name="public.mood", how="dropped")
DROPS = Statement(sql="ALTER TABLE patients DROP COLUMN allergy", revision="0002")
DELETES = Statement(sql="DELETE FROM audit", revision=None)
POLICY = Statement(sql="DROP POLICY own ON patients", revision=None)


def judged(declared=Declared.DESTRUCTIVE, statements=(DROPS,), lost=(DROPPED,), outside=(DELETES,)):
    """Return a plan, its rehearsal and its report: env.py found no row to delete, and dropped a type."""
    plan = plan_of_one()
    ran = RevisionEffects(revision="0002", statements=statements, rows=(), lost=lost, seconds=0.5)
    around = RevisionEffects(revision="env.py", statements=outside, rows=(), lost=(GONE,), seconds=0)
    rehearsed = Rehearsed(
        segment=Segment(plan=plan),
        revisions=(ran,),
        outside=around,
        schema_after=SchemaSnapshot(objects={}),
        heads_after=("0002",),
        seconds=0.6,
    )
    found = safety.classify(
        annotations={"0002": Annotation(declared=declared)},
        files={"0002": "versions/0002.py"},
        statements=statements,
        measured=[ran],
        version_table="alembic_version",
        sent_outside=outside,
    )
    return plan, Rehearsal(plan_fingerprint=plan.fingerprint, backup_id="b", segments=(rehearsed,)), found


def drawn(plan, found):
    console = Console(file=io.StringIO(), width=120)
    console.print(drawing.ledger(plan, found))
    return console.file.getvalue()


def test_the_ledger_at_the_prompt():
    plan, _, found = judged()
    assert drawn(plan, found) == (
        "\n"
        "  0002 Drop allergy\n"
        "      7 values of patients.allergy are lost\n"
        "  env.py outside any revision\n"
        "      rows deleted: audit\n"
        f"  plan {plan.fingerprint[:8]}\n"
        "\n"
    )
    assert report.summary(found) == "1 of 1 DESTRUCTIVE, and env.py itself loses data"


def test_the_ledgers_of_a_run_in_the_ui():
    _, _, found = judged()
    assert ops_confirm._ledger(found) == ["0002: 7 values of patients.allergy are lost", "env.py: rows deleted: audit"]
    assert metadata.of(found)["ledger"].value == (
        "**0002**\n- 7 values of patients.allergy are lost\n\n**env.py**\n- rows deleted: audit"
    )


def test_the_ledger_of_the_page():
    plan, rehearsal, found = judged()
    made = report_page.of(plan, rehearsal, found, SETTING)
    assert [(one.revision, one.told, one.how, one.is_data) for one in made.lost] == [
        ("0002", "7 values of patients.allergy are lost", "dropped", True),
        ("env.py", "the type mood is gone; it held no data", "dropped", False),
        ("env.py", "rows deleted: audit", "predicted", True),
    ]
    assert made.answer == (
        "7 values of patients.allergy are lost and env.py itself loses data (rows deleted: audit); no table is locked against "
        "reads or writes; it goes on once an operator types CONFIRM."
    )
    text = read(report_html.rendered(made))
    assert "env.py the type mood is gone; it held no data dropped env.py rows deleted: audit predicted" in text


def test_where_no_revision_loses_anything_env_py_is_asked_about_all_the_same():
    adds = replace(DROPS, sql="ALTER TABLE patients ADD COLUMN ward text")
    plan, rehearsal, found = judged(Declared.NON_DESTRUCTIVE, (adds,), lost=())
    assert found.needs_confirmation
    assert report.summary(found) == "env.py itself loses data"
    assert drawn(plan, found).splitlines()[1:3] == ["  env.py outside any revision", "      rows deleted: audit"]
    assert report.lost(rehearsal) == []
    assert report_page.of(plan, rehearsal, found, SETTING).outcome.value == "Asks for CONFIRM"


def test_env_py_acquits_no_revision_and_the_protection_that_it_takes_away_is_told():
    again = Statement(sql="CREATE POLICY own ON patients USING (ward = 1)", revision=None)
    guard = replace(POLICY, revision="0002")
    _, _, found = judged(Declared.NON_DESTRUCTIVE, (guard,), lost=(), outside=(again,))
    assert [(one.revision, one.told) for one in found.protection] == [("0002", "guard dropped: patients.own")]

    _, _, found = judged(Declared.NON_DESTRUCTIVE, (), lost=(), outside=(POLICY,))
    assert [(one.revision, one.told) for one in found.protection] == [(None, "guard dropped: patients.own")]
    assert not found.needs_confirmation
