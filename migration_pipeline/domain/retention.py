"""Which backups stay and which are removed, with the reason for each. In doubt, a backup stays."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import NamedTuple

from migration_pipeline import errors
from migration_pipeline.domain.backups import Entry, Migration, Outcome, Pin, words

LEAST_KEEP = timedelta(days=30)
LEAST_KEEP_AFTER_MIGRATION = timedelta(days=7)
NOTHING = timedelta(0)
TWO_DAYS = timedelta(days=2)
#: Units of less than two days; each is used from two of it on, as in `words`.
SIZES = (timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1))
#: Target, database and cluster. No OID: a restored database has another one, and its backups are still those of the same data.
Database = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class RetentionPolicy:
    """How long backups stay."""

    keep: timedelta = LEAST_KEEP  #: every backup that is younger
    keep_after_migration: timedelta = LEAST_KEEP_AFTER_MIGRATION  #: a pre-migration backup, after its migration finished
    newest: int = 3  #: verified backups of each database, whatever their age

    def __str__(self) -> str:
        after = f"pre-migration backups {_rounded_down(self.keep_after_migration)} after their migration"
        newest = "the newest verified one" if self.newest == 1 else f"the newest {self.newest} verified"
        return f"{_rounded_down(self.keep)}; {after}; {newest} of each database"


class Decision(NamedTuple):
    """What is to become of one backup, and why. Both tuples here are made 100,000 times: they are made fast."""

    entry: Entry
    is_kept: bool
    reasons: tuple[str, ...]  #: all that keep it, the one to show first; or the one for which it is removed

    @property
    def reason(self) -> str:
        return self.reasons[0]


@dataclass(frozen=True, kw_only=True)
class Retention:
    """A decision for every backup, the newest backup first."""

    decisions: tuple[Decision, ...]

    @property
    def kept(self) -> tuple[Decision, ...]:
        return tuple(one for one in self.decisions if one.is_kept)

    @property
    def removed(self) -> tuple[Decision, ...]:
        return tuple(one for one in self.decisions if not one.is_kept)


def check(policy: RetentionPolicy, *, is_production: bool) -> tuple[str, ...]:
    """Return what is wrong with a policy, a sentence each; none: it can be applied."""
    return tuple(_problems(policy, is_production=is_production))


def _problems(policy: RetentionPolicy, *, is_production: bool) -> Iterator[str]:
    least_keep = LEAST_KEEP if is_production else NOTHING
    least_after = LEAST_KEEP_AFTER_MIGRATION if is_production else NOTHING
    where = ", and this is production" if is_production else ""
    if policy.keep < least_keep:
        yield f"backups would be kept for {_told(policy.keep)}{where}; right: {words(least_keep)} or more"
    if policy.keep_after_migration < least_after:
        kept = _told(policy.keep_after_migration)
        yield f"pre-migration backups would be kept for {kept} after their migration{where}; right: {words(least_after)} or more"
    if policy.newest < 1:
        yield "no backup of a database would be kept whatever its age, which would empty the store in time; right: 1 or more"


def apply(
    entries: Sequence[Entry],
    migrations: Sequence[Migration],
    policy: RetentionPolicy,
    now: datetime,
    *,
    unreadable_records: int = 0,
) -> Retention:
    """Decide on every backup. Raise Refusal where no backup of a database would be left.

    `unreadable_records` are records of migrations that cannot be read: whatever was taken for a migration stays then.
    """
    aged = sorted((_Aged(now - one.snapshot_time, one.id, _database(one), one) for one in entries), key=itemgetter(0, 1, 2))
    needed = _Needed.by(migrations, policy, now)
    newest = _newest(aged, policy)
    unread = _unread(unreadable_records)
    decisions = []
    for position, one in enumerate(aged):
        reasons = (*_whatever_its_age(one, needed, unread), *_of_age(one, policy), *newest.get(position, ()))
        decisions.append(Decision(one.entry, bool(reasons), reasons or (_too_old(_whole(one.age), policy.keep),)))
    _refuse_to_empty(aged, decisions, policy)
    return Retention(decisions=tuple(decisions))


class _Aged(NamedTuple):
    """A backup with what it is sorted by."""

    age: timedelta  #: below zero where its time is in the future
    id: str
    database: Database
    entry: Entry


def _database(entry: Entry) -> Database:
    identity = entry.identity
    return identity.target, identity.database, identity.system_identifier


@dataclass(frozen=True, kw_only=True)
class _Needed:
    """Why migrations still need their backups."""

    by_backup: Mapping[str, Sequence[str]]  #: by the id of the backup that the record names
    #: By the plan's fingerprint: each with when the upgrade began. Another backup that was taken for the same plan, before the
    #: upgrade, holds the same state; it is what is left where the named one is damaged.
    by_plan: Mapping[str, Sequence[tuple[datetime, str]]]

    @classmethod
    def by(cls, migrations: Sequence[Migration], policy: RetentionPolicy, now: datetime) -> "_Needed":
        by_backup, by_plan = defaultdict(list), defaultdict(list)
        told = ((one, _needs(one, policy, now)) for one in migrations)
        for migration, reason in sorted(told, key=lambda one: (_is_open(one[0]), one[0].at, one[1]), reverse=True):
            if reason:
                by_backup[migration.backup_id].append(reason)
                by_plan[migration.plan_fingerprint].append((migration.at, reason))
        return cls(by_backup=by_backup, by_plan=by_plan)

    def reasons(self, entry: Entry) -> Sequence[str]:
        named = self.by_backup.get(entry.id, ())
        planned = self.by_plan.get(entry.protects, ()) if entry.protects else ()
        if not named and not planned:
            return ()
        before = (reason for began, reason in planned if entry.snapshot_time <= began)
        return tuple(dict.fromkeys(chain(named, before)))


def _is_open(migration: Migration) -> bool:
    """Return whether no day is set from which the backup may go: such a reason is shown first."""
    return migration.outcome is not Outcome.COMMITTED


def _needs(migration: Migration, policy: RetentionPolicy, now: datetime) -> str:
    """Return why a migration still needs its backup; empty: it does not."""
    ended = migration.finished or migration.at
    if migration.outcome is Outcome.PARTLY:
        return f"its migration failed half-way on {_day(ended)}"
    if migration.outcome is Outcome.FAILED:
        return f"its migration failed on {_day(ended)}"
    if migration.outcome is not Outcome.COMMITTED:
        return f"its migration was begun on {_day(migration.at)} and nobody knows how it ended"
    since = now - ended
    if since < NOTHING:
        return "its migration finished at a time in the future: nobody knows how long ago that is"
    if since < policy.keep_after_migration:
        kept = _rounded_down(policy.keep_after_migration)
        return f"the pre-migration backup of a migration that finished {_rounded_down(since)} ago; kept for {kept}"
    return ""


def _newest(aged: Sequence[_Aged], policy: RetentionPolicy) -> dict[int, tuple[str]]:
    """Return why the newest backups of each database stay, by their position; one from the future pushes no real one out."""
    positions = defaultdict(list)
    for position, one in enumerate(aged):
        if one.age >= NOTHING:
            positions[one.database].append(position)
    found = {}
    for (_, database, _), of_database in positions.items():
        verified = [position for position in of_database if aged[position].entry.restored is not None]
        found.update(dict.fromkeys(verified[: max(policy.newest, 0)], (_among_the_newest(policy, database),)))
        if not verified:
            found[of_database[0]] = (_last_that_can_help(database),)
    return found


def _among_the_newest(policy: RetentionPolicy, database: str) -> str:
    which = "the newest verified backup" if policy.newest == 1 else f"one of the newest {policy.newest} verified backups"
    return f"{which} of {errors.printable(database)}"


def _last_that_can_help(database: str) -> str:
    name = errors.printable(database)
    return f"no backup of {name} of a known age is verified, and this is the newest: it may be the last that can help"


def _whatever_its_age(one: _Aged, needed: _Needed, unread: str) -> list[str]:
    entry = one.entry
    reasons = [_pinned(entry.pinned)] if entry.pinned else []
    reasons += needed.reasons(entry)
    if unread and entry.protects is not None:
        reasons.append(unread)
    return reasons


def _of_age(one: _Aged, policy: RetentionPolicy) -> tuple[str, ...]:
    if one.age < NOTHING:
        return ("its time is in the future: its age is unknown",)
    return (_young(_whole(one.age), policy.keep),) if one.age < policy.keep else ()


def _pinned(pin: Pin) -> str:
    reason = errors.printable(pin.reason.strip())
    return f"pinned: {reason}" if reason else f"pinned on {_day(pin.at)}"


def _unread(records: int) -> str:
    """Return why a backup that was taken for a migration stays; empty: every record was read."""
    if records > 1:
        return f"{records} migration records cannot be read: one may be of this backup"
    return "a migration record cannot be read: it may be of this backup" if records else ""


@lru_cache(maxsize=1000)  # many backups, few ages in words
def _young(age: timedelta, limit: timedelta) -> str:
    return f"younger than {_rounded_down(limit)} ({words(age)} old)"


@lru_cache(maxsize=10_000)
def _too_old(age: timedelta, limit: timedelta) -> str:
    return f"{words(age)} old; the limit is {_rounded_down(limit)}"


def _refuse_to_empty(aged: Sequence[_Aged], decisions: Sequence[Decision], policy: RetentionPolicy) -> None:
    """Refuse what no policy that passed its check can do: the last line before backups of patient data are removed."""
    left = {one.database for one, decision in zip(aged, decisions, strict=True) if decision.is_kept}
    lost = [one.database for one in aged if one.database not in left]
    if lost:
        raise errors.Refusal(
            "The retention policy would empty the store; nothing was removed.",
            evidence={
                "database": lost[0][1],
                "backups": f"{lost.count(lost[0]):,}, and none would be left",
                "policy": policy,
            },
            next_step="keep the newest verified backup at least, then: just prune-backups --dry-run",
        )


def _day(moment: datetime) -> str:
    """Return a day as it was recorded: turning the time of a damaged record to UTC can overflow."""
    return moment.date().isoformat()


def _told(span: timedelta) -> str:
    return "less than no time" if span < NOTHING else _rounded_down(span)


def _rounded_down(span: timedelta) -> str:
    """Return a span in words that never says more than it is: 29.9 days are not yet the 30 of a limit."""
    return words(_whole(span))


def _whole(span: timedelta) -> timedelta:
    """Return a span without what is less than the unit that `words` tells it in."""
    if span >= TWO_DAYS:
        return timedelta(span.days)
    size = next((size for size in SIZES if span >= 2 * size), SIZES[-1])
    return span // size * size
