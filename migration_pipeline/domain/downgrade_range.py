"""Which revisions of a history are checked, and which are only brought up before."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from migration_pipeline import errors

History = Mapping[str, Sequence[str]]  #: revision → those it follows, in the order in which they run


@dataclass(frozen=True, kw_only=True)
class Range:
    """What was asked for; a revision as Alembic would take it: its id, or the beginning of it."""

    since: str | None = None  #: what it has not is checked
    to: str | None = None
    shard: tuple[int, int] = (1, 1)  #: the first of three: (1, 3)

    @property
    def is_to_the_end(self) -> bool:
        return self.to is None and self.is_last

    @property
    def is_last(self) -> bool:
        """Whether no slice comes after this one."""
        return self.shard[0] == self.shard[1]


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The revisions to bring up and those to check, each in their order."""

    before: tuple[str, ...]
    checked: tuple[str, ...]


def chosen(history: History, applied: Collection[str], asked: Range) -> Chosen:
    """Return what is to be done on a database that has `applied`; raise NoPlan, also where that is nothing and nobody said so."""
    there = _with_ancestors(applied, history)
    wanted = _with_ancestors([find(asked.to, history)], history) if asked.to else set(history)
    since = _with_ancestors([find(asked.since, history)], history) if asked.since else set()
    before = [one for one in history if one in since - there]
    checked = [one for one in history if one in wanted - since - there]
    if not checked and not asked.since:
        raise errors.NoPlan(
            "There is no revision to check: the scratch database has every one from the start."
            if history
            else "There is no revision to check: the project has none.",
            next_step="give the schema or the dump of an earlier revision" if history else "alembic history",
        )
    number, of = asked.shard
    start, stop = len(checked) * (number - 1) // of, len(checked) * number // of
    return Chosen(before=(*before, *checked[:start]), checked=tuple(checked[start:stop]))


def find(asked: str, history: History) -> str:
    """Return the revision that is meant."""
    exact = [one for one in history if one == asked]
    found = exact or [one for one in history if one.startswith(asked)]
    if len(found) != 1 or not asked:
        many = f"more than one revision that begins with {asked!r}" if found else f'no revision "{asked}"'
        raise errors.NoPlan(f"The project has {many}.", next_step="alembic history")
    return found[0]


def _with_ancestors(revisions: Collection[str], history: History) -> set[str]:
    found: set[str] = set()
    left = [one for one in revisions if one in history]
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += history[one]
    return found


def shard(text: str) -> tuple[int, int] | None:
    """Read `2/5`; None: it is not of that form."""
    match = re.fullmatch(r"([1-9]\d{0,3})/([1-9]\d{0,3})", text)
    return (int(match[1]), int(match[2])) if match and int(match[1]) <= int(match[2]) else None
