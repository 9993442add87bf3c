"""Judges what was seen of one revision that went up, down and up again: findings, notes, and whether it may be irreversible."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from migration_pipeline.domain import downgrade_schema, irreversible, sequence_positions
from migration_pipeline.domain.annotations import Declared
from migration_pipeline.domain.downgrades import Checked, Finding, Kind
from migration_pipeline.domain.schema import SchemaSnapshot
from migration_pipeline.domain.schema_names import Name
from migration_pipeline.domain.sequence_positions import SetBack
from migration_pipeline.domain.table_rows import LARGE_OBJECTS, Loss, RowLoss

DESTRUCTIVE = f'declare "# SAFETY: {Declared.DESTRUCTIVE}", if the upgrade is meant to lose them'
TURN_BACK = f'turn them back in downgrade(), or declare "# SAFETY: {Declared.DESTRUCTIVE}", if the upgrade is meant to lose them'
EMPTY = "set them to NULL again in downgrade(), where something tells which they are"
COMMENT = f'add to the file: "# DOWNGRADE: {irreversible.IRREVERSIBLE} <why>", if there is no way back'
UNDEFINED = "42P01 "
BASELINE = "if the history begins after its first tables, give them by --baseline schema.sql, written by pg_dump --schema-only"
BEGIN = "give what the history begins with by --baseline, written by pg_dump --schema-only, or begin later by --from"
ROLE_IS_THERE = "42710 role "
ROLES = "roles belong to the server: if an earlier run has left this one there, drop it, or unset SCRATCH_DATABASE_URL"
LOCK_IS_HELD = "55P03 "
ITSELF = "it waits for what another connection of its own holds, for nobody else is there: let op.get_bind() do all of it"
MOST_TOLD = 5  #: columns that could not be filled


@dataclass(frozen=True, kw_only=True)
class Raised:
    """What a step raised, in words that hold no row's value."""

    kind: str  #: the type of the exception
    told: str  #: one line
    line: int | None = None  #: where in the revision's own file, if it was raised there
    causes: Sequence[tuple[str, int | None]] = ()  #: what it was raised from: type and line
    stopped: bool = False  #: our guard stopped it
    by_server: bool = False  #: PostgreSQL did not take a statement


@dataclass(kw_only=True)
class Seen:
    """What was seen of one revision."""

    upgrade: Raised | None = None
    on_rows: Raised | None = None  #: what the upgrade raised on synthetic rows, and without them not
    downgrade: Raised | None = None
    again: Raised | None = None
    left: tuple[SchemaSnapshot, SchemaSnapshot] | None = None  #: before, and after the downgrade; None: the same
    stands_last: Mapping[str, Sequence[str]] = field(default_factory=dict)  #: by table, columns that were added again
    losses: Sequence[RowLoss] = ()
    set_back: Sequence[SetBack] = ()
    upgraded_again: tuple[SchemaSnapshot, SchemaSnapshot] | None = None  #: both upgrades; None: the same
    without_rows: Mapping[str, str] = field(default_factory=dict)  #: table → why
    unfilled: Mapping[str, str] = field(default_factory=dict)  #: column → why
    outside: bool = False  #: it ran without a transaction
    unexpected: Sequence[str] = ()  #: what is not as committed
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class File:
    """A revision's file."""

    revision: str
    title: str
    shown: str
    source: bytes
    declared: Declared | None


def judge(seen: Seen, file: File) -> Checked:
    """Return the result."""
    comment = irreversible.read(file.source)
    found = list(_findings(seen, file, comment))
    if comment.problem:
        found.append(Finding(kind=Kind.COMMENT, what=comment.problem))
    is_refusal = seen.downgrade is not None and not found
    notes = list(_notes(seen, file))
    if comment.reason is not None and seen.downgrade is None and seen.upgrade is None:
        notes.append("it is declared irreversible, and its downgrade runs: the comment can go")
    return Checked(
        revision=file.revision,
        title=file.title,
        file=file.shown,
        line=irreversible.line_of_downgrade(file.source),
        findings=tuple(found),
        notes=tuple(notes),
        reason=comment.reason if is_refusal else None,
        seconds=seen.seconds,
    )


def next_step(told: str) -> str:
    """Return what to do where an upgrade failed that was only to bring the database up; `told` is what the server said."""
    return ROLES if ROLE_IS_THERE in told else BEGIN


def is_bad(seen: Seen, file: File) -> bool:
    """Tell whether the downgrade is to be rolled back: something is wrong with it."""
    return bool(list(_after_downgrade(seen, file)))


def _findings(seen: Seen, file: File, comment: irreversible.Declared) -> Iterator[Finding]:
    if seen.upgrade:
        hints = ((UNDEFINED, BASELINE), (ROLE_IS_THERE, ROLES), (LOCK_IS_HELD, ITSELF))
        fix = next((hint for told, hint in hints if told in seen.upgrade.told), None)
        yield Finding(kind=Kind.UPGRADE_FAILS, what=seen.upgrade.told, fix=fix)
    if seen.downgrade:
        yield from _of_downgrade(seen.downgrade, file, comment)
    yield from _after_downgrade(seen, file)
    if seen.again:
        yield Finding(kind=Kind.AGAIN, what=f"it fails: {seen.again.told}")
    if seen.upgraded_again:
        told, _ = downgrade_schema.findings(*seen.upgraded_again, seen.stands_last)
        yield from (Finding(kind=Kind.AGAIN, what=one.what) for one in told)
    yield from (Finding(kind=Kind.UNEXPECTED, what=line) for line in seen.unexpected)


