"""One canonical text for each SQL expression, equal before and after dump and restore.

PostgreSQL stores an analysed tree and prints it; a restore parses what was printed, and the new tree prints differently.
Over 20,000 objects (types x operators, views, rules, policies, defaults, function bodies) on PostgreSQL 15 and 18, one in twelve
read differently after a restore, none after a second one. Apart from blanks (`( VALUES`), five rewrites explain them all:

- a cast of an ARRAY[...] moves to its elements: `(ARRAY['a'::varchar])::text[]` becomes `ARRAY[('a'::varchar)::text]`
  (`status IN ('a', 'b')` on varchar; https://www.postgresql.org/docs/current/sql-expressions.html#SQL-SYNTAX-ARRAY-CONSTRUCTORS);
- an element of ARRAY[...] that is itself an array is then cast to `text[]`, not to `text`;
- `(- 1)` becomes the constant `'-1'::integer`;
- `((a AND b) AND c)` becomes `(a AND b AND c)`, OR alike: the parser flattens the first form too;
- a column label that nobody can refer to (a later arm of UNION, a sub-select, a function body) appears: `'b'::text AS text`.

Nothing else is simplified: `'1'::text` and `'1'::integer` stay different. It never fails: a text that the parser does not
know is its own canonical form.
"""

import importlib
import re
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

#: Imported so because mypy cannot read postgast's own stub, and protobuf publishes no types.
postgast: Any = importlib.import_module("postgast")
pg = postgast.pg_query_pb2
protobuf: Any = importlib.import_module("google.protobuf.message")
text_format: Any = importlib.import_module("google.protobuf.text_format")
limits: Any = importlib.import_module("google._upb._message")

#: What the parser raises on a text that it does not know, and on a lone surrogate.
UNPARSABLE = (postgast.PgQueryError, protobuf.DecodeError, UnicodeError)

Node = Any  #: a message of libpg_query's tree

# What stands before a fragment to make it a statement.
STATEMENT = ""
EXPRESSION = "SELECT "
CONSTRAINT = "ALTER TABLE t ADD "
PARTITION_KEY = "CREATE TABLE t () PARTITION BY "

one_at_a_time = threading.Lock()

#: Where a node stood in the text.
POSITIONS = frozenset({"location", "name_location", "stmt_location", "stmt_len", "list_start", "list_end"})

#: Nodes without position and without children; None is an empty node.
LEAVES = frozenset({None, "string", "integer", "float", "boolean", "bit_string"})

#: What each rewrite needs to see and leaves to see, and what is laid out in lines. A text without it reads the same after a
#: restore and never meets the parser.
TOUCHED = re.compile(
    r"ARRAY\[|- \d|'-[\d.]|\bAND\b.*\bAND\b|\bOR\b.*\bOR\b|\bSELECT\b|\bVALUES\b|^CREATE RULE|\bRETURN\b|\bBEGIN ATOMIC\b",
    re.DOTALL,
)

#: A function whose body is a string, without default arguments: whatever stands in the string stays as it is.
BODY_IS_A_STRING = re.compile(r"CREATE OR REPLACE (FUNCTION|PROCEDURE) ((?! DEFAULT ).)*?\nAS \$.*", re.DOTALL)


@lru_cache(maxsize=100_000)
def canonical(text: str, before: str = STATEMENT) -> str:
    """Return the canonical form of `text`, which together with `before` is one SQL statement."""
    if not TOUCHED.search(text) or BODY_IS_A_STRING.fullmatch(text):
        return text
    try:
        tree = normalised(before + text)
    except UNPARSABLE:
        return text
    return printed(tree, before)


def printed(tree: Node, before: str) -> str:
    """Print a tree as SQL; as the tree itself where the SQL does not read back as the same tree (XMLEXISTS, libpg_query 18)."""
    try:
        text = postgast.deparse(tree)
        again = parse(text)
        nodes(again)  # forgets the positions
        if again.SerializeToString() == tree.SerializeToString():  # twice as fast as ==
            return str(text).removeprefix(before)
    except UNPARSABLE:
        pass
    return str(text_format.MessageToString(tree, as_one_line=True))


def normalised(statement: str) -> Node:
    tree = parse(statement)
    for message in reversed(nodes(tree)):  # children first: a cast that moved inwards meets a finished array
        if rewrite := REWRITES.get(type(message)):
            rewrite(message)
    return tree


