"""Twenty Targets in two waves over two Celery workers, as deploy/ has it: storage in PostgreSQL, Redis, code server, daemon, webserver.

Only by `python -m pytest -m workers`; it needs `uv sync --extra celery` and Debian's redis-server.
"""

import collections
import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from migration_pipeline.defs import jobs
from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import execute, missing, wait_until
from migration_pipeline_tests.pipeline.conftest import Site, start

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
TARGETS = [f"clinic-{number:02}" for number in range(1, 21)]
CANARIES = TARGETS[:2]
RUNS = "{ runsOrError(limit: 100) { __typename ... on Runs { results { runId status jobName tags { key value } } } } }"
LAUNCH = (
    'mutation { launchRun(executionParams: {selector: {repositoryLocationName: "migration_pipeline", '
    'repositoryName: "__repository__", jobName: "migrate"}, runConfigData: "{target: %s}", mode: "default"}) '
    "{ __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"
)
TERMINATE = 'mutation { terminateRun(runId: "%s") { __typename } }'
SLOW = '''"""Sleep, but not in a rehearsal."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade():
    op.execute("ALTER TABLE patients ADD COLUMN slow text")
    if not op.get_bind().exec_driver_sql("SELECT current_database()").scalar().startswith("mp_scratch"):
        op.execute("SELECT pg_sleep(300)")
'''
AGAIN = (
    'mutation { launchRunReexecution(reexecutionParams: {parentRunId: "%s", strategy: ALL_STEPS}) '
    "{ __typename ... on LaunchRunSuccess { run { runId tags { key value } } } } }"
)

pytestmark = pytest.mark.workers


def free_port():
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as opened:
        return opened.getsockname()[1]


