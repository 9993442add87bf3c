"""Plans that no transaction holds as a whole: cut into segments, each as it was rehearsed; what fails is said to the revision."""

import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest

from migration_pipeline import errors, steps
from migration_pipeline.adapters import pending
from migration_pipeline.adapters import preflight as conditions
from migration_pipeline.domain import confirmation
from migration_pipeline.domain.backups import Outcome
from migration_pipeline_tests import long, projects
from migration_pipeline_tests.conftest import execute, marked_processes, wait_until

WHY = (
    "0003 runs by itself: CREATE INDEX CONCURRENTLY",
    "what is before 0005 is committed first: it uses an enum label that is added there",
)
INVALID = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
AT_0001 = (
    "CREATE TYPE severity AS ENUM ('mild')",
    "CREATE TABLE patients (id serial PRIMARY KEY, name text NOT NULL, allergy text, severity severity)",
    "INSERT INTO patients (name, allergy) VALUES ('Ada', 'penicillin'), ('Grace', NULL)",
    "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
    "INSERT INTO alembic_version VALUES ('0001')",
)


@pytest.fixture
def place(site, database18):
    place = site("in_parts")
    execute(database18, *AT_0001)
    return place


def rehearsed(place, revision="head", *, upgrade=False, without_concurrently=False):
    """Go up to the upgrade; return what it takes."""
    plan = pending.plan(place.project, place.live, place.identity(conditions.examine(place.live)), revision)
    plan = replace(plan, without_concurrently=without_concurrently)
    verified = steps.verify_backup(place, steps.backup(place, plan, protects=True), plan)
    rehearsal = steps.rehearse(place, plan, verified)
    report = steps.classify_safety(place, plan, rehearsal)
    accepted = steps.weigh_atomicity(rehearsal, accept=True)
    ask = confirmation.not_needed
    found = (plan, verified, rehearsal, steps.confirm(plan, report, ask, accepted=accepted))
    if upgrade:
        steps.upgrade(place, *found)
    return found


def test_a_plan_that_no_transaction_holds_is_cut_rehearsed_and_upgraded_in_segments(place, database18):
    found = rehearsed(place)
    plan, _, rehearsal, _ = found

    cut = [([one.id for one in part.segment.plan.revisions], part.segment.alone) for part in rehearsal.segments]
    assert cut == [(["0002"], ""), (["0003"], "CREATE INDEX CONCURRENTLY"), (["0004"], ""), (["0005"], "")]
    assert rehearsal.why_not_atomic == WHY
    assert [one.revision for one in rehearsal.revisions] == ["0002", "0003", "0004", "0005"]
    assert not rehearsal.lost
    assert execute(database18, "SELECT version_num FROM alembic_version") == [("0001",)]

    result = steps.upgrade(place, *found)

    steps.post_check(place, plan, rehearsal, result)
    assert execute(database18, INVALID) == []
    assert execute(database18, "SELECT name, severity::text FROM patients ORDER BY id") == [("Ada", "severe"), ("Grace", None)]
    records, _ = place.history.all()
    assert (records[-1].outcome, records[-1].accepted) == (Outcome.COMMITTED, WHY)


def test_unless_that_is_accepted_nothing_is_begun(place):
    plan, verified, rehearsal, consent = rehearsed(place)

    with pytest.raises(errors.NotAtomic) as caught:
        steps.weigh_atomicity(rehearsal, accept=False)

    assert str(caught.value) == (
        "The plan cannot be rolled back as a whole; nothing was changed.\n"
        "  rehearsed: 0003 runs by itself: CREATE INDEX CONCURRENTLY\n"
        "    what is before 0005 is committed first: it uses an enum label that is added there\n"
        "Next: accept that the backup is the way back: just migrate --accept-non-transactional"
    )
    with pytest.raises(errors.NotAtomic):
        steps.upgrade(place, plan, verified, rehearsal, confirmation.not_needed(consent.plan_fingerprint))


