"""Turns what a run measured into the ledger: what is gone, and how much it held, counted on the copy as it was."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from migration_pipeline.adapters.inventory import LARGE_OBJECTS, LARGE_OBJECTS_OID, WITH_ROWS, Thing
from migration_pipeline.adapters.measurement import Measured
from migration_pipeline.adapters.transaction import quoted
from migration_pipeline.domain.effects import Loss, RevisionEffects

Query = Callable[[str], Sequence[Sequence[Any]]]
POPULATED = "SELECT relispopulated FROM pg_class WHERE oid = '{}'::regclass"


def effects(
    parts: Iterable[Measured], base: Mapping[str, Thing], count: Query | None, is_version_table: Callable[[str], bool]
) -> tuple[RevisionEffects, ...]:
    """Return the effects of each part; with `count`, a query on the database as it was before, also how much is lost."""
    told: dict[str, int] = {}  # rows of a table that are told already: a later rewrite does not lose them again
    return tuple(
        RevisionEffects(
            revision=one.revision,
            statements=tuple(one.statements),
            rows=tuple(change for change in one.rows if not is_version_table(change.table) and change.table != LARGE_OBJECTS),
            lost=tuple(_lost(one, base, count, is_version_table, told)),
            seconds=one.seconds,
            rewritten=tuple(".".join(_path(base[key], base)) for key in one.rewritten),
            put_back=tuple(_put_back(one, base)),
        )
        for one in parts
    )


def amount_query(loss: Loss) -> str | None:
    """Return the query that tells how much the object of a loss holds now; None where that is no measure."""
    if loss.kind in WITH_ROWS or loss.how in {"truncated", "put back"}:
        return f"SELECT count(*) FROM ONLY {quoted(*loss.path)}"
    if loss.kind == "column":
        schema, table, column = loss.path
        return f"SELECT count({quoted(None, column)}) FROM ONLY {quoted(schema, table)}"
    return None


def _lost(
    one: Measured,
    base: Mapping[str, Thing],
    count: Query | None,
    is_version_table: Callable[[str], bool],
    told: dict[str, int],
) -> Iterable[Loss]:
    gone = set(one.gone)
    for key in one.gone:
        thing = base[key]
        if thing.kind == "large object" or _parent_key(thing) in gone:
            continue  # told with its table or type, or in one sum
        yield _counted(Loss(kind=thing.kind, name=".".join(_path(thing, base)), how="dropped", path=_path(thing, base)), count)
    objects = sum(1 for key in one.gone if base[key].kind == "large object")
    if objects:
        yield Loss(kind="large objects", name="large objects", how="unlinked", rows=objects)
    if _overwrites_large_objects(one, objects):
        yield Loss(kind="large objects", name="large objects", how="overwritten")
    for key, change in one.changes.items():
        lost = min(change.deleted, one.rows_lost.get(key, change.deleted))
        if lost and change.existed and not is_version_table(change.table) and change.table != LARGE_OBJECTS:
            is_stored = base[key].kind == "materialized view"
            yield Loss(kind="rows", name=change.table, how="refreshed" if is_stored else "deleted", rows=lost)
    yield from _emptied(one, base)
    if count:
        for emptied in (each for each in one.emptied if each.table not in one.rows_lost):
            thing = base[emptied.table]
            loss = Loss(kind="rows", name=".".join(_path(thing, base)), how="truncated", path=_path(thing, base))
            held = _counted(loss, count).rows or 0
            missing = held + emptied.rows_added - emptied.rows_now - told.get(emptied.table, 0)
            if missing > 0:
                told[emptied.table] = told.get(emptied.table, 0) + missing
                yield replace(loss, rows=missing)
    yield from one.overwritten
    yield from one.moved_back


def _overwrites_large_objects(one: Measured, gone: int) -> bool:
    """Tell whether bytes of large objects are gone; where no page was compared, whether pages were changed."""
    if LARGE_OBJECTS_OID in one.rows_lost:
        return one.rows_lost[LARGE_OBJECTS_OID] > 0
    return not gone and any(change.table == LARGE_OBJECTS and (change.updated or change.deleted) for change in one.rows)


def _emptied(one: Measured, base: Mapping[str, Thing]) -> Iterable[Loss]:
    """Yield the rows of before that are gone from tables and views that were emptied, and compared afterwards."""
    for key, rows in one.rows_lost.items():
        missing = rows - (one.changes[key].deleted if key in one.changes else 0)
        if missing > 0 and key in base:
            path, how = _path(base[key], base), "refreshed" if base[key].kind == "materialized view" else "truncated"
            # only a table that held no more can be told by how much it holds to hold more now
            is_all = rows == one.rows_held.get(key)
            yield Loss(kind="rows", name=".".join(path), how=how, path=path if is_all else (), rows=missing)


def _put_back(one: Measured, base: Mapping[str, Thing]) -> Iterable[Loss]:
    for key, held in one.rows_held.items():
        if not one.rows_lost.get(key) and base[key].kind == "table":
            path = _path(base[key], base)
            yield Loss(kind="rows", name=".".join(path), how="put back", path=path, rows=held)


def _parent_key(thing: Thing) -> str:
    return f"type {thing.parent}" if thing.kind == "enum label" else thing.parent


def _path(thing: Thing, base: Mapping[str, Thing]) -> tuple[str, ...]:
    if thing.kind == "column":
        return (thing.schema, base[thing.parent].name, thing.name)
    return (thing.schema, thing.name) if thing.name else (thing.schema,)


def _counted(loss: Loss, count: Query | None) -> Loss:
    """Return the loss with what the object holds: rows of a table, non-null values of a column."""
    text = amount_query(loss) if count else None
    if count is None or text is None:
        return loss
    if loss.kind == "materialized view" and not count(POPULATED.format(quoted(*loss.path).replace("'", "''")))[0][0]:
        return loss  # it never held rows: PostgreSQL refuses to count them
    ((number,),) = count(text)
    return replace(loss, values=number) if loss.kind == "column" else replace(loss, rows=number)
