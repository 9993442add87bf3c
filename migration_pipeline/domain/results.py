"""What the steps find, beyond backups, rehearsals and reports: small values that travel between them and are shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from migration_pipeline.domain.backups import Backup, Rejected, Verification
from migration_pipeline.domain.effects import RevisionEffects
from migration_pipeline.domain.plan import Plan
from migration_pipeline.domain.retention import Decision, Retention


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """The conditions are met; this is what is pending, and the backup that allows to go on."""

    plan: Plan
    recent_backup: Backup | None  #: None only where nothing is pending
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class UpgradeResult:
    """The upgrade was committed."""

    plan_fingerprint: str
    backup_id: str
    heads: tuple[str, ...]
    seconds: float  #: of the transaction that was committed
    attempts: int
    revisions: tuple[RevisionEffects, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PostCheck:
    """The database is what the rehearsal said that it would be."""

    heads: tuple[str, ...]
    schema_fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Verified:
    """A backup was proved once more."""

    backup: Backup
    verification: Verification


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What the retention policy says of each backup, and what was removed."""

    retention: Retention
    dry_run: bool
    refused: Mapping[str, str]  #: what the store keeps all the same, by id, and why
    rejected: tuple[Rejected, ...]
    in_part: Mapping[str, str] = field(default_factory=dict)  #: backups no more, of which something is left, and why

    @property
    def removed(self) -> list[Decision]:
        return [one for one in self.retention.removed if one.entry.id not in self.refused]

    @property
    def rows(self) -> list[dict[str, str]]:
        """A line a backup: what becomes of it, and why."""
        verb = "would go" if self.dry_run else "removed"
        return [
            {"backup": one.entry.id, "what": "stays", "why": one.reason}
            if one.is_kept
            else {"backup": one.entry.id, "what": "stays", "why": f"the store keeps it: {self.refused[one.entry.id]}"}
            if one.entry.id in self.refused
            else {"backup": one.entry.id, "what": "removed in part", "why": self.in_part[one.entry.id]}
            if one.entry.id in self.in_part
            else {"backup": one.entry.id, "what": verb, "why": one.reason}
            for one in self.retention.decisions
        ] + [{"backup": one.id, "what": "stays", "why": f"not touched: {one.reason}"} for one in self.rejected]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What can be said of a revision without running it."""

    declares: str
    predicts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A plan, and what its revisions declare and predict."""

    plan: Plan
    shown: dict[str, Shown]
