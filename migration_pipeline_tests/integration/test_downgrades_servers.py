"""The servers that a check of downgrades makes things on: nothing of it is left there, and nobody else's is touched."""

import contextlib
import dataclasses
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from migration_pipeline import downgrade_slices, errors, settings
from migration_pipeline.adapters import alembic_project, embedded, scratch, throwaway
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.downgrade_range import Range
from migration_pipeline.downgrading import Asked
from migration_pipeline.workplace import Workplace
from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import execute, fast_folder
from migration_pipeline_tests.integration import downgrade_project
from migration_pipeline_tests.integration.downgrade_project import environment, sent

PROGRAM = Path(sys.executable).with_name("migration-pipeline")


@pytest.fixture
def run(server18):
    """Run the command as a project's CI does: it has a server, and no pipeline.toml."""

    def run(folder, *arguments, **more):
        return subprocess.run(
            [PROGRAM, "test-downgrades", *map(str, arguments)],
            cwd=folder, env={**environment(server18), **more}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    return run


@pytest.fixture
def home(monkeypatch):
    """A place of its own for throw-away servers: the others on this machine are none of the test's business."""
    folder = Path(tempfile.mkdtemp(prefix="mp-tests-", dir=fast_folder()))
    folder.chmod(0o755)  # the server's account passes through
    monkeypatch.setattr(embedded, "HOME", folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def server(server18):
    """A given scratch server, without the roles of these tests."""
    yield server18
    for role in ROLES:
        execute(server18.url(), f"DROP ROLE IF EXISTS {role}")


@pytest.fixture
def asked(server):
    """What is asked of a project on the given server."""

    def asked(project, **more):
        made = Project(config=project / "alembic.ini", python=Path(sys.executable), live=alembic_project.NOWHERE)
        return Asked(project=made, server=Connection.from_url(server.url()), programs=server.binaries, **more)

    return asked


ROLES = ("reports_reader", "reports_writer", "somebody_else")
READER = sent("CREATE ROLE reports_reader NOLOGIN")
MAKES_ROLES = {
    "Makes roles.": (
        sent("CREATE ROLE reports_reader", "CREATE ROLE reports_writer IN ROLE reports_reader", "CREATE TABLE a (id int)",
             "ALTER TABLE a OWNER TO reports_writer", "GRANT reports_reader TO CURRENT_USER"),
        sent("DROP TABLE a", "DROP ROLE reports_writer", "DROP ROLE reports_reader"),
    ),
    "Spoils the database.": (
        sent("CREATE TABLE b (id int)"),
        'with op.get_context().autocommit_block():\n    op.execute("VACUUM a")',
    ),
    "Adds.": (sent("ALTER TABLE a ADD c int"), sent("ALTER TABLE a DROP c")),
}  # fmt: skip


ENDLESS = """
import sys
from pathlib import Path
from migration_pipeline.adapters import embedded, throwaway
embedded.HOME = Path(sys.argv[1])
with throwaway.server() as server:
    print(server.parameters["port"], flush=True)
    sys.stdin.read()
"""


def checks(home):
    return [folder.name for folder in home.iterdir() if folder.name.startswith(throwaway.PREFIX)]


def pid_of(data):
    return int((data / "postmaster.pid").read_text().split()[0])


def is_running(pid):
    """Tell whether a process runs; a dead one that nobody has taken notice of does not."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


def test_the_server_of_a_killed_check_is_ended_by_the_next_one_and_that_of_a_living_one_is_not(home):
    command = [sys.executable, "-c", ENDLESS, str(home)]
    living, killed = (subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2))
    with living, killed:
        assert all(one.stdout.readline() for one in (living, killed))
        pids = [pid_of(folder) for folder in home.glob("*/server/data")]
        killed.kill()
        killed.wait()
        assert [is_running(pid) for pid in pids] == [True, True]

        throwaway.sweep()

        (left,) = checks(home)
        assert [pid for pid in pids if is_running(pid)] == [pid_of(home / left / "server" / "data")]
    assert checks(home) == []


def test_a_process_that_has_the_number_of_a_dead_server_is_let_live(home):
    data = home / f"{throwaway.PREFIX}left" / "server" / "data"
    data.mkdir(parents=True)
    (data.parents[1] / throwaway.OWNER).touch()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        (data / "postmaster.pid").write_text(f"{other.pid}\n{data}\n")

        throwaway.sweep()

        other.communicate(b"\n")
    assert (checks(home), other.returncode) == ([], 0)


LEFT = "role {0} came while the check ran, and is left on the server; if the check made it: DROP OWNED BY {0}; DROP ROLE {0}"


def there(server):
    return [row[0] for row in execute(server.url(), "SELECT rolname::text FROM pg_roles ORDER BY 1") if row[0] in ROLES]


def check(asked, jobs=1):
    report, error = downgrade_slices.check(asked, jobs, lambda _: None, lambda _: None)
    if error:
        raise error
    return report


def test_roles_of_revisions_are_in_nobodys_way(asked, server, tmp_path):
    project = asked(downgrade_project.write(tmp_path, MAKES_ROLES))
    for _ in range(2):
        report = check(project)
        assert [one.result for one in report.revisions] == ["ok", "residue", "ok"]
        assert (there(server), report.notes) == ([], ())


#: No file has it: on a given server it may as well be somebody else's.
BY_ANOTHER_NAME = 'op.execute("CREATE ROLE " + "_".join(["reports", "writer"]))'


def test_no_role_is_dropped_that_was_there_before_or_that_no_revision_names(asked, server, tmp_path):
    execute(server.url(), "CREATE ROLE reports_reader")
    upgrade = sent("CREATE TABLE a ()", "GRANT USAGE ON SCHEMA public TO reports_reader")
    faults = {
        "Grants.": (upgrade, sent("DROP TABLE a", "REVOKE USAGE ON SCHEMA public FROM reports_reader")),
        "Makes.": (BY_ANOTHER_NAME, BY_ANOTHER_NAME.replace("CREATE", "DROP")),
    }
    report = check(asked(downgrade_project.write(tmp_path, faults)))
    assert there(server) == ["reports_reader", "reports_writer"]
    assert report.notes == (LEFT.format("reports_writer"),)


def test_a_role_is_not_dropped_that_a_revision_only_grants_to(asked, server, tmp_path):
    grants = "DO $$ BEGIN IF to_regrole('somebody_else') IS NOT NULL THEN {} somebody_else; END IF; END $$"
    faults = {
        "Grants.": (
            sent(grants.format("GRANT USAGE ON SCHEMA public TO")),
            sent(grants.format("REVOKE USAGE ON SCHEMA public FROM")),
        ),
        "Maps.": (sent("SELECT 'CREATE USER MAPPING FOR somebody_else'"), "pass"),
        "Makes roles.": MAKES_ROLES["Makes roles."],
    }
    project = asked(downgrade_project.write(tmp_path, faults))

    def done(one):
        if one.revision == "0001":
            execute(server.url(), "CREATE ROLE somebody_else")

    report, error = downgrade_slices.check(project, 1, lambda _: None, done)
    assert (error, [one.result for one in report.revisions], there(server)) == (None, ["ok", "ok", "ok"], ["somebody_else"])
    assert report.notes == (LEFT.format("somebody_else"),)


def test_a_role_on_which_something_else_depends_is_left_and_told(asked, server, database18, tmp_path):
    name = database18.rpartition("/")[2]
    upgrade = sent("CREATE ROLE reports_reader", f"GRANT CONNECT ON DATABASE {name} TO reports_reader")
    faults = {"Makes a role.": (upgrade, sent("DROP OWNED BY reports_reader", "DROP ROLE reports_reader"))}
    report = check(asked(downgrade_project.write(tmp_path, faults)))
    assert there(server) == ["reports_reader"]
    assert report.notes == (LEFT.format("reports_reader"),)
    execute(server.url(), "DROP OWNED BY reports_reader")


def test_on_a_throw_away_server_every_role_that_came_goes(asked, server, tmp_path):
    upgrade = f"{BY_ANOTHER_NAME}\n{sent('GRANT SET ON PARAMETER log_statement TO reports_writer')}"
    faults = {"Makes.": (upgrade, sent("DROP OWNED BY reports_writer", "DROP ROLE reports_writer"))}
    report = check(asked(downgrade_project.write(tmp_path, faults), is_throwaway=True))
    assert ([one.text for one in report.failed], there(server), report.notes) == ([], [], ())


def test_a_role_that_a_killed_check_left_is_told_as_that(asked, server, tmp_path):
    execute(server.url(), "CREATE ROLE reports_reader")
    faults = {
        "Makes a role.": (READER, sent("DROP ROLE reports_reader")),
        "Adds.": (sent("CREATE TABLE a ()"), sent("DROP TABLE a")),
    }
    project = asked(downgrade_project.write(tmp_path, faults))
    report = check(project)
    assert report.revisions[0].text.rpartition("\n")[0] == (
        'Revision "0001": its upgrade fails, so its downgrade cannot be tested.\n'
        '  upgrade fails: 42710 role "reports_reader" already exists; statement: CREATE ROLE reports_reader NOLOGIN\n'
        "    roles belong to the server: if an earlier run has left this one there, drop it, or unset SCRATCH_DATABASE_URL"
    )
    with pytest.raises(errors.ProjectFailed) as told:
        check(dataclasses.replace(project, range=Range(since="0001")))
    assert told.value.next_step == (
        "roles belong to the server: if an earlier run has left this one there, drop it, or unset SCRATCH_DATABASE_URL"
    )
    assert there(server) == ["reports_reader"]


def test_slices_side_by_side_of_a_project_that_makes_roles_are_refused(asked, server, tmp_path):
    with pytest.raises(errors.NotAllowed) as told:
        check(asked(downgrade_project.write(tmp_path, MAKES_ROLES)), jobs=2)
    assert str(told.value) == (
        "The revisions make roles, which belong to the server: slices side by side on one server are in each other's way.\n"
        "  roles: reports_reader, reports_writer\n"
        "Next: run it without --jobs, or in shards that have a server each"
    )
    assert there(server) == []


REFUSED = """\
The scratch server is the live server: what revisions do to roles there would reach the live database.
  live database: {} on localhost:{} as postgres
  scratch server: postgres on 127.0.0.1:{} as postgres
Next: name another server in SCRATCH_DATABASE_URL, or leave it out: then a throw-away server is started
"""


def test_a_scratch_server_that_is_the_live_one_is_refused(run, server18, database18):
    done = run(projects.path("linear"), DATABASE_URL=database18.replace("127.0.0.1", "localhost"))
    told = REFUSED.format(database18.rpartition("/")[2], server18.port, server18.port)
    assert (done.returncode, done.stdout, done.stderr) == (errors.NotAllowed.exit_code, "", told)


def test_in_dagster_it_is_refused_too(server18, database18, tmp_path):
    given = {
        "DATABASE_URL": database18, "SCRATCH_DATABASE_URL": server18.url(), "MIGRATION_ENVIRONMENT": "staging",
        "ALEMBIC_CONFIG": str(projects.path("linear") / "alembic.ini"),
    }  # fmt: skip
    place = Workplace(target=settings.load(given, tmp_path), run_id="")
    with contextlib.closing(place), pytest.raises(errors.NotAllowed, match="^The scratch server is the live server:"):
        downgrade_slices.check_target(place, Range())


def test_the_url_of_a_live_database_need_not_be_right(run):
    done = run(projects.path("linear"), "--from", "0002", DATABASE_URL="no URL")
    assert done.returncode == 0, done.stderr


def test_another_server_is_no_live_one_nor_is_one_that_is_not_there(server18, second_server):
    ours, other = (Connection.from_url(one.url()) for one in (server18, second_server))
    scratch.refuse_live(ours, other)
    scratch.refuse_live(ours, Connection.from_url("postgresql://127.0.0.1:1/nobody_is_there"))
    with pytest.raises(errors.NotAllowed):
        scratch.refuse_live(ours, ours.replace(database="one_that_is_not_there"))


def test_with_the_word_for_it_the_live_server_is_not_met_either(run, database18):
    live = database18.replace("postgres:", "nobody:")
    done = run(projects.path("linear"), "--from", "0002", DATABASE_URL=live, SCRATCH_DATABASE_URL="same-server")
    assert done.returncode == 0, done.stderr


def test_a_check_that_checks_nothing_is_refused_unless_that_was_asked_for(asked, tmp_path):
    project = downgrade_project.write(tmp_path, {})
    with pytest.raises(errors.NoPlan) as told:
        check(asked(project))
    assert str(told.value) == "There is no revision to check: the project has none.\nNext: alembic history"
    at_head = tmp_path / "data.sql"
    at_head.write_text("CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('0003');")
    with pytest.raises(errors.NoPlan) as told:
        check(asked(projects.path("linear"), data=at_head))
    assert str(told.value) == (
        "There is no revision to check: the scratch database has every one from the start.\n"
        "Next: give the schema or the dump of an earlier revision"
    )
    for part in (Range(since="0003"), Range(shard=(1, 4))):
        report = check(asked(projects.path("linear"), range=part))
        assert (report.is_ok, ": nothing was checked" in report.summary) == (True, True)


def test_a_slice_says_that_it_leaves_the_models_out(asked):
    for jobs in (1, 2):
        report = check(asked(projects.path("linear"), range=Range(shard=(1, 2)), models=True), jobs)
        assert report.notes == ("the models are compared in the last slice alone: --shard 2/2",)


def test_what_was_committed_of_a_revision_that_is_gone_is_found_and_goes_with_the_next_writing(asked, tmp_path):
    project = projects.copy("linear", tmp_path)
    folder = tmp_path / "shared" / "expected"
    assert check(asked(project, write_expected=True)).is_ok
    (folder / "0009.txt").write_text((folder / "0003.txt").read_text())
    (folder / "by_hand.txt").write_text("What the others are for.\n")
    assert check(asked(project)).is_ok  # its revisions lie elsewhere: the file may be another history's
    (project / "versions").rename(tmp_path / "shared" / "versions")
    config = project / "alembic.ini"
    config.write_text(config.read_text().replace("%(here)s/versions", "%(here)s/../shared/versions"))
    for part, jobs in ((Range(), 2), (Range(shard=(2, 2)), 1)):
        (failed,) = check(asked(project, range=part), jobs).failed
        lines = failed.text.splitlines()
        assert lines[:2] == [
            'Revision "0009": the schema after its upgrade is not the one that is committed.',
            "  unexpected: no revision has this file; next: migration-pipeline test-downgrades --write-expected",
        ]
        assert lines[2].endswith("/shared/expected/0009.txt, line 1")
    assert check(asked(project, range=Range(shard=(1, 2)))).is_ok
    assert check(asked(project, write_expected=True)).is_ok
    assert sorted(file.name for file in folder.iterdir()) == ["0001.txt", "0002.txt", "0003.txt", "by_hand.txt"]


def test_a_password_of_a_role_is_not_told(asked, server, tmp_path):
    faults = {"Makes a role twice.": (sent(*["CREATE ROLE reports_reader PASSWORD 'secret'"] * 2), "pass")}
    (one,) = check(asked(downgrade_project.write(tmp_path, faults))).revisions
    assert one.findings[0].what == (
        "42710 role \"reports_reader\" already exists; statement: CREATE ROLE reports_reader PASSWORD '…'"
    )
