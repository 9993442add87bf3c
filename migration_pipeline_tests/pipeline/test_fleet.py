"""A fleet of real databases in waves: the sensor against a real instance, the runs that it asks for executed here."""

import json
import time

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat

from migration_pipeline.defs import jobs
from migration_pipeline.defs.sensors_fleet import fleet_waves
from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import execute
from migration_pipeline_tests.door import Run
from migration_pipeline_tests.pipeline.conftest import Site, start

NAMES = ("one", "two", "three")
UNIQUE = "INSERT INTO patients (name) VALUES ('Ann'), ('Ben')"


class Fleet:
    """Three Targets of one server, the first of them the canary; a Dagster instance, and this process in the daemon's place."""

    def __init__(self, folder, urls, binaries, instance):
        self.folder, self.urls, self.binaries, self.instance = folder, urls, binaries, instance
        self.cursor = None

    def tick(self):
        """Evaluate the sensor; return what it submits, or why it does not."""
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor) as context:
            result = fleet_waves(context)
        self.cursor = result.cursor or self.cursor
        return result.skip_reason.skip_message if result.skip_reason else result.run_requests

    def run(self, job, options=None, tags=None, **config):
        return dg.execute_job(
            dg.reconstructable(job), instance=self.instance, run_config=config, tags=tags, reexecution_options=options
        )

    def submit(self, request):
        return self.run(getattr(jobs, request.job_name), tags=request.tags, **request.run_config)

    def queue(self, request):
        """Record a run that has not begun."""
        return self.instance.create_run_for_job(jobs.migrate, run_config=request.run_config, tags=request.tags)

    def revisions(self):
        return {name: execute(url, "SELECT version_num FROM alembic_version")[0][0] for name, url in self.urls.items()}


@pytest.fixture
def house(server18, tmp_path, monkeypatch):
    """The settings of three Targets without their databases."""
    urls = {name: server18.url(f"fleet_{name}") for name in NAMES}
    project = projects.copy("fails_on_data", tmp_path / "project")
    site = Site(url="", folder=tmp_path, project=project, binaries=server18.binaries)
    keys = {"environment": "staging", "backup_location": str(tmp_path / "backups"), "pg_bin": str(site.binaries),
            "alembic_config": str(project / "alembic.ini"), "lock_attempts": 1}  # fmt: skip
    tables = []
    for name in NAMES:
        wave = {"wave": "canary"} if name == "one" else {}
        lines = [f"{key} = {json.dumps(value)}" for key, value in {"database_url": f"env:URL_{name}", **wave, **keys}.items()]
        tables.append("\n".join([f"[targets.{name}]", *lines]))
    (tmp_path / "pipeline.toml").write_text("\n".join(tables))
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster/dagster.yaml").write_text("telemetry: {enabled: false}")
    environ = {"DAGSTER_HOME": str(tmp_path / "dagster"), **{f"URL_{name}": url for name, url in urls.items()}}
    unset = ("DATABASE_URL", "PIPELINE_CONFIG", "ALEMBIC_CONFIG", "MIGRATION_ENVIRONMENT", "BACKUP_LOCATION", "PG_BIN")
    site.more |= {**environ, **dict.fromkeys(unset, "")}
    for name, value in site.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    with dg.DagsterInstance.get() as instance:
        fleet = Fleet(tmp_path, urls, site.binaries, instance)
        fleet.site = site
        yield fleet


@pytest.fixture
def fleet(house, server18):
    """Three databases at revision 0001, each with a verified backup; in the second, two patients share a name."""
    template = f"{server18.url('fleet_template')}"
    execute(server18.url(), "CREATE DATABASE fleet_template TEMPLATE template0")
    start(Site(url=template, folder=house.folder, project=house.site.project, binaries=house.binaries), "0001")
    execute(template, UNIQUE)
    for name in NAMES:
        execute(server18.url(), f"CREATE DATABASE fleet_{name} TEMPLATE fleet_template")
    execute(house.urls["two"], UNIQUE)
    for name in NAMES:
        assert house.run(jobs.backup_database, target=name).success
    yield house
    for name in (*NAMES, "template"):
        execute(server18.url(), f"DROP DATABASE fleet_{name} WITH (FORCE)")


