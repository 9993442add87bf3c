"""What is worth telling of a database that nobody looks at: a migration that runs long, a foreign revision, an old backup."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from migration_pipeline import errors
from migration_pipeline.domain import backups
from migration_pipeline.domain.backups import APPLIED, Entry, Migration, Outcome, words
from migration_pipeline.domain.plan import Identity

REPEAT = timedelta(days=1)  #: after which an old backup is told again
MOST_SESSIONS = 5
Heads = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Activity:
    """What the upgrade of a Target does on its server now. It holds no literal of a statement, and no row's value."""

    pid: int
    started: str  #: when its session began, by which the server tells it from a later one of the same number
    xid: str | None  #: its transaction; None: it has written nothing so far
    running: timedelta  #: since its transaction was opened; of what runs in none, since the statement began
    statement: str
    in_statement: timedelta | None  #: None: it is between two statements
    waits_for: str = ""
    blocked_by: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    progress: str = ""
    alone: str = ""  #: the command that it runs in no transaction, such as CREATE INDEX CONCURRENTLY; empty: another one

    @property
    def doing(self) -> dict[str, str]:
        """What it does, and whom it keeps waiting, a fact each."""
        since = f"for {words(self.in_statement)}" if self.in_statement is not None else "done; it is between two statements"
        facts = {"statement": f"{self.statement} ({since})"}
        if self.progress:
            facts["progress"] = self.progress
        if self.waits_for:
            facts["waits for"] = f"{self.waits_for}, held by {_listed(self.blocked_by)}" if self.blocked_by else self.waits_for
        facts["keeps waiting"] = _listed(self.blocks)
        return facts


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a database was when it was last looked at."""

    oid: int
    heads: Heads
    version_table: tuple[str | None, str] = (None, "alembic_version")  #: its schema, and its name


def why_ours(now: Standing, before: Standing | None, records: Sequence[Migration], restorable: Collection[Heads]) -> str | None:
    """Return how a database came to the revision that it is at, if this pipeline can have brought it there; None: it cannot.

    `records` are those of this database on this server, oldest first; `restorable` are the revisions of its backups.
    """
    applied = [one for one in records if one.outcome in APPLIED]
    last = applied[-1] if applied else None
    if last is not None and now.heads == last.heads_after:
        return "a migration of ours left it there"
    if any(one.outcome is Outcome.BEGUN and now.heads in _ways_through(one) for one in records):
        return "a migration of ours, of which nobody knows the end, went through it"
    if before is None and last is None:
        return "nothing of it was known before"
    is_new_to_us = before is None or before.oid != now.oid
    if is_new_to_us and now.heads in restorable and (last is None or last.identity.oid != now.oid):
        return "a backup holds it, and the database was made anew"
    return None


def _ways_through(begun: Migration) -> set[Heads]:
    return {begun.heads_before, begun.heads_after, *((one,) for one in begun.revisions)}


def of_database(records: Sequence[Migration], identity: Identity) -> list[Migration]:
    """Return the records of a database, also of the time before a restore made it anew."""
    return [one for one in records if replace(one.identity, oid=identity.oid) == identity]


def foreign_revision(now: Standing, before: Standing | None, records: Sequence[Migration]) -> errors.Failure:
    applied = [one for one in records if one.outcome in APPLIED]
    evidence = {}
    if before is not None and before.heads != now.heads:
        evidence["before"] = _revision(before.heads)
    if applied:
        last = applied[-1]
        evidence["last migration of ours"] = f"to {_revision(last.heads_after)}, {(last.finished or last.at):%Y-%m-%d %H:%M %Z}"
    return errors.Failure(
        f"The database is at {_revision(now.heads)}, and no run of this pipeline brought it there.",
        evidence=evidence or {"last migration of ours": "none"},
        next_step="find out who migrated it, take a backup (just backup-db), then: just plan",
    )


@dataclass(frozen=True, kw_only=True)
class Told:
    """What was last told of a Target's backups."""

    about: str  #: the newest verified backup then; empty: there was none
    at: datetime


def is_due(about: str, told: Told | None, now: datetime) -> bool:
    """Return whether to tell of an old backup: once for each, and once more each day."""
    return told is None or told.about != about or now - told.at >= REPEAT


def newest(entries: Sequence[Entry], identity: Identity, now: datetime) -> Entry | None:
    """Return the newest verified backup of a database, however old."""
    return next((one for one in entries if backups.why_not(one, identity, now, timedelta.max) is None), None)


def old_backup(found: Entry | None, now: datetime, limit: timedelta) -> errors.Failure | None:
    """Return what is wrong with the newest verified backup of a database; None: nothing is."""
    step = "just backup-db"
    if found is None:
        return errors.Failure("There is no verified backup of this database.", next_step=step)
    age = now - found.snapshot_time
    if age <= limit:
        return None
    return errors.Failure(
        f"The newest verified backup is {words(age)} old; the limit is {words(limit)}.",
        evidence={"backup": found.id, "without a newer one": "a restore loses what was written since, and no migration begins"},
        next_step=step,
    )


def _revision(heads: Heads) -> str:
    if not heads:
        return "no revision"
    return f"{'revision' if len(heads) == 1 else 'revisions'} {', '.join(heads)}"


def _listed(sessions: Sequence[str]) -> str:
    more = f"; and {len(sessions) - MOST_SESSIONS} more" if len(sessions) > MOST_SESSIONS else ""
    return "; ".join(sessions[:MOST_SESSIONS]) + more if sessions else "nobody"
