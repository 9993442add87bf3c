"""Puts synthetic rows into the tables of a database: typed, distinct, with foreign keys and checks respected, without chance.

No constraint and no trigger is switched off: the server decides about every row, and a table that takes none is told with the
reason. No message holds a value.
"""

from collections.abc import Collection, Mapping, Sequence

from psycopg import sql

from migration_pipeline.adapters import seed_catalog, seed_filling, seed_planting
from migration_pipeline.adapters.seed_catalog import Held
from migration_pipeline.adapters.seed_ground import Connection, Ground, is_own
from migration_pipeline.domain import seed_order
from migration_pipeline.domain.seeds import NoRows, Seeded

ROWS = 3
#: Deferred constraints are checked with the statement that breaks them: then it is known which table they belong to.
#: The catalog's query is long and quick: to compile it would take seconds.
IMMEDIATE = "SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL jit = off"


def seed(
    connection: Connection, tables: Collection[str] | None = None, rows: int = ROWS, *, leave_out: Collection[str] = ()
) -> Seeded:
    """Insert rows into the named tables (`schema.table`), or into every table that is empty but those left out.

    The caller's transaction goes on; its deferred constraints are immediate from now on.
    """
    with connection.transaction():
        connection.execute(IMMEDIATE)
        ground = Ground(connection, rows, tables)
        _plant(ground, _chosen(connection, ground.held, tables, leave_out))
        return ground.seeded()


def fill(connection: Connection, columns: Collection[str] | None = None, *, leave_out: Collection[str] = ()) -> Seeded:
    """Fill columns of rows that are there: the named ones (`schema.table.column`), or every one that holds nothing at all."""
    with connection.transaction():
        connection.execute(IMMEDIATE)
        ground = Ground(connection, ROWS, None if columns is None else _perhaps_tables(columns))
        stored = [one for one in ground.held.values() if one.kind == "r" and not one.extended and one.name not in leave_out]
        for one in stored:
            names = [name for name in _unheld(connection, one) if columns is None or f"{one.name}.{name}" in columns]
            if names:
                seed_filling.fill(ground, one, names)
        return ground.seeded()


def _perhaps_tables(columns: Collection[str]) -> set[str]:
    """Return what may be the table of each `schema.table.column`: a name may have a dot in it."""
    return {one[:place] for one in columns for place, letter in enumerate(one) if letter == "."}


def _chosen(
    connection: Connection, held: Mapping[int, Held], tables: Collection[str] | None, leave_out: Collection[str]
) -> list[Held]:
    """Return the tables that are to have rows. A partitioned one has them in its partitions."""
    if tables is not None:
        roots = {one.oid for one in held.values() if one.name in tables}
        return [one for one in held.values() if one.kind != "p" and {one.oid, one.root} & roots]
    found = [one for one in held.values() if one.kind != "p" and one.name not in leave_out]
    full = seed_catalog.filled(connection, [one for one in found if one.kind == "r"])
    return [one for one in found if one.oid not in full]


def _unheld(connection: Connection, one: Held) -> list[str]:
    """Return the columns in which no row holds a value; none where there is no row."""
    names = [column.name for column in one.table.columns if not column.required]
    if not names:
        return []
    counts = sql.SQL(", ").join(sql.SQL("count({})").format(sql.Identifier(name)) for name in names)
    row = connection.execute(sql.SQL("SELECT count(*), {} FROM ONLY {}").format(counts, one.quoted)).fetchone() or (0,)
    return [name for name, number in zip(names, row[1:], strict=True) if row[0] and not number]


def _plant(ground: Ground, chosen: Sequence[Held]) -> None:
    """Insert rows into tables, parents first; then fill the references that had to wait."""
    for one in chosen:
        if one.kind == "f":
            ground.refused[one.name] = "it is a foreign table: its rows are in another system"
        elif one.extended:
            ground.refused[one.name] = "it belongs to an extension"
    able = [one for one in chosen if one.name not in ground.refused]
    roots = {one.oid: one.root for one in able}
    for batch in seed_order.batches([one.table for one in able], roots):
        held = [ground.held[table.oid] for table in batch]
        try:
            if len(batch) > 1 or any(is_own(link, held) for link in batch[0].links if not batch[0].nullable(link)):
                seed_planting.together(ground, held)
            else:
                seed_planting.alone(ground, held[0])
        except NoRows as error:
            ground.refused.update({one.name: str(error) for one in held})
    for one, link in ground.later:
        if one.name in ground.rows and ground.keys_of(link):
            seed_filling.fill(ground, one, one.table.nullable(link))
        elif one.name in ground.rows:
            why = f'the table "{ground.held[link.parent].name}" that it references has no rows'
            ground.unfilled.update({f"{one.name}.{name}": why for name in one.table.nullable(link)})
