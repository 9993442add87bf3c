"""What is copied just before it changes tells as much as what is copied at the start; of what it does not tell, nothing is said."""

from dataclasses import replace

import pytest

from migration_pipeline.adapters import losses
from migration_pipeline.adapters.execution import Execution
from migration_pipeline.domain import ledger
from migration_pipeline.domain.plan import Revision
from migration_pipeline_tests.corpus import running
from migration_pipeline_tests.corpus.running import LIMITS, PLAN


@pytest.fixture(scope="module")
def world(server18):
    made = running.World(server18)
    yield made
    made.close()


class Rehearsed:
    """A plan of one text a revision, run with early copies, or with copies of some tables at the start."""

    def __init__(self, world, revisions, watched=None):
        ids = [f"r{number}" for number in range(1, len(revisions) + 1)]
        made = [
            Revision(id=one, down=(before,), title=one, path=f"{one}.py", checksum="")
            for before, one in zip(["start", *ids], ids, strict=False)
        ]
        run = Execution(
            plan=replace(PLAN, revisions=tuple(made)),
            limits=LIMITS,
            server_version=world.major * 10000,
            rehearsing=True,
            sources={},
            copies_early=watched is None,
            watched_tables=watched or frozenset(),
        )
        with world.connection(fresh=True) as connection:
            session = running.Session(connection.connection.driver_connection)
            run.connected(session)
            run.begin(session, ("start",), tuple(ids))
            for one, texts in zip(ids, revisions, strict=True):
                run.revision(session, one)
                for text in [*texts, f"UPDATE public.alembic_version SET version_num = '{one}'"]:
                    session.query(run.statement(session, text, has_parameters=False, revision=one, own=True) or text)
                run.applied(session, one)
            run.finish(session)
            #: OIDs of temporary tables → how many columns each has
            copied = "SELECT relname, relnatts FROM pg_class WHERE relname LIKE 'migration_pipeline_before%' ORDER BY relname"
            self.columns_copied = [columns for _, columns in session.query(copied)]
        self.altered = run.ran.altered_tables(PLAN.is_version_table)
        self.compared = run.ran.compared
        found = losses.effects(
            run.ran.parts, run.ran.base, lambda query: world.reader.execute(query).fetchall(), PLAN.is_version_table
        )
        self.told = [(sorted(map(str, one.lost)), one.put_back, list(ledger.data_lost(one.lost, one.rows))) for one in found]


