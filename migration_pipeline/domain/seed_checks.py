"""What a check constraint asks of its columns, as far as its expression is simple: alternatives, each a list of conditions.

What is not understood asks for nothing here: the server has the last word on every row.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice, product

from migration_pipeline.domain import expressions, seed_nodes, seed_patterns, sql
from migration_pipeline.domain.seed_conditions import COMPARED, Condition
from migration_pipeline.domain.sql import Node, kind, unwrap
from migration_pipeline.domain.tokens import pg

MOST = 32  #: alternatives
NEGATED = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">", "~": "!~", "!~": "~", "~~": "!~~", "!~~": "~~"}
TURNED = {"=": "=", "<>": "<>", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
LENGTHS = frozenset(
    {
        "length",
        "char_length",
        "character_length",
        "octet_length",
        "cardinality",
        "array_length",
        "jsonb_array_length",
        "bit_length",
    }
)
Alternative = tuple[Condition, ...]


@lru_cache(maxsize=4096)
def alternatives(expression: str) -> tuple[Alternative, ...]:
    """Return what a row may be to pass a check: any one of these. One without conditions where nothing is understood."""
    try:
        tree = expressions.parse(f"SELECT {expression}")
        target = tree.stmts[0].stmt.select_stmt.target_list[0].res_target.val
    except (*expressions.UNPARSABLE, IndexError):
        return ((),)
    return tuple(_read(unwrap(target), negated=False))


def renamed(found: Sequence[Alternative], name: str) -> tuple[Alternative, ...]:
    """Return a domain's alternatives, which speak of VALUE, for a column of it."""
    return tuple(tuple(replace(one, column=name) for one in alternative) for alternative in found)


def _read(node: Node, *, negated: bool) -> list[Alternative]:  # noqa: PLR0911 - a way out a kind
    match kind(node):
        case "BoolExpr":
            return _bool(node, negated=negated)
        case "NullTest":
            column = seed_nodes.column(unwrap(node.arg))
            is_null = (node.nulltesttype == pg.IS_NULL) != negated
            return [(Condition(column, "null" if is_null else "not null"),)] if column else [()]
        case "BooleanTest":
            return _boolean_test(node, negated=negated)
        case "A_Expr":
            return _operator(node, negated=negated)
        case "ColumnRef":
            return [(Condition(seed_nodes.column(node) or "", "in", ("false" if negated else "true",)),)]
        case "FuncCall":
            return _call(node, negated=negated)
        case "TypeCast":
            return _read(unwrap(node.arg), negated=negated)
    return [()]


def _bool(node: Node, *, negated: bool) -> list[Alternative]:
    if node.boolop == pg.NOT_EXPR:
        return _read(unwrap(node.args[0]), negated=not negated)
    parts = [_read(unwrap(arg), negated=negated) for arg in node.args]
    if (node.boolop == pg.AND_EXPR) != negated:
        return [sum(chosen, ()) for chosen in islice(product(*parts), MOST)]
    return _merged([alternative for part in parts for alternative in part])[:MOST]


def _merged(found: list[Alternative]) -> list[Alternative]:
    """Return alternatives, `a = 1 OR a = 2` as one that allows both values."""
    only = [one[0] for one in found if len(one) == 1 and one[0].test in {"in", "="}]
    if len(only) != len(found) or len({one.column for one in only}) != 1:
        return found
    values = [value for one in only for value in (one.operand if one.test == "in" else (one.operand,))]
    return [(Condition(only[0].column, "in", tuple(dict.fromkeys(values))),)]


def _boolean_test(node: Node, *, negated: bool) -> list[Alternative]:
    wanted = {pg.IS_TRUE: True, pg.IS_FALSE: False, pg.IS_NOT_TRUE: False, pg.IS_NOT_FALSE: True}.get(node.booltesttype)
    if wanted is None:
        return [()]
    return _read(unwrap(node.arg), negated=negated == wanted)


def _call(node: Node, *, negated: bool) -> list[Alternative]:
    """Read `starts_with(a, 'x')`; other functions are not known."""
    name = sql.dotted(node.funcname).name
    if name != "starts_with" or negated:
        return [()]
    column, prefix = seed_nodes.column(unwrap(node.args[0])), seed_nodes.constant(unwrap(node.args[1]))
    return [(Condition(column, "like", seed_patterns.of_like(f"{prefix}%")),)] if column and prefix else [()]


