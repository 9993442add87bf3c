"""The operator's terminal: draws the steps of a run, shows the ledger and asks the one question.

It writes to duplicates of the terminal's descriptors, taken before Dagster captures the streams.
"""

import errno
import io
import json
import os
import signal
import sys
import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from migration_pipeline import errors
from migration_pipeline.cli import drawing, drawing_backups
from migration_pipeline.domain import confirmation, restoration
from migration_pipeline.domain.confirmation import PROMPT, Confirmation
from migration_pipeline.domain.plan import Plan
from migration_pipeline.domain.restoration import Cost, RestoreConfirmation
from migration_pipeline.domain.results import Preflight
from migration_pipeline.domain.safety import SafetyReport
from migration_pipeline.settings import Target

WIDEST_STEP = 16
WIDE = 160  # characters


class Terminal:
    """An `operator.Operator` at a terminal or behind a pipe."""

    def __init__(self, *, as_json: bool = False) -> None:
        self._as_json = as_json
        self._err = _console(sys.stderr.fileno())
        self._out = _console(sys.stdout.fileno())
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._since = time.monotonic()
        self.step = ""  #: that is running
        self.plan: Plan | None = None  #: of the run, once preflight has made it
        self.cost: Cost | None = None  #: of the restore, once it was weighed
        self._result: dict[str, Any] = {}
        self._error: errors.MigrationPipelineError | None = None

    def __enter__(self) -> Self:
        if self._err.is_terminal:
            self._progress = Progress(
                SpinnerColumn(), TextColumn("{task.description:<24}", markup=False), BarColumn(bar_width=24), TimeElapsedColumn(),
                TextColumn("{task.fields[amount]}"),
                console=self._err, transient=True,
            )  # fmt: skip
            self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._progress is not None:
            self._progress.stop()

    def headline(self, target: Target) -> None:
        """Say which database this is about: the most expensive mistake is the wrong one."""
        self._err.print(drawing.headline(target))

    def started(self, step: str) -> None:
        """Draw that a step is running."""
        self._since = time.monotonic()
        self.step = step
        if self._progress is not None:
            self._clear()
            self._task = self._progress.add_task(step, total=None, amount="")

    def progress(self, what: str, done: int, total: int | None) -> None:
        """Draw how far a long piece of work is."""
        if self._progress is not None and self._task is not None:
            amount = drawing.amount(done, total)
            self._progress.update(self._task, description=f"{self.step}: {what}", completed=done, total=total, amount=amount)

    def see(self, step: str, value: Any) -> None:
        """Draw a step that is done, and what it found."""
        self._clear()
        if isinstance(value, Preflight):
            self.plan = value.plan
        if isinstance(value, Cost):
            self.cost = value
        line = Text.assemble(("  ✓ ", "green"), (f"{step:<{WIDEST_STEP}}", "bold"), (f"{self._seconds:7.1f} s  ", "dim"))
        told, below = drawing.found(value)
        self._err.print(line.append(told), soft_wrap=True)
        for one in below:
            self._err.print(one, soft_wrap=isinstance(one, Text))
        self._result |= drawing.result(value)

    def failed(self, step: str, error: errors.MigrationPipelineError) -> None:
        """Draw a step that failed; the error itself is told at the end."""
        self._clear()
        refused = isinstance(error, errors.Refusal)
        mark, word = ("■", "refused") if refused else ("✗", "failed")
        self._err.print(
            Text.assemble(
                (f"  {mark} ", "red"),
                (f"{self.step or step:<{WIDEST_STEP}}", "bold"),
                (f"{self._seconds:7.1f} s  ", "dim"),
                (word, "red"),
            )
        )
        self._error = error

    def confirm(self, plan: Plan, report: SafetyReport) -> Confirmation:
        """Show the ledger, ask, and read one line: from the terminal, or from what was piped to us."""
        return confirmation.from_prompt(self._ask(drawing.ledger(plan, report), PROMPT), plan.fingerprint)

    def confirm_restore(self, cost: Cost, asked_for: str) -> RestoreConfirmation:  # noqa: ARG002 - it is at the prompt that it counts
        """Show what a restore loses, ask, and read one line."""
        return restoration.from_prompt(self._ask(drawing_backups.cost(cost), restoration.prompt(cost)), cost)

    def _ask(self, shown: RenderableType, question: str) -> str | None:
        """Return the answer without the end of its line; None at the end of the input."""
        if self._progress is not None:
            self._progress.stop()
        self._err.print(shown)
        self._err.print(Text(question + " ", style="bold red"), end="", soft_wrap=True)
        self._err.file.flush()
        try:
            answer = sys.stdin.readline() if sys.stdin is not None else ""
        except BaseException:
            self._err.print()  # what follows is no answer
            raise
        if not sys.stdin.isatty():
            self._err.print()
        if self._progress is not None:
            self._progress.start()
        return answer.rstrip("\n") if answer else None

    def interrupted(self, standing: dict[str, str], next_step: str) -> int:
        """Tell where the interruption left the live database; return the exit code."""
        step = f"in {self.step}" if self.step else "before the first step"
        error = errors.Interrupted(f"Interrupted {step}.", evidence=standing, next_step=next_step)
        self.error(error)
        return error.exit_code

    @property
    def has_error(self) -> bool:
        return self._error is not None

    def finish(self, *, success: bool) -> int:
        """Print the result, and return the exit code."""
        if self._error is not None:
            self.error(self._error)
            return self._error.exit_code
        if self._as_json:
            self._out.file.write(json.dumps({"ok": success, **self._result}, indent=2, default=str) + "\n")
            self._out.file.flush()
        return 0 if success else 1

    def tell(self, drawn: RenderableType, result: dict[str, Any]) -> None:
        """Print an answer: drawn, or as JSON."""
        if self._as_json:
            self._out.file.write(json.dumps({"ok": True, **result}, indent=2, default=str) + "\n")
            self._out.file.flush()
        else:
            self._out.print(drawn)

    def error(self, error: errors.MigrationPipelineError) -> None:
        """Tell an error: what, evidence, next."""
        if self._as_json:
            told = {
                "ok": False,
                "error": type(error).__name__,
                "what": error.what,
                "evidence": error.evidence,
                "next": error.next_step,
            }
            self._out.file.write(json.dumps({**self._result, **told}, indent=2, default=str) + "\n")
            self._out.file.flush()
        self._err.print(drawing.error(error), soft_wrap=True)

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._since

    def _clear(self) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None