def test_an_index_that_cannot_be_built_leaves_none_and_says_how_far_the_plan_came(place, database18):
    plan, verified, *others = rehearsed(place)
    execute(database18, "INSERT INTO patients (name) VALUES ('Ada')")  # a second one, after the backup

    with pytest.raises(errors.UpgradeFailed) as caught:
        steps.upgrade(place, plan, verified, *others)

    assert str(caught.value) == (
        'The upgrade failed. Revision "0003" failed.\n'
        "  statement: CREATE UNIQUE INDEX CONCURRENTLY patients_name ON patients (name)\n"
        '  server: 23505 could not create unique index "patients_name"\n'
        "  table: patients\n"
        "  constraint: patients_name\n"
        f"  file: {projects.revision_file(place.target.alembic_config.parent, '0003')}, line 14\n"
        "  dropped: public.patients_name, public.patients_ward: what the failed revision left of its indexes\n"
        "  state: 0003 is not applied; the database is at 0002, as it was before it\n"
        f"  safe: {verified.backup.id}, verified by a restore, holds the database as it was before the first of them\n"
        "  applied: 1 of 4 revisions: 0002\n"
        "Next: mend what is named above, then resume: just migrate 0005 --accept-non-transactional; "
        f"or go back, and lose what was written since: just restore-db {verified.backup.id}"
    )
    assert execute(database18, INVALID) == []
    assert execute(database18, "SELECT to_regclass('patients_ward'), to_regclass('patients_name')") == [(None, None)]
    records, _ = place.history.all()
    assert (records[-1].outcome, records[-1].heads_after, records[-1].revisions) == (Outcome.PARTLY, ("0002",), ("0002",))

    execute(database18, "DELETE FROM patients WHERE id = (SELECT max(id) FROM patients)")
    rehearsed(place, upgrade=True)
    assert execute(database18, "SELECT version_num FROM alembic_version") == [("0005",)]


MIXES = 'def upgrade():\n    op.execute("ALTER TABLE patients ADD COLUMN bed text")\n'
MIXES_AFTER = "postgresql_concurrently=True)\n\n\ndef downgrade"


@pytest.mark.parametrize("order", ["before", "after"])
def test_a_revision_that_does_both_is_refused_with_how_to_split_it(place, database18, order):
    file = projects.revision_file(place.target.alembic_config.parent, "0003")
    text = file.read_text()
    if order == "before":
        text = text.replace("def upgrade():\n", MIXES)
    else:
        added = MIXES_AFTER.replace("\n\n\n", '\n    op.execute("ALTER TABLE patients ADD COLUMN bed text")\n\n\n')
        text = text.replace(MIXES_AFTER, added)
    file.write_text(text)

    with pytest.raises(errors.CannotRollBack) as caught:
        rehearsed(place)

    assert str(caught.value) == (
        'Revision "0003" mixes what can be rolled back with what cannot.\n'
        "  can be: ALTER TABLE patients ADD COLUMN bed text\n"
        "  cannot be: CREATE INDEX CONCURRENTLY\n"
        f"  file: {file}\n"
        "Next: move CREATE INDEX CONCURRENTLY into a revision of its own, and leave the rest in this one; "
        "or leave CONCURRENTLY out: just migrate --without-concurrently"
    )
    assert execute(database18, "SELECT version_num FROM alembic_version") == [("0001",)]


ANOTHER = """
    if op.get_bind().exec_driver_sql("SELECT count(*) FROM patients").scalar() > 2:
        op.execute("CREATE INDEX CONCURRENTLY patients_allergy ON patients (allergy)")


def downgrade"""


def test_what_was_not_rehearsed_is_not_sent_outside_a_transaction(place, database18):
    file = projects.revision_file(place.target.alembic_config.parent, "0003")
    file.write_text(file.read_text().replace("\n\n\ndef downgrade", ANOTHER))
    found = rehearsed(place)
    execute(database18, "INSERT INTO patients (name) VALUES ('Alan')")

    with pytest.raises(errors.UpgradeFailed) as caught:
        steps.upgrade(place, *found)

    assert caught.value.what == (
        'The upgrade failed. Revision "0003": it sends what it did not send in the rehearsal: '
        "CREATE INDEX CONCURRENTLY patients_allergy ON patients (allergy)."
    )
    left = "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'patients'::regclass"
    assert execute(database18, left) == [("patients_pkey",)]


