"""Measures what a plan does, from inside its transaction: rows touched, objects gone, values overwritten, the schema after.

Objects are compared by OID and column number: by name, a column dropped and added again looks unchanged, and its data is
gone. Row counters are those of the session, so each attempt needs a fresh connection, and what they read at the start is
subtracted (https://www.postgresql.org/docs/current/monitoring-stats.html, pg_stat_xact_user_tables).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from migration_pipeline.adapters.alembic_project import Session
from migration_pipeline.adapters.transaction import quoted
from migration_pipeline.domain.effects import Loss, RowChange, Statement

#: Everything that has a place for data or a meaning for it: one row an object, its kind, id, name, and what identifies its storage.
STATE = """
SELECT kind, id, parent, schema, name, storage FROM (
  SELECT CASE c.relkind WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence' ELSE 'table' END
         AS kind, c.oid::text AS id, coalesce(d.refobjid::text, '') AS parent, n.nspname::text AS schema, c.relname::text AS name,
         coalesce(pg_relation_filenode(c.oid)::text, '') AS storage
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_depend d ON c.relkind = 'S' AND d.classid = 'pg_class'::regclass AND d.objid = c.oid
    AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
  WHERE c.relkind IN ('r', 'p', 'm', 'f', 'S')
  UNION ALL
  SELECT 'column', a.attrelid || '.' || a.attnum, a.attrelid::text, n.nspname, a.attname, format_type(a.atttypid, a.atttypmod)
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p')
  UNION ALL
  SELECT CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END, t.oid::text, '', n.nspname, t.typname, ''
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
  WHERE t.typtype IN ('e', 'd', 'r') OR (t.typtype = 'c' AND c.relkind = 'c')
  UNION ALL
  SELECT 'enum label', e.oid::text, e.enumtypid::text, n.nspname, t.typname || '.' || e.enumlabel, ''
  FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid JOIN pg_namespace n ON n.oid = t.typnamespace
  UNION ALL
  SELECT 'schema', oid::text, '', nspname, '', '' FROM pg_namespace
  UNION ALL
  SELECT 'large object', oid::text, '', 'large objects', oid::text, '' FROM pg_largeobject_metadata
) AS object
WHERE schema !~ '^pg_' AND schema <> 'information_schema'
"""

#: Rows that this session inserted, updated and deleted so far, cascades and triggers included.
COUNTERS = """
SELECT relid::text, schemaname::text, relname::text, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_xact_user_tables
WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 AND schemaname !~ '^pg_'
"""


STORED = frozenset({"table", "column", "materialized view", "foreign table", "sequence"})


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One object of the catalog, as STATE reads it."""

    kind: str
    parent: str
    schema: str
    name: str
    storage: str


Counters = Mapping[str, tuple[int, int, int]]


#: Where the sequences stand that have been used, in the direction in which they count.
SEQUENCES = """
SELECT c.oid::text, s.last_value * sign(s.increment_by)::int
FROM pg_sequences s JOIN pg_namespace n ON n.nspname = s.schemaname
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.sequencename WHERE s.last_value IS NOT NULL
"""


@dataclass(frozen=True, kw_only=True)
class Emptied:
    """A table whose storage was replaced, by TRUNCATE or by a rewrite, and the rows that it holds since."""

    table: str
    rows_now: int
    rows_added: int  #: inserted less deleted, by the counters


@dataclass(kw_only=True)
class Measured:
    """What one revision did, before its losses are counted on the copy as it was."""

    revision: str
    statements: list[Statement] = field(default_factory=list)
    rows: tuple[RowChange, ...] = ()
    gone: tuple[str, ...] = ()  #: ids of STATE that the database had before the plan and has no more
    rewritten: tuple[str, ...] = ()  #: ids of tables whose storage was replaced
    emptied: tuple[Emptied, ...] = ()  #: the same, with their rows counted
    overwritten: tuple[Loss, ...] = ()
    moved_back: tuple[Loss, ...] = ()
    seconds: float = 0.0