COMPARED = {
    "one column": ([["UPDATE codes SET meaning = 'x' WHERE id < 3"]], [2]),
    "one column after the other": ([["UPDATE codes SET meaning = 'x'", "UPDATE codes SET hits = hits + 1 WHERE id = 1"]], [2, 2]),
    "the same column again and again": (
        [["UPDATE codes SET meaning = 'x'", "SELECT 1", "UPDATE codes SET meaning = 'y'"], ["UPDATE codes SET meaning = 'one'"]],
        [2],
    ),
    "a value that is put back by a later revision": (
        [["UPDATE codes SET meaning = NULL WHERE id = 1"], ["UPDATE codes SET meaning = 'one' WHERE id = 1"]], [2],
    ),
    "a new column": ([["ALTER TABLE codes ADD x int", "UPDATE codes SET x = id"]], []),
    "a new column, and new rows": ([["ALTER TABLE codes ADD x int", "UPDATE codes SET x = id", "INSERT INTO codes VALUES (7, 'x')"]], []),
    "a new column, and rows deleted": ([["ALTER TABLE codes ADD x int", "UPDATE codes SET x = id", "DELETE FROM codes WHERE id = 1"]], []),
    "a column that others are computed from": ([["UPDATE boxes SET width = 1 WHERE id = 1"]], [3]),
    "another type": ([["ALTER TABLE visits ALTER cost TYPE int"]], [2]),
    "another type, then another value": (
        [["ALTER TABLE visits ALTER cost TYPE int"], ["UPDATE visits SET cost = cost + 1 WHERE id = 1"]], [2],
    ),
    "another type, then the table emptied in place": ([["ALTER TABLE visits ALTER cost TYPE int", "TRUNCATE visits"]], [2]),
    "the key": ([["UPDATE codes SET id = id + 100"]], [3]),
    "without a key": ([["UPDATE keyless SET result = 'x' WHERE who = 'ann'"]], [2]),
    "ON CONFLICT": ([["INSERT INTO codes VALUES (1, 'x', 1) ON CONFLICT (id) DO UPDATE SET meaning = 'x'"]], [3]),
    "MERGE": ([["MERGE INTO codes c USING new_codes n ON c.id = n.id WHEN MATCHED THEN UPDATE SET meaning = n.meaning"]], [3]),
    "a whole copy, then anything": (
        [["UPDATE codes SET hits = length(kind_words())", "DELETE FROM codes", "INSERT INTO codes VALUES (1, 'one', 3)"]], [3],
    ),
    "a trigger of the plan's own that changes another column": (
        [["CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.meaning = NULL; RETURN NEW; END'",
          "CREATE TRIGGER meddle BEFORE UPDATE ON codes FOR EACH ROW EXECUTE FUNCTION meddle()",
          "UPDATE codes SET hits = hits"]], [3],
    ),
    "after a rename": ([["ALTER TABLE codes RENAME TO marks", "ALTER TABLE marks RENAME hits TO met", "UPDATE marks SET met = 0"]], [2]),
    "settings that would hide a change": (
        [["SET LOCAL extra_float_digits = 0", "UPDATE patients SET risk = risk + 1e-16 WHERE id = 1"]], [2],
    ),
    "a savepoint of the plan's own": (
        [["SAVEPOINT s", "UPDATE codes SET meaning = 'x' WHERE id = 1", "RELEASE SAVEPOINT s"]], [2],
    ),
    "an update that is undone": (
        [["UPDATE codes SET meaning = meaning", "SAVEPOINT s", "UPDATE codes SET meaning = 'x'", "ROLLBACK TO SAVEPOINT s"]], [2],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COMPARED)
def test_no_second_run_is_needed(world, name):
    revisions, columns = COMPARED[name]
    early = Rehearsed(world, revisions)

    assert early.altered
    assert early.altered <= early.compared
    assert early.columns_copied == columns
    assert early.told == Rehearsed(world, revisions, early.altered).told


NOT_COMPARED = {
    "a block": [["DO $$ BEGIN UPDATE codes SET meaning = 'x'; END $$"]],
    "a block after an update of another column": [["UPDATE codes SET hits = 0", "DO $$ BEGIN UPDATE codes SET meaning = 'x'; END $$"]],
    "a block after a new column": [["ALTER TABLE codes ADD x int", "UPDATE codes SET x = 1"], ["SELECT blank(1)"]],
    "rows deleted and made anew with other values": [
        ["ALTER TABLE codes ADD x int", "UPDATE codes SET x = 1", "DELETE FROM codes WHERE id = 1", "INSERT INTO codes VALUES (1, 'x', 3)"]
    ],
    "rows of a new storage emptied and made anew": [
        ["ALTER TABLE codes ALTER hits TYPE bigint", "TRUNCATE codes", "INSERT INTO codes VALUES (1, 'x', 3), (3, 'y', 1)"]
    ],
    "a new storage without a copy": [["ALTER TABLE codes ADD x uuid DEFAULT gen_random_uuid()"], ["TRUNCATE codes"]],
    "a new storage that was emptied before the copy": [
        ["ALTER TABLE codes ADD x uuid DEFAULT gen_random_uuid()", "TRUNCATE codes", "UPDATE codes SET hits = 1"]
    ],
    "a copy that is gone with a savepoint": [
        ["SAVEPOINT s", "UPDATE codes SET meaning = 'x'", "ROLLBACK TO SAVEPOINT s", "UPDATE codes SET meaning = 'y'"]
    ],
    "a copy that is gone with a savepoint of an earlier revision": [
        ["SAVEPOINT s", "UPDATE codes SET meaning = 'x'"], ["ROLLBACK TO SAVEPOINT s"]
    ],
    "a column after a row came in": [["UPDATE codes SET hits = 0", "INSERT INTO codes VALUES (9)", "UPDATE codes SET meaning = 'x'"]],
    "a key after another column": [["UPDATE codes SET hits = 0", "UPDATE codes SET id = id + 100"]],
    "partitions": [["UPDATE events SET what = 'x'"]],
    "tables that inherit": [["UPDATE places SET name = 'x'"]],
    "a view": [["UPDATE viewed_view SET v = 'x'"]],
    "another role": [["GRANT SELECT, UPDATE ON codes TO corpus_guest", "SET ROLE corpus_guest", "UPDATE codes SET hits = 0", "RESET ROLE"]],
    "rows that a policy hides": [
        ["GRANT ALL ON codes TO corpus_guest", "ALTER TABLE codes OWNER TO corpus_guest", "ALTER TABLE codes ENABLE ROW LEVEL SECURITY",
         "ALTER TABLE codes FORCE ROW LEVEL SECURITY", "CREATE POLICY few ON codes USING (id = 1)", "SET ROLE corpus_guest",
         "UPDATE codes SET meaning = 'x'", "RESET ROLE"]
    ],
    "a table that was emptied": [["TRUNCATE archive", "INSERT INTO archive VALUES (1, 'old')"]],
    "a key that is dropped": [["UPDATE codes SET meaning = 'x'", "ALTER TABLE codes DROP COLUMN id"]],
    "a deferred trigger": [
        ["CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE codes SET meaning = NULL; RETURN NULL; END'",
         "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON archive DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()",
         "INSERT INTO archive VALUES (9)", "UPDATE codes SET hits = 0"]
    ],
    "so many statements that following them would cost more": [
        [text for number in range(30) for text in (f"UPDATE codes SET hits = {number}", f"UPDATE archive SET what = '{number}'")]
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_COMPARED)
def test_what_an_early_copy_does_not_tell_needs_a_second_run(world, name):
    revisions = NOT_COMPARED[name]
    early = Rehearsed(world, revisions)

    assert early.altered - early.compared
