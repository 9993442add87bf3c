"""What running a plan did, as measured: statements, rows, values and objects lost, time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

from migration_pipeline.domain import segments
from migration_pipeline.domain.locking import LockHeld
from migration_pipeline.domain.schema import SchemaSnapshot
from migration_pipeline.domain.segments import Segment


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One SQL statement that a revision sent: its text with placeholders, never its parameters."""

    sql: str
    #: Whether it was sent with parameters: its `%` are placeholders then.
    has_parameters: bool = False
    #: The revision that sent it; None for what `env.py` itself sends before or after the revisions.
    revision: str | None


@dataclass(frozen=True, kw_only=True)
class RowChange:
    """Rows of one table that a revision touched, cascades and triggers included."""

    table: str  #: schema-qualified
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    #: Rows of before that are gone, where rows were deleted or the table was emptied; None: nobody compared them.
    lost: int | None = None
    #: False for a table that the plan itself made: what happens to its rows is no loss.
    existed: bool = True


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Data that is gone after the plan ran: one line of the ledger."""

    #: table, column, materialized view, sequence, type, enum label, schema, foreign table, large objects, rows, values
    kind: str
    name: str  #: schema-qualified; a column as schema.table.column
    how: str  #: dropped, truncated, deleted, unlinked, overwritten, moved back
    path: tuple[str, ...] = ()  #: the names that `name` is made of, where it is a table or a column
    rows: int | None = None  #: rows that the object held, or that were deleted; None where rows are no measure
    values: int | None = None  #: non-null values that are gone; None where values are no measure


@dataclass(frozen=True, kw_only=True)
class RevisionEffects:
    """What one revision did."""

    revision: str
    statements: tuple[Statement, ...]
    rows: tuple[RowChange, ...]
    lost: tuple[Loss, ...]
    seconds: float
    #: Tables that were there before and whose storage was replaced, by TRUNCATE or by a rewrite.
    rewritten: tuple[str, ...] = ()
    #: Tables that were emptied and hold every row of before again, with as many rows as they held. A live run may find as many.
    put_back: tuple[Loss, ...] = ()
    #: Sentences about what could not be measured; a statement that no rule understands then counts as destructive.
    unmeasured: tuple[str, ...] = ()
    #: The table locks that its statements took; they last to the end of the whole plan. A live run does not read them.
    locks: tuple[LockHeld, ...] = ()
    #: The size of each rewritten table afterwards, with its indexes and its toast.
    rewritten_bytes: Mapping[str, int] = field(default_factory=dict)
    #: WAL that the whole server wrote meanwhile, whoever wrote it; None: it was not read.
    wal_bytes: int | None = None

    def plus(self, other: "RevisionEffects") -> "RevisionEffects":
        """Return what both did, as one."""
        return replace(
            self,
            statements=self.statements + other.statements,
            rows=self.rows + other.rows,
            lost=self.lost + other.lost,
            seconds=self.seconds + other.seconds,
            rewritten=self.rewritten + other.rewritten,
            put_back=self.put_back + other.put_back,
            unmeasured=self.unmeasured + other.unmeasured,
            locks=self.locks + other.locks,
            rewritten_bytes={**self.rewritten_bytes, **other.rewritten_bytes},
        )


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """One segment of a plan, run on a restored copy of the backup."""

    segment: Segment
    revisions: tuple[RevisionEffects, ...]
    outside: RevisionEffects  #: what env.py did before the first revision and after the last one
    schema_after: SchemaSnapshot
    heads_after: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """The plan, run on a restored copy of the backup."""

    plan_fingerprint: str
    backup_id: str
    segments: tuple[Rehearsed, ...]  #: one, where a single transaction holds the whole plan

    @property
    def revisions(self) -> tuple[RevisionEffects, ...]:
        return tuple(one for segment in self.segments for one in segment.revisions)

    @property
    def outside(self) -> RevisionEffects:
        """What env.py did outside the revisions, in all segments."""
        first, *others = (segment.outside for segment in self.segments)
        return reduce(RevisionEffects.plus, others, first)

    @property
    def schema_after(self) -> SchemaSnapshot:
        return self.segments[-1].schema_after

    @property
    def heads_after(self) -> tuple[str, ...]:
        return self.segments[-1].heads_after

    @property
    def seconds(self) -> float:
        return sum(segment.seconds for segment in self.segments)

    @property
    def why_not_atomic(self) -> tuple[str, ...]:
        """Why the plan cannot be rolled back as a whole, as sentences; empty: it can."""
        return segments.why_not_atomic(tuple(one.segment for one in self.segments))

    @property
    def lost(self) -> tuple[Loss, ...]:
        return tuple(loss for revision in self.revisions for loss in revision.lost)

    @property
    def locks(self) -> tuple[LockHeld, ...]:
        """Every table lock of the plan, those that env.py took among them."""
        return tuple(lock for part in (self.outside, *self.revisions) for lock in part.locks)


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How many more rows a live run may hit than the rehearsal did: the application goes on writing after the backup."""

    factor: float
    rows: int

    def allows(self, live: int, rehearsed: int) -> bool:
        return live <= rehearsed * self.factor + self.rows if rehearsed else not live


def surprises(rehearsed: Sequence[RevisionEffects], live: Sequence[RevisionEffects], tolerance: Tolerance) -> tuple[str, ...]:
    """Return, as sentences, what the live run does to data that the rehearsal did not do, or not as much of."""
    found = []
    expected = {(loss.kind, loss.name) for one in rehearsed for loss in one.lost}
    for one in live:
        found += [
            f"{loss.kind} {loss.name} is lost, and was not in the rehearsal"
            for loss in one.lost
            if loss.how == "dropped" and (loss.kind, loss.name) not in expected
        ]
        replaced = set(one.rewritten) - {name for other in rehearsed for name in other.rewritten}
        found += [f"table {name} is emptied or rewritten, and was not in the rehearsal" for name in sorted(replaced)]
    for verb in ("updated", "deleted"):
        before, now = _by_table(rehearsed, verb), _by_table(live, verb)
        found += [
            f"{count:,} rows of {table} are {verb}; {before[table]:,} were in the rehearsal"
            for table, count in now.items()
            if not tolerance.allows(count, before[table])
        ]
    return tuple(found)


def _by_table(revisions: Sequence[RevisionEffects], verb: str) -> Counter[str]:
    totals: Counter[str] = Counter()
    for one in revisions:
        for change in one.rows:
            if change.existed:
                totals[change.table] += getattr(change, verb)
    return totals
