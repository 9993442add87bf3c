"""The parts of a check constraint's expression: which column a node is, and which constant."""

from collections.abc import Iterator

from migration_pipeline.domain import expressions, sql
from migration_pipeline.domain.seed_conditions import NOW
from migration_pipeline.domain.sql import Node, kind, unwrap

#: Functions that only tidy a string or a number: what holds for their result holds for the values that are made here.
TIDYING = frozenset({"lower", "upper", "btrim", "abs"})


def constants(expression: str) -> tuple[str, ...]:
    """Return the constants of an expression: what it compares with is likely to be accepted, or a neighbour of it is."""
    try:
        tree = expressions.parse(f"SELECT {expression}")
    except expressions.UNPARSABLE:
        return ()
    found = (constant(node) for node in expressions.nodes(tree) if kind(node) == "A_Const")
    return tuple(dict.fromkeys(one for one in found if one is not None))


def columns(expression: str) -> frozenset[str]:
    """Return the names of the columns that an expression speaks of."""
    try:
        tree = expressions.parse(f"SELECT {expression}")
    except expressions.UNPARSABLE:
        return frozenset()
    named = (node for node in expressions.nodes(tree) if kind(node) == "ColumnRef" and node.fields)
    return frozenset(str(node.fields[-1].string.sval) for node in named)


def elements(node: Node) -> Iterator[str]:
    """Yield the constants of a list, as `IN (...)` and `ANY (ARRAY[...])` have it."""
    node = bare(node)
    if kind(node) == "List":
        items = node.items
    elif kind(node) == "A_ArrayExpr":
        items = node.elements
    else:
        text = constant(node) or ""
        if text.startswith("{") and '"' not in text:
            yield from text.strip("{}").split(",")
        return
    for item in items:
        value = constant(unwrap(item))
        if value is not None:
            yield value


def bare(node: Node) -> Node:
    """Return a node without the casts around it."""
    while kind(node) == "TypeCast":
        node = unwrap(node.arg)
    return node


def column(node: Node) -> str | None:
    """Return the column that a node is, seen through casts and through functions that only tidy a string."""
    node = bare(node)
    if kind(node) == "FuncCall" and len(node.args) == 1 and sql.dotted(node.funcname).name in TIDYING:
        node = bare(unwrap(node.args[0]))
    if kind(node) == "ColumnRef" and node.fields:
        return str(node.fields[-1].string.sval) or None
    return None


def constant(node: Node) -> str | None:  # noqa: PLR0911 - a way out a kind
    """Return what a node is as a text, seen through casts; NOW for today and this moment."""
    node = bare(node)
    if kind(node) == "SQLValueFunction" or (kind(node) == "FuncCall" and sql.dotted(node.funcname).name == "now"):
        return NOW
    if kind(node) == "A_Expr" and not node.HasField("lexpr") and node.name[-1].string.sval == "-":
        inner = constant(unwrap(node.rexpr))
        return f"-{inner}" if inner else None
    if kind(node) != "A_Const" or node.isnull:
        return None
    match node.WhichOneof("val"):
        case "ival":
            return str(node.ival.ival)
        case "fval":
            return str(node.fval.fval)
        case "boolval":
            return "true" if node.boolval.boolval else "false"
        case "sval":
            return str(node.sval.sval)
    return None
