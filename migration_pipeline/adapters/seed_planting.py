"""Inserts rows into one table, or into several that need each other's rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import psycopg
from psycopg import sql

from migration_pipeline.adapters import seed_asking, seed_filling
from migration_pipeline.adapters.seed_catalog import Held
from migration_pipeline.adapters.seed_ground import Ground, is_own, why
from migration_pipeline.domain import seed_nodes, seed_values, seeds
from migration_pipeline.domain.seeds import Column, Key, Link, NoRows, Row, Table

FURTHER = 1000  #: where the numbers go on when those at the beginning are taken
MORE = 4  #: times as many rows are tried one by one


def alone(ground: Ground, one: Held) -> None:
    table = one.table
    _check_types(ground, table)
    parents = ground.parents(one)
    failed: Exception | None = None
    for make, each in _attempts(ground, table, parents):
        try:
            made = make()
        except NoRows as error:
            failed = failed or error
            continue
        inserted, refusal = _insert_each(ground, one, made) if each else ground.insert(one, made)
        if inserted:
            ground.planted(one, inserted)
            _tell_unfilled(ground, one, made)
            for column in table.columns if made[0].keys() < {each.name for each in table.columns} else ():
                if column.name not in made[0]:  # which of the values it was that the server refuses
                    seed_filling.fill(ground, one, [column.name])
            return
        failed = refusal or failed
    raise NoRows(why(failed))


def _tell_unfilled(ground: Ground, one: Held, made: Sequence[Row]) -> None:
    """Tell which columns are NULL in all rows; a reference that waits for its table has its turn later."""
    waits = {name for other, link in ground.later if other is one for name in link.columns}
    for name in made[0]:
        if name not in waits and all(row[name] is None for row in made):
            ground.unfilled.setdefault(f"{one.name}.{name}", "its check constraints leave it without a value")


def _attempts(
    ground: Ground, table: Table, parents: Mapping[Link, Sequence[Key]]
) -> Iterator[tuple[Callable[[], list[Row]], bool]]:
    """Yield ways to make rows, the likely ones first; whether they are tried one by one."""
    number = ground.number
    yield lambda: seeds.rows(table, parents, number), False
    slots = seed_asking.accepted(ground.connection, table, parents, 0)
    if slots:
        yield lambda: seeds.rows(table, parents, number, slots=slots), False
    further = seed_asking.accepted(ground.connection, table, parents, FURTHER)
    yield lambda: seeds.rows(table, parents, number, first=FURTHER, slots=further), False
    yield lambda: seeds.rows(table, parents, MORE * number, slots=slots), True
    bare = _bare(table)
    kept = {names: keys for names, keys in slots.items() if all(bare.column(name) for name in names)}
    yield lambda: seeds.rows(bare, parents, MORE * number, slots=kept), True


def _bare(table: Table) -> Table:
    """Return a table without the columns that may be NULL and that no check speaks of."""
    bound = {name for check in table.checks for name in seed_nodes.columns(check)}
    columns = tuple(column for column in table.columns if column.required or column.name in bound)
    names = {column.name for column in columns}
    return replace(table, columns=columns, links=tuple(link for link in table.links if names >= set(link.columns)))


def _check_types(ground: Ground, table: Table) -> None:
    for column in table.columns:
        if not seed_values.is_known(column.kind):
            why = f"no value is known for its type {column.kind.spelled}"
            if column.required:
                raise NoRows(f'no value is known for the type {column.kind.spelled} of its column "{column.name}"')
            ground.unfilled[f"{table.name}.{column.name}"] = why


def _insert_each(ground: Ground, one: Held, rows: Sequence[Row]) -> tuple[int, Exception | None]:
    number, failed = 0, None
    for row in rows:
        inserted, error = ground.insert(one, [row])
        number, failed = number + inserted, error or failed
        if number >= ground.number:
            break
    return number, failed


def together(ground: Ground, held: Sequence[Held]) -> None:
    """Insert into tables that need each other's rows, in one statement: foreign keys are checked at its end.

    The keys must be known beforehand, so those that a sequence gives are taken from it.
    """
    numbered = [_numbered(ground, one, held) for one in held]
    made: dict[int, list[Row]] = {}
    for one, (table, slots) in zip(held, numbered, strict=True):
        _check_types(ground, table)
        outer = tuple(link for link in table.links if not is_own(link, held))
        parents = ground.parents(replace(one, table=replace(one.table, links=outer)))
        made[one.oid] = seeds.rows(replace(table, links=outer), parents, ground.number, slots=slots)
    parts = []
    for one, (table, slots) in zip(held, numbered, strict=True):
        parents = {link: _inner_keys(ground, one, link, made) or ground.keys_of(link) for link in table.links}
        rows = seeds.rows(table, parents, ground.number, slots=slots)
        parts.append((one, rows))
    _insert_together(ground, parts)


def _numbered(ground: Ground, one: Held, held: Sequence[Held]) -> tuple[Table, dict[tuple[str, ...], list[Key]]]:
    """Return the table with the columns of sequences that others of the batch refer to, and numbers for them."""
    referenced = {name for other in held for link in other.table.links if is_own(link, [one]) for name in link.parent_columns}
    columns = list(one.table.columns)
    slots: dict[tuple[str, ...], list[Key]] = {}
    for name, sequence in one.table.sequences.items():
        if name in referenced:
            query = sql.SQL("SELECT nextval({}::regclass)::text FROM generate_series(1, {})").format(sequence, ground.number)
            slots[name,] = [tuple(row) for row in ground.connection.execute(query).fetchall()]
            columns.append(Column(name=name, kind=seed_values.Kind(name="int8", spelled="bigint"), required=True))
    return replace(one.table, columns=tuple(columns)), slots


def _inner_keys(ground: Ground, one: Held, link: Link, made: Mapping[int, Sequence[Row]]) -> list[Key]:
    """Return the keys of rows that are yet to be inserted; of its own rows, for each the one before it."""
    members = [oid for oid in made if link.parent in {oid, ground.held[oid].root}]
    rows = [row for oid in members for row in made[oid] if set(link.parent_columns) <= row.keys()]
    keys: list[Key] = [tuple(row[name] for name in link.parent_columns) for row in rows]
    return [*keys[:1], *keys[:-1]] if one.oid in members else keys


def _insert_together(ground: Ground, parts: Sequence[tuple[Held, list[Row]]]) -> None:
    statements = [ground.statement(one, rows, overriding=True) for one, rows in parts]
    arms = [sql.SQL("{} AS ({})").format(sql.Identifier(f"part_{at}"), text) for at, text in enumerate(statements[:-1])]
    before = sql.SQL("WITH {} ").format(sql.SQL(", ").join(arms)) if arms else sql.SQL("")
    try:
        with ground.connection.transaction():
            ground.connection.execute(before + statements[-1])
    except psycopg.Error as error:
        raise NoRows(why(error)) from None
    for one, rows in parts:
        ground.planted(one, len(rows))
