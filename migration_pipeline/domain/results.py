"""What the steps find, beyond backups, rehearsals and reports: small values that travel between them and are shown."""

from dataclasses import dataclass

from migration_pipeline.domain.backups import Backup
from migration_pipeline.domain.effects import RevisionEffects
from migration_pipeline.domain.plan import Plan


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
class Shown:
    """What can be said of a revision without running it."""

    declares: str
    predicts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A plan, and what its revisions declare and predict."""

    plan: Plan
    shown: dict[str, Shown]
