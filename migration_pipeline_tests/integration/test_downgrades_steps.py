"""One step of a check of downgrades: what ends its interpreter, never ends, leaves its transaction, or only looks like a refusal."""

import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from datetime import timedelta
from pathlib import Path

import pytest

from migration_pipeline import downgrading, errors
from migration_pipeline.adapters import alembic_project
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.downgrade_range import Range
from migration_pipeline.downgrading import Asked
from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import execute
from migration_pipeline_tests.integration import downgrade_project
from migration_pipeline_tests.integration.downgrade_project import adds, environment, scratch_databases, sent

PROGRAM = Path(sys.executable).with_name("migration-pipeline")
OUTSIDE = "it ran outside a transaction, for PostgreSQL or the revision itself does not keep to one"


@pytest.fixture
def check(server18, tmp_path):
    """Check a project of one line of revisions on the server of the tests, in this process."""

    def check(faults, *, driver="", **asked):
        project = downgrade_project.write(tmp_path, faults)
        if driver == "asyncpg":
            shutil.copy(projects.path("async_env") / "migrations" / "env.py", tmp_path / "shared" / "env.py")
        server = Connection.from_url(server18.url())
        made = Project(config=project / "alembic.ini", python=Path(sys.executable), live=alembic_project.NOWHERE, driver=driver)
        return downgrading.check(Asked(project=made, server=server, programs=server18.binaries, **asked))

    return check


