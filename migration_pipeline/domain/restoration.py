"""What a restore costs, who agreed to it, and what it brought: the values of the way back."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from migration_pipeline import errors
from migration_pipeline.domain.backups import Backup, words

WORD = "RESTORE"
NEWEST = "newest"  #: stands for the backup, where none is named
#: B5 estimates that a restore takes this long; what it did take is shown against it.
ESTIMATE = timedelta(minutes=15)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What is lost by going back to a backup, as the live database is now."""

    database: str
    oid: int | None  #: of the live database; None: there is none of this name
    backup: Backup
    age: timedelta  #: what was written since the snapshot is lost
    state: str  #: of the live database, in words
    heads_now: tuple[str, ...] | None  #: None: it does not answer
    revisions_since: tuple[str, ...]
    rows_now: Mapping[str, int] | None  #: by table; None: they cannot be counted
    notes: tuple[str, ...] = ()

    @property
    def differing_rows(self) -> dict[str, tuple[int | None, int | None]]:
        """Rows then and now, of the tables in which they differ; None: there was, or is, no such table."""
        then, now = self.backup.manifest.rows, self.rows_now
        if now is None or not then:
            return {}
        names = sorted(then.keys() | now.keys())
        return {name: (then.get(name), now.get(name)) for name in names if then.get(name) != now.get(name)}

    @property
    def lines(self) -> list[str]:
        """What an operator must know before the question, a line each."""
        manifest = self.backup.manifest
        lines = [f"what was written in the last {words(self.age)} is lost"]
        if self.heads_now is not None and manifest.rows and self.heads_now != manifest.heads:
            way = f"from {_revision(self.heads_now)} back to {_revision(manifest.heads)}"
            since = f" ({', '.join(self.revisions_since)} since the backup)" if self.revisions_since else ""
            lines.append(f"the revision goes {way}{since}")
        lines += [_differing(table, then, now) for table, (then, now) in self.differing_rows.items()]
        if self.rows_now is None:
            lines.append(f"rows now: not known, for {self.state}")
        return lines + list(self.notes)


@dataclass(frozen=True, kw_only=True)
class RestoreConfirmation:
    """One consent to replace one database with one backup."""

    database: str
    backup_id: str
    how: str


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A database that holds the backup, beside the live one, compared and analyzed; it lives as long as the run."""

    name: str
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Restored:
    """The live database was replaced."""

    database: str
    backup_id: str
    replaced: str | None  #: the name under which the replaced database stays; None: there was none
    heads: tuple[str, ...]
    seconds: float  #: from the confirmation to the swap
    swap_seconds: float  #: in which nobody could connect
    ended_sessions: int
    notes: tuple[str, ...] = ()


def prompt(cost: Cost) -> str:
    """Return the question of a restore."""
    moment = cost.backup.manifest.snapshot_time.astimezone(UTC)
    return f"This replaces database {cost.database} with the backup of {told(moment)}. Type 'RESTORE' to proceed:"


def told(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def from_prompt(answer: str | None, cost: Cost) -> RestoreConfirmation:
    """Accept `RESTORE`, typed under what this very restore costs. End of input (None) and anything else decline."""
    if answer is None or answer.strip() != WORD:
        raise errors.Declined(
            "The restore was not confirmed; nothing was changed.",
            evidence={"expected": WORD, "answer": "end of input" if answer is None else "something else"},
            next_step="just restore-db, and type RESTORE at the prompt",
        )
    return RestoreConfirmation(database=cost.database, backup_id=cost.backup.id, how="at the prompt")


def from_config(answer: str, asked_for: str, cost: Cost) -> RestoreConfirmation:
    """Accept `RESTORE` and the backup that the config itself names, or `RESTORE newest` where it names none."""
    expected = phrase(asked_for)
    if answer.strip() != expected:
        raise errors.Declined(
            f"{prompt(cost)} The run's config does not confirm it; nothing was changed.",
            evidence={"expected": expected},
            next_step=f'read what is lost, then launch it again with confirmation: "{expected}"',
        )
    return RestoreConfirmation(database=cost.database, backup_id=cost.backup.id, how="in the run's config")


def phrase(asked_for: str) -> str:
    """Return what a run's config must hold."""
    return f"{WORD} {asked_for or NEWEST}"


def _differing(table: str, then: int | None, now: int | None) -> str:
    if then is None:
        return f"{table}: {now:,} rows now; the backup has no such table"
    if now is None:
        return f"{table}: no such table now; {then:,} rows in the backup"
    return f"{table}: {now:,} rows now, {then:,} in the backup"


def _revision(heads: tuple[str, ...]) -> str:
    return ", ".join(heads) or "no revision"
