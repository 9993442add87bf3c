"""Measures what a plan does, from inside its transaction: rows touched, objects gone, values overwritten, the schema after.

Objects are compared by OID and column number: by name, a column dropped and added again looks unchanged, and its data is
gone. Row counters are those of the session, so each attempt needs a fresh connection, and what they read at the start is
subtracted (https://www.postgresql.org/docs/current/monitoring-stats.html, pg_stat_xact_all_tables).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from migration_pipeline.adapters.alembic_project import Session
from migration_pipeline.adapters.inventory import (
    LARGE_OBJECTS,
    LARGE_OBJECTS_OID,
    MAY_CATCH,
    OVER,
    STORED,
    WITH_ROWS,
    Thing,
    counters,
    sequences_query,
    state,
)
from migration_pipeline.adapters.transaction import quoted
from migration_pipeline.domain.backups import Layout, Manifest
from migration_pipeline.domain.effects import Loss, RowChange, Statement
from migration_pipeline.domain.locking import LockHeld

SIZES = "SELECT oid::text, pg_catalog.pg_relation_size(oid) FROM pg_catalog.pg_class WHERE oid IN ({})"
OUTSIDE = "env.py"  #: what is sent before the first revision and after the last one


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
    changes: dict[str, RowChange] = field(default_factory=dict)  #: by OID
    gone: list[str] = field(default_factory=list)  #: ids of STATE that the database had before the plan and has no more
    rewritten: list[str] = field(default_factory=list)  #: ids of tables and materialized views whose storage was replaced
    emptied: list[Emptied] = field(default_factory=list)  #: tables of these, with their rows counted
    overwritten: list[Loss] = field(default_factory=list)
    #: OID → rows of before that are gone because it deleted rows or emptied the table; only of tables that were compared.
    rows_lost: dict[str, int] = field(default_factory=dict)
    rows_held: dict[str, int] = field(default_factory=dict)  #: OID → the rows that a table held before it was emptied
    moved_back: list[Loss] = field(default_factory=list)
    seconds: float = 0.0
    locks: list[LockHeld] = field(default_factory=list)
    rewritten_bytes: dict[str, int] = field(default_factory=dict)  #: by schema-qualified name
    wal_bytes: int | None = None

    @property
    def rows(self) -> tuple[RowChange, ...]:
        removed = {key for key, change in self.changes.items() if change.deleted or key in self.rows_held}
        return tuple(
            replace(change, lost=self.rows_lost.get(key)) if key in removed else change for key, change in self.changes.items()
        )

    def held_up(self, is_version_table: Callable[[str], bool], manifest: Manifest) -> dict[str, Any]:
        """Return the fields of `RevisionEffects` about locks and storage; the backup's rows, where it counted them."""
        is_exact = manifest.layout is not Layout.OWN_SYSTEM
        locks = [lock for lock in self.locks if not is_version_table(lock.relation)]
        counted = [
            replace(lock, rows=manifest.rows[lock.relation], rows_are_estimated=False)
            if is_exact and lock.relation in manifest.rows
            else lock
            for lock in locks
        ]
        return {"locks": tuple(counted), "rewritten_bytes": self.rewritten_bytes, "wal_bytes": self.wal_bytes}

    def take_from(self, undisturbed: "Measured") -> None:
        """Take over what a run without copies of tables measured better, or alone."""
        self.moved_back = undisturbed.moved_back  # sequences are not rolled back: only the first run saw them move
        self.seconds, self.locks = undisturbed.seconds, undisturbed.locks
        self.rewritten_bytes, self.wal_bytes = undisturbed.rewritten_bytes, undisturbed.wal_bytes


