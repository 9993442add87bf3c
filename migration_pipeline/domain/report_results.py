"""What a rehearsal that is told of finds: where its report is kept, on which backup it ran, what a migration would do."""

from dataclasses import dataclass
from datetime import timedelta

from migration_pipeline import errors
from migration_pipeline.domain.backups import Backup
from migration_pipeline.domain.confirmation import DIGITS
from migration_pipeline.domain.plan import Plan
from migration_pipeline.domain.safety import SafetyReport


@dataclass(frozen=True, kw_only=True)
class KeptReport:
    """The report's file beside the backups, or why there is none: exactly one of the two is said."""

    location: str | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Classified:
    """A safety report, and its file."""

    report: SafetyReport
    kept: KeptReport

    def raise_if_refused(self) -> None:
        """Raise what the report raises; the file is a part of the evidence."""
        try:
            self.report.raise_if_refused()
        except errors.Refusal as error:
            if self.kept.location:
                error.evidence["report"] = self.kept.location
            raise


@dataclass(frozen=True, kw_only=True)
class RehearsedOn:
    """The backup that a plan is rehearsed on."""

    backup: Backup
    age: timedelta
    why_new: str = ""  #: why the recent one would not do; "": this is the recent one


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """`just migrate` would not refuse the plan."""

    plan: Plan
    report: SafetyReport


def file_name(backup_id: str, plan_fingerprint: str) -> str:
    """Return the name of the report of a plan on a backup: whoever has a migration's record can tell it."""
    return f"report_{backup_id.removeprefix('backup_')}_{plan_fingerprint[:DIGITS]}.html"
