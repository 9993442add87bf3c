"""Copies a table just before the first statement that changes values of it, so that no second run of the plan is needed.

Only what a statement may change is copied, beside the key: the columns that an UPDATE sets, the one whose type is changed.
That holds as long as nothing else changes the table: PostgreSQL's counters and its storage tell, and are read before and
after the statements that are understood. Of a table of which it does not hold, nothing is said here: it needs a second run.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from psycopg import sql

from migration_pipeline.adapters import copied, whole_rows
from migration_pipeline.adapters.alembic_project import QueryFailed, Session
from migration_pipeline.adapters.copied import Copy
from migration_pipeline.adapters.inventory import Thing
from migration_pipeline.adapters.measurement import Measurement
from migration_pipeline.adapters.overwrites import Comparison, change_settings
from migration_pipeline.adapters.transaction import quoted
from migration_pipeline.domain import changes, statements
from migration_pipeline.domain.changes import Change
from migration_pipeline.domain.sql import Name, Parsed

#: A table's storage and the rows that the session inserted, updated and deleted there.
STATE = """
SELECT coalesce(pg_relation_filenode(c.oid)::text, ''), pg_stat_get_xact_tuples_inserted(c.oid),
       pg_stat_get_xact_tuples_updated(c.oid), pg_stat_get_xact_tuples_deleted(c.oid)
FROM pg_class c WHERE c.oid = {relation}
"""
#: A plain table that is read as a whole, by the role that opened the transaction.
TABLE = """
SELECT c.oid::text, n.nspname::text, c.relname::text,
       c.relkind = 'r' AND c.relpersistence <> 't' AND NOT row_security_active(c.oid)
       AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid) AND current_user = {user}
       AND NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtenabled <> 'D')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass({name})
"""
#: Whether a statement on it changes what it says and nothing else: no trigger, rule or cascade of the table's, and no function
#: of the database's own behind an operator, a cast, a view, a condition or an index. Those of extensions are taken at their word.
IS_CALM = """
SELECT NOT c.relhasrules AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal)
  AND NOT EXISTS (SELECT FROM pg_constraint WHERE confrelid = c.oid AND contype = 'f' AND confupdtype NOT IN ('a', 'r'))
  AND NOT EXISTS (
    SELECT FROM pg_depend d JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid AND p.oid >= 16384
    LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
    LEFT JOIN pg_attrdef a ON d.classid = 'pg_attrdef'::regclass AND a.oid = d.objid
    LEFT JOIN pg_index i ON d.classid = 'pg_class'::regclass AND i.indexrelid = d.objid
    WHERE (k.conrelid IN (0, c.oid) OR a.adrelid = c.oid OR i.indrelid = c.oid OR d.classid = ANY (
      ARRAY['pg_operator', 'pg_cast', 'pg_rewrite', 'pg_policy', 'pg_type']::regclass[]))
      AND NOT EXISTS (
        SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype IN ('e', 'i')))
FROM pg_class c WHERE c.oid = {relation}
"""
COLUMNS = """
SELECT attnum::int, attname::text, format_type(atttypid, atttypmod), attgenerated <> '' FROM pg_attribute
WHERE attrelid = {relation} AND attnum > 0 AND NOT attisdropped
"""
#: So often the counters are read around statements in one plan; what would need more of it needs a second run.
MOST_WINDOWS = 50
Aside = AbstractContextManager[None]


@dataclass(frozen=True)
class State:
    """A table's storage and counters."""

    storage: str
    inserted: int = 0
    updated: int = 0
    deleted: int = 0

    def is_accounted_for(self, known: "State", start: "State") -> bool:
        """Tell whether nothing happened to its old rows since it was known but that some were deleted, or others came in.

        Both together may have put other values in; in a new storage, TRUNCATE leaves no trace in the counters.
        """
        if (self.storage, self.updated) != (known.storage, known.updated):
            return False
        has_new, has_fewer = self.inserted != start.inserted, self.deleted != start.deleted
        return not has_new or not (has_fewer or self.storage != start.storage)


@dataclass(kw_only=True)
class Followed:
    """A table that a statement changes."""

    copy: Copy
    start: State
    known: State  #: after the last statement that is understood
    is_whole: bool = False  #: every column is copied: whatever changes it now, the copy tells
    changed: set[int] = field(default_factory=set)  #: numbers of the columns that may be changed
    is_lost: bool = False  #: the copy does not tell everything