def _of_downgrade(raised: Raised, file: File, comment: irreversible.Declared) -> Iterator[Finding]:
    unmeant = [kind for kind, line in raised.causes if not irreversible.raises_on_purpose(file.source, kind, line)]
    is_fault = raised.stopped or raised.by_server or unmeant
    if is_fault or not irreversible.raises_on_purpose(file.source, raised.kind, raised.line):
        cause = f"; its cause: {unmeant[-1].rpartition('.')[2]}" if unmeant and not raised.by_server else ""
        fix = ITSELF if raised.told.startswith(LOCK_IS_HELD) else None
        yield Finding(kind=Kind.RAISES, what=raised.told + cause, fix=fix)
    elif comment.reason is None and comment.problem is None:
        yield Finding(kind=Kind.REFUSES, what=raised.told, fix=COMMENT)


def _after_downgrade(seen: Seen, file: File) -> Iterator[Finding]:
    told: list[Finding] = []
    if seen.left:
        told, _ = downgrade_schema.findings(*seen.left, seen.stands_last)
    gone = {one.what.removesuffix(" is gone") for one in told if one.kind is Kind.LOST}
    yield from told
    for loss in seen.losses:
        table = Name("table", loss.table)
        inside = {str(table), str(Name("column", f"{loss.table}.{loss.column}"))}
        if not inside & gone and not is_meant(loss, file):
            yield _of_rows(loss)
    yield from (_of_sequence(one) for one in seen.set_back if not is_meant(one, file))


def is_meant(loss: RowLoss | SetBack, file: File) -> bool:
    return loss.by_upgrade and file.declared is Declared.DESTRUCTIVE


def _of_sequence(one: SetBack) -> Finding:
    found = sequence_positions.finding(one)
    return replace(found, fix=DESTRUCTIVE) if one.by_upgrade else found


def _of_rows(loss: RowLoss) -> Finding:
    kind = Kind.RESIDUE if loss.loss in {Loss.MORE, Loss.FILLED} else Kind.LOST
    return Finding(kind=kind, what=in_words(loss), fix=_fix(loss))


def _fix(loss: RowLoss) -> str | None:
    if not loss.by_upgrade:
        return None
    if loss.loss is Loss.FILLED:
        return EMPTY
    return TURN_BACK if loss.is_kept or loss.loss is Loss.MIXED else DESTRUCTIVE


def in_words(loss: RowLoss) -> str:
    """Say what has become of rows."""
    table = Name("table", loss.table).short
    place = f"{table}.{loss.column}" if loss.column else table
    is_are = "is" if loss.number == 1 else "are"
    rows = f"{_counted(loss.number, 'row')} of {place}" if place != LARGE_OBJECTS else _counted(loss.number, "large object")
    match loss.loss:
        case Loss.ROWS:
            return f"{rows} {is_are} lost"
        case Loss.MORE:
            return f"{rows} {is_are} left over"
        case Loss.VALUES:
            return f"{_counted(loss.number, 'value')} of {place} {is_are} lost"
        case Loss.CHANGED:
            more = f", and {loss.number:,} more than there were" if loss.number else ""
            return f"the values of {place} are not what they were{more}"
        case Loss.FILLED:
            return f"{_counted(loss.number, 'value')} of {place} where there was none before"
        case _:
            return f"the values of {place} stand in other rows"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _notes(seen: Seen, file: File) -> Iterator[str]:
    if seen.on_rows and not seen.upgrade:
        yield f"its upgrade fails on synthetic rows, and was checked without any: {seen.on_rows.told}"
    filled = [in_words(loss) for loss in seen.losses if loss.loss is Loss.FILLED and is_meant(loss, file)]
    if filled:
        yield f"a downgrade cannot tell which they were, and leaves {', '.join(filled)}"
    meant = [in_words(loss) for loss in seen.losses if loss.loss is not Loss.FILLED and is_meant(loss, file)]
    meant += [f"where {Name('sequence', one.name)} stood" for one in seen.set_back if is_meant(one, file)]
    if meant:
        yield f"a downgrade cannot bring back: {', '.join(meant)}"
    if seen.left:
        yield from downgrade_schema.findings(*seen.left, seen.stands_last)[1]
    if seen.outside:
        yield "it ran outside a transaction, for PostgreSQL or the revision itself does not keep to one"
    for table, why in seen.without_rows.items():
        yield f"{table} was checked without rows: {why}"
    names = list(seen.unfilled)
    if names:
        more = f" and {len(names) - MOST_TOLD:,} more" if len(names) > MOST_TOLD else ""
        yield f"checked without a value: {', '.join(names[:MOST_TOLD])}{more}"
