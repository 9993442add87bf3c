"""How a Target keeps its backups: where, in which form, proved how far, and for how long."""

import os
import re
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pyrage

from migration_pipeline.domain.backups import Commands, Form, Layout, Level
from migration_pipeline.domain.connection_url import wrong_text
from migration_pipeline.domain.retention import LEAST_KEEP, LEAST_KEEP_AFTER_MIGRATION, RetentionPolicy
from migration_pipeline.settings_table import Table

LAYOUTS = (Layout.PLAIN, Layout.PLAIN_ZSTD, Layout.DIRECTORY)
RIGHT_IDENTITIES = "the path of a file of age identities"
S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()-]+)*/?")
MOST_JOBS = 64
MOST_DAYS = 36_500
MOST_KEPT = 10_000
MOST_HOURS = 168
MOST_MINUTES = 1440
SHORTEST = 0.001


@dataclass(frozen=True, kw_only=True)
class BackupPolicy:
    """How a Target keeps its backups; each location is a folder's absolute path or s3://bucket/prefix."""

    location: str
    copies: tuple[str, ...] = ()  #: other stores that hold each backup before it counts
    form: Form = field(default_factory=Form)
    identity_file: Path | None = None  #: private keys of age, to verify and restore with; who only writes need not hold them
    level: Level = Level.RESTORE  #: how far each backup is verified
    kms_key: str | None = None
    retention: RetentionPolicy = field(default_factory=RetentionPolicy)
    system: Commands | None = None  #: a backup system of the operator's own, in the place of pg_dump


def read(table: Table, *, is_production: bool) -> BackupPolicy:
    """Return the policy; what is wrong is in the table's problems."""
    system = _system(table)
    level = Level(table.word("verify_level", (Level.RESTORE, Level.ROWS), Level.RESTORE) or Level.RESTORE)
    if system is not None and level is Level.ROWS:
        table.wrong("verify_level", 'cannot be "rows" where a backup_system takes the backups; right: "restore"')
    return BackupPolicy(
        location=_location(table),
        copies=tuple(found for text in table.texts("copies") if (found := _copy(table, text))),
        form=_form(table),
        identity_file=table.file("backup_identity_file", RIGHT_IDENTITIES) if table.has("backup_identity_file") else None,
        level=level,
        kms_key=table.text("s3_kms_key_id"),
        retention=_retention(table, is_production=is_production),
        system=system,
    )


def _form(table: Table) -> Form:
    layout = Layout(table.word("backup_format", LAYOUTS, Layout.PLAIN) or Layout.PLAIN)
    jobs = table.number("backup_jobs", "connections", least=1, most=MOST_JOBS, whole=True)
    recipients = []
    for text in table.texts("backup_recipients"):
        try:
            recipients.append(str(pyrage.x25519.Recipient.from_str(text)))
        except (pyrage.RecipientError, ValueError):
            table.wrong("backup_recipients", "has something that is no public key of age; right: age1... of age-keygen")
    if layout is Layout.DIRECTORY and recipients:
        table.wrong("backup_recipients", 'cannot encrypt the format "directory" in its one pass; right: "plain-zstd" or "plain"')
    return Form(layout=layout, recipients=tuple(recipients), jobs=int(jobs or Form.jobs))


def _location(table: Table) -> str:
    written = table.text("backup_location") if table.has("backup_location") else None
    if written and written.startswith("s3:"):
        return _in_s3(table, "backup_location", written)
    folder = table.path("backup_location", "backups")
    if folder and os.path.exists(folder) and not os.path.isdir(folder):  # noqa: PTH110, PTH112 - Path's raise for long names
        table.wrong_path("backup_location", "is no folder", "the path of a folder, which is made if it is missing")
    return str(folder)


def _copy(table: Table, written: str) -> str:
    if written.startswith("s3:"):
        return _in_s3(table, "copies", written)
    if problem := wrong_text(written) or ("is a URL; right: a path, or s3://bucket/prefix" if "://" in written else None):
        table.wrong("copies", problem)
        return ""
    return os.path.normpath(table.folder / written)


def _in_s3(table: Table, key: str, written: str) -> str:
    if not S3.fullmatch(written):
        table.wrong(key, "is no place in S3; right: s3://bucket or s3://bucket/prefix")
    return written.rstrip("/")


def _retention(table: Table, *, is_production: bool) -> RetentionPolicy:
    least, least_after = (LEAST_KEEP.days, LEAST_KEEP_AFTER_MIGRATION.days) if is_production else (0, 0)
    given = {
        "keep": _days(table, "keep_days", least),
        "keep_after_migration": _days(table, "keep_after_migration_days", least_after),
        "newest": table.number("keep_newest", "backups", least=1, most=MOST_KEPT, whole=True),
    }
    return RetentionPolicy(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def _system(table: Table) -> Commands | None:
    given = table.table("backup_system")
    if given is None:
        return None
    commands = {verb: given.texts(verb) for verb in ("list", "create", "restore_to")}
    for verb, words in commands.items():
        if not words and verb not in given.problems:
            given.wrong(verb, 'is missing; right: a program and its arguments, ["/srv/backups.py", "list"]')
    limits = {
        "limit": ("limit_hours", "hours", MOST_HOURS),
        "stop_limit": ("stop_limit_minutes", "minutes", MOST_MINUTES),
    }
    times = {}
    for name, (key, unit, most) in limits.items():
        number = given.number(key, unit, least=SHORTEST, most=most)
        if number is not None:
            times[name] = timedelta(**{unit: number})
    given.refuse_unknown_keys()
    for key, clauses in given.problems.items():
        for clause in clauses:
            table.wrong(f"backup_system.{key}", clause)
    return Commands(**commands, **times)  # type: ignore[arg-type]


def _days(table: Table, key: str, least: int) -> timedelta | None:
    number = table.number(key, "days", least=least, most=MOST_DAYS)
    return None if number is None else timedelta(days=number)