class EarlyCopies:
    """Follows one run. It reads and writes within the plan's transaction, and spoils nothing: what fails is undone."""

    def __init__(self, session: Session, run: Measurement, skipped: str, aside: Callable[[Session], Aside]) -> None:
        self.comparison = Comparison((), copied.settings(session), may_vanish=True)
        self._run = run
        self._skipped = skipped  #: name of the version table
        self._aside = aside  #: what its work is done in: its time is not the plan's
        self._starts = run.start_counters
        ((self._user,),) = session.query("SELECT current_user::text")
        self._followed: dict[str, Followed] = {}
        self._open: tuple[Change, Followed] | None = None  #: what the last statements changed
        self._windows = 0
        self._decided: set[Name] = set()  #: names of tables that need no further look

    def before(self, session: Session, parsed: Parsed) -> None:
        """Copy what the text that is sent next will change, where that is known and not copied yet."""
        if statements.is_read_only(parsed):
            return
        change = changes.of(parsed)
        if change is not None and self._open is not None and _is_within(change, self._open[0]):
            return
        self.settle(session)
        if change is None or change.table.name == self._skipped or change.table in self._decided:
            return
        self._windows += 1
        if self._windows > MOST_WINDOWS:
            return
        try:
            with self._aside(session), whole_rows.savepoint(session):
                self._follow(session, change)
        except QueryFailed:
            self._open = None

    def settle(self, session: Session) -> None:
        """Read what the last statements did to their table: nothing else was sent meanwhile."""
        if self._open is None:
            return
        (_, one), self._open = self._open, None
        try:
            now = _state(session, one.copy.relation)
        except QueryFailed:
            one.is_lost = True
            return
        if now is None or (now.inserted, now.deleted) != (one.known.inserted, one.known.deleted):
            one.is_lost = True
        else:
            one.known = now

    def covered(self, session: Session) -> frozenset[str]:
        """Return the tables of which the comparisons tell everything that the plan did to values, at its end."""
        self.settle(session)
        return frozenset(key for key, one in self._followed.items() if self._tells_all(session, one))

    def _tells_all(self, session: Session, one: Followed) -> bool:
        if one.is_lost or not copied.still_there(session, [one.copy]):
            return False
        if one.is_whole:
            return True
        now = _state(session, one.copy.relation)
        keeps_key = all(f"{one.copy.relation}.{number}" in self._run.now for number in one.copy.key)
        if now is None or not keeps_key or not now.is_accounted_for(one.known, one.start):
            return False
        if one.copy.sheets:
            return True
        # nothing is compared: a new storage may have been emptied without a trace, and deleted rows may be there again
        return now.storage == one.start.storage and (now.deleted == one.start.deleted or not self._run.undid_something)

    def _follow(self, session: Session, change: Change) -> None:
        name = quoted(change.table.schema, change.table.name)
        found = session.query(TABLE.format(name=_literal(name), user=_literal(self._user)))
        relation, schema, table, is_plain = found[0] if found else ("", "", "", False)
        thing = self._run.base.get(relation)
        if thing is None:
            return
        one = self._followed.get(relation)
        if one is not None and (one.is_whole or one.is_lost):
            self._decided.add(change.table)
            return
        now = _state(session, relation)
        if one is None:
            start = State(thing.storage, *self._starts.get(relation, (0, 0, 0)))
            copy = Copy(relation=relation, thing=thing, key=copied.key_of(session, relation))
            one = self._followed[relation] = Followed(copy=copy, start=start, known=start)
        one.is_lost = True  # until all of it has come about
        if now is not None and is_plain and now.is_accounted_for(one.known, one.start):
            one.is_lost = not self._prepare(session, one, change, (schema, table), now)

    def _prepare(self, session: Session, one: Followed, change: Change, path: tuple[str, str], now: State) -> bool:
        """Copy what a statement changes; return whether that was possible."""
        relation = one.copy.relation
        rows = session.query(COLUMNS.format(relation=relation))
        names = {number: name for number, name, _, _ in rows}
        before = copied.columns_of(relation, self._run.base)
        is_as_before = {number: before[number].storage == storage for number, _, storage, _ in rows if number in before}
        old = {number: before[number] for number in is_as_before}
        wanted = set(old)
        is_narrow = change.columns is not None and session.query(IS_CALM.format(relation=relation))[0][0]
        if is_narrow:
            wanted &= {number for number, name in names.items() if name in (change.columns or ())}
            wanted |= {number for number, _, _, is_computed in rows if is_computed and wanted and number in old}
            is_narrow = not wanted & set(one.copy.key) and (bool(one.copy.key) or not wanted)
        if not is_narrow:
            wanted = set(old)
            if one.known != one.start or now != one.start:
                return False
        missing = wanted - one.copy.columns
        if missing & one.changed or not all(is_as_before[number] for number in missing):
            return False
        if missing:
            # rows that came or went meanwhile would be taken for others; from a new storage they go without a trace
            if (now.storage, now.inserted, now.deleted) != (one.start.storage, one.start.inserted, one.start.deleted):
                return False
            self._add_sheet(session, one, {number: old[number] for number in {*missing, *one.copy.key}}, names, path)
        one.changed |= wanted
        one.is_whole = not is_narrow
        if is_narrow:
            one.known = now
            self._open = (change, one)
        return True

    def _add_sheet(
        self, session: Session, one: Followed, columns: dict[int, Thing], names: dict[int, str], path: tuple[str, str]
    ) -> None:
        now, base = copied.settings(session), self.comparison.settings
        change_settings(session, now, base)
        copied.add_sheet(session, one.copy, columns, names, path)
        change_settings(session, base, now)
        self.comparison.copies[one.copy.relation] = one.copy


def _is_within(change: Change, other: Change) -> bool:
    """Tell whether a statement changes nothing but what one before it does too."""
    if change.columns is None or other.columns is None:
        return False
    return change.table == other.table and change.columns <= other.columns


def _state(session: Session, relation: str) -> State | None:
    rows: Iterable[list[object]] = session.query(STATE.format(relation=relation))
    return next((State(*row) for row in rows), None)  # type: ignore[arg-type]


def _literal(text: str) -> str:
    return sql.Literal(text).as_string(None)
