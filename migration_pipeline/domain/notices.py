"""What is told to people who do not sit at the terminal: operators, and the clinicians who work with the database.

Built from our own errors and results alone, which name no secret and no row's value. Clinicians get words of their own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from migration_pipeline.domain.backups import words
from migration_pipeline.errors import MigrationPipelineError, printable

MOST_LINES = 30
LONGEST_LINE = 300  #: characters; a phone shows less


class Kind(StrEnum):
    ALERT = "alert"
    CANCELLED = "cancelled"
    FAILURE = "failure"
    SUCCESS = "success"
    DOWNTIME = "downtime"


@dataclass(frozen=True, kw_only=True)
class Channel:
    """Where notices go: the environment variable that holds the URL, by which it is named, and the URL, which is a secret."""

    variable: str
    url: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One message: what it is about in a line, and what there is to say."""

    kind: Kind
    subject: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def runs_long(target: str, *, route: str, running: timedelta, limit: timedelta, doing: Mapping[str, str]) -> Notice:
    """Tell of a migration that runs longer than it should; `doing` says what it does now, and whom it keeps waiting."""
    facts = {"plan": route, **doing, "limit": f"it is cancelled after {words(limit)}"}
    follow = "Next: look at its run; cancel it there if it must not go on. A cancelled migration is rolled back."
    return _notice(Kind.ALERT, f"{target}: the migration has been running for {words(running)}", [*_facts(facts), follow])


def cancelled(target: str, error: MigrationPipelineError, *, task: str = "migration") -> Notice:
    return _notice(Kind.CANCELLED, f"{target}: the {task} was cancelled", str(error).splitlines())


def failed(target: str, error: MigrationPipelineError, *, task: str = "migration") -> Notice:
    """Tell what happened, the state of the database and the next command, as the operator reads them."""
    return _notice(Kind.FAILURE, f"{target}: the {task} failed", str(error).splitlines())


def warned(target: str, error: MigrationPipelineError) -> Notice:
    """Tell what is wrong though no run of ours is about it: an old backup, a revision that somebody else applied."""
    return _notice(Kind.ALERT, f"{target}: {error.what}", str(error).splitlines()[1:])


def migrated(target: str, *, route: str, seconds: float, backup: str, lost: Sequence[str] = ()) -> Notice:
    """Tell of a migration that was committed; `lost` are the ledger's sentences."""
    facts = {"plan": route, "took": words(timedelta(seconds=seconds)), "lost": "\n".join(lost) or "nothing", "backup": backup}
    return _notice(Kind.SUCCESS, f"{target}: the database was migrated", _facts(facts))


# --- for clinicians: `system` is the name that they know it by ---


def restore_started(system: str, *, back_to: datetime, expected: timedelta) -> Notice:
    """Tell that the database is being set back: to the end it still answers, and what is written into it is lost."""
    return _notice(
        Kind.DOWNTIME,
        f"{system}: please enter nothing until further notice",
        [
            f"{system} is being set back to how it was on {_day_and_time(back_to)}.",
            "What was entered after that time, and what is entered from now on, will not be in it. Please keep it on paper.",
            f"This takes about {_plain(expected)}. At its end you may have to log in again.",
            "You will get another message when you can go on.",
        ],
    )


def restore_done(system: str, *, back_to: datetime, took: timedelta) -> Notice:
    return _notice(
        Kind.DOWNTIME,
        f"{system}: you can work with it again",
        [
            f"{system} is now as it was on {_day_and_time(back_to)}. It took {_plain(took)}.",
            "What was entered after that time is not in it. Please enter it again from your notes.",
        ],
    )


def restore_given_up(system: str) -> Notice:
    """Tell that the restore ended before the database was replaced."""
    return _notice(
        Kind.DOWNTIME,
        f"{system}: you can work with it again",
        [f"{system} was not set back. It is as it was before, with all that was entered until now."],
    )


def _notice(kind: Kind, subject: str, lines: Iterable[str]) -> Notice:
    """Cut what would fill a page: the next command, in the last line, stays."""
    kept = [_cut(printable(line)) for line in lines]
    if len(kept) > MOST_LINES:
        kept = [*kept[: MOST_LINES - 2], f"  … {len(kept) - MOST_LINES + 1} more lines are in the run's log", kept[-1]]
    return Notice(kind=kind, subject=_cut(printable(subject)), lines=tuple(kept))


def _cut(line: str) -> str:
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"


def _facts(facts: Mapping[str, str]) -> list[str]:
    """Return facts as an error has them: the first line behind its key, the others below it."""
    lines = []
    for key, value in facts.items():
        first, *rest = value.splitlines() or [""]
        lines += [f"{key}: {first}", *(f"  {line}" for line in rest)]
    return lines


def _day_and_time(moment: datetime) -> str:
    at = moment.astimezone(UTC)
    return f"{at.day} {at:%B %Y} at {at:%H:%M} UTC"


def _plain(span: timedelta) -> str:
    """Return a span of time in words that nobody stumbles over, rounded up."""
    minutes = -(-span // timedelta(minutes=1))
    if minutes <= 1:
        return "a minute"
    if minutes < 120:  # noqa: PLR2004 - two hours
        return f"{minutes} minutes"
    return f"{-(-span // timedelta(hours=1))} hours"
