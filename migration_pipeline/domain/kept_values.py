"""Which assignments overwrite nothing, as their text tells: a column is filled where it holds NULL.

What a trigger of the table does besides, no text tells: the rehearsal measures it.
"""

from migration_pipeline.domain import conditions, sql
from migration_pipeline.domain.tokens import pg


def is_kept(target: sql.Node, relation: sql.Node, where: sql.Node | None = None) -> bool:
    """Tell whether `SET target` leaves each value of the relation's column as it is, but for NULLs."""
    if len(target.indirection):
        return False
    names = {(target.name,), (relation.alias.aliasname or relation.relname, target.name)}
    tested = conditions.null_tests(where, pg.IS_NULL) if where is not None else ()
    return any(_path(one) in names for one in tested) or _path(_first(target.val)) in names


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
