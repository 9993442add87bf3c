"""What is there again is no loss, and what another revision lost stays its own: plans of several revisions, measured."""

from dataclasses import replace

import pytest

from migration_pipeline.adapters import losses
from migration_pipeline.adapters.execution import Execution
from migration_pipeline.domain import ledger
from migration_pipeline.domain.effects import Loss, RowChange
from migration_pipeline.domain.plan import Revision
from migration_pipeline_tests.corpus import running
from migration_pipeline_tests.corpus.running import LIMITS, PLAN


@pytest.fixture(scope="module")
def world(server18):
    made = running.World(server18)
    yield made
    made.close()


def rehearse(world, *texts):
    """Return the effects of a plan: one text of SQL a revision."""
    ids = [f"r{number}" for number in range(1, len(texts) + 1)]
    revisions = [
        Revision(id=one, down=(before,), title=one, path=f"{one}.py", checksum="")
        for before, one in zip(["start", *ids], ids, strict=False)
    ]
    plan = replace(PLAN, revisions=tuple(revisions))
    first = _run(world, plan, texts, frozenset())
    ran = _run(world, plan, texts, first.altered_tables(plan.is_version_table))
    *effects, outside = losses.effects(
        ran.parts, ran.base, lambda query: world.reader.execute(query).fetchall(), plan.is_version_table
    )
    assert not outside.lost
    return effects


def _run(world, plan, texts, watched):
    run = Execution(
        plan=plan,
        limits=LIMITS,
        server_version=world.major * 10000,
        rehearsing=True,
        sources={},
        watched_tables=watched,
    )
    with world.connection(fresh=True) as connection:
        session = running.Session(connection.connection.driver_connection)
        run.connected(session)
        run.begin(session, ("start",), tuple(one.id for one in plan.revisions))
        for revision, text in zip(plan.revisions, texts, strict=True):
            run.revision(session, revision.id)
            session.query(text)
            session.query(f"UPDATE public.alembic_version SET version_num = '{revision.id}'")
            run.applied(session, revision.id)
        run.finish(session)
    return run.ran


PLANS = {
    "a table emptied in place, after another revision rewrote it": (
        ["ALTER TABLE archive ALTER id TYPE bigint", "TRUNCATE archive"],
        [[], ["2 rows of archive are lost"]],
    ),
    "rows of the plan's own deleted by a later revision": (
        ["INSERT INTO archive VALUES (99, 'new')", "DELETE FROM archive WHERE id = 99"],
        [[], []],
    ),
    "a row put back by a later revision": (
        ["DELETE FROM codes WHERE id = 1", "INSERT INTO codes VALUES (1, 'one', 3)"],
        [["1 row of codes is lost"], []],
    ),
    "a row put back, and another one deleted": (
        ["DELETE FROM codes WHERE id = 1", "INSERT INTO codes VALUES (1, 'one', 3); DELETE FROM codes WHERE id = 3"],
        [["1 row of codes is lost"], ["1 row of codes is lost"]],
    ),
    "a value put back, and another row deleted and made anew with another value": (
        ["UPDATE codes SET meaning = NULL WHERE id = 1",
         "UPDATE codes SET meaning = 'one' WHERE id = 1; DELETE FROM codes WHERE id = 3; INSERT INTO codes VALUES (3, 'drei', 1)"],
        [["1 value of codes.meaning is overwritten"], ["1 row of codes is lost"]],
    ),
    "rows of the plan's own deleted, then one of before changed, without a key": (
        ["INSERT INTO keyless VALUES ('x', 'y'), ('z', NULL)", "DELETE FROM keyless WHERE who IN ('x', 'z')",
         "UPDATE keyless SET result = 'none' WHERE who = 'ann'"],
        [[], [], ["1 value of keyless.result is overwritten"]],
    ),
    "a table emptied twice": (
        ["TRUNCATE archive", "INSERT INTO archive VALUES (7, 'x'); TRUNCATE archive"],
        [["2 rows of archive are lost"], []],
    ),
    "a table emptied, then altered": (
        ["TRUNCATE archive", "ALTER TABLE archive ALTER id TYPE bigint"],
        [["2 rows of archive are lost"], []],
    ),
    "values that read differently because a revision says so": (
        ["SET LOCAL DateStyle = 'German'; UPDATE events SET what = what", "SET LOCAL TimeZone = 'Asia/Tokyo'; UPDATE codes SET hits = hits"],
        [[], []],
    ),
    "a view that two revisions refresh": (
        ["REFRESH MATERIALIZED VIEW past_census", "REFRESH MATERIALIZED VIEW past_census"],
        [["1 row stored in past_census is lost"], []],
    ),
    "a view that is refreshed after a revision took rows from its table": (
        ["DELETE FROM grown WHERE id = 2", "REFRESH MATERIALIZED VIEW grown_view"],
        [["1 row of grown is lost"], ["1 row stored in grown_view is lost"]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANS)
def test_a_loss_is_told_of_the_revision_that_has_it(world, name):
    texts, expected = PLANS[name]

    assert [list(ledger.data_lost(one.lost, one.rows)) for one in rehearse(world, *texts)] == expected


def test_a_table_that_was_emptied_and_filled_again_says_how_much_it_held(world):
    (one,) = rehearse(world, "CREATE TEMP TABLE t AS SELECT * FROM codes; TRUNCATE codes; INSERT INTO codes SELECT * FROM t")

    assert one.rows == (RowChange(table="public.codes", inserted=3, lost=0),)
    assert one.put_back == (Loss(kind="rows", name="public.codes", how="put back", path=("public", "codes"), rows=3),)
    assert one.lost == ()


def test_rows_that_an_earlier_revision_added_were_in_the_table_too(world):
    fill = "CREATE TEMP TABLE t AS SELECT * FROM codes; TRUNCATE codes; INSERT INTO codes SELECT * FROM t"
    _, put_back, emptied = rehearse(world, "INSERT INTO codes VALUES (8), (9)", fill, "TRUNCATE codes")

    assert [one.rows for one in put_back.put_back] == [5]
    assert emptied.lost == (Loss(kind="rows", name="public.codes", how="truncated", rows=3),)


def test_a_table_that_is_filled_again_in_part_says_how_many_rows_are_lost(world):
    (one,) = rehearse(world, "TRUNCATE codes; INSERT INTO codes VALUES (1, 'one', 3), (4, 'four', 0)")

    assert one.lost == (Loss(kind="rows", name="public.codes", how="truncated", rows=2),)
    assert one.put_back == ()