@pytest.fixture
def run(server18, tmp_path):
    """Run the command as a project's CI does; return what it said, and each test's result in the JUnit file."""

    def run(faults, *arguments):
        done = subprocess.run(
            [PROGRAM, "test-downgrades", "--junit", "junit.xml", *arguments],
            cwd=downgrade_project.write(tmp_path, faults), env=environment(server18), capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        cases = ET.parse(tmp_path / "linear" / "junit.xml").getroot().iter("testcase")
        return done, {case.get("name"): [f"{one.tag}: {one.get('message')}" for one in case] for case in cases}

    return run


def found(report):
    return {one.title: [f"{finding.kind}: {finding.what}" for finding in one.findings] for one in report.revisions}


CREATES = (sent("CREATE TABLE notes (id int PRIMARY KEY, body text)"), sent("DROP TABLE notes"))
ENDS_ITSELF = "SELECT pg_terminate_backend(pg_backend_pid())"
EXITS = "import os\nos._exit(3)"
IN_THE_MIDST = {
    "Creates.": CREATES,
    "Exits.": (adds("a")[0], EXITS),
    "Faults.": (adds("b")[0], "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)"),
    "Sleeps.": (adds("c")[0], sent("SELECT pg_sleep(100000)")),
    "Spins.": (adds("d")[0], "while True:\n    pass"),
    "Exits when it goes up again.": (
        f"import os\nif 'RAN' in os.environ:\n    os._exit(4)\nos.environ['RAN'] = 'once'\n{adds('e')[0]}", adds("e")[1],
    ),
    "Ends its session.": (adds("f")[0], sent(ENDS_ITSELF)),
    "Interrupts.": (adds("g")[0], "raise KeyboardInterrupt"),
    "Is right.": adds("i"),
}  # fmt: skip


def test_a_step_that_ends_the_run_is_a_finding_and_the_check_goes_on_in_another_database(check, server18):
    report = check(IN_THE_MIDST, limit=timedelta(seconds=3))
    assert found(report) == {
        "Creates.": [],
        "Exits.": ["raises: its interpreter ended: exit code 3"],
        "Faults.": ["raises: its interpreter ended: SIGSEGV"],
        "Sleeps.": ["raises: it did not end within 3 s"],
        "Spins.": ["raises: it did not end within 3 s"],
        "Exits when it goes up again.": ["second upgrade: it fails: its interpreter ended: exit code 4"],
        "Ends its session.": [f"raises: 57P01 terminating connection due to administrator command; statement: {ENDS_ITSELF}"],
        "Interrupts.": ["raises: KeyboardInterrupt"],
        "Is right.": [],
    }
    assert scratch_databases(server18) == []
    assert execute(server18.url(), "SELECT query FROM pg_stat_activity WHERE query LIKE '%pg_sleep(100000)'") == []


@pytest.mark.long
def test_an_interpreter_that_closes_its_pipe_is_ended(check):
    closes = "import os\nos.closerange(3, 100)\nwhile True:\n    pass"
    assert found(check({"Creates.": CREATES, "Closes its pipe.": (adds("a")[0], closes), "Is right.": adds("b")})) == {
        "Creates.": [],
        "Closes its pipe.": ["raises: The project's interpreter closed the pipe to us and ran on"],
        "Is right.": [],
    }


def test_an_upgrade_that_ends_its_interpreter_is_the_last_that_is_reached(run):
    faults = {"Creates.": CREATES, "Exits.": (EXITS, "pass"), "Comes later.": adds("a")}
    done, tests = run(faults)
    assert done.returncode == errors.Refusal.exit_code, done.stderr
    assert tests == {
        "0001 Creates.": [],
        "0002 Exits.": ['failure: Revision "0002": its upgrade fails, so its downgrade cannot be tested.'],
        "0003 Comes later.": ['failure: Revision "0003": it was not reached.'],
    }
    assert "  upgrade fails: its interpreter ended: exit code 3\n" in done.stdout


#: The revision goes up once alone; where it comes after the first slice, its death spoils the database of the second.
ONCE = "from pathlib import Path\nran = Path(__file__).with_suffix('.ran')\nassert not ran.exists()\nran.touch()\n"


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_what_is_known_is_told_when_the_check_does_not_come_to_its_end(run, jobs):
    faults = {
        "Creates.": CREATES,
        "Is right.": adds("a"),
        "Goes up once.": (f"{ONCE}{adds('b')[0]}", EXITS),
        "Comes later.": adds("c"),
    }
    done, tests = run(faults, "--jobs", jobs)
    assert done.returncode == errors.ProjectFailed.exit_code
    assert tests == {
        "0001 Creates.": [],
        "0002 Is right.": [],
        "0003 Goes up once.": ['failure: Revision "0003": its downgrade raises.'],
        "check": ["error: the check did not come to its end"],
    }
    assert "  raises: its interpreter ended: exit code 3\n" in done.stdout
    assert done.stdout.endswith(": 2 ok, 1 raises; the check did not come to its end.\n")
    assert done.stderr.startswith('Revision "0003" failed.\n  error: AssertionError: ')


def test_the_folder_of_the_results_is_made_and_one_that_cannot_be_is_told_before_the_check(tmp_path):
    (tmp_path / "file").touch()
    done = subprocess.run(
        [PROGRAM, "test-downgrades", "--junit", tmp_path / "file" / "junit.xml"],
        cwd=projects.path("linear"), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (
        errors.SettingsError.exit_code,
        "",
        f'The file "{tmp_path}/file/junit.xml" cannot be written: File exists.\nNext: name another one by --junit\n',
    )


def test_an_upgrade_that_is_not_checked_and_ends_its_interpreter_ends_the_check(check, server18):
    with pytest.raises(errors.ProjectFailed) as told:
        check({"Exits.": (EXITS, "pass"), "Is right.": ("pass", "pass")}, range=Range(since="0001"))
    assert str(told.value) == (
        'Revision "0001": its interpreter ended: exit code 3.\n'
        "Next: give what the history begins with by --baseline, written by pg_dump --schema-only, or begin later by --from"
    )
    assert scratch_databases(server18) == []


def test_an_interruption_tells_what_is_known(server18, tmp_path):
    faults = {"Creates.": CREATES, "Sleeps.": (adds("a")[0], sent("SELECT pg_sleep(100000)"))}
    project = downgrade_project.write(tmp_path, faults)
    environment = {**os.environ, "SCRATCH_DATABASE_URL": server18.url(), "PG_BIN": str(server18.binaries)}
    command = [PROGRAM, "test-downgrades", "--junit", "junit.xml"]
    started = subprocess.Popen(command, cwd=project, env=environment, stdout=subprocess.PIPE, text=True)
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(100000)'"
    while execute(server18.url(), sleeping) != [(1,)]:
        assert started.poll() is None
        time.sleep(0.1)
    started.terminate()
    said, _ = started.communicate(timeout=30)
    assert started.returncode == errors.Interrupted.exit_code
    assert said.endswith(": 1 ok; the check did not come to its end.\n")
    assert "the check did not come to its end" in (project / "junit.xml").read_text()
    assert execute(server18.url(), sleeping) == [(0,)]


def outside(*statements):
    return "".join(
        ["with op.get_context().autocommit_block():", *(f"\n    {line}" for line in sent(*statements).splitlines()), "\n"]
    )


VACUUM = outside("VACUUM notes")
IN_A_TRANSACTION = sent(
    "LOCK TABLE notes", "CREATE TEMP TABLE aside ON COMMIT DROP AS SELECT * FROM notes", "INSERT INTO aside SELECT * FROM notes",
)  # fmt: skip
SAVES = "with op.get_bind().begin_nested():\n    op.execute('LOCK TABLE notes')\n"
BESIDE = """
import sqlalchemy as sa
from alembic import context
with sa.create_engine(context.config.get_main_option("sqlalchemy.url")).begin() as beside:
    """
LEAVES = {
    "Creates.": CREATES,
    "Locks after a block.": tuple(VACUUM + IN_A_TRANSACTION + "\n" + SAVES + one for one in adds("a")),
    "Locks before a block.": tuple(f"{SAVES}{IN_A_TRANSACTION}\n{VACUUM}{one}" for one in adds("b")),
    "Commits.": tuple(f"op.get_bind().commit()\n{SAVES}{IN_A_TRANSACTION}\n{one}" for one in adds("c")),
    "Rolls back.": tuple(
        f"{sent('DELETE FROM notes')}\nop.get_bind().rollback()\n{SAVES}{IN_A_TRANSACTION}\n{one}" for one in adds("d")
    ),
}
WRITES_BESIDE = {
    "Creates.": CREATES,
    "Writes beside it.": tuple(
        BESIDE + f"beside.execute(sa.text({write!r}))\n{SAVES}{one}"
        for write, one in zip(("INSERT INTO notes VALUES (-1)", "DELETE FROM notes WHERE id = -1"), adds("a"), strict=True)
    ),
}


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_what_leaves_its_transaction_does_there_what_it_does_under_alembic(check, driver):
    report = check(LEAVES, driver=driver)
    assert [(one.text if one.is_failed else one.notes) for one in report.revisions] == [(), *[(OUTSIDE,)] * (len(LEAVES) - 1)]


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_a_second_connection_is_one(check, driver):
    report = check(WRITES_BESIDE, driver=driver)
    assert [(one.text if one.is_failed else one.notes) for one in report.revisions] == [(), (OUTSIDE,)]


POOL = """
import sys, types
import sqlalchemy as sa
from alembic import context
if "application" not in sys.modules:
    sys.modules["application"] = types.ModuleType("application")
    sys.modules["application"].engine = sa.create_engine(context.config.get_main_option("sqlalchemy.url"))
with sys.modules["application"].engine.begin() as beside:
    beside.execute(sa.text("SELECT FROM notes"))
"""


def test_the_pool_of_an_application_serves_one_revision_after_the_other(check):
    shared = {f"Asks beside it, {column}.": tuple(POOL + one for one in adds(column)) for column in "ab"}
    report = check({"Creates.": CREATES, **shared})
    assert [(one.text if one.is_failed else one.notes) for one in report.revisions] == [(), (OUTSIDE,), (OUTSIDE,)]


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_what_a_revision_leaves_open_is_no_fault_of_the_one_in_which_it_becomes_garbage(check, driver):
    leaves = (
        "import sqlalchemy as sa\nfrom alembic import context\n"
        'left = [sa.create_engine(context.config.get_main_option("sqlalchemy.url")).connect()]\n'
        'left[0].execute(sa.text("SELECT 1"))\nleft.append(left)\nsa.left = left'
    )
    collects = "import gc\nimport sqlalchemy as sa\nsa.left = None\ngc.collect()\n"
    faults = {
        "Creates.": CREATES,
        "Leaves a connection.": (adds("a")[0], f"{leaves}\n{adds('a')[1]}"),
        "Collects it.": tuple(collects + one for one in adds("b")),
    }
    assert found(check(faults, driver=driver)) == {title: [] for title in faults}


def test_what_fails_under_alembic_fails(check):
    waits_for_itself = BESIDE + "beside.execute(sa.text('LOCK TABLE notes'))"
    label = ("ALTER TYPE mood ADD VALUE 'bad'", "ALTER TABLE notes ADD b mood DEFAULT 'bad'", "ALTER TABLE notes DROP b")
    faults = {
        "Creates.": CREATES,
        "Waits for itself.": (adds("a")[0], f"{sent('LOCK TABLE notes')}\n{waits_for_itself}"),
        "Uses a label at once.": (sent("CREATE TYPE mood AS ENUM ('good')"), sent(*label, "DROP TYPE mood")),
        "Vacuums after a block.": (VACUUM + adds("c")[0], f"{VACUUM}{sent('VACUUM notes')}\n{adds('c')[1]}"),
        "Cannot commit.": (
            sent("CREATE TABLE kids (n int REFERENCES notes DEFERRABLE INITIALLY DEFERRED)"),
            VACUUM + sent("INSERT INTO kids VALUES (-1)"),
        ),
    }
    assert found(check(faults)) == {
        "Creates.": [],
        "Waits for itself.": ["raises: 55P03 canceling statement due to lock timeout; statement: LOCK TABLE notes"],
        "Uses a label at once.": [
            "raises: 55P04 unsafe use of new value \"bad\" of enum type mood; statement: ALTER TABLE notes ADD b mood DEFAULT 'bad'"
        ],
        "Vacuums after a block.": ["raises: 25001 VACUUM cannot run inside a transaction block; statement: VACUUM notes"],
        "Cannot commit.": ['raises: 23503 insert or update on table "kids" violates foreign key constraint "kids_n_fkey"'],
    }


TAKEN = "would end or take over the transaction that the pipeline holds"


def test_a_prepared_transaction_is_not_left_behind(check, server18):
    faults = {"Creates.": CREATES, "Prepares.": (adds("a")[0], sent("PREPARE TRANSACTION 'half_way'")), "Is right.": adds("b")}
    assert found(check(faults)) == {
        "Creates.": [],
        "Prepares.": [f"raises: PREPARE TRANSACTION {TAKEN}; statement: PREPARE TRANSACTION 'half_way'"],
        "Is right.": [],
    }
    assert execute(server18.url(), "SELECT gid FROM pg_prepared_xacts") == []
    assert scratch_databases(server18) == []


DECLARED = "# DOWNGRADE: IRREVERSIBLE nothing tells them apart\n"


def wrapped(statement, raises="raise RuntimeError('no way back')"):
    return f"try:\n    {statement}\nexcept Exception as error:\n    {raises}"


def test_a_failure_in_the_clothes_of_a_refusal_is_a_failure(check):
    fails = sent("SELECT nothing FROM notes")
    faults = {
        "Creates.": CREATES,
        "Refuses.": (DECLARED + adds("a")[0], "raise RuntimeError('no way back')"),
        "Refuses in two steps.": (
            DECLARED + adds("b")[0],
            wrapped("raise NotImplementedError", "raise RuntimeError('no') from error"),
        ),
        "Hides the server's error.": (DECLARED + adds("c")[0], wrapped(fails)),
        "Hides it better.": (DECLARED + adds("d")[0], wrapped(fails, "raise NotImplementedError from None")),
        "Hides a mistake.": (DECLARED + adds("e")[0], wrapped("{}['of a patient']", "raise RuntimeError('no') from error")),
        "Raises later.": (DECLARED + adds("f")[0], wrapped(fails, "pass") + "\nraise NotImplementedError"),
    }
    report = check(faults)
    assert [one.result for one in report.revisions] == ["ok", "irreversible", "irreversible", *["raises"] * 4]
    server = 'raises: 42703 column "nothing" does not exist; statement: SELECT nothing FROM notes'
    assert list(found(report).values())[3:] == [
        [server], [server], ["raises: RuntimeError: no; its cause: KeyError"], [server],
    ]  # fmt: skip
