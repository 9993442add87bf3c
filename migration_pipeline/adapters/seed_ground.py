"""The tables that are being seeded: their keys, the rows that went in, and why others did not."""

from collections.abc import Collection, Sequence
from typing import Any

import psycopg
from psycopg import sql

from migration_pipeline.adapters import seed_catalog
from migration_pipeline.adapters.seed_catalog import Held
from migration_pipeline.domain.seeds import Key, Link, NoRows, Row, Seeded

Connection = psycopg.Connection[Any]
MOST_KEYS = 50  #: of a referenced table

WHY = {
    "23502": "no value is known for its column {column}, which must not be NULL",
    "23503": "its foreign key {constraint} finds no row",
    "23505": "its unique index {constraint} takes none of the rows that were tried",
    "23514": "its check constraint {constraint} accepts none of the values that were tried",
    "23P01": "its exclusion constraint {constraint} takes none of the rows that were tried",
    "42501": "a right is missing, or row level security keeps the rows out",
}
RAISED = "exec_stmt_raise"  #: the function of the server's source that PL/pgSQL's RAISE is


class Ground:
    """One pass over a database: what is known of it, and what has become of its tables."""

    def __init__(self, connection: Connection, number: int, tables: Collection[str] | None = None) -> None:
        self.connection = connection
        self.number = number
        self.rows: dict[str, int] = {}
        self.refused: dict[str, str] = {}
        self.unfilled: dict[str, str] = {}
        self.later: list[tuple[Held, Link]] = []  #: references that wait for rows of the other table
        self.held = seed_catalog.read(connection, tables)
        self._keys: dict[tuple[int, tuple[str, ...]], list[Key]] = {}

    def seeded(self) -> Seeded:
        return Seeded(rows_by_table=self.rows, refused=self.refused, unfilled=self.unfilled)

    def planted(self, one: Held, number: int) -> None:
        self.rows[one.name] = number
        self._keys = {at: keys for at, keys in self._keys.items() if at[0] not in {one.oid, one.root}}

    def parents(self, one: Held) -> dict[Link, Sequence[Key]]:
        found: dict[Link, Sequence[Key]] = {}
        for link in one.table.links:
            found[link] = self.keys_of(link)
            if not found[link] and not one.table.nullable(link):
                raise NoRows(f'the table "{self.held[link.parent].name}" that it references has no rows')
            if not found[link]:
                self.later.append((one, link))
        return found

    def keys_of(self, link: Link) -> list[Key]:
        """Return keys of a referenced table as texts, in the order of its rows as far as there is one."""
        at = (link.parent, link.parent_columns)
        if at not in self._keys:
            parent = self.held[link.parent]
            names = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in link.parent_columns)
            only = sql.SQL("ONLY " if parent.kind == "r" else "")
            query = sql.SQL("SELECT {} FROM {}{} LIMIT {}").format(names, only, parent.quoted, MOST_KEYS)
            try:
                with self.connection.transaction():
                    keys = self.connection.execute(query).fetchall()
            except psycopg.errors.InsufficientPrivilege:
                keys = []
            self._keys[at] = [tuple(key) for key in keys if None not in key]
        return self._keys[at]

    def insert(self, one: Held, rows: Sequence[Row], *, overriding: bool = False) -> tuple[int, Exception | None]:
        """Insert rows together; return how many arrived in the table."""
        try:
            with self.connection.transaction():
                cursor = self.connection.execute(self.statement(one, rows, overriding=overriding))
                if one.root == one.oid:
                    return cursor.rowcount, None if cursor.rowcount else NoRows("a trigger or a rule keeps its rows out")
                arrived = sum(oid == one.oid for (oid,) in cursor.fetchall())
                if arrived < len(rows):
                    raise psycopg.Rollback
                return arrived, None
        except psycopg.Error as error:
            return 0, error
        return 0, NoRows("its rows go to another partition")

    def statement(self, one: Held, rows: Sequence[Row], *, overriding: bool) -> sql.Composed:
        """Return the INSERT. A partition's rows go through the partitioned table; which one they came to is asked."""
        target = self.held[one.root].quoted
        returning = sql.SQL("" if one.root == one.oid else " RETURNING tableoid::bigint")
        names = list(rows[0])
        if not names:
            return sql.SQL("INSERT INTO {} SELECT FROM generate_series(1, {}){}").format(target, len(rows), returning)
        return sql.SQL("INSERT INTO {} ({}){} VALUES {}{}").format(
            target,
            sql.SQL(", ").join(map(sql.Identifier, names)),
            sql.SQL(" OVERRIDING SYSTEM VALUE" if overriding else ""),
            sql.SQL(", ").join(
                sql.SQL("({})").format(sql.SQL(", ").join(sql.Literal(row[name]) for name in names)) for row in rows
            ),
            returning,
        )


def is_own(link: Link, held: Collection[Held]) -> bool:
    """Return whether a foreign key leads to one of these tables."""
    return link.parent in {oid for one in held for oid in (one.oid, one.root)}


def why(error: Exception | None) -> str:
    """Return why rows were refused, as a sentence without a value: a server's message may quote one."""
    if not isinstance(error, psycopg.Error):
        return str(error)
    told = error.diag
    if told.source_function == RAISED:
        return f"a trigger or a function refuses them: SQLSTATE {error.sqlstate}"
    reason = WHY.get(error.sqlstate or "", f"the server refuses the values that were tried: SQLSTATE {error.sqlstate}")
    return reason.format(column=f'"{told.column_name}"', constraint=f'"{told.constraint_name}"')
