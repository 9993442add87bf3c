"""Backups and their manifests; how they are named, and which of them count."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from migration_pipeline.domain.plan import Identity
from migration_pipeline.domain.schema import SchemaSnapshot

FORMAT = 1
NAME = re.compile(r"backup_(\d{4}-\d{2}-\d{2}_\d{2}-\d{2}-\d{2})")
MOST_BYTES = 2**63 - 1
TIME_IN_NAME = "%Y-%m-%d_%H-%M-%S"


@dataclass(frozen=True, kw_only=True)
class Verification:
    """One proof, or failed try at a proof, that a backup can be restored."""

    level: str  #: checksum or restore
    at: datetime
    seconds: float
    passed: bool
    detail: str = ""

    def __post_init__(self) -> None:
        _demand(self.at.tzinfo is not None and math.isfinite(self.seconds))


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a dump holds, recorded in the dump's own snapshot. It names tables and counts rows; it holds no row."""

    format: int = FORMAT
    id: str
    identity: Identity
    server_version: str
    client_version: str
    snapshot_time: datetime  #: the server's clock, when the snapshot was taken
    heads: tuple[str, ...]  #: the rows of the version table, in the snapshot
    bytes: int
    checksum: str  #: SHA-256 of the dump
    seconds: float
    rows: Mapping[str, int]  #: rows by table
    schema: SchemaSnapshot
    schema_fingerprint: str
    extensions: Mapping[str, str]
    roles: tuple[str, ...]  #: the roles that own or are granted something: a dump does not hold them
    verifications: tuple[Verification, ...] = ()
    #: The fingerprint of the plan that this backup was taken for, if it was taken for one.
    protects: str | None = None

    def __post_init__(self) -> None:
        _demand(self.snapshot_time.tzinfo is not None and math.isfinite(self.seconds))
        _demand(0 <= self.bytes <= MOST_BYTES and min(self.rows.values(), default=0) >= 0)

    @property
    def restored(self) -> Verification | None:
        """The newest verification by restore, if it passed; a later failure takes the trust away."""
        tries = [one for one in self.verifications if one.level == "restore"]
        return tries[-1] if tries and tries[-1].passed else None


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A dump and its manifest in the store."""

    manifest: Manifest
    location: str  #: where the dump lies, for a human

    @property
    def id(self) -> str:
        return self.manifest.id


@dataclass(frozen=True, kw_only=True)
class VerifiedBackup:
    """A backup that was restored and found equal to what its manifest recorded. Only `verify_backup` makes one."""

    backup: Backup
    verification: Verification
    plan_fingerprint: str
    age: timedelta  #: of the snapshot when it was verified: what was written since is not in it

    def __post_init__(self) -> None:
        if self.verification.level != "restore" or not self.verification.passed:
            message = "only a passed verification by restore makes a VerifiedBackup"
            raise ValueError(message)


@dataclass(frozen=True, kw_only=True)
class Migration:
    """The record of one committed migration."""

    at: datetime
    identity: Identity
    plan_fingerprint: str
    heads_before: tuple[str, ...]
    heads_after: tuple[str, ...]
    revisions: tuple[str, ...]
    backup_id: str
    confirmed: str

    @property
    def name(self) -> str:
        return f"migration_{self.at.astimezone(UTC).strftime('%Y-%m-%d_%H-%M-%S_%f')}.json"


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A backup that does not count for this database now, and why."""

    id: str
    reason: str = field(default="")


def _demand(condition: bool) -> None:
    """Keep what a damaged file says out of the arithmetic with ages and sizes."""
    if not condition:
        message = "a time without its zone, or a number that cannot be"
        raise ValueError(message)


def name_at(moment: datetime) -> str:
    """Return the name of a backup taken at this moment, in UTC."""
    return f"backup_{moment.astimezone(UTC).strftime(TIME_IN_NAME)}"


def why_not(backup: Backup, identity: Identity, now: datetime, max_age: timedelta) -> str | None:
    """Return why a backup does not count as a recent, verified backup of this database; None: it counts."""
    manifest = backup.manifest
    age = now - manifest.snapshot_time
    if replace(manifest.identity, oid=identity.oid) == identity != manifest.identity:
        return f"a backup of a database {identity.database} that was dropped since; this one was made after it"
    if manifest.identity != identity:
        return f"a backup of another database ({manifest.identity.target}, {manifest.identity.database})"
    if age < timedelta(0):
        return "its time is in the future"
    if age > max_age:
        return f"{words(age)} old; the limit is {words(max_age)}"
    if manifest.restored is None:
        return "not verified by a restore"
    return None


def newest_first(backups: Iterable[Backup]) -> list[Backup]:
    return sorted(backups, key=lambda backup: backup.manifest.snapshot_time, reverse=True)


def words(span: timedelta) -> str:
    """Return a span of time as a human says it: 42 s, 12 min, 5 h, 3 days."""
    seconds = span.total_seconds()
    for unit, size, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"