class Measurement:
    """Follows one run of a plan, revision by revision."""

    def __init__(self, *, count_rows: bool) -> None:
        self.count_rows = count_rows
        self.base: dict[str, Thing] = {}
        self.revisions: list[Measured] = []
        self.now: dict[str, Thing] = {}  #: the catalog after the last revision
        self._counters: Counters = {}
        self._names: dict[str, str] = {}
        self._sequences: dict[str, int] = {}
        self._started = 0.0

    def begin(self, session: Session) -> None:
        """Take the baseline. The counters may be above zero already: our own fuse, env.py's statements."""
        self.base = self.now = state(session)
        self._sequences = sequences(session) if self.count_rows else {}
        self._counters = counters(session, self._names)

    def revision(self, revision: str) -> None:
        self.revisions.append(Measured(revision=revision))
        self._started = time.monotonic()

    def statement(self, statement: Statement) -> None:
        self.revisions[-1].statements.append(statement)

    def applied(self, session: Session) -> Measured:
        """Compare with the state before this revision."""
        measured = self.revisions[-1]
        measured.seconds = time.monotonic() - self._started
        before, self.now = self.now, state(session)
        counted, self._counters = self._counters, counters(session, self._names)
        measured.gone = tuple(key for key in before if key in self.base and key not in self.now)
        measured.rows = tuple(
            change
            for relid, now in self._counters.items()
            if (change := self._change(relid, counted.get(relid, (0, 0, 0)), now)) is not None
        )
        measured.rewritten = tuple(
            key
            for key, thing in self.now.items()
            if thing.kind == "table" and key in self.base and thing.storage != before[key].storage
        )
        if self.count_rows:
            measured.emptied = tuple(self._emptied(session, key) for key in measured.rewritten)
            measured.moved_back = tuple(self._moved_back(session))
        return measured

    def _change(self, relid: str, before: tuple[int, int, int], now: tuple[int, int, int]) -> RowChange | None:
        inserted, updated, deleted = (max(0, now[i] - before[i]) for i in range(3))
        if not inserted + updated + deleted:
            return None
        name = self._names[relid]
        return RowChange(table=name, inserted=inserted, updated=updated, deleted=deleted, existed=relid in self.base)

    def _emptied(self, session: Session, key: str) -> Emptied:
        thing = self.now[key]
        ((rows,),) = session.query(f"SELECT count(*) FROM ONLY {quoted(thing.schema, thing.name)}")
        inserted, _, deleted = self._counters.get(key, (0, 0, 0))
        return Emptied(table=key, rows_now=rows, rows_added=inserted - deleted)

    def _moved_back(self, session: Session) -> list[Loss]:
        """Sequences that stand lower than before would give out numbers a second time."""
        before, self._sequences = self._sequences, sequences(session)
        return [
            Loss(kind="sequence", name=f"{self.base[key].schema}.{self.base[key].name}", how="moved back")
            for key, value in self._sequences.items()
            if key in self.base and value < before.get(key, value)
        ]

    def rewritten_columns(self) -> set[str]:
        """Return the tables that existed before and whose columns changed their type."""
        return {
            thing.parent
            for key, thing in self.now.items()
            if thing.kind == "column" and key in self.base and thing.storage != self.base[key].storage
        }

    def updated_tables(self) -> set[str]:
        """Return the tables that existed before, are still there, and whose rows or values may read differently now."""
        names = {change.table for one in self.revisions for change in one.rows if change.updated and change.existed}
        ids = {key for key, name in self._names.items() if name in names}
        return {key for key in ids | self.rewritten_columns() if key in self.base and key in self.now}


def state(session: Session) -> dict[str, Thing]:
    """Return the catalog by id. An OID is unique in its own catalog only: what is no relation or column says its kind too."""
    return {
        id if kind in STORED else f"{kind} {id}": Thing(kind=kind, parent=parent, schema=schema, name=name, storage=storage)
        for kind, id, parent, schema, name, storage in session.query(STATE)
    }


def counters(session: Session, names: dict[str, str]) -> dict[str, tuple[int, int, int]]:
    rows = session.query(COUNTERS)
    names.update({row[0]: f"{row[1]}.{row[2]}" for row in rows})
    return {row[0]: (row[3], row[4], row[5]) for row in rows}


def sequences(session: Session) -> dict[str, int]:
    return {key: int(value) for key, value in session.query(SEQUENCES)}
