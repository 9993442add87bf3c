"""How far an upgrade is stands in the log of its run; and it ends itself where too many wait for it."""

import contextlib
import re
import threading

import dagster as dg
import psycopg
import pytest

from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import wait_until
from migration_pipeline_tests.door import Run

SLEEPS = "SELECT pg_sleep({seconds}) WHERE current_database() NOT LIKE 'mp_scratch%'"  # it was quick in the rehearsal
COLUMN = '    op.execute("ALTER TABLE patients ADD COLUMN ward text")\n'
COMMENT = """    op.execute("COMMENT ON COLUMN patients.ward IS 'where they lie'")\n"""
UPGRADE = "migration_pipeline upgrade default"


@pytest.fixture
def slow(make_site18):
    """Return a function: seconds → a site whose next upgrade holds a lock on patients for so long."""

    def make(seconds):
        site = make_site18("linear", at="0001")
        projects.remove_revision(site.project, "0003")
        file = projects.revision_file(site.project, "0002")
        sleeps = f'    op.execute("{SLEEPS.format(seconds=seconds)}")\n'
        file.write_text(file.read_text().replace(COLUMN, COLUMN + COMMENT + sleeps))
        site.take_backup()
        return site

    return make


def log_of_the_run(site):
    with dg.DagsterInstance.from_config(str(site.folder / "dagster")) as instance:
        (run,) = instance.get_runs(filters=dg.RunsFilter(job_name="migrate"))
        return [entry.user_message for entry in instance.all_logs(run.run_id) if not entry.dagster_event]


def test_how_far_an_upgrade_is_stands_in_the_log_of_its_run(slow):
    site = slow(1.7)

    done = site.run("migrate")

    assert (done.returncode, site.revision) == (0, ["0002"]), done.stderr
    (told,) = [one for one in log_of_the_run(site) if "statement" in one]
    assert re.fullmatch(
        r"revision 0002, statement 3 of 3, after \d s \(the whole rehearsal took \d\.\d s\)\n"
        r"  statement: SELECT pg_sleep\(…\) WHERE current_database\(\) NOT LIKE '…' \(for \d s\)\n"
        r"  keeps waiting: nobody",
        told,
    ), told


@contextlib.contextmanager
def waiting(site, how_many):
    """Let sessions wait for the upgrade as soon as it holds its lock."""

    def wait():
        with psycopg.connect(site.url, application_name="ward app", autocommit=True) as opened:
            opened.execute("SELECT count(*) FROM patients")

    holds = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{UPGRADE}' AND query LIKE '%pg_sleep%'"
    wait_until(lambda: site.query(holds) == [(1,)], lambda: "no upgrade holds a lock", 60)
    threads = [threading.Thread(target=wait) for _ in range(how_many)]
    for one in threads:
        one.start()
    yield
    for one in threads:
        one.join(10)
        assert not one.is_alive(), "it still waits"


@pytest.mark.control("B4")
def test_an_upgrade_that_too_many_wait_for_is_ended_and_rolled_back(slow):
    site = slow(60)
    site.configure(abort_queue_sessions=1, abort_queue_seconds=1)
    run = Run(["migrate"], site.environ, site.folder)

    with waiting(site, 2):
        code = run.wait()

    assert (code, site.revision, site.has_column("patients", "ward")) == (1, ["0001"], False)
    told = run.said[run.said.index("The upgrade was ended") :]
    assert re.fullmatch(
        r"The upgrade was ended: too many sessions waited for it for too long\.\n"
        r"  waited: 2 sessions for \d s; abort_queue allows 1 for 1 s\n"
        r"  at: revision 0002, statement 3 of 3\n"
        r"  statement: SELECT pg_sleep\(60\) WHERE current_database\(\) NOT LIKE '…'\n"
        r"  file: \S+/versions/0002_add_ward\.py, line 14\n"
        r"  state: rolled back; the database is at 0001, as before\n"
        r"  safe: backup_[\d_-]+, verified by a restore\n"
        r"Next: choose a time when fewer work with these tables, or split the revision, then: just migrate\n",
        told,
    ), told
    assert "Too many sessions wait for the upgrade; it is ended." in log_of_the_run(site)


def test_one_waiter_fewer_is_none_too_many(slow):
    site = slow(4)
    site.configure(abort_queue_sessions=2, abort_queue_seconds=0.5)
    run = Run(["migrate"], site.environ, site.folder)

    with waiting(site, 2):
        assert run.wait() == 0, run.said

    assert site.revision == ["0002"]
