"""Sees which table locks a plan takes, and by which statement: pg_locks is read on the run's own session between statements.

PostgreSQL keeps a lock to the transaction's end, so that a reading after a statement misses none of its locks and no thread
has to look meanwhile. When within its statement a lock was taken is not seen: it counts from the statement's begin.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from migration_pipeline.adapters.alembic_project import QueryFailed, Session
from migration_pipeline.adapters.measurement import Measured
from migration_pipeline.domain import redaction, sql, statements
from migration_pipeline.domain.locking import STRONG, LockHeld, Mode
from migration_pipeline.domain.statements import Parsed

#: What an application reads and writes, and the relation for which a lock on an index or a toast table counts: the planner
#: locks every index of a table, whichever it will use.
RELATIONS = """
SELECT c.oid::text, coalesce(i.indrelid, o.oid, c.oid)::text, n.nspname::text, c.relname::text, c.reltuples::bigint
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_index i ON c.relkind IN ('i', 'I') AND i.indexrelid = c.oid
LEFT JOIN pg_catalog.pg_class o ON c.relkind = 't' AND o.reltoastrelid = c.oid
WHERE c.relkind IN ('r', 'p', 'm', 'f', 'v', 'i', 'I', 't') AND n.nspname <> 'information_schema'
  AND (n.nspname = 'pg_toast' OR n.nspname !~ '^pg_')
"""
HELD = f"""
SELECT relation::text, mode FROM pg_catalog.pg_locks
WHERE locktype = 'relation' AND pid = pg_catalog.pg_backend_pid() AND granted
  AND mode IN ({", ".join(f"'{mode.on_server}'" for mode in STRONG)})