def _operator(node: Node, *, negated: bool) -> list[Alternative]:
    operator = node.name[-1].string.sval if node.name else ""
    left, right = unwrap(node.lexpr), unwrap(node.rexpr)
    if node.kind in {pg.AEXPR_OP_ANY, pg.AEXPR_OP_ALL, pg.AEXPR_IN}:
        return _list(operator, left, right, negated=negated, every=node.kind == pg.AEXPR_OP_ALL)
    if node.kind == pg.AEXPR_DISTINCT:
        operator = "<>"
    operator = NEGATED.get(operator, "") if negated else operator
    if kind(left) == "FuncCall" and sql.dotted(left.funcname).name in {"num_nonnulls", "num_nulls"}:
        return _counted(operator, left, seed_nodes.constant(right))
    if kind(left) in {"NullTest", "BoolExpr"} and operator in {"=", "<>"}:
        return _same_truth(left, right, negated=operator == "<>")
    found = _comparison(operator, left, right) or _comparison(TURNED.get(operator, ""), right, left)
    return [found] if found else [()]


def _same_truth(left: Node, right: Node, *, negated: bool) -> list[Alternative]:
    """Read `(a IS NULL) = (b IS NULL)`: both or neither; with `<>`, one of them."""
    sides = [(_read(left, negated=one), _read(right, negated=one != negated)) for one in (True, False)]
    return [first + second for lefts, rights in sides for first, second in product(lefts, rights)][:MOST]


def _counted(operator: str, call: Node, number: str | None) -> list[Alternative]:
    """Read `num_nonnulls(a, b, c) = 1`: each choice that fits, the one with the fewest NULLs first."""
    columns = [seed_nodes.column(unwrap(arg)) for arg in call.args]
    if number is None or not number.isdigit() or operator not in COMPARED or None in columns:
        return [()]
    counts_null = sql.dotted(call.funcname).name == "num_nulls"
    found = []
    for nulls in sorted(product((False, True), repeat=len(columns)), key=sum):
        if COMPARED[operator](sum(nulls) if counts_null else len(nulls) - sum(nulls), int(number)):
            named = zip(columns, nulls, strict=True)
            found.append(tuple(Condition(str(column), "null" if is_null else "not null") for column, is_null in named))
    return found[:MOST] or [()]


def _list(operator: str, left: Node, right: Node, *, negated: bool, every: bool) -> list[Alternative]:
    column, values = seed_nodes.column(left), tuple(seed_nodes.elements(right))
    is_in = operator == "=" and not every
    if column is None or not values or (not is_in and (operator != "<>" or not every)):
        return [()]
    return [(Condition(column, "in" if is_in != negated else "not in", values),)]


def _comparison(operator: str, left: Node, right: Node) -> Alternative | None:
    """Return the condition on the left side's column; None where it is none that is known."""
    column = seed_nodes.column(left)
    other, constant = seed_nodes.column(right), seed_nodes.constant(right)
    if column and other:
        if column == other:  # lower(code) = code; what we write is in lower case
            is_upper = any(
                kind(seed_nodes.bare(one)) == "FuncCall" and "upper" in str(seed_nodes.bare(one).funcname)
                for one in (left, right)
            )
            return (Condition(column, "like", "^[A-Z0-9]{3}$"),) if is_upper else ()
        return (Condition(column, "column", (operator, other)),) if operator in COMPARED else None
    if constant is None:
        return _pattern(operator, column, right) if column else None
    bare = seed_nodes.bare(left)
    if kind(bare) == "FuncCall" and sql.dotted(bare.funcname).name in LENGTHS:
        measured_column = seed_nodes.column(unwrap(bare.args[0])) if bare.args else None
        if measured_column and constant.isdigit() and operator in COMPARED:
            return (Condition(measured_column, "length", (operator, int(constant))),)
        return None
    return _with_constant(operator, column, constant) if column else None


def _with_constant(operator: str, column: str, constant: str) -> Alternative | None:
    if operator == "=":
        return (Condition(column, "in", (constant,)),)
    if operator == "<>":
        return (Condition(column, "not in", (constant,)),)
    if operator in COMPARED:
        return (Condition(column, operator, constant),)
    if operator in {"~", "~*"}:
        return (Condition(column, "like", constant if operator == "~" else f"(?i){constant}"),)
    if operator in {"~~", "~~*"}:
        return (Condition(column, "like", seed_patterns.of_like(constant)),)
    return None


def _pattern(operator: str, column: str, right: Node) -> Alternative | None:
    """Read `a SIMILAR TO 'x%'`, which is printed with a function."""
    bare = seed_nodes.bare(right)
    if operator != "~" or kind(bare) != "FuncCall" or not sql.dotted(bare.funcname).name.startswith("similar"):
        return None
    pattern = seed_nodes.constant(unwrap(bare.args[0]))
    return (Condition(column, "like", seed_patterns.of_similar(pattern)),) if pattern else None