class _Stream(io.TextIOWrapper):
    """Text to a descriptor that may go away: nobody there to read must not fail a step, least of all one that committed."""

    _was_terminal = False

    def isatty(self) -> bool:
        """Return whether this is a terminal, and notice one that is gone: rich asks before it draws, and then does not."""
        is_terminal = super().isatty()
        if self._was_terminal and not is_terminal:
            self._lost(is_hung_up=True)
        self._was_terminal = is_terminal
        return is_terminal

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._lost(is_hung_up=error.errno == errno.EIO)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._lost(is_hung_up=error.errno == errno.EIO)

    def _lost(self, *, is_hung_up: bool) -> None:
        """Write to nowhere from here on; a terminal that is gone ends the run, a reader that has read enough does not."""
        self._was_terminal = False
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        super().flush()
        if is_hung_up:  # `just`, as a terminal's first process, keeps the SIGHUP to itself
            os.kill(os.getpid(), signal.SIGHUP)


def _console(descriptor: int) -> Console:
    """Return a console on a duplicate of a descriptor. A file or a pipe has no width of its own: tables are not squeezed."""
    file = _Stream(os.fdopen(os.dup(descriptor), "wb"), encoding="utf-8")
    return Console(file=file, highlight=False, width=None if file.isatty() else WIDE)
