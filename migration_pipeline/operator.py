"""Who watches a run and answers its question: the CLI where it started the run in its own process, else nobody.

Ops never print and never read a terminal: a run that the UI launched would ask on the daemon's.
"""

from typing import Any, Protocol

from migration_pipeline import errors
from migration_pipeline.domain import confirmation, restoration
from migration_pipeline.domain.confirmation import Confirmation
from migration_pipeline.domain.plan import Plan
from migration_pipeline.domain.restoration import Cost, RestoreConfirmation
from migration_pipeline.domain.safety import SafetyReport


class Operator(Protocol):
    """Somebody at a terminal."""

    def started(self, step: str) -> None: ...
    def progress(self, what: str, done: int, total: int | None) -> None: ...
    def see(self, step: str, value: Any) -> None:
        """Be shown what a step found."""

    def failed(self, step: str, error: errors.MigrationPipelineError) -> None: ...
    def confirm(self, plan: Plan, report: SafetyReport) -> Confirmation:
        """Show the ledger, ask, and return the confirmation. Raise Declined."""

    def confirm_restore(self, cost: Cost, asked_for: str) -> RestoreConfirmation:
        """Show what a restore loses, ask, and return the confirmation. Raise Declined."""


class Nobody:
    """The operator of a run that was launched elsewhere: the run's config is the only answer."""

    def started(self, step: str) -> None: ...
    def progress(self, what: str, done: int, total: int | None) -> None: ...
    def see(self, step: str, value: Any) -> None: ...
    def failed(self, step: str, error: errors.MigrationPipelineError) -> None: ...
    def confirm(self, plan: Plan, _report: SafetyReport) -> Confirmation:
        return confirmation.from_config("", plan.fingerprint)

    def confirm_restore(self, cost: Cost, asked_for: str) -> RestoreConfirmation:
        return restoration.from_config("", asked_for, cost)


class _Desk:
    """The one seat. The CLI takes it before it runs a job in its own process."""

    present: Operator = Nobody()
    is_ending: bool = False  #: somebody has interrupted the run, and it is being cleared away

    @property
    def is_taken(self) -> bool:
        return not isinstance(self.present, Nobody)


desk = _Desk()