@pytest.mark.long
def test_a_fleet_goes_wave_by_wave_stops_at_the_first_failure_and_goes_on_where_it_stopped(fleet):
    assert fleet.tick() == "No fleet was ever started; just migrate-fleet, or the job start_fleet, starts one."
    started = fleet.run(jobs.start_fleet)
    assert started.success
    name = started.run_id[:8]

    (canary,) = fleet.tick()

    assert canary.tags == {"migration/fleet": name, "migration/wave": "canary", "migration/target": "one"}
    assert canary.run_config == {"target": "one"}
    assert [request.run_key for request in fleet.tick()] == [canary.run_key] == [f"{name} one 0"]
    assert fleet.submit(canary).success
    two, three = fleet.tick()
    assert (two.tags["migration/wave"], two.run_config, three.run_config) == ("rest", {"target": "two"}, {"target": "three"})

    failed, waiting = fleet.submit(two), fleet.queue(three)
    assert not failed.success
    (table,) = fleet.tick()

    assert table.job_name == "show_fleet"
    assert fleet.instance.get_run_by_id(waiting.run_id).status is dg.DagsterRunStatus.CANCELED
    stopped = (
        f'Fleet {name} stopped: the migration of "two" failed: The rehearsal failed. Revision "0002" failed. Next: '
        f"look at its run {failed.run_id[:8]}; re-execute it from failure and the fleet goes on, or: just migrate-fleet."
    )
    assert fleet.tick() == stopped
    assert fleet.revisions() == {"one": "0002", "two": "0001", "three": "0001"}
    assert fleet.submit(table).success
    shown = fleet.instance.fetch_materializations(dg.AssetKey("fleet"), limit=1).records[0].asset_materialization.metadata
    assert {key: value.value for key, value in shown.items() if key != "fleet"} == {
        "at head": 1, "pending": 2, "failed": 1, "unknown": 0,
    }  # fmt: skip
    assert [row.data["target"] for row in shown["fleet"].records] == list(NAMES)

    execute(fleet.urls["two"], "DELETE FROM patients WHERE id > 2")
    again = fleet.run(
        jobs.migrate, target="two", tags=fleet.instance.get_run_by_id(failed.run_id).tags  # as the UI's button hands them on
    )  # fmt: skip
    assert again.success

    (three_again,) = fleet.tick()

    assert three_again.run_key == f"{name} three 1"
    assert fleet.submit(three_again).success
    (end,) = fleet.tick()
    assert end.job_name == "show_fleet"
    assert fleet.tick() == f'Fleet {name} is done up to wave "rest": 3 Targets are migrated.'
    assert fleet.revisions() == dict.fromkeys(NAMES, "0002")

    assert fleet.run(jobs.start_fleet).success
    assert [request.run_config for request in fleet.tick()] == [{"target": "one"}]


@pytest.fixture
def daemon(house):
    """Return a function that reports as the sensor daemon does, so many seconds ago."""

    def report(seconds):
        house.instance.add_daemon_heartbeat(
            DaemonHeartbeat(timestamp=time.time() - seconds, daemon_type="SENSOR", daemon_id="1", errors=[])
        )

    return report


def command(house, *arguments):
    run = Run(arguments, house.site.environ, house.folder)
    return run.wait(), run.printed, run.said


def test_a_fleet_is_not_started_where_no_daemon_would_migrate_it(house, daemon):
    code, _, said = command(house, "migrate-fleet")

    assert (code, said) == (3, (
        "No Dagster daemon runs on this instance, and it is the daemon that migrates a fleet; nothing was started.\n"
        f"  DAGSTER_HOME: {house.folder}/dagster\n  last heard of: never\n"
        "Next: just ui, or the daemon of your deployment (docs/deployment.md), then: just migrate-fleet\n"
    ))  # fmt: skip
    daemon(3600)
    code, _, said = command(house, "migrate-fleet")
    assert (code, "last heard of: 60 min ago" in said) == (3, True)
    assert house.instance.get_runs_count() == 0


def test_a_fleet_is_started_once_up_to_the_wave_that_is_named_and_can_be_stopped(house, daemon):
    daemon(1)
    assert command(house, "migrate-fleet", "--wave", "cannary")[2] == (
        'There is no Target in a wave "cannary"; nothing was started.\n  waves: canary, rest\n'
        "Next: name one of these, or give a Target this wave in pipeline.toml\n"
    )

    code, printed, said = command(house, "migrate-fleet", "--wave", "canary", "--json")

    started = json.loads(printed)
    assert (code, said) == (0, "")
    assert started["waves"] == {"canary": ["one"]}
    name = started["fleet"]
    code, _, said = command(house, "migrate-fleet")
    assert (code, said) == (3, (
        f"Fleet {name} is still under way; no other one was started.\n"
        f'  state: Fleet {name}, wave "canary": one submitted.\n'
        "Next: just fleet, which shows it; just migrate-fleet --stop, which lets it submit nothing more\n"
    ))  # fmt: skip
    (request,) = house.tick()
    waiting = house.queue(request)

    code, printed, _ = command(house, "migrate-fleet", "--stop")

    assert (code, printed) == (0, f"Fleet {name} was stopped by an operator. Next: just migrate-fleet.\n")
    assert house.instance.get_run_by_id(waiting.run_id).status is dg.DagsterRunStatus.CANCELED
    (table,) = house.tick()
    assert table.job_name == "show_fleet"


def test_fleet_shows_every_target_whether_or_not_it_can_be_reached(house):
    code, printed, _ = command(house, "fleet", "--json")

    rows = json.loads(printed)["targets"]
    assert (code, [(row["target"], row["wave"], row["pending"]) for row in rows]) == (
        0, [("one", "canary", None), ("two", "rest", None), ("three", "rest", None)],
    )  # fmt: skip
    assert json.loads(printed)["fleet"] == "No fleet was ever started here."
    code, printed, _ = command(house, "fleet")
    assert code == 0
    assert "3 Targets: 3 unknown" in printed
    assert "see what is wrong, then: just fleet" in printed