class Deployment:
    """The processes of deploy/, each with its log."""

    def __init__(self, folder, server, project):
        self.folder, self.server, self.project = folder, server, project
        self.processes = {}
        self.ports = {name: free_port() for name in ("redis", "code", "webserver")}

    def settings(self):
        (self.folder / "dagster").mkdir()
        shutil.copy(ROOT / "deploy/dagster-celery.yaml", self.folder / "dagster/dagster.yaml")
        workspace = (ROOT / "deploy/workspace.yaml").read_text()
        workspace = workspace.replace("host: code", "host: 127.0.0.1").replace("port: 4000", f"port: {self.ports['code']}")
        (self.folder / "workspace.yaml").write_text(workspace)
        keys = {"environment": "staging", "backup_location": str(self.folder / "backups"), "pg_bin": str(self.server.binaries),
                "alembic_config": str(self.project / "alembic.ini")}  # fmt: skip
        tables = []
        for name in TARGETS:
            wave = {"wave": "canary"} if name in CANARIES else {}
            tables.append(f"[targets.{name}]")
            tables += [f"{key} = {json.dumps(value)}" for key, value in {"database_url": self.url(name), **wave, **keys}.items()]
        (self.folder / "pipeline.toml").write_text("\n".join(tables))

    def url(self, target):
        return self.server.url(target.replace("-", "_"))

    @property
    def environ(self):
        storage = self.server.url("dagster_storage")
        address = dict(part.split("=") for part in storage.partition("?")[2].split("&") if part)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "COV"))}
        return {
            **kept, **storage_of(storage, address),
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "DAGSTER_HOME": str(self.folder / "dagster"),
            "PIPELINE_CONFIG": str(self.folder / "pipeline.toml"),
            "PYTHONPATH": str(ROOT / "deploy/worker"),
            "CELERY_BROKER_URL": f"redis://127.0.0.1:{self.ports['redis']}/0",
            "CELERY_BACKEND_URL": f"redis://127.0.0.1:{self.ports['redis']}/1",
        }  # fmt: skip

    def start(self, name, *command):
        with (self.folder / f"{name}.log").open("w") as log:
            self.processes[name] = subprocess.Popen(command, cwd=self.folder, env=self.environ, stdout=log, stderr=log)

    def start_all(self):
        worker = ("-A", "dagster_celery.app", "worker", "--concurrency=1", "--loglevel=INFO")
        workspace = ("-w", str(self.folder / "workspace.yaml"))
        self.start("redis", "redis-server", "--port", str(self.ports["redis"]), "--bind", "127.0.0.1", "--dir", str(self.folder))
        code = ("-h", "127.0.0.1", "-p", str(self.ports["code"]), "-m", "migration_pipeline.definitions")
        self.start("code", str(BIN / "dagster"), "code-server", "start", *code, "--location-name", "migration_pipeline")
        wait_until(lambda: accepts(self.ports["code"]), lambda: self.log("code"), 180)
        self.start("daemon", str(BIN / "dagster-daemon"), "run", *workspace)
        self.start("webserver", str(BIN / "dagster-webserver"), "-h", "127.0.0.1", "-p", str(self.ports["webserver"]), *workspace)
        for name in ("worker-1", "worker-2"):
            self.start(name, str(BIN / "celery"), *worker, "-n", f"{name}@%h")
        wait_until(lambda: accepts(self.ports["webserver"]), lambda: self.log("webserver"), 180)

    def log(self, name):
        return (self.folder / f"{name}.log").read_text()[-4000:]

    def graphql(self, query):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['webserver']}/graphql",
            data=json.dumps({"query": query}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def stop(self):
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            process.wait()


def storage_of(url, address):
    from migration_pipeline.domain.connection import Connection

    found = Connection.from_url(url).parameters
    return {
        "DAGSTER_STORAGE_HOST": address.get("host", found.get("host", "127.0.0.1")),
        "DAGSTER_STORAGE_PORT": str(found.get("port", "5432")),
        "DAGSTER_STORAGE_USER": found.get("user", "postgres"),
        "DAGSTER_STORAGE_PASSWORD": Connection.from_url(url).password or "none",
        "DAGSTER_STORAGE_DATABASE": "dagster_storage",
    }


def accepts(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@pytest.fixture
def deployment(server18, tmp_path, monkeypatch):
    if importlib.util.find_spec("dagster_celery") is None or shutil.which("redis-server") is None:
        missing("dagster-celery or redis-server")
    deployed = Deployment(tmp_path, server18, projects.copy("linear", tmp_path / "project"))
    deployed.settings()
    names = [target.replace("-", "_") for target in TARGETS]
    execute(server18.url(), "CREATE DATABASE dagster_storage", "CREATE DATABASE fleet_template TEMPLATE template0")
    template = server18.url("fleet_template")
    start(Site(url=template, folder=tmp_path, project=deployed.project, binaries=server18.binaries), "0001")
    execute(server18.url(), *(f"CREATE DATABASE {name} TEMPLATE fleet_template" for name in names))
    for name, value in deployed.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    yield deployed
    deployed.stop()
    for name in (*names, "fleet_template", "dagster_storage"):
        execute(server18.url(), f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def test_twenty_targets_are_migrated_in_waves_over_two_workers(deployment, capsys):
    took = {}
    since = time.monotonic()
    deployment.start_all()
    took["start of all processes"] = time.monotonic() - since
    with dg.DagsterInstance.get() as instance:
        since = time.monotonic()
        for name in TARGETS:  # what preflight demands: a verified backup of each
            taken = dg.execute_job(dg.reconstructable(jobs.backup_database), instance=instance, run_config={"target": name})
            assert taken.success
        took["20 backups, in one process"] = time.monotonic() - since
        wait_until(lambda: "SENSOR" in instance.get_daemon_heartbeats(), lambda: deployment.log("daemon"), 120)

        since = time.monotonic()
        command = [str(BIN / "migration-pipeline"), "migrate-fleet", "--json"]
        begun = subprocess.run(command, cwd=deployment.folder, env=deployment.environ, capture_output=True, text=True)
        assert begun.returncode == 0, begun.stderr
        fleet = json.loads(begun.stdout)["fleet"]
        of_fleet = dg.RunsFilter(job_name="migrate", tags={"migration/fleet": fleet})

        def states():
            return collections.Counter(run.status.value for run in instance.get_runs(of_fleet))

        wait_until(lambda: states()["SUCCESS"] == len(TARGETS) or states()["FAILURE"], states, 1800)
        took["20 migrations"] = time.monotonic() - since
        assert states() == {"SUCCESS": len(TARGETS)}
        records = instance.get_run_records(of_fleet)
        of_wave = {
            wave: [one for one in records if one.dagster_run.tags["migration/wave"] == wave] for wave in ("canary", "rest")
        }
        assert len(of_wave["canary"]) == len(CANARIES)
        assert max(one.end_time for one in of_wave["canary"]) < min(one.create_timestamp.timestamp() for one in of_wave["rest"])
        waits = sorted(one.start_time - one.create_timestamp.timestamp() for one in records)
        runs = sorted(one.end_time - one.start_time for one in records)

    assert {execute(deployment.url(name), "SELECT version_num FROM alembic_version")[0][0] for name in TARGETS} == {"0003"}
    succeeded = {name: (deployment.folder / f"{name}.log").read_text().count("succeeded in") for name in ("worker-1", "worker-2")}
    found = deployment.graphql(RUNS)["runsOrError"]
    assert found["__typename"] == "Runs"
    assert sum({"key": "migration/fleet", "value": fleet} in run["tags"] for run in found["results"]) == len(TARGETS) + 1
    again = deployment.graphql(AGAIN % records[0].dagster_run.run_id)["launchRunReexecution"]
    assert {"key": "migration/fleet", "value": fleet} in again["run"]["tags"]  # so that a fleet goes on after it
    with capsys.disabled():
        print(f"\nruns by worker: {succeeded}; of {len(found['results'])} runs over GraphQL; load {os.getloadavg()}")
        print("; ".join(f"{what}: {seconds:.0f} s" for what, seconds in took.items()))
        print(
            f"a run took {runs[0]:.1f} to {runs[-1]:.1f} s, median {runs[len(runs) // 2]:.1f}; waited {waits[0]:.1f} to {waits[-1]:.1f} s"
        )
    assert min(succeeded.values()) > 0


def test_a_run_on_a_worker_is_cancelled_from_the_ui_and_one_whose_worker_is_killed_is_found_out(deployment, capsys):
    target = TARGETS[0]
    (deployment.project / "versions/0004_slow.py").write_text(SLOW)
    deployment.start_all()
    took = {}
    with dg.DagsterInstance.get() as instance:
        taken = dg.execute_job(dg.reconstructable(jobs.backup_database), instance=instance, run_config={"target": target})
        assert taken.success
        wait_until(lambda: "QUEUED_RUN_COORDINATOR" in instance.get_daemon_heartbeats(), lambda: deployment.log("daemon"), 120)

        def status(run):
            return instance.get_run_by_id(run).status.value

        def launched():
            found = deployment.graphql(LAUNCH % target)["launchRun"]
            assert found["__typename"] == "LaunchRunSuccess", found
            run = found["run"]["runId"]
            wait_until(lambda: sleeping() or instance.get_run_by_id(run).is_finished, lambda: status(run), 300)
            assert sleeping(), [entry.user_message for entry in instance.all_logs(run)][-5:]
            return run

        def sleeping():
            activity = (
                "SELECT pid FROM pg_stat_activity WHERE datname = %s AND query LIKE '%%pg_sleep(300)%%' AND state = 'active'"
            )
            with psycopg.connect(deployment.server.url()) as connection:
                return connection.execute(activity, [target.replace("-", "_")]).fetchall()

        def gone(what, end, run, is_so):
            since = time.monotonic()
            end()
            wait_until(lambda: not sleeping(), sleeping, 60)
            took[f"{what}: backend gone"] = time.monotonic() - since
            wait_until(is_so, lambda: status(run), 300)
            took[f"{what}: run {status(run)}"] = time.monotonic() - since
            assert execute(deployment.url(target), "SELECT version_num FROM alembic_version") == [("0001",)]

        run = launched()
        gone("terminateRun", lambda: deployment.graphql(TERMINATE % run), run, lambda: status(run) == "CANCELED")
        run = launched()
        (pid,) = [
            int(found[1])
            for entry in instance.all_logs(run)
            if (found := re.search(r"process \(pid: (\d+)\)", entry.message or ""))
        ][-1:]
        gone("kill -9 of the worker's process", lambda: os.kill(pid, signal.SIGKILL), run, lambda: status(run) == "FAILURE")
    with capsys.disabled():
        print("\n" + "; ".join(f"{what}: {seconds:.1f} s" for what, seconds in took.items()))
