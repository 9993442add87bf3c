"""A run that is ended from outside while the server works, at a terminal, between two steps. Nothing of it is left anywhere.

Every signal at every moment is in `faults/`.
"""

import contextlib
import shlex
import signal
import subprocess
import sys
import time

import dagster as dg
import pexpect
import pytest

from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import execute, make_database, marked_processes, wait_until
from migration_pipeline_tests.pipeline.conftest import BIN, Site, start

GONE_SECONDS = 10
SLEEPS = "SELECT CASE WHEN (left(current_database(), 10) = 'mp_scratch') = {in_rehearsal} THEN pg_sleep(60) END"
WORKING = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%{query}%' AND state = 'active' AND pid <> pg_backend_pid()"
OURS = """
SELECT datname, application_name, query FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> 'bystander'
"""


@pytest.fixture(scope="module")
def site(server18, tmp_path_factory):
    """One site for all: each of these runs leaves it as it was."""
    folder = tmp_path_factory.mktemp("cancelled")
    for url in make_database(server18):
        project = projects.copy("drops_table", folder / "project")
        made = Site(url=url, folder=folder, project=project, binaries=server18.binaries, more={"MARK": str(folder)})
        start(made, "0001")
        made.query("INSERT INTO alerts (message) VALUES ('one')")
        made.take_backup()
        yield made


def revise(site, sql, declared="DESTRUCTIVE"):
    file = projects.revision_file(site.project, "0002")
    file.write_text(
        f'"""Drop alerts."""\n\n# SAFETY: {declared}\n\nfrom alembic import op\n\nrevision = "0002"\ndown_revision = "0001"\n\n\n'
        f'def upgrade():\n    op.execute("DROP TABLE alerts")\n    op.execute("{sql}")\n'
    )


@contextlib.contextmanager
def migrating(site, answer="CONFIRM\n", command=(BIN / "migration-pipeline", "migrate")):
    """Yield `migrate` in a session of its own, whose signals reach nobody else."""
    with (site.folder / "stderr").open("w+") as stderr:
        process = subprocess.Popen(
            [*command],
            env=site.environ, cwd=site.folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=stderr, text=True,
            start_new_session=True,
        )  # fmt: skip
        try:
            process.stdin.write(answer)
            process.stdin.flush()
            yield process
        finally:
            process.kill()
            process.wait()
            process.stdin.close()


def said(site):
    return (site.folder / "stderr").read_text()


def newest_status(site):
    with dg.DagsterInstance.from_config(str(site.folder / "dagster")) as instance:
        (run,) = instance.get_run_records(limit=1)
        return run.dagster_run.status


def assert_nothing_is_left(site, process, since):
    left = GONE_SECONDS - (time.monotonic() - since)
    assert process.wait(max(left, 0)) == 130, said(site)
    left = GONE_SECONDS - (time.monotonic() - since)
    wait_until(lambda: not execute(site.url, OURS), lambda: execute(site.url, OURS), left)
    assert marked_processes(site.folder) == {}
    assert site.scratch_databases == []
    assert site.revision == ["0001"]
    assert site.query("SELECT message FROM alerts") == [("one",)]
    assert newest_status(site) is dg.DagsterRunStatus.CANCELED
    assert "Traceback" not in said(site)
    assert list((site.folder / "backups").rglob("*.partial")) == []


def end(process, number):
    process.send_signal(number)
    return time.monotonic()


def test_an_upgrade_that_is_interrupted_is_rolled_back_and_leaves_nothing(site):
    revise(site, SLEEPS.format(in_rehearsal="false"))

    with migrating(site) as process:
        wait_until(lambda: site.query(WORKING.format(query="THEN pg_sleep")), lambda: said(site), 60)
        assert_nothing_is_left(site, process, end(process, signal.SIGTERM))

    assert "Interrupted in upgrade." in said(site)
    assert "the database is at 0001, as before" in said(site)


def test_a_run_at_a_terminal_obeys_a_cancel_from_elsewhere(site):
    revise(site, SLEEPS.format(in_rehearsal="false"))

    with migrating(site) as process:
        wait_until(lambda: site.query(WORKING.format(query="THEN pg_sleep")), lambda: said(site), 60)
        with dg.DagsterInstance.from_config(str(site.folder / "dagster")) as instance:
            (run,) = instance.get_run_records(limit=1)
            instance.report_run_canceling(run.dagster_run)
        assert_nothing_is_left(site, process, time.monotonic())

    assert "Interrupted in upgrade." in said(site)
    assert "  locks: free: the upgrade's session has ended" in said(site).splitlines()


def test_a_rehearsal_that_is_interrupted_takes_its_scratch_database_along(site):
    revise(site, SLEEPS.format(in_rehearsal="true"))

    with migrating(site) as process:
        wait_until(lambda: site.query(WORKING.format(query="THEN pg_sleep")), lambda: said(site), 60)
        assert len(site.scratch_databases) == 1
        assert_nothing_is_left(site, process, end(process, signal.SIGINT))


def test_ctrl_c_at_the_prompt_of_just_migrate_ends_with_130(site):
    revise(site, "SELECT 1")
    terminal = site.terminal("migrate")
    terminal.expect_exact("Type 'CONFIRM' to proceed:")

    terminal.sendintr()

    terminal.expect_exact("Interrupted in confirm.")
    terminal.expect(pexpect.EOF)
    terminal.wait()
    assert terminal.exitstatus == 130
    assert newest_status(site) is dg.DagsterRunStatus.CANCELED
    assert marked_processes(site.folder) == {}


def test_a_terminal_that_is_closed_under_just_migrate_ends_the_run(site):
    revise(site, SLEEPS.format(in_rehearsal="true"))
    terminal = site.terminal("migrate")
    terminal.expect_exact("revision 0002")  # what it draws must be read, or it waits for its reader

    terminal.ptyproc.fileobj.close()  # its own `close` would send signals besides
    terminal.closed = terminal.ptyproc.closed = True

    terminal.wait()
    wait_until(lambda: not marked_processes(site.folder), lambda: marked_processes(site.folder), GONE_SECONDS)
    wait_until(lambda: not execute(site.url, OURS), lambda: execute(site.url, OURS), GONE_SECONDS)
    assert newest_status(site) is dg.DagsterRunStatus.CANCELED
    assert site.scratch_databases == []
    assert site.revision == ["0001"]


def test_a_reader_that_goes_away_does_not_stop_a_run(site):
    revise(site, "SELECT 1")
    command = f"{shlex.join(site.command)} migrate 2>&1 | head -1"

    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], env=site.environ, input="no", capture_output=True, text=True, check=False
    )

    assert done.returncode == 3, "declined, at a question that nobody could read"
    assert newest_status(site) is dg.DagsterRunStatus.FAILURE
    assert site.revision == ["0001"]


BETWEEN_STEPS = """
import signal
from migration_pipeline.cli import main, terminal

see = terminal.Terminal.see

def interrupted(self, step, value):
    see(self, step, value)
    if step == "backup":
        signal.raise_signal(signal.SIGINT)

terminal.Terminal.see = interrupted
main()
"""


def test_an_interrupt_between_two_steps_is_a_cancelled_run_too(site):
    revise(site, "SELECT 1")

    with migrating(site, command=[sys.executable, "-c", BETWEEN_STEPS, "migrate"]) as process:
        assert_nothing_is_left(site, process, time.monotonic() + 50)
