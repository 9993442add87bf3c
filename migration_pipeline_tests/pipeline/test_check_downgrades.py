"""The job that checks downgrades: results a revision on the run's page, or a failure that says what each of them lacks."""

import os

import dagster as dg
import pytest

from migration_pipeline.defs import jobs
from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import execute
from migration_pipeline_tests.integration import downgrade_project


@pytest.fixture
def run(second_server, database18, tmp_path, monkeypatch):
    """Run the job on a project; return its result."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    settings = {
        "DATABASE_URL": database18, "SCRATCH_DATABASE_URL": second_server.url(), "MIGRATION_ENVIRONMENT": "staging",
        "PG_BIN": str(second_server.binaries), "DAGSTER_HOME": str(tmp_path / "dagster"), "BACKUP_LOCATION": str(tmp_path / "backups"),
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def run(project, **config):
        monkeypatch.setenv("ALEMBIC_CONFIG", str(project / "alembic.ini"))
        with dg.instance_for_test() as instance:
            return jobs.check_downgrades.execute_in_process(run_config=config, instance=instance, raise_on_error=False)

    return run


def test_each_revision_has_its_result_and_the_live_database_is_not_met(run, database18):
    done = run(projects.path("linear"), since="0001")
    assert done.success
    (output,) = [event for event in done.all_node_events if event.is_handled_output or event.is_successful_output][:1]
    told = output.step_output_data.metadata
    assert told["result"].value.endswith(": 2 ok, 1 brought up before without a check.")
    assert told["revisions"].value == "| revision | result | |\n|---|---|---|\n| 0002 | ok |  |\n| 0003 | ok |  |"
    assert execute(database18, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == [(0,)]


def test_what_a_downgrade_lacks_fails_the_run(run, tmp_path):
    done = run(downgrade_project.write(tmp_path, dict(list(downgrade_project.FAULTS.items())[:3])))
    (failure,) = [event for event in done.all_node_events if event.is_step_failure]
    said = str(failure.step_failure_data.error.message)
    first, *lines = said.splitlines()
    assert first.startswith("Not every downgrade brings back what was there before: 3 revisions in ")
    assert first.endswith(" s: 1 ok, 1 raises, 1 residue.")
    assert [line for line in lines if "file:" not in line] == [
        '  revision 0002: raises: 42703 column "b" of relation "notes" does not exist; statement: ALTER TABLE notes DROP COLUMN b',
        "  revision 0003: residue: type mood is left over",
        '      add to downgrade(): op.execute("DROP TYPE mood")',
        "  state: the live database was not met",
        "Next: mend them, then: just test-downgrades",
    ]


#: Goes up once alone; its downgrade ends its interpreter, and the next database cannot be brought up.
GOES_UP_ONCE = (
    "from pathlib import Path\nran = Path(__file__).with_suffix('.ran')\nassert not ran.exists()\nran.touch()",
    "import os\nos._exit(3)",
)


def test_a_check_that_does_not_come_to_its_end_tells_what_it_found(run, tmp_path):
    faults = {**dict(list(downgrade_project.FAULTS.items())[:2]), "Goes up once.": GOES_UP_ONCE, "Comes later.": ("pass", "pass")}
    done = run(downgrade_project.write(tmp_path, faults))
    (failure,) = [event for event in done.all_node_events if event.is_step_failure]
    first, *lines = str(failure.step_failure_data.error.message).splitlines()
    assert first == 'Revision "0003" failed.'
    assert "  revision 0003: raises: its interpreter ended: exit code 3" in lines
    assert [line.partition(":")[0] for line in lines if line.startswith("  revision")] == ["  revision 0002", "  revision 0003"]
