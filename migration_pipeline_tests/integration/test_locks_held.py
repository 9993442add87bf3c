"""What a plan locks, for how long and by which statement is measured; over the Target's budget, it is refused unless accepted."""

import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from migration_pipeline import errors, steps
from migration_pipeline.adapters import attempts, pending
from migration_pipeline.adapters import preflight as conditions
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.adapters.transaction import Limits
from migration_pipeline.domain import confirmation
from migration_pipeline.domain.backups import Outcome
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.plan import Identity
from migration_pipeline.domain.segments import Segment
from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import execute, make_database

LIMITS = Limits(lock_timeout=timedelta(seconds=5), transaction=timedelta(minutes=1))
WORLD = (
    "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
    "INSERT INTO alembic_version VALUES ('0001')",
    "CREATE TABLE patients (id serial PRIMARY KEY, name text NOT NULL, allergy text)",
    "INSERT INTO patients (name) SELECT 'n' || i FROM generate_series(1, 1000) i",
    "CREATE TABLE letters (id serial PRIMARY KEY, patient int, sent date)",
    "CREATE VIEW unsent AS SELECT id FROM letters WHERE sent IS NULL",
    "CREATE TABLE parted (id int, at date) PARTITION BY RANGE (at)",
    "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')",
    "CREATE MATERIALIZED VIEW summary AS SELECT count(*) FROM patients",
    """CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS
       'BEGIN LOCK TABLE letters IN EXCLUSIVE MODE; RETURN NULL; END'""",
    "CREATE TRIGGER meddles AFTER INSERT ON parted FOR EACH STATEMENT EXECUTE FUNCTION meddle()",
)
REWRITES = "ALTER TABLE patients ALTER COLUMN id TYPE bigint"


@pytest.fixture
def rehearsed(database, tmp_path):
    """Return a function: the revisions that follow 0001 → what each of them did, rehearsed in place; none: as they are."""
    return rehearsal_of(database, tmp_path)


@pytest.fixture
def rehearsed18(database18, tmp_path):
    return rehearsal_of(database18, tmp_path)


def rehearsal_of(url, folder):
    execute(url, *WORLD)
    connection = Connection.from_url(url)

    def rehearse(*revisions):
        copy = projects.copy("holds_locks", folder)
        if revisions:
            projects.remove_revision(copy, "0002")
            projects.remove_revision(copy, "0003")
        for number, statements in enumerate(revisions, 2):
            lines = ['"""Lock."""', "from alembic import op", f'revision = "{number:04}"', f'down_revision = "{number - 1:04}"']
            lines += ["def upgrade():", *(f"    op.execute({sql!r})" for sql in statements)]
            (copy / "versions" / f"{number:04}_lock.py").write_text("\n".join(lines) + "\n")
        project = Project(config=copy / "alembic.ini", python=sys.executable, live=connection)
        plan = pending.plan(project, connection, Identity(target="t", database="d", system_identifier="1", oid=1), "head")
        ran, _ = attempts.rehearse(project, connection, Segment(plan=plan), LIMITS, lambda _revision, _statement: None)
        return ran.revisions

    return rehearse


def taken(part):
    return [(lock.relation, lock.mode.value, lock.statement) for lock in part.locks if lock.relation != "public.alembic_version"]


def test_locks_last_from_their_statement_to_the_end_of_the_plan(rehearsed):
    second, third = rehearsed()

    assert taken(second) == [("public.letters", "SHARE", "CREATE INDEX letters_sent ON letters (sent)")]  # of wards, nothing
    assert taken(third) == [
        ("public.unsent", "ACCESS EXCLUSIVE", "DROP VIEW unsent"),  # released with its savepoint
        ("public.patients", "ACCESS EXCLUSIVE", REWRITES),
    ]
    letters, (unsent, patients) = second.locks[0], third.locks
    assert (letters.until_end, unsent.until_end, patients.until_end) == (True, False, True)
    assert 0.5 <= patients.seconds < 0.5 + 2  # its own sleep, and what is measured before the end
    assert letters.seconds >= 0.3 + patients.seconds  # that of its own revision and that of the next one
    assert unsent.taken < unsent.released <= patients.taken
    assert letters.released == patients.released
    assert third.rewritten_bytes["public.patients"] > 1000 * 30
    assert third.wal_bytes > 1000 * 30
    assert (patients.rows, patients.rows_are_estimated) in ((None, False), (1000, True))


