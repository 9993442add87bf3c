"""What is proposed after a rehearsal: what was measured, and what no rehearsal of this plan could answer."""

import pytest

from migration_pipeline.domain import measured_proposals
from migration_pipeline.domain.annotations import Declared
from migration_pipeline.domain.effects import Loss, RevisionEffects, RowChange, Statement


def ran(*texts, revision="r1", lost=(), rows=(), unmeasured=()):
    statements = tuple(Statement(sql=text, revision=revision) for text in texts)
    return RevisionEffects(revision=revision, statements=statements, rows=rows, lost=lost, seconds=0.1, unmeasured=unmeasured)


def proposed(*measured):
    found = measured_proposals.proposed(
        measured,
        version_table="alembic_version",
        sources={one.revision: " ".join(s.sql for s in one.statements) for one in measured},
    )
    return [f"{one.declared}: {one.reason}" for one in found.values()]


COLUMN = Loss(kind="column", name="public.patients.allergy", how="dropped", values=48213)


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (ran(), "NON_DESTRUCTIVE: rehearsed: it sent no SQL"),
        (ran("ALTER TABLE a ADD x int"), "NON_DESTRUCTIVE: rehearsed: its 1 statement lost nothing"),
        (ran("UPDATE a SET x = 1", "ALTER TABLE a ALTER y TYPE text", "SELECT tidy()"),
         "NON_DESTRUCTIVE: rehearsed: its 3 statements lost nothing"),
        (ran("UPDATE a SET x = 1", lost=(Loss(kind="values", name="public.a.x", how="overwritten", values=3),)),
         "DESTRUCTIVE: rehearsed: 3 values of a.x are overwritten"),
        (ran("INSERT INTO a VALUES (1)", lost=(COLUMN, COLUMN), rows=(RowChange(table="public.b", deleted=2),)),
         "DESTRUCTIVE: rehearsed: 48,213 values of patients.allergy are lost, and 2 more"),
        (ran("DELETE FROM a WHERE x"), "DESTRUCTIVE: rows deleted: a"),
        (ran("DELETE FROM a WHERE x", rows=(RowChange(table="public.a", deleted=2, lost=0),)),
         "NON_DESTRUCTIVE: rehearsed: its 1 statement lost nothing"),
        (ran("UPDATE a SET x = 1", unmeasured=("it ran alone: values were not compared",)),
         "DESTRUCTIVE: needs a rehearsal: it ran alone: values were not compared"),
        (ran("ALTER TABLE a ADD x int", unmeasured=("it ran alone",)), "NON_DESTRUCTIVE: rehearsed: its 1 statement lost nothing"),
    ],
)  # fmt: skip
def test_what_was_measured_decides(measured, expected):
    assert proposed(measured) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DROP TABLE new", "DESTRUCTIVE: table dropped: new"),
        ("DELETE FROM new", "DESTRUCTIVE: rows deleted: new"),
        (
            "UPDATE new SET x = 1",
            "DESTRUCTIVE: needs a rehearsal: values overwritten: new.x, of what an earlier pending revision makes",
        ),
        ("ALTER TABLE new ADD y int", "NON_DESTRUCTIVE: rehearsed: its 1 statement lost nothing"),
    ],
)
def test_what_an_earlier_revision_of_the_plan_made_is_somebodys_elsewhere(text, expected):
    made, after = proposed(ran("CREATE TABLE new (x int)"), ran(text, revision="r2"))

    assert made == "NON_DESTRUCTIVE: rehearsed: its 1 statement lost nothing"
    assert after == expected


def test_a_name_from_the_database_stays_on_its_line():
    loss = Loss(kind="table", name="public.a\n# SAFETY: NON_DESTRUCTIVE", how="dropped", rows=1)
    (found,) = measured_proposals.proposed([ran("SELECT 1", lost=(loss,))], version_table="v", sources={}).values()

    assert found.declared is Declared.DESTRUCTIVE
    assert "\n" not in found.reason
