"""Tells which rows of a table without a key are lost: those of which no row that is there now holds every value.

Old and new rows are paired: first the identical ones, then each old row with a new one that has all of its non-null values,
whatever it has where the old one had NULL. The fullest rows choose first. A pairing that could be better counts too many
rows as lost, never too few.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql

from migration_pipeline.adapters.alembic_project import QueryFailed, Session
from migration_pipeline.adapters.inventory import Thing

#: Temporary tables, beside the copy: the rows of before that are not there now, and those of now that were not there.
OLD, NEW = "migration_pipeline_old", "migration_pipeline_new"
#: So many sets of columns that are NULL together are told apart; rows of others count as lost.
MOST_PATTERNS = 50


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column that was there before and still is: how its value is read from the copy, and from the table now."""

    number: int
    name: str  #: what it is called now
    before: Thing
    is_as_before: bool  #: of the same type
    storage: str = ""  #: its type now

    @property
    def old(self) -> str:
        return f"b.c{self.number}"

    def now(self, *, cast_back: bool) -> str:
        """Return the value now, in its old type if wanted: 1.50 that is 1.500 now is the same number.

        What the old type cannot hold is not cut to it: 2.4 is not 2.
        """
        if self.is_as_before or not cast_back:
            return as_text(self.name)
        old = f"({_name(self.name)}::{self.before.storage})"
        there_again = f"({old}::{self.storage})::text"
        text = f"{_name(self.name)}::text"
        return f'(CASE WHEN {there_again} = {text} THEN {old}::text ELSE {text} END) COLLATE "C"'


def as_text(name: str) -> str:
    """Return how a column is read so that only the same is equal."""
    return f'{_name(name)}::text COLLATE "C"'


def lost(session: Session, copy: str, columns: Sequence[Column], source: str, *, cast_back: bool) -> list[int]:
    """Return how many old rows are lost, and how many non-null values of each column are in no row any more."""
    names = [f"c{column.number}" for column in columns]
    old = f"SELECT {', '.join(names)} FROM {copy}"
    new = f"SELECT {', '.join(f'{column.now(cast_back=cast_back)} AS c{column.number}' for column in columns)} {source}"
    with savepoint(session):
        _make(session, OLD, old, new)
        _make(session, NEW, new, old)
        by_column = ", ".join(f"({_values_gone(name)})" for name in names)
        ((total, *values),) = session.query(f"SELECT (SELECT count(*) FROM pg_temp.{OLD}), {by_column}")
        missing = total - _paired(session, names) if total else 0
        session.query(f"DROP TABLE pg_temp.{OLD}, pg_temp.{NEW}")
    return [missing, *values]


def _make(session: Session, name: str, rows: str, others: str) -> None:
    session.query(
        f"CREATE TEMPORARY TABLE {name} ON COMMIT DROP AS "
        f"SELECT row_number() OVER () AS number, x.* FROM ({rows} EXCEPT ALL {others}) x"
    )


def _values_gone(name: str) -> str:
    gone = f"SELECT {name} FROM pg_temp.{OLD} WHERE {name} IS NOT NULL EXCEPT ALL SELECT {name} FROM pg_temp.{NEW}"
    return f"SELECT count(*) FROM ({gone}) x"


def _paired(session: Session, names: list[str]) -> int:
    """Return how many old rows find a new one that holds all their values; each new one serves once."""
    pattern = " || ".join(f"(CASE WHEN {name} IS NULL THEN '0' ELSE '1' END)" for name in names)
    patterns = session.query(
        f"SELECT p FROM (SELECT DISTINCT {pattern} AS p FROM pg_temp.{OLD}) x "
        f"ORDER BY length(replace(p, '0', '')) DESC, p LIMIT {MOST_PATTERNS}"
    )
    return sum(_paired_of(session, names, held, f"{pattern} = '{held}'") for (held,) in patterns)


def _paired_of(session: Session, names: list[str], held: str, condition: str) -> int:
    """Pair the old rows that hold values in the same columns, and take the new ones out."""
    chosen = [name for name, there in zip(names, held, strict=True) if there == "1"]
    same = " AND ".join(["o.n = a.n", *(f"o.{name} = a.{name}" for name in chosen)])
    columns = ", ".join(["number", *chosen])
    partition = f"PARTITION BY {', '.join(chosen)} " if chosen else ""
    there = " AND ".join(f"{name} IS NOT NULL" for name in chosen) or "true"
    # what has the fewest values of its own is taken first: the fuller ones may fit another row
    fewest = f"num_nonnulls({', '.join(names)}), number"
    ((count,),) = session.query(
        f"WITH o AS (SELECT {columns}, row_number() OVER ({partition}ORDER BY number) AS n FROM pg_temp.{OLD} WHERE {condition}), "  # noqa: E501
        f"a AS (SELECT {columns}, row_number() OVER ({partition}ORDER BY {fewest}) AS n FROM pg_temp.{NEW} WHERE {there}), "
        f"taken AS (DELETE FROM pg_temp.{NEW} t USING o JOIN a ON {same} WHERE t.number = a.number RETURNING 1) "
        "SELECT count(*) FROM taken"
    )
    return int(count)


@contextlib.contextmanager
def savepoint(session: Session) -> Iterator[None]:
    """Let a query fail without ending the transaction."""
    session.query("SAVEPOINT migration_pipeline_compare")
    try:
        yield
    except QueryFailed:
        session.query("ROLLBACK TO SAVEPOINT migration_pipeline_compare")
        raise
    session.query("RELEASE SAVEPOINT migration_pipeline_compare")


def _name(name: str) -> str:
    return sql.Identifier(name).as_string(None)