LOCKS = {
    "a foreign key locks both of its tables": (
        ["ALTER TABLE letters ADD FOREIGN KEY (patient) REFERENCES patients"],
        [("public.letters", "SHARE ROW EXCLUSIVE", 0), ("public.patients", "SHARE ROW EXCLUSIVE", 0)],
    ),
    "an index's lock counts for its table": (
        ["REINDEX INDEX patients_pkey"],
        [("public.patients", "ACCESS EXCLUSIVE", 0)],
    ),
    "a partitioned table is locked with its partitions": (
        ["ALTER TABLE parted ADD COLUMN note text"],
        [("public.parted", "ACCESS EXCLUSIVE", 0), ("public.parted_1", "ACCESS EXCLUSIVE", 0)],
    ),
    "a new partition locks the table": (
        ["CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM ('2021-01-01') TO ('2022-01-01')"],
        [("public.parted", "ACCESS EXCLUSIVE", 0)],
    ),
    "a materialized view is refreshed behind a lock": (
        ["REFRESH MATERIALIZED VIEW summary"],
        [("public.summary", "ACCESS EXCLUSIVE", 0)],
    ),
    "a dropped table is named as it was": (["DROP TABLE parted"], [
        ("public.parted", "ACCESS EXCLUSIVE", 0), ("public.parted_1", "ACCESS EXCLUSIVE", 0),
    ]),
    "a renamed table is named as it was": (
        ["ALTER TABLE letters RENAME TO mails", "ALTER TABLE mails ALTER sent SET NOT NULL"],
        [("public.letters", "ACCESS EXCLUSIVE", 0)],
    ),
    "a weaker lock and then a stronger one": (
        ["LOCK TABLE patients IN SHARE MODE", "LOCK TABLE patients IN ACCESS EXCLUSIVE MODE"],
        [("public.patients", "SHARE", 0), ("public.patients", "ACCESS EXCLUSIVE", 1)],
    ),
    "rows that change lock no table": (["DELETE FROM letters", "UPDATE patients SET name = 'x'", "SELECT count(*) FROM patients"], []),
    "a temporary table is nobody's": (["CREATE TEMPORARY TABLE t AS SELECT * FROM letters", "ALTER TABLE t ADD COLUMN x int"], []),
    "a DO block": (
        ["DO $$ BEGIN EXECUTE 'ALTER TABLE letters ADD COLUMN x int'; END $$"], [("public.letters", "ACCESS EXCLUSIVE", 0)],
    ),
    "reading before it does not blur whose lock it is": (
        ["SELECT 1", "UPDATE patients SET name = 'x'", "SELECT 2", "ALTER TABLE letters ADD COLUMN x int", "SELECT 3"],
        [("public.letters", "ACCESS EXCLUSIVE", 3)],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def parts(server18, tmp_path_factory):
    """What each of LOCKS did, one revision each; a savepoint takes its locks back before the next one."""
    for url in make_database(server18):
        rehearse = rehearsal_of(url, tmp_path_factory.mktemp("locks"))
        revisions = [["SAVEPOINT mine", *statements, "ROLLBACK TO SAVEPOINT mine"] for statements, _ in LOCKS.values()]
        yield dict(zip(LOCKS, rehearse(*revisions), strict=True))


@pytest.mark.parametrize("case", LOCKS)
def test_a_lock_is_that_of_the_statement_that_took_it(parts, case):
    statements, expected = LOCKS[case]

    assert sorted(taken(parts[case])) == sorted((relation, mode, statements[place]) for relation, mode, place in expected)
    assert not any(lock.until_end for lock in parts[case].locks)


def test_a_trigger_that_locks_is_found_behind_the_first_of_the_statements_since_the_last_reading(rehearsed18):
    (part,) = rehearsed18(
        ["UPDATE patients SET name = 'x'", "INSERT INTO parted VALUES (1, '2020-05-05')", "COMMENT ON TABLE parted IS 'x'"]
    )

    assert taken(part) == [
        ("public.letters", "EXCLUSIVE", "UPDATE patients SET name = 'x' (or one of 1 after it)"),
        ("public.parted", "SHARE UPDATE EXCLUSIVE", "COMMENT ON TABLE parted IS 'x'"),
    ]


def test_where_values_are_counted_in_a_second_run_locks_and_times_are_those_of_the_first(rehearsed18):
    (part,) = rehearsed18(["UPDATE patients SET name = 'x'", "ALTER TABLE patients ADD COLUMN x int", "SELECT pg_sleep(0.2)"])

    assert part.overwritten
    assert taken(part) == [("public.patients", "ACCESS EXCLUSIVE", "ALTER TABLE patients ADD COLUMN x int")]
    assert part.wal_bytes > 0


def steps_until_rehearsed(place):
    plan = pending.plan(place.project, place.live, place.identity(conditions.examine(place.live)), "head")
    verified = steps.verify_backup(place, steps.backup(place, plan, protects=True), plan)
    return plan, verified, steps.rehearse(place, plan, verified)


def test_a_plan_over_the_budget_is_refused_and_with_the_option_it_passes_and_is_recorded(site, database18):
    execute(database18, *WORLD[:6])
    place = site("holds_locks")
    place.target = replace(place.target, lock_budget_reads=timedelta(seconds=0.4), lock_budget_writes=timedelta(seconds=0.7))
    plan, verified, rehearsal = steps_until_rehearsed(place)
    of_letters, of_patients = (f"{lock.seconds:.1f}" for lock in rehearsal.locks if lock.until_end)
    over = (
        f"letters is locked against writes for {of_letters} s (limit 0.7 s) from: CREATE INDEX letters_sent ON letters (sent)",
        f"patients is locked against reads for {of_patients} s (limit 0.4 s) from: {REWRITES}",
    )
    whole_message = (
        "The plan locks tables for longer than this Target allows; nothing was changed.\n"
        f"  measured: {over[0]}\n"
        f"    {over[1]}\n"
        "Next: split the revision, write it with weaker locks, or accept them: just migrate --accept-locks"
    )

    with pytest.raises(errors.LocksTooLong) as refused:
        steps.weigh_locks(place, rehearsal, accept=False)
    assert str(refused.value) == whole_message
    assert refused.value.exit_code == 3

    consent = confirmation.not_needed(plan.fingerprint)
    with pytest.raises(errors.LocksTooLong) as refused:  # whoever leaves the weighing out comes no further
        steps.upgrade(place, plan, verified, rehearsal, consent)
    assert str(refused.value) == whole_message
    assert execute(database18, "SELECT version_num FROM alembic_version") == [("0001",)]
    assert place.history.all() == ([], 0)

    report = steps.classify_safety(place, plan, rehearsal)
    accepted = steps.weigh_locks(place, rehearsal, accept=True)
    consent = steps.confirm(plan, report, lambda _: pytest.fail("nothing is lost"), accepted=accepted)
    result = steps.upgrade(place, plan, verified, rehearsal, consent)

    assert result.heads == ("0003",)
    ((record,), damaged) = place.history.all()
    assert (record.outcome, record.accepted, damaged) == (Outcome.COMMITTED, over, 0)
    assert {(lock.relation, lock.rows, lock.rows_are_estimated) for lock in rehearsal.locks} == {
        ("public.letters", 0, False), ("public.patients", 1000, False), ("public.unsent", None, False),
    }  # fmt: skip


@pytest.mark.parametrize(("name", "driver"), [("linear", "psycopg2"), ("async_env", "asyncpg")])
def test_a_plan_within_the_budget_passes_without_a_word(site, name, driver):
    place = site(name, driver=driver)
    *_, rehearsal = steps_until_rehearsed(place)

    assert steps.weigh_locks(place, rehearsal, accept=False) == ()
