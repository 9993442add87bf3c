"""Gives values to columns of rows that are there already."""

from collections.abc import Sequence
from dataclasses import replace

import psycopg
from psycopg import sql

from migration_pipeline.adapters import seed_asking
from migration_pipeline.adapters.seed_catalog import Held
from migration_pipeline.adapters.seed_ground import Ground, is_own, why
from migration_pipeline.domain import seeds
from migration_pipeline.domain.seeds import Key, Link, NoRows, Row, Table

MOST_FILLED = 200  #: rows of a table whose new columns are filled
FURTHER = 1000  #: where the numbers go on when those at the beginning are taken


def fill(ground: Ground, one: Held, names: Sequence[str]) -> None:
    """Give values to columns of rows that hold none there, row by row; what the server refuses stays as it is."""
    table = one.table
    referenced = {name for link in table.links if is_own(link, [one]) for name in link.parent_columns}
    everything = list(dict.fromkeys([*(column.name for column in table.columns), *sorted(referenced)]))
    columns = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in everything)
    query = sql.SQL("SELECT ctid::text, {} FROM ONLY {} ORDER BY ctid LIMIT {}").format(columns, one.quoted, MOST_FILLED)
    rows = ground.connection.execute(query).fetchall()
    part = replace(table, columns=tuple(column for column in table.columns if column.name in names), keys=())
    failed: Exception | None = None
    before: Row | None = None
    for place, (ctid, *values) in enumerate(rows):
        row = dict(zip(everything, values, strict=True))
        error = _fill_row(ground, one, part, ctid, row, before, place)
        failed, before = error or failed, row
    if failed:
        ground.unfilled.update({f"{one.name}.{name}": why(failed) for name in names})


def _fill_row(ground: Ground, one: Held, part: Table, ctid: str, row: Row, before: Row | None, place: int) -> Exception | None:
    names = [column.name for column in part.columns if row[column.name] is None]
    part = replace(part, columns=tuple(column for column in part.columns if column.name in names))
    parents: dict[Link, Sequence[Key]] = {}
    for link in one.table.links:
        free = tuple(name for name in link.columns if name in names)
        if free and is_own(link, [one]) and before is None:
            part = replace(part, columns=tuple(column for column in part.columns if column.name not in free))
        elif free:
            keys = _fitting(ground, one, link, free, row, before, place)
            parents[replace(link, columns=free)] = keys
    part = replace(part, links=tuple(parents))
    if not part.columns:
        return None
    failed: Exception | None = None
    for first, ask in ((place, False), (place, True), (place + FURTHER, False)):
        slots = seed_asking.accepted(ground.connection, part, parents, first) if ask else {}
        turned = {names: [*keys[place % len(keys) :], *keys[: place % len(keys)]] for names, keys in slots.items()}
        try:
            (made,) = seeds.rows(part, parents, 1, first=first, slots=turned)
        except NoRows as error:
            failed = failed or error
            continue
        failed = _update(ground, one, ctid, made)
        if failed is None:
            return NoRows("no value is known that its checks and foreign keys allow") if None in made.values() else None
    return failed


def _fitting(ground: Ground, one: Held, link: Link, free: tuple[str, ...], row: Row, before: Row | None, place: int) -> list[Key]:
    """Return what the free columns of a foreign key may be, given its other columns; of its own rows, the one before."""
    keys = [dict(zip(link.columns, key, strict=True)) for key in ground.keys_of(link)]
    if is_own(link, [one]) and before is not None and set(link.parent_columns) <= before.keys():
        keys = [dict(zip(link.columns, (before[name] for name in link.parent_columns), strict=True))]
    fixed = {name: row[name] for name in link.columns if name not in free and name in row}
    keys = [key for key in keys if all(key[name] == value for name, value in fixed.items())]
    turn = place % len(keys) if keys else 0
    return [tuple(key[name] for name in free) for key in keys[turn:] + keys[:turn]]


def _update(ground: Ground, one: Held, ctid: str, made: Row) -> Exception | None:
    changes = sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in made.items())
    statement = sql.SQL("UPDATE ONLY {} SET {} WHERE ctid = {}").format(one.quoted, changes, ctid)
    try:
        with ground.connection.transaction():
            ground.connection.execute(statement)
    except psycopg.Error as error:
        return error
    return None
