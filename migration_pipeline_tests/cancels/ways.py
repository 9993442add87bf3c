"""The ways in which a run is ended, and how it ends in each step."""

import enum
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dagster import DagsterRunStatus as Status

from migration_pipeline.defs import sensors
from migration_pipeline_tests.cancels.ward import STEPS
from migration_pipeline_tests.conftest import wait_until

TICK_SECONDS = 90  # a sensor's interval is 30 s, and the daemon may only just have been started
LIMITS = ("alert_after_minutes = {}", "cancel_after_minutes = {}")
SENSOR = "migration_timeout"


class End(enum.Enum):
    CANCELLED = "cancelled"  #: it cleared away by itself, and said so
    FAILED = "failed"  #: as above, and Dagster calls it a failure
    KILLED = "killed"  #: it could do and say nothing any more
    GOES_ON = "goes on"  #: nothing of it is gone: it succeeds


@dataclass(frozen=True, kw_only=True)
class Way:
    name: str
    door: str  #: launched, pipe or terminal
    act: Callable[..., None]  #: of a case
    ends: Callable[[str], End]  #: by step
    note: str = ""

    @property
    def is_deployed(self):
        """Whether Dagster's own processes take part."""
        return self.door == "launched" or self.name.startswith(("the UI", "the sensor", "SIGKILL of the daemon"))


def from_the_ui(case):
    answer = case.deployment.terminate(case.run.run_id)
    # Dagster cannot signal a run that it has not launched, and says so; the run sees that it is to end
    assert answer == ("TerminateRunSuccess" if case.way.door == "launched" else "TerminateRunFailure")


def by_the_sensor(case):
    """Let the daemon tick it once the time of the upgrade's transaction is over; in another step, evaluate it there and then."""
    for line in LIMITS:
        case.ward.setting(line.format(0.01))
    if case.ends is End.GOES_ON:
        assert case.deployment.tick(SENSOR) == sensors.NO_UPGRADE
    else:
        asked = (Status.CANCELING, Status.CANCELED)
        wait_until(lambda: case.run.status in asked, lambda: case.deployment.log("daemon"), TICK_SECONDS)
    for line, minutes in zip(LIMITS, (5, 30), strict=True):
        case.ward.setting(line.format(minutes))


def signalled(number):
    return lambda case: case.run.send(number)


def typed_at_the_terminal(case):
    case.run.type("\x03")


def runner_is_killed(case):
    """Kill the interpreter that is connected; where none is, one that waits, if there is one."""
    found = [pid for pid, command in case.processes().items() if "runner.py" in command]
    connected = [pid for pid in found if _is_connected(pid)]
    assert bool(connected) == (case.ends is End.FAILED)
    for pid in (connected or found)[:1]:
        os.kill(pid, signal.SIGKILL)


def _is_connected(pid):
    return any("socket:" in str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir())


def daemon_is_killed(case):
    case.deployment.kill_daemon()


def always(end):
    return lambda _step: end


def in_upgrade(end):
    return lambda step: end if step.startswith("upgrade") else End.GOES_ON


def where_it_works(end):
    return lambda step: end if step == "rehearse" or step.startswith("upgrade") else End.GOES_ON


CANCELLED, FAILED, KILLED, GOES_ON = End
WAYS = [
    Way(name="the UI's cancel, launched run", door="launched", act=from_the_ui, ends=always(CANCELLED)),
    Way(name="the UI's cancel, run in a terminal", door="pipe", act=from_the_ui, ends=always(CANCELLED)),
    Way(name="the sensor migration_timeout, launched run", door="launched", act=by_the_sensor, ends=in_upgrade(CANCELLED)),
    Way(name="the sensor migration_timeout, run in a terminal", door="pipe", act=by_the_sensor, ends=in_upgrade(CANCELLED)),
    Way(name="Ctrl-C", door="terminal", act=typed_at_the_terminal, ends=always(CANCELLED)),
    Way(name="SIGTERM", door="pipe", act=signalled(signal.SIGTERM), ends=always(CANCELLED)),
    Way(name="SIGTERM, launched run", door="launched", act=signalled(signal.SIGTERM), ends=always(FAILED)),
    Way(name="SIGHUP", door="pipe", act=signalled(signal.SIGHUP), ends=always(CANCELLED)),
    Way(name="SIGKILL of the worker, launched run", door="launched", act=signalled(signal.SIGKILL), ends=always(KILLED)),
    Way(name="SIGKILL of the run in a terminal", door="pipe", act=signalled(signal.SIGKILL), ends=always(KILLED)),
    Way(name="SIGKILL of the runner, launched run", door="launched", act=runner_is_killed, ends=where_it_works(FAILED)),
    Way(name="SIGKILL of the runner, run in a terminal", door="pipe", act=runner_is_killed, ends=where_it_works(FAILED)),
    Way(name="SIGKILL of the daemon, launched run", door="launched", act=daemon_is_killed, ends=always(GOES_ON)),
    Way(name="SIGKILL of the daemon, run in a terminal", door="pipe", act=daemon_is_killed, ends=always(GOES_ON)),
]
CELLS = [(way, step) for way in WAYS for step in STEPS]
#: What is seen every day, in seconds: one a way that needs none of Dagster's own processes, and each in a step of its own.
EVERY_DAY = {
    ("SIGTERM", "upgrade, waiting for a lock"),
    ("SIGKILL of the run in a terminal", "upgrade, working"),
}
