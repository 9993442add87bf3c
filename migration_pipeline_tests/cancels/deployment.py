"""What Dagster runs beside the runs, as `deploy/` has it for one machine: code server, daemon and webserver, a process each."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

from migration_pipeline_tests.conftest import wait_until

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
START_SECONDS = 180
SELECTOR = {"repositoryLocationName": "migration_pipeline", "repositoryName": "__repository__"}
LAUNCH = """
mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
#: As the button of a run's page sends it.
TERMINATE = """
mutation ($runIds: [String!]!, $policy: TerminateRunPolicy) { terminateRuns(runIds: $runIds, terminatePolicy: $policy) {
  __typename ... on TerminateRunsResult { terminateRunResults { __typename ... on TerminateRunFailure { message } } } } }
"""
TICKS = """
query ($sensor: SensorSelector!) { sensorOrError(sensorSelector: $sensor) {
  __typename ... on Sensor { sensorState { ticks(limit: 5) { tickId endTimestamp } } } } }
"""
#: As the button of a sensor's page sends it: "Test sensor".
TICK = """
mutation ($sensor: SensorSelector!) { sensorDryRun(selectorData: $sensor, cursor: null) {
  __typename ... on DryRunInstigationTick { evaluationResult { skipReason error { message } } } } }
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as opened:
        return opened.getsockname()[1]


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class Deployment:
    """The processes of deploy/workspace.yaml, each with its log."""

    def __init__(self, place):
        self._place, self._folder = place, place.folder
        self._processes = {}
        self._ports = {name: free_port() for name in ("code", "webserver")}
        workspace = (ROOT / "deploy/workspace.yaml").read_text()
        workspace = workspace.replace("host: code", "host: 127.0.0.1").replace("port: 4000", f"port: {self._ports['code']}")
        (self._folder / "workspace.yaml").write_text(workspace)

    @staticmethod
    def configure(place):
        """Write Dagster's settings for one machine, before its first run."""
        (place.folder / "dagster").mkdir()
        shutil.copy(ROOT / "deploy/dagster-one-machine.yaml", place.folder / "dagster/dagster.yaml")

    def ensure(self):
        """Start what does not run."""
        is_new = not self._processes
        if is_new:
            self._start_code_server_and_webserver()
        self.start_daemon()
        if is_new:  # of what ended before its first tick, the sensor tells nothing
            self._wait_until_loaded()
            wait_until(lambda: self.last_tick("migration_ended"), lambda: self.log("daemon"), START_SECONDS)

    def _start_code_server_and_webserver(self):
        code = ("-h", "127.0.0.1", "-p", str(self._ports["code"]), "-m", "migration_pipeline.definitions")
        self._start("code", "dagster", "code-server", "start", *code, "--location-name", "migration_pipeline")
        wait_until(lambda: accepts(self._ports["code"]), lambda: self.log("code"), START_SECONDS)
        address = ("-h", "127.0.0.1", "-p", str(self._ports["webserver"]))
        self._start("webserver", "dagster-webserver", *address, "-w", str(self._folder / "workspace.yaml"))
        wait_until(lambda: accepts(self._ports["webserver"]), lambda: self.log("webserver"), START_SECONDS)

    def start_daemon(self):
        if "daemon" not in self._processes:
            self._start("daemon", "dagster-daemon", "run", "-w", str(self._folder / "workspace.yaml"))

    @property
    def daemon(self):
        return self._processes["daemon"].pid

    def kill_daemon(self):
        process = self._processes.pop("daemon")
        process.send_signal(signal.SIGKILL)
        process.wait()

    def _start(self, name, program, *arguments):
        with (self._folder / f"{name}.log").open("a") as log:
            self._processes[name] = subprocess.Popen(
                [str(BIN / program), *arguments], cwd=self._folder, env=self._place.environ, stdout=log, stderr=log
            )

    def _wait_until_loaded(self):
        def is_loaded():
            sensor = {**SELECTOR, "sensorName": "migration_ended"}
            return self.ask(TICKS, sensor=sensor)["sensorOrError"]["__typename"] == "Sensor"

        wait_until(is_loaded, lambda: self.log("webserver"), START_SECONDS)

    def log(self, name):
        return (self._folder / f"{name}.log").read_text()[-4000:]

    def ask(self, query, **variables):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._ports['webserver']}/graphql",
            data=json.dumps({"query": query, "variables": variables}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def launch(self, job, config):
        """Launch a run as the Launchpad does; return its id."""
        params = {"selector": {**SELECTOR, "pipelineName": job}, "runConfigData": config, "mode": "default"}
        found = self.ask(LAUNCH, params=params)["launchRun"]
        assert found["__typename"] == "LaunchRunSuccess", found
        return found["run"]["runId"]

    def terminate(self, run_id):
        """Cancel a run as the UI's button does; return the answer's kind."""
        found = self.ask(TERMINATE, runIds=[run_id], policy="SAFE_TERMINATE")["terminateRuns"]
        return found["terminateRunResults"][0]["__typename"]

    def last_tick(self, sensor):
        """Return the number of a sensor's last tick that has ended; 0: there was none."""
        found = self.ask(TICKS, sensor={**SELECTOR, "sensorName": sensor})["sensorOrError"]
        ended = [int(one["tickId"]) for one in found["sensorState"]["ticks"] if one["endTimestamp"]]
        return max(ended, default=0)

    def tick(self, sensor):
        """Let the code server evaluate a sensor now; return why it has launched nothing."""
        return self.ask(TICK, sensor={**SELECTOR, "sensorName": sensor})["sensorDryRun"]["evaluationResult"]["skipReason"]

    def stop(self):
        for process in reversed(self._processes.values()):
            process.send_signal(signal.SIGINT)
        for process in self._processes.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