def test_without_concurrently_one_transaction_holds_it_and_its_lock_is_measured(place, database18):
    found = rehearsed(place, "0003", without_concurrently=True)
    _, _, rehearsal, consent = found

    assert rehearsal.why_not_atomic == consent.accepted == ()
    assert [one.sql for one in rehearsal.revisions[1].statements] == [
        "CREATE INDEX patients_ward ON patients (ward)",
        "CREATE UNIQUE INDEX patients_name ON patients (name)",
    ]
    assert {one.relation for one in rehearsal.locks} == {"public.patients"}
    steps.upgrade(place, *found)
    assert execute(database18, "SELECT version_num FROM alembic_version") == [("0003",)]


def test_a_file_that_is_edited_between_two_segments_stops_the_plan_there(place, database18):
    found = rehearsed(place)
    file = projects.revision_file(place.target.alembic_config.parent, "0005")
    with psycopg.connect(database18) as reader, ThreadPoolExecutor(1) as pool:
        execute(database18, "CREATE TABLE elsewhere (id int)", "DROP TABLE elsewhere")
        upgrading = pool.submit(steps.upgrade, place, *found)
        wait_until(lambda: execute(database18, "SELECT 1 FROM alembic_version WHERE version_num = '0002'"), lambda: "", 60)
        file.write_text(file.read_text().replace("severity IS NULL AND", ""))
        reader.rollback()
        with pytest.raises(errors.Stale) as caught:
            upgrading.result(60)

    assert caught.value.what == 'The file of revision "0005" has changed since the plan was made.'
    assert "resume: just migrate 0005 --accept-non-transactional" in caught.value.next_step


def test_env_py_may_write_nothing_while_a_revision_runs_outside_a_transaction(place, database18):
    env = place.project_folder.parent / "shared" / "env.py"
    written = "    context.run_migrations()"
    assert written in env.read_text().replace("        context.run", "    context.run")
    env.write_text(
        env.read_text().replace(
            "context.run_migrations()", 'context.execute("UPDATE patients SET name = name"); context.run_migrations()'
        )
    )

    with pytest.raises(errors.MigrationPipelineError) as caught:
        rehearsed(place, "0003")

    assert "env.py: it changes something outside a transaction" in str(caught.value)
    assert execute(database18, "SELECT version_num FROM alembic_version") == [("0001",)]


@pytest.mark.parametrize("driver", [long("psycopg2"), "asyncpg"])
def test_the_other_drivers_run_it_outside_a_transaction_too(site, database18, driver):
    place = site("in_parts" if driver == "psycopg2" else "async_env", driver=driver)
    if driver == "asyncpg":
        versions = place.project_folder / "migrations" / "versions"
        shutil.rmtree(versions)
        shutil.copytree(projects.path("in_parts") / "versions", versions)
    rehearsed(place, upgrade=True)

    assert execute(database18, "SELECT version_num FROM alembic_version") == [("0005",)]
    assert execute(database18, INVALID) == []


def test_a_runner_that_is_killed_while_it_builds_leaves_no_index(place, database18, monkeypatch, tmp_path):
    monkeypatch.setenv("MARK", str(tmp_path))
    execute(database18, "ALTER TABLE patients ADD COLUMN ward text", "UPDATE alembic_version SET version_num = '0002'")
    found = rehearsed(place, "0003")
    with psycopg.connect(database18) as writer, ThreadPoolExecutor(1) as pool:
        writer.execute("INSERT INTO patients (name) VALUES ('Alan')")  # the index waits for it
        upgrading = pool.submit(steps.upgrade, place, *found)
        building = "SELECT 1 FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%'"  # a key of a table is built too
        wait_until(lambda: execute(database18, building), lambda: "no index", seconds=60)
        (runner,) = marked_processes(tmp_path)
        os.kill(runner, signal.SIGKILL)
        writer.rollback()  # what drops the index waits for it as well
        with pytest.raises(errors.UpgradeFailed) as caught:
            upgrading.result(60)

    assert caught.value.evidence["dropped"] == "public.patients_ward: what the failed revision left of its index"
    assert caught.value.evidence["state"] == "0003 is not applied; the database is at 0002, as it was before it"
    assert execute(database18, INVALID) == []