def parse(statement: str) -> Node:
    """Parse SQL of any depth.

    protobuf stops at 100 levels: `a || b || ...` of 45 terms, 45 nested CASE or COALESCE. The limit guards against bytes from
    strangers, and these come from the parser.
    """
    try:
        return postgast.parse(statement)
    except protobuf.DecodeError:
        with one_at_a_time:  # the switch is the process's
            limits.SetAllowOversizeProtos(True)
            try:
                return postgast.parse(statement)
            finally:
                limits.SetAllowOversizeProtos(False)


def nodes(tree: Node) -> list[Node]:
    """Return every message, parents first, and clear the positions on the way; without recursion, for it may be deep."""
    found = [tree]
    for message in found:
        if type(message) is pg.Node:  # half of all messages, and nothing but a wrapper: twice as fast as ListFields
            kind = message.WhichOneof("node")
            if kind not in LEAVES:
                found.append(getattr(message, kind))
            continue
        for field, value in message.ListFields():
            if field.message_type is None:
                if field.name in POSITIONS:
                    message.ClearField(field.name)
            elif isinstance(value, protobuf.Message):
                found.append(value)
            else:
                found.extend(value)
    return found


def move_cast_inwards(node: Node) -> None:
    """(ARRAY[a, b])::t[] is ARRAY[a::t, b::t]."""
    cast = node.type_cast
    if cast.arg.WhichOneof("node") != "a_array_expr" or not cast.type_name.array_bounds:
        return
    of_element = pg.TypeName()
    of_element.CopyFrom(cast.type_name)
    of_element.ClearField("array_bounds")
    array = pg.Node()
    array.CopyFrom(cast.arg)
    stack = [array]
    while stack:
        for element in stack.pop().a_array_expr.elements:
            if element.WhichOneof("node") == "a_array_expr":
                stack.append(element)
            else:
                wrap_in_cast(element, of_element)
    node.CopyFrom(array)


def cast_elements_to_the_element(array: Node) -> None:
    """ARRAY[a::t[]] is ARRAY[a::t]: whether `a` is an array itself cannot be seen in a text, and only one of them is valid."""
    for element in array.elements:
        if element.WhichOneof("node") == "type_cast":
            element.type_cast.type_name.ClearField("array_bounds")


def type_a_negative_number(node: Node) -> None:
    """`- 1` is '-1'::integer; bigint and numeric by size (https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-CONSTANTS-NUMERIC)."""
    constant = node.a_const
    number = str(constant.ival.ival) if constant.WhichOneof("val") == "ival" else constant.fval.fval
    if not number.startswith("-"):
        return
    value = int(number) if number[1:].isdigit() else None
    size = "numeric" if value is None or value < -(2**63) else "int8" if value < -(2**31) else "int4"
    string = [pg.Node(string=pg.String(sval=part)) for part in ("pg_catalog", size)]
    constant.Clear()
    constant.sval.sval = number
    wrap_in_cast(node, pg.TypeName(names=string, typemod=-1))


def wrap_in_cast(node: Node, type_name: Node) -> None:
    inner = pg.Node()
    inner.CopyFrom(node)
    node.type_cast.arg.CopyFrom(inner)
    node.type_cast.type_name.CopyFrom(type_name)


def rewrite_node(node: Node) -> None:
    match node.WhichOneof("node"):
        case "type_cast":
            move_cast_inwards(node)
        case "a_const":
            type_a_negative_number(node)


def forget_labels_of_later_arms(select: Node) -> None:
    if select.HasField("rarg"):
        forget_labels(select.rarg)


def forget_labels_of_body(function: Node) -> None:
    for item in function.sql_body.list.items:
        for statement in item.list.items:
            forget_labels(statement.select_stmt)


def forget_labels(select: Node) -> None:
    stack = [select]
    while stack:
        arm = stack.pop()
        if arm.HasField("rarg"):
            stack += [arm.larg, arm.rarg]
        for target in arm.target_list:
            target.res_target.ClearField("name")


REWRITES: dict[type, Callable[..., None]] = {
    pg.Node: rewrite_node,
    pg.A_ArrayExpr: cast_elements_to_the_element,
    pg.SelectStmt: forget_labels_of_later_arms,
    pg.SubLink: lambda link: forget_labels(link.subselect.select_stmt),
    pg.InsertStmt: lambda insert: forget_labels(insert.select_stmt.select_stmt),
    pg.CreateFunctionStmt: forget_labels_of_body,
}