"""
MODES = {mode.on_server: mode for mode in STRONG}
#: Asked first, for a function that the role may not call fails the whole transaction.
MAY_READ_WAL = "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_current_wal_insert_lsn()', 'EXECUTE')"
WAL = "SELECT (pg_catalog.pg_current_wal_insert_lsn() - '0/0'::pg_catalog.pg_lsn)::bigint"
#: With indexes and toast.
SIZES = "SELECT oid::text, pg_catalog.pg_total_relation_size(oid) FROM pg_catalog.pg_class WHERE oid IN ({})"
#: Statements that lock a table strongly only through a trigger or a function: read once for all that follow each other.
LIGHT = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "CopyStmt"})
IN_FAILED_TRANSACTION = "25P02"  # https://www.postgresql.org/docs/current/errcodes-appendix.html


class Relation(NamedTuple):
    """A relation that was there before the plan."""

    name: str
    rows: int | None  #: as ANALYZE estimated them; None: it never did


@dataclass(frozen=True, kw_only=True)
class Sent:
    """The statements since the last reading: the first of them, and how many there are."""

    statement: str
    revision: str
    at: float
    is_light: bool
    count: int = 1

    @property
    def words(self) -> str:
        text = redaction.one_line(self.statement)
        return text if self.count == 1 else f"{text} (or one of {self.count - 1:,} after it)"


class LockWatch:
    """Follows one run of a plan. Its own readings do not count as time: a live run does without them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.locks: list[LockHeld] = []
        self._clock = clock
        self._begun = clock()
        self._aside = 0.0
        self._relations: dict[str, Relation] = {}
        self._owner: dict[str, str] = {}  #: relation → the one that its lock counts for
        self._held: dict[tuple[str, Mode], int] = {}  #: → the place in `locks`
        self._ours: frozenset[tuple[str, Mode]] = frozenset()
        self._sent: Sent | None = None
        self._reads_wal = False
        self._wal: int | None = None

    def begin(self) -> None:
        """Start the clock: the transaction begins."""
        self._begun, self._aside = self._clock(), 0.0

    def open(self, session: Session) -> None:
        """Take the baseline: the relations that are there, and the locks that are the pipeline's own."""
        started = self._clock()
        for oid, owner, schema, name, rows in session.query(RELATIONS):
            self._owner[oid] = owner
            if oid == owner:
                self._relations[oid] = Relation(f"{schema}.{name}", rows if rows >= 0 else None)
        self._ours = self._now(session)
        ((self._reads_wal,),) = session.query(MAY_READ_WAL)
        self._wal = self._read_wal(session)
        self._aside += self._clock() - started

    def before(self, session: Session, parsed: Parsed) -> None:
        """Look what the statements until now have locked, before the next one is sent; for light ones it can wait."""
        if self._sent is not None and not (self._sent.is_light and is_light(parsed)):
            self.look(session)

    def sent(self, statement: str, revision: str, parsed: Parsed | None = None) -> None:
        """Remember a statement that is sent now."""
        if self._sent is None:
            light = parsed is not None and is_light(parsed)
            self._sent = Sent(statement=statement, revision=revision, at=self.time(), is_light=light)
        elif statement != self._sent.statement:
            self._sent = replace(self._sent, count=self._sent.count + 1)

    def look(self, session: Session) -> None:
        """Read the locks; the new ones are those of the statements since the last reading."""
        if self._sent is None:
            return
        started, at = self._clock(), self.time()
        try:
            now = self._now(session) - self._ours
        except QueryFailed as error:
            if error.sqlstate == IN_FAILED_TRANSACTION:
                return  # a ROLLBACK TO SAVEPOINT comes next, or the run's end
            raise
        taken = {(self._owner[oid], mode) for oid, mode in now if self._owner.get(oid) in self._relations}
        for key in [key for key in self._held if key not in taken]:
            place = self._held.pop(key)
            self.locks[place] = replace(self.locks[place], released=at, until_end=False)
        for oid, mode in sorted(taken - self._held.keys()):
            if any((oid, stronger) in taken for stronger in STRONG[STRONG.index(mode) + 1 :]):
                continue  # it adds nothing, and ends no later
            self._held[oid, mode] = len(self.locks)
            self.locks.append(self._lock(self._relations[oid], mode, self._sent))
        self._sent = None
        self._aside += self._clock() - started

    def measure(self, session: Session, part: Measured) -> None:
        """Add what a revision rewrote and how much WAL the server wrote meanwhile."""
        started = self._clock()
        if part.rewritten:
            found = session.query(SIZES.format(", ".join(part.rewritten)))
            part.rewritten_bytes = {self._relations[oid].name: size for oid, size in found if oid in self._relations}
        before, self._wal = self._wal, self._read_wal(session)
        if before is not None and self._wal is not None:
            part.wal_bytes = self._wal - before
        self._aside += self._clock() - started

    @contextlib.contextmanager
    def aside(self, session: Session) -> Iterator[None]:
        """Do other work of the pipeline's own: neither its time nor the WAL that it writes count."""
        started = self._clock()
        try:
            before = self._read_wal(session)
            yield
            after = self._read_wal(session)
            if before is not None and after is not None and self._wal is not None:
                self._wal += after - before
        finally:
            self._aside += self._clock() - started

    def time(self) -> float:
        """Return the seconds since the transaction's begin, without those of our own readings."""
        return self._clock() - self._begun - self._aside

    def close(self, parts: Iterable[Measured]) -> None:
        """Let the locks end, for the transaction ends now, and give each part those that it took."""
        end = self.time()
        self.locks = [replace(lock, released=end) if lock.until_end else lock for lock in self.locks]
        for part in parts:
            part.locks = [lock for lock in self.locks if lock.revision == part.revision]

    def _lock(self, relation: Relation, mode: Mode, sent: Sent) -> LockHeld:
        return LockHeld(
            relation=relation.name,
            mode=mode,
            revision=sent.revision,
            statement=sent.words,
            taken=sent.at,
            released=sent.at,
            rows=relation.rows,
            rows_are_estimated=relation.rows is not None,
        )

    def _now(self, session: Session) -> frozenset[tuple[str, Mode]]:
        return frozenset((oid, MODES[mode]) for oid, mode in session.query(HELD))

    def _read_wal(self, session: Session) -> int | None:
        return int(session.query(WAL)[0][0]) if self._reads_wal else None


def is_light(parsed: Parsed) -> bool:
    """Tell whether a text only reads or changes rows: what it locks strongly, if anything, a trigger of it does."""
    if statements.is_read_only(parsed):
        return True
    return bool(parsed.pieces) and all(sql.kind(piece.statement) in LIGHT for piece in parsed.pieces)
