"""One cell of the matrix: a run is held in a step, ended in a way, and looked at from all sides."""

import re
import time

from dagster import DagsterRunStatus as Status

from migration_pipeline_tests.cancels.runs import AtTerminal, BehindPipe, Launched
from migration_pipeline_tests.cancels.ward import Hold
from migration_pipeline_tests.cancels.ways import TICK_SECONDS, End
from migration_pipeline_tests.conftest import wait_until
from migration_pipeline_tests.faults.happening import GONE_SECONDS
from migration_pipeline_tests.faults.place import digest

WATCHED_SECONDS = 1.0  # what would end a run that shall go on has reached it then
EXIT_SECONDS = 30
FOUND_SECONDS = 10  # how long Dagster may take to record the end of a run that cannot do it itself
STATUS = {End.CANCELLED: Status.CANCELED, End.FAILED: Status.FAILURE, End.KILLED: Status.FAILURE, End.GOES_ON: Status.SUCCESS}
COMMITTED = ("post_check",)
LINE = re.compile(r"^  (\w+): (.*)$", re.MULTILINE)


class Case:
    """A way and a step, in a ward that is as it was before anything was migrated."""

    def __init__(self, ward, deployment, way, step):
        self.ward, self.deployment, self.way, self.step = ward, deployment, way, step
        self.ends = way.ends(step)
        self._others = set(ward.processes())
        self._hold = Hold(ward, step)

    def processes(self):
        """Return the programs of the run: whatever runs in this place and did not before."""
        found = {pid: command for pid, command in self.ward.processes().items() if pid not in self._others}
        return {pid: command for pid, command in found.items() if "resource_tracker" not in command}  # of the code server

    def happens(self):
        """Hold the run, end it, and let go; return the seconds until nothing of it was left, or None."""
        self._hold.prepare()
        try:
            self.run = self._start()
            self._hold.wait(self.run)
            self.way.act(self)
            since = time.monotonic()
            if self.ends is End.GOES_ON:
                time.sleep(WATCHED_SECONDS)
                assert self.run.is_under_way, self.run.told
                return None
            return self._gone(since)
        finally:
            self._hold.release()

    def _start(self):
        answer = "" if self.step == "confirm" else "CONFIRM\n"
        if self.way.door == "launched":
            return Launched(self.ward, self.deployment, answer)
        return (AtTerminal if self.way.door == "terminal" else BehindPipe)(self.ward, answer)

    def _gone(self, since):
        """Wait until nothing of the run is left; return the seconds. The worker of a launched run may go a little later.

        It has nothing left to do then, and an interpreter that has loaded Dagster takes its time to end.
        """
        is_launched = self.way.door == "launched"

        def left():
            children = {pid: command for pid, command in self.processes().items() if pid != self.run.pid}
            itself = self.run.is_under_way if is_launched else self.run.is_alive
            return [*(["the run itself"] if itself else []), *children.values(), *self.ward.backends()]

        wait_until(lambda: not left(), left, GONE_SECONDS)
        seconds = time.monotonic() - since
        wait_until(lambda: not self.run.is_alive, lambda: self.run.told, EXIT_SECONDS)
        return seconds

    def goes_on(self):
        """Let a run that nothing has ended come to its end."""
        if self.step == "confirm":
            self._answer()
        assert self.run.wait() == 0, self.run.told
        self._gone(time.monotonic())

    def _answer(self):
        if self.way.door == "launched":  # an answer is a run too, and comes through the queue
            self.deployment.start_daemon()
            self._others.add(self.deployment.daemon)
        self.run.answer(self.deployment)

    def look(self):
        """Return what became of the database: before, after or BETWEEN."""
        return {self.ward.before: "before", self.ward.after: "after"}.get(digest(self.ward.dump()), "BETWEEN")

    @property
    def expected(self):
        return "after" if self.ends is End.GOES_ON or self.step in COMMITTED else "before"

    def left(self):
        """Return what lies about: what a later run sweeps."""
        return [*self.ward.scratch_databases(), *self.ward.partials(), *self.ward.temporary_files()]

    def assert_that_its_end_is_recorded(self):
        """A run that was killed at a terminal is found by the next one, or by a sensor."""
        if self.ends is End.KILLED and self.way.door != "launched":
            assert self.run.status is Status.STARTED
            return
        wait_until(lambda: self.run.status is STATUS[self.ends], lambda: (self.run.status, self.run.told), FOUND_SECONDS)

    def assert_that_the_state_is_told(self):
        """In the event that closes the run's log, and in the terminal's last words; of what was killed, by a sensor."""
        if self.ends is End.KILLED and self.way.door == "launched":
            wait_until(lambda: self._seen_dead in self.run.last_entry, lambda: self.run.told, TICK_SECONDS)
        if self.ends in (End.KILLED, End.GOES_ON):
            return
        told = [self.run.closing_words, *([] if self.way.door == "launched" else [self.run.told])]
        for one in told:
            found = dict(LINE.findall(one))
            assert found.get("state") == self._state, one
            assert "safe" in found or self.step == "backup", one
            if self.step.startswith("upgrade") and self.ends is End.CANCELLED:
                assert found["locks"] == "free: the upgrade's session has ended", one

    @property
    def _seen_dead(self):
        at = "0003" if self.step in COMMITTED else "0001"
        return f"state: the database is at {at}; no upgrade has a session on the server"

    @property
    def _state(self):
        if self.step in COMMITTED:
            return "the upgrade was committed; the database is at 0003"
        begun = "rolled back; " if self.step.startswith("upgrade") else ""
        return f"{begun}the database is at 0001, as before"
