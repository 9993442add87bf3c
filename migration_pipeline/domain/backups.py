"""Backups and their manifests; how they are named, and which of them count."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from migration_pipeline.domain.plan import Identity
from migration_pipeline.domain.schema import SchemaSnapshot

FORMAT = 2
NAME = re.compile(r"backup_(\d{4}-\d{2}-\d{2}_\d{2}-\d{2}-\d{2})")
MOST_BYTES = 2**63 - 1
TIME_IN_NAME = "%Y-%m-%d_%H-%M-%S"


class Level(StrEnum):
    """What a verification proves; each includes those before it."""

    CHECKSUM = "checksum"  #: the bytes are those that were written
    RESTORE = "restore"  #: it was restored: rows counted, schema compared
    ROWS = "rows"  #: as restore, and the hash over the rows of each table is that of the dump's own snapshot


class Layout(StrEnum):
    """How a dump is laid out in files."""

    PLAIN = "plain"  #: SQL that psql alone restores
    PLAIN_ZSTD = "plain-zstd"  #: the same, compressed
    DIRECTORY = "directory"  #: pg_dump -Fd: dumped and restored in parallel
    OWN_SYSTEM = "own-system"  #: kept by a backup system of the operator's own, under a name that it knows


@dataclass(frozen=True, kw_only=True)
class Commands:
    """A backup system of the operator's own: three programs, each with its arguments; no shell reads them."""

    list: tuple[str, ...]
    create: tuple[str, ...]
    restore_to: tuple[str, ...]
    limit: timedelta = timedelta(hours=24)  #: how long `create` may take, and a restore until its copy answers
    stop_limit: timedelta = timedelta(minutes=2)  #: how long `restore_to` has to take its copy away


SUFFIX = {Layout.PLAIN: ".sql", Layout.PLAIN_ZSTD: ".sql.zst", Layout.DIRECTORY: ".dir"}
AGE = ".age"
GLOBALS = ".globals.sql"  #: the server's roles, without their passwords
DATABASE = ".database.sql"  #: owner, rights and settings of the database itself

#: The locale providers have had names in CREATE DATABASE since 15, and PostgreSQL its own since 17. There, ICU's names are
#: language tags, so none of them is one of these.
WITH_PROVIDERS, WITH_BUILTIN = 15, 17
BUILTIN = frozenset({"C", "C.UTF-8", "PG_UNICODE_FAST"})


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a Target wants its dumps."""

    layout: Layout = Layout.PLAIN
    recipients: tuple[str, ...] = ()  #: public keys of age; none: not encrypted
    jobs: int = 2  #: connections of a dump in the directory layout, and of its restore

    def name(self, backup_id: str) -> str:
        return self.beside(backup_id, SUFFIX[self.layout])

    def beside(self, backup_id: str, suffix: str) -> str:
        return f"{backup_id}{suffix}{AGE if self.recipients else ''}"


@dataclass(frozen=True, kw_only=True)
class Verification:
    """One proof, or failed try at a proof, that a backup can be restored."""

    level: Level
    at: datetime
    seconds: float
    passed: bool
    detail: str = ""

    def __post_init__(self) -> None:
        _demand(self.at.tzinfo is not None and math.isfinite(self.seconds))

    @property
    def is_by_restore(self) -> bool:
        return self.level is not Level.CHECKSUM


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """One file of a backup."""

    name: str  #: below the Target's folder of the store: `backup_….sql`, `backup_….dir/toc.dat`
    bytes: int
    checksum: str  #: SHA-256 of its bytes, as they are stored

    def __post_init__(self) -> None:
        _demand(0 <= self.bytes <= MOST_BYTES and not self.name.startswith("/") and ".." not in self.name.split("/"))


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What `ALTER DATABASE ... SET` gave, for everybody or for one role in this database."""

    name: str
    role: str | None = None
    #: None: a parameter of the application's own, which may be a secret; it stands in the `.database.sql` file alone.
    value: str | None = None


