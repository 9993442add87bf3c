"""A run that is held at a moment while something happens to it; and what must be true afterwards, whatever it was."""

import contextlib
import functools
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from migration_pipeline_tests.conftest import execute, wait_until
from migration_pipeline_tests.door import forks
from migration_pipeline_tests.faults import moments
from migration_pipeline_tests.faults.place import Place, digest

GONE_SECONDS = 10
BESIDE_SECONDS = 0.5  # what else is read from the dump's snapshot has been read then
QUESTION = "Type 'CONFIRM' to proceed:"
WAITS_IN_COMMIT = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name LIKE '%upgrade%'"


@dataclass
class Happening:
    """One run of `migrate` in a place, held at a moment."""

    place: Place
    moment: str | None
    inside: Callable[[], None] | None = None  #: what happens in the run's own process
    answer: str = "CONFIRM\n"
    name: str = "run"
    child: int | None = None  #: the program or runner that works at this moment
    since: float = 0.0  #: when it happened
    later: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)  #: what is undone once the run has ended

    def start(self):
        here, there = forks.Pipe()
        prepare = functools.partial(moments.hold, self.moment, self.inside, there) if self.moment else None
        answer = "" if self.moment == "confirm" else self.answer
        self.run = self.place.start("migrate", answer=answer, name=self.name, prepare=prepare)
        there.close()
        self._here = here
        if self.moment == "confirm":
            wait_until(lambda: QUESTION in self.run.said, lambda: self.run.said, 60)
        elif self.moment:
            self._wait_until_held()
        if self.moment == "dumping":
            time.sleep(BESIDE_SECONDS)
        if self.moment == "committing":
            self._hold_commit()
        self.since = time.monotonic()

    def _wait_until_held(self):
        while not self._here.poll(0.1):
            assert self.run.is_alive, f"ended before {self.moment}:\n{self.run.said}"
        try:
            self.child = self._here.recv()
        except EOFError:
            self.run.wait()
            raise AssertionError(f"ended before {self.moment}:\n{self.run.said}") from None

    def _hold_commit(self):
        """COMMIT waits for a standby that does not exist: it is written, and its answer does not come."""
        execute(self.place.server.url(), "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
        self.later.callback(self._let_commit_go)
        self._go_on()
        wait_until(lambda: execute(self.place.server.url(), WAITS_IN_COMMIT), lambda: self.run.said, 30)

    def _let_commit_go(self):
        execute(self.place.server.url(), "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")

    def release(self):
        """Let the run go on from where it was held."""
        if self.moment == "confirm":
            self.run.answer(self.answer)
        elif self.moment in moments.PROGRAMS:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.child, signal.SIGCONT)
        elif self.moment == "committing":
            self._let_commit_go()
        elif self.moment:
            self._go_on()

    def _go_on(self):
        with contextlib.suppress(OSError):
            self._here.send(None)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended, and what became of the database."""

    code: int
    said: str
    database: str  #: before, after or BETWEEN
    gone_seconds: float  #: from the fault until nothing of the run was left at work


def outcome(happening) -> Outcome:
    """Wait for the run's end and look: at the server, at the processes, at the database."""
    place = happening.place
    code = happening.run.wait()
    happening.later.close()
    wait_until(lambda: not place.sessions(), place.sessions, GONE_SECONDS)
    wait_until(lambda: not place.processes(), place.processes, GONE_SECONDS)
    gone = time.monotonic() - happening.since
    database = {place.before: "before", place.after: "after"}.get(digest(place.dump()), "BETWEEN")
    return Outcome(code=code, said=happening.run.said, database=database, gone_seconds=gone)
