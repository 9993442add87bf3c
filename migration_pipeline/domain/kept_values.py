"""Which assignments overwrite nothing, as their text tells: a column is filled where it holds NULL.

What a trigger of the table does besides, no text tells: the rehearsal measures it.
"""

from collections.abc import Iterator

from migration_pipeline.domain import sql
from migration_pipeline.domain.tokens import pg


def is_kept(target: sql.Node, relation: sql.Node, where: sql.Node | None = None) -> bool:
    """Tell whether `SET target` leaves each value of the relation's column as it is, but for NULLs."""
    if len(target.indirection):
        return False
    names = {(target.name,), (relation.alias.aliasname or relation.relname, target.name)}
    tested = _tested(where) if where is not None else ()
    return any(_path(one) in names for one in tested) or _path(_first(target.val)) in names


def _tested(condition: sql.Node) -> Iterator[sql.Node]:
    """Yield what is NULL in each row that fulfils a condition."""
    condition = sql.unwrap(condition)
    if sql.kind(condition) == "BoolExpr" and condition.boolop == pg.AND_EXPR:
        for item in condition.args:
            yield from _tested(item)
    elif sql.kind(condition) == "NullTest" and condition.nulltesttype == pg.IS_NULL:
        yield condition.arg


def _first(value: sql.Node) -> sql.Node:
    """Return what comes out of `a` and of `coalesce(a, 'literal')` where that is not NULL.

    Beside a literal the values keep their type, or go to one that holds them and come back. Beside another expression they may
    not: `coalesce(at, now())` of a timestamp without time zone moves those that a change of clocks has left out.
    https://www.postgresql.org/docs/current/typeconv-union-case.html
    """
    value = sql.unwrap(value)
    if sql.kind(value) == "CoalesceExpr" and all(sql.kind(sql.unwrap(one)) == "A_Const" for one in value.args[1:]):
        return value.args[0]
    return value


def _path(value: sql.Node) -> tuple[str, ...]:
    value = sql.unwrap(value)
    if sql.kind(value) != "ColumnRef" or not all(one.HasField("string") for one in value.fields):
        return ()
    return tuple(one.string.sval for one in value.fields)