@dataclass(frozen=True, kw_only=True)
class DatabaseFacts:
    """What a database is apart from its content: no dump holds it.

    https://www.postgresql.org/docs/current/app-pgdump.html, Notes; https://www.postgresql.org/docs/current/catalog-pg-database.html
    """

    owner: str = ""
    encoding: str = "UTF8"
    collate: str = "C"
    ctype: str = "C"
    icu_locale: str | None = None  #: None: the operating system's collations
    tablespace: str = "pg_default"
    connection_limit: int = -1  #: -1: none
    access: tuple[tuple[str | None, str, bool], ...] = ()  #: role (None: PUBLIC), privilege, with the right to grant it
    settings: tuple[Setting, ...] = ()

    def provider(self, major: int) -> str:
        """Return whose collations they are: libc, icu or builtin."""
        if self.icu_locale is None:
            return "libc"
        return "builtin" if major >= WITH_BUILTIN and self.icu_locale in BUILTIN else "icu"


@dataclass(frozen=True, kw_only=True)
class Pin:
    """An operator's word that a backup stays."""

    at: datetime
    reason: str = ""


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
    version_table: str = "alembic_version"
    version_table_schema: str | None = None
    layout: Layout = Layout.PLAIN
    recipients: tuple[str, ...] = ()  #: the public keys of age that it is encrypted to; none: it is not
    files: tuple[StoredFile, ...]  #: the dump's own first
    seconds: float
    rows: Mapping[str, int]  #: rows by table
    row_hashes: Mapping[str, str] = field(default_factory=dict)  #: by table, where the Target asks for them
    sequences: Mapping[str, int] = field(default_factory=dict)  #: the last value of each, shortly before the dump
    large_objects: int = 0
    database_bytes: int = 0  #: as the server had it, with indexes: a restore needs about as much
    schema: SchemaSnapshot
    schema_fingerprint: str
    extensions: Mapping[str, str]
    roles: tuple[str, ...]  #: the roles that own or are granted something: a dump does not hold them
    database: DatabaseFacts = field(default_factory=DatabaseFacts)
    kept_as: str = ""  #: in a backup system of the operator's own: the id that it has there
    kept_bytes: int = 0
    bounds: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)  #: between which its rows by table lie
    transactions: tuple[int, int] | None = None  #: between which a physical copy of it ends
    by_hand: tuple[str, ...] = ()  #: the commands that restore it without this product
    verifications: tuple[Verification, ...] = ()
    #: The fingerprint of the plan that this backup was taken for, if it was taken for one.
    protects: str | None = None
    pinned: Pin | None = None

    def __post_init__(self) -> None:
        _demand(self.snapshot_time.tzinfo is not None and math.isfinite(self.seconds))
        _demand(self.bytes <= MOST_BYTES and min(self.rows.values(), default=0) >= 0)
        _demand(bool(self.files) or self.layout is Layout.OWN_SYSTEM)
        _demand(all(one.name.startswith(f"{self.id}.") for one in self.files))
        _demand(self.server_version.isdecimal() and self.server_version.isascii())

    @property
    def bytes(self) -> int:
        return self.kept_bytes if self.layout is Layout.OWN_SYSTEM else sum(one.bytes for one in self.files)

    @property
    def major(self) -> int:
        """The major version of the server that it was taken from."""
        return int(self.server_version) // 10_000

    def file_named(self, suffix: str) -> StoredFile | None:
        """Return what stands beside the dump under this suffix, if it does."""
        names = (f"{self.id}{suffix}", f"{self.id}{suffix}{AGE}")
        return next((one for one in self.files if one.name in names), None)

    @property
    def dump_name(self) -> str:
        """The file or folder of the dump, below the Target's folder of the store."""
        return self.files[0].name.partition("/")[0] if self.files else self.kept_as

    @property
    def restored(self) -> Verification | None:
        """The newest verification by restore, if nothing failed since: a later failure takes the trust away."""
        return trusted(self.verifications)


