"""A run of `migrate` to be cancelled: at a terminal, behind a pipe, or launched by Dagster."""

import fcntl
import functools
import os
import re
import select
import struct
import termios
import threading
from pathlib import Path

import dagster as dg

from migration_pipeline.defs import ops_confirm
from migration_pipeline_tests.conftest import wait_until
from migration_pipeline_tests.door import Run
from migration_pipeline_tests.faults.happening import QUESTION

END_SECONDS = 120
CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")
ENDS = (dg.DagsterEventType.RUN_CANCELED, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_SUCCESS)
WORKER = re.compile(r"Started process for run \(pid: (\d+)\)")


class AnyRun:
    """What is known of a run by its record, wherever it lives."""

    ward: object
    run_id: str

    @property
    def record(self):
        return self.ward.instance.get_run_by_id(self.run_id)

    @property
    def status(self):
        return self.record.status

    def logged(self):
        return [entry for entry in self.ward.instance.all_logs(self.run_id) if entry.dagster_event]

    @property
    def last_entry(self):
        return self.logged()[-1].message

    @property
    def closing_words(self):
        """Return what the event that ended the run says, with the error that it carries."""
        (*_, last) = (entry.dagster_event for entry in self.logged() if entry.dagster_event.event_type in ENDS)
        data = last.event_specific_data
        first = getattr(data, "first_step_failure_event", None)
        errors = [getattr(data, "error", None), first.event_specific_data.error if first else None]
        return "\n".join([last.message or "", *(error.to_string() for error in errors if error)])


class BehindPipe(AnyRun):
    """A run that a shell started."""

    def __init__(self, ward, answer):
        self.ward, self._answer = ward, answer
        self._run = self._start()

    def _start(self):
        return self.ward.start("migrate", answer=self._answer)

    @property
    def pid(self):
        return self._run.pid

    @property
    def run_id(self):
        return self.ward.newest_run().run_id

    @property
    def is_alive(self):
        return self._run.is_alive

    is_under_way = is_alive

    @property
    def is_asking(self):
        return QUESTION in self.told

    @property
    def told(self):
        return self._run.said

    def answer(self, _deployment):
        self._run.answer("CONFIRM\n")

    def send(self, number):
        self._run.send(number)

    def wait(self):
        """Return the exit code."""
        return self._run.wait(END_SECONDS)


class AtTerminal(BehindPipe):
    """A run in a terminal of its own, where Ctrl-C is typed."""

    def _start(self):
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self._read = b""
        run = Run(["migrate"], self.ward.environ, self.ward.folder, terminal=os.ttyname(slave))
        threading.Thread(target=self._listen, args=(run, slave), daemon=True).start()
        if self._answer:
            self.type(self._answer)
        return run

    def _listen(self, run, slave):
        """Read what it draws, or it waits for its reader; hold the terminal open until it has ended."""
        while Path("/proc", str(run.pid)).exists() or select.select([self._master], [], [], 0)[0]:
            if select.select([self._master], [], [], 0.1)[0]:
                self._read += os.read(self._master, 1 << 16)
        os.close(slave)
        os.close(self._master)

    def type(self, text):
        os.write(self._master, text.encode())

    def answer(self, _deployment):
        self.type("CONFIRM\n")

    @property
    def told(self):
        return CONTROL.sub("", self._read.decode(errors="replace"))


class Launched(AnyRun):
    """A run that was launched as from the UI, through the queue."""

    def __init__(self, ward, deployment, answer):
        self.ward = ward
        config = {"confirmation": f"CONFIRM {ward.planned[:8]}"} if answer else {}
        self.run_id = deployment.launch("migrate", config)

    @functools.cached_property
    def pid(self):
        return next(int(found[1]) for entry in self.logged() if (found := WORKER.match(entry.dagster_event.message or "")))

    @property
    def is_alive(self):
        return self.pid in self.ward.processes()

    @property
    def is_under_way(self):
        return not self.record.is_finished

    @property
    def is_asking(self):
        return self.record.tags.get(ops_confirm.DECISION) == ops_confirm.IS_AWAITED

    @property
    def told(self):
        return "\n".join(entry.message for entry in self.logged()[-5:])

    def answer(self, deployment):
        answer = {"run_id": self.run_id, "fingerprint": self.ward.planned, "answer": "CONFIRM"}
        deployment.launch(ops_confirm.JOB, answer)

    def send(self, number):
        os.kill(self.pid, number)

    def wait(self):
        """Return the exit code that the run would have had."""
        wait_until(lambda: self.record.is_finished, lambda: self.told, END_SECONDS)
        return 0 if self.status is dg.DagsterRunStatus.SUCCESS else 1