class Measurement:
    """Follows one run of a plan: opened at the transaction's start, then asked after each part what that part did."""

    def __init__(self, *, count_rows: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.count_rows = count_rows
        self._clock = clock
        self.base: dict[str, Thing] = {}
        self.now: dict[str, Thing] = {}  #: the catalog after the last part
        self.outside = Measured(revision=OUTSIDE)
        self.revisions: list[Measured] = []
        self.sequences_at_start: dict[str, int] = {}
        self._sequences: dict[str, int] = {}
        self._counters: dict[str, tuple[int, int, int]] = {}
        self.start_counters: dict[str, tuple[int, int, int]] = {}
        self._over = ""
        self.undid_something = False
        self._goes_back = self._may_catch = False
        self._touched: frozenset[str] | None = None  #: since the call before the last one; None: perhaps every table
        self._sizes: dict[str, int] = {}
        self._started = 0.0

    def open(self, session: Session) -> None:
        """Take the baseline. The counters may be above zero already: our own fuse."""
        self.base = self.now = state(session)
        self._counters = self.start_counters = counters(session, self.base, {})
        self.sequences_at_start = self._sequences = self._read_sequences(session)
        self._over = session.query(OVER)[0][0]

    def start(self, revision: str) -> None:
        self.revisions.append(Measured(revision=revision))
        self._started = self._clock()

    def end(self) -> None:
        self.revisions[-1].seconds = self._clock() - self._started

    def measure(self, session: Session, part: Measured) -> None:
        """Add to a part what happened since the last call."""
        before, self.now = self.now, state(session)
        names: dict[str, str] = {}
        counted, self._counters = self._counters, counters(session, self.base, names)
        part.gone += [key for key in before if key in self.base and key not in self.now]
        for relid, now in self._counters.items():
            self._add(part, relid, names[relid], counted.get(relid, (0, 0, 0)), now)
        replaced = [key for key, thing in self.now.items() if self._is_rewritten(key, thing, before)]
        part.rewritten += replaced
        if self.count_rows:
            part.emptied += [self._emptied(session, key) for key in replaced if self.now[key].kind == "table"]
            self.undid_something = self.undid_something or self._undid(session)
            moved = {key for key, now in self._counters.items() if now != counted.get(key, (0, 0, 0))}
            moved |= counted.keys() - self._counters.keys()
            smaller = self._emptied_in_place(session)
            # going back undoes an earlier part's work too, and no counter moves then
            self._touched = None if self._goes_back else frozenset({*moved, *replaced, *smaller})
            self._goes_back = False
        before_them, self._sequences = self._sequences, self._read_sequences(session)
        part.moved_back += [
            Loss(kind="sequence", name=f"{self.base[key].schema}.{self.base[key].name}", how="moved back")
            for key, value in self._sequences.items()
            if value < before_them.get(key, value)
        ]

    def _add(self, part: Measured, relid: str, name: str, before: tuple[int, int, int], now: tuple[int, int, int]) -> None:
        inserted, updated, deleted = (max(0, now[i] - before[i]) for i in range(3))
        if inserted + updated + deleted:
            told = part.changes.get(relid, RowChange(table=name))
            part.changes[relid] = RowChange(
                table=name,
                inserted=told.inserted + inserted,
                updated=told.updated + updated,
                deleted=told.deleted + deleted,
                existed=relid in self.base or name == LARGE_OBJECTS,
            )

    def _is_rewritten(self, key: str, thing: Thing, before: Mapping[str, Thing]) -> bool:
        return thing.kind in WITH_ROWS and key in self.base and key in before and thing.storage != before[key].storage

    def _emptied(self, session: Session, key: str) -> Emptied:
        thing = self.now[key]
        ((rows,),) = session.query(f"SELECT count(*) FROM ONLY {quoted(thing.schema, thing.name)}")
        inserted, _, deleted = self._counters.get(key, (0, 0, 0))
        return Emptied(table=key, rows_now=rows, rows_added=inserted - deleted)

    def note(self, text: str, *, goes_back: bool) -> None:
        """Take note of what is sent: the project may go back to a savepoint of its own, or catch what it raised."""
        self._goes_back |= goes_back
        self._may_catch |= goes_back or "exception" in text.lower()

    def _undid(self, session: Session) -> bool:
        """Tell whether something may have been undone. Others' commits and the server's own work look alike from outside."""
        if session.query(OVER)[0][0] == self._over:
            return False
        return self._may_catch or bool(session.query(MAY_CATCH)[0][0])

    def _emptied_in_place(self, session: Session) -> list[str]:
        """Return the tables with a new storage that may have been emptied in place since the last call.

        TRUNCATE of these leaves no other trace than a smaller size, and sets the counters back: as many rows may have come again.
        """
        keys = {key for part in (self.outside, *self.revisions) for key in part.rewritten if key in self.now}
        before, self._sizes = self._sizes, dict(session.query(SIZES.format(", ".join(keys)))) if keys else {}
        return [
            key
            for key, size in self._sizes.items()
            if size < before.get(key, size) or self._counters.get(key, (0, 0, 0))[0] != self.start_counters.get(key, (0, 0, 0))[0]
        ]

    def is_touched(self, relid: str) -> bool:
        """Tell whether a table may read differently since the call of `measure` before the last one."""
        return self._touched is None or relid in self._touched

    def _read_sequences(self, session: Session) -> dict[str, int]:
        """Read where the sequences stand that were there at the start. PostgreSQL never rolls them back."""
        keys = [key for key, thing in self.now.items() if thing.kind == "sequence" and key in self.base]
        rows = session.query(sequences_query(self.now, keys)) if keys else []
        return {str(key): int(value) for key, value in rows}

    def turnover(self, relid: str) -> tuple[int, int]:
        """Return the rows of a table that the plan has inserted and deleted so far."""
        changes = [part.changes[relid] for part in (self.outside, *self.revisions) if relid in part.changes]
        return sum(one.inserted for one in changes), sum(one.deleted for one in changes)

    def was_rewritten(self, relid: str) -> bool:
        return any(relid in part.rewritten for part in (self.outside, *self.revisions))

    def altered_tables(self) -> set[str]:
        """Return the tables that existed before and are still there, and whose values may read differently now.

        Those too that only had rows deleted, where these may be there again: other rows came in, or something was undone.
        """
        parts = (self.outside, *self.revisions)
        touched = {key for part in parts for key in part.rewritten}
        for key, change in ((key, change) for part in parts for key, change in part.changes.items()):
            inserted, deleted = self.turnover(key)
            if change.updated or (deleted and (inserted or self.undid_something or change.table == LARGE_OBJECTS)):
                touched.add(key)
        return {key for key in touched if (key in self.base and key in self.now) or key == LARGE_OBJECTS_OID}

    def path_now(self, path: tuple[str, ...]) -> tuple[str, ...] | None:
        """Return what a table or column is called now that was called so before the plan; None: it is gone."""
        key = next((key for key, thing in self.base.items() if self._path(thing) == path), None)
        return self._path(self.now[key], self.now) if key in self.now and key is not None else None

    def _path(self, thing: Thing, things: Mapping[str, Thing] | None = None) -> tuple[str, ...] | None:
        if thing.kind == "column":
            return (thing.schema, (things or self.base)[thing.parent].name, thing.name)
        return (thing.schema, thing.name) if thing.kind in STORED else None
