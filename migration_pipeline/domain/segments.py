"""A plan in segments: what one transaction holds, and the revisions between that PostgreSQL runs outside of one only.

Most plans are one segment, and all or nothing. Each further one is a place where a plan can end half-way.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from migration_pipeline.domain.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Consecutive revisions that are committed together, or one that runs alone: each of its statements commits itself."""

    plan: Plan  #: these revisions, from where the segment before leaves the database
    alone: str = ""  #: the statement for which its revision runs alone; empty: it is one transaction


@dataclass(frozen=True, kw_only=True)
class Cuts:
    """Where a plan must be cut, as its rehearsal found out: revision ids, each with the reason."""

    alone: dict[str, str] = field(default_factory=dict)  #: the statement that no transaction holds
    before: frozenset[str] = frozenset()  #: revisions that use what must have been committed before

    def with_alone(self, revision: str, statement: str) -> "Cuts":
        return replace(self, alone={**self.alone, revision: statement})

    def with_before(self, revision: str) -> "Cuts":
        return replace(self, before=self.before | {revision})


def cut(plan: Plan, cuts: Cuts) -> tuple[Segment, ...]:
    """Return the plan in segments: as few as the cuts allow."""
    return tuple(_segments(plan, cuts))


def _segments(plan: Plan, cuts: Cuts) -> Iterator[Segment]:
    start = 0
    for end, revision in enumerate(plan.revisions, 1):
        following = plan.revisions[end].id if end < len(plan.revisions) else None
        if following is None or following in cuts.before or following in cuts.alone or revision.id in cuts.alone:
            yield Segment(plan=plan.part(start, end), alone=cuts.alone.get(revision.id, ""))
            start = end


def why_not_atomic(segments: tuple[Segment, ...]) -> tuple[str, ...]:
    """Return why the plan cannot be rolled back as a whole, as sentences; empty: it can."""
    told = []
    for number, segment in enumerate(segments):
        first = segment.plan.revisions[0].id
        if segment.alone:
            told.append(f"{first} runs by itself: {segment.alone}")
        elif number and not segments[number - 1].alone:
            told.append(f"what is before {first} is committed first: it uses an enum label that is added there")
    return tuple(told)