def trusted(verifications: Iterable[Verification]) -> Verification | None:
    found = None
    for one in verifications:
        if not one.passed:
            found = None
        elif one.is_by_restore:
            found = one
    return found


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A dump and its manifest in the store."""

    manifest: Manifest
    location: str  #: where the dump lies, for a human

    @property
    def id(self) -> str:
        return self.manifest.id

    @property
    def entry(self) -> "Entry":
        manifest = self.manifest
        last = manifest.verifications[-1] if manifest.verifications else None
        return Entry(
            id=self.id,
            identity=manifest.identity,
            snapshot_time=manifest.snapshot_time,
            heads=manifest.heads,
            bytes=manifest.bytes,
            rows=sum(manifest.rows.values()),
            layout=manifest.layout,
            location=self.location,
            restored=manifest.restored,
            failed=last.detail if last and not last.passed else None,
            protects=manifest.protects,
            pinned=manifest.pinned,
        )


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a list, a choice or a retention policy needs to know of a backup."""

    id: str
    identity: Identity
    snapshot_time: datetime
    heads: tuple[str, ...]
    bytes: int
    rows: int
    layout: Layout
    location: str
    restored: Verification | None  #: the newest verification by restore that nothing has put in doubt since
    failed: str | None  #: why its last verification failed, if it did
    protects: str | None
    pinned: Pin | None


@dataclass(frozen=True, kw_only=True)
class VerifiedBackup:
    """A backup that was restored and found equal to what its manifest recorded. Only `verify_backup` makes one."""

    backup: Backup
    verification: Verification
    plan_fingerprint: str
    age: timedelta  #: of the snapshot when it was verified: what was written since is not in it

    def __post_init__(self) -> None:
        if not (self.verification.is_by_restore and self.verification.passed):
            message = "only a passed verification by restore makes a VerifiedBackup"
            raise ValueError(message)


class Outcome(StrEnum):
    """What became of a migration."""

    BEGUN = "begun"  #: written before the upgrade; where it stays, nobody knows
    COMMITTED = "committed"
    FAILED = "failed"  #: rolled back, as looked at
    PARTLY = "partly"  #: failed after some of its revisions, which are applied; `heads_after` says where


#: What leaves revisions applied.
APPLIED = frozenset({Outcome.COMMITTED, Outcome.PARTLY})


@dataclass(frozen=True, kw_only=True)
class Migration:
    """The record of one migration whose upgrade began."""

    at: datetime  #: when the upgrade began
    outcome: Outcome = Outcome.COMMITTED
    finished: datetime | None = None  #: when it was committed
    identity: Identity
    plan_fingerprint: str
    heads_before: tuple[str, ...]
    heads_after: tuple[str, ...]
    revisions: tuple[str, ...]
    backup_id: str
    confirmed: str
    accepted: tuple[str, ...] = ()  #: what would have been refused, and was let pass by an option

    def __post_init__(self) -> None:
        _demand(self.at.tzinfo is not None and (self.finished is None or self.finished.tzinfo is not None))

    @property
    def name(self) -> str:
        return f"migration_{self.at.astimezone(UTC).strftime('%Y-%m-%d_%H-%M-%S_%f')}.json"


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """Something in the store that belongs to no backup: what a dead run, or a removal that was cut off, left."""

    name: str
    bytes: int
    at: datetime  #: when it was written


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


def why_not(entry: Entry, identity: Identity, now: datetime, max_age: timedelta) -> str | None:
    """Return why a backup does not count as a recent, verified backup of this database; None: it counts."""
    age = now - entry.snapshot_time
    if replace(entry.identity, oid=identity.oid) == identity != entry.identity:
        return f"a backup of a database {identity.database} that was dropped since; this one was made after it"
    if entry.identity != identity:
        return f"a backup of another database ({entry.identity.target}, {entry.identity.database})"
    if age < timedelta(0):
        return "its time is in the future"
    if age > max_age:
        return f"{words(age)} old; the limit is {words(max_age)}"
    if entry.restored is None:
        return "not verified by a restore"
    return None


def newest_first(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda one: one.snapshot_time, reverse=True)


def words(span: timedelta) -> str:
    """Return a span of time as a human says it: 42 s, 12 min, 5 h, 3 days."""
    seconds = span.total_seconds()
    for unit, size, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"
