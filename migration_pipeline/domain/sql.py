"""One captured SQL text as PostgreSQL's own parser sees it. It never raises: what cannot be parsed is unknown."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

from migration_pipeline.domain import placeholders
from migration_pipeline.domain.tokens import LONG, is_too_deep, pg, postgast

Node = Any  #: a protobuf message of libpg_query's tree; protobuf publishes no types for them

#: Statements that keep an expression or a body for later and do not run it now.
STORED = frozenset(
    {"ViewStmt", "RuleStmt", "CreateFunctionStmt", "CreatePolicyStmt", "AlterPolicyStmt", "CreateTrigStmt", "IndexStmt",
     "CreateStmt", "CreateForeignTableStmt", "CreateStatsStmt", "CreateDomainStmt", "CreatePublicationStmt",
     "AlterPublicationStmt"}
)  # fmt: skip
#: Parts that hold no statement and no call: not walked into, which halves the time.
LEAVES = frozenset(
    {"RangeVar", "TypeName", "A_Const", "String", "ColumnRef", "Alias", "ParamRef", "RoleSpec", "SQLValueFunction"}
)


class Name(NamedTuple):
    """An object's name as it was written: without a schema where none was given."""

    schema: str | None
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """One statement of a text."""

    text: str
    statement: Node
    #: Every statement and function call that runs now, data-modifying CTEs and subqueries included, outermost first.
    nodes: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Parsed:
    """A captured text; `tree` is None when PostgreSQL's parser refuses it."""

    sql: str
    tree: Node | None
    pieces: tuple[Piece, ...] = ()

    @property
    def nodes(self) -> Iterator[Node]:
        return (node for piece in self.pieces for node in piece.nodes)


#: What a redacted literal leaves behind. In most places it reads as a name; where only a number may stand, see `_attempts`.
HIDDEN = "…"


def parse(sql: str, has_parameters: bool | None = None) -> Parsed:
    """Parse a text that was sent with DB-API parameters, without, or (None) nobody knows: then as it is first."""
    return _parse(sql, has_parameters if "%" in sql else None)


@lru_cache(maxsize=4096)
def _parse(sql: str, has_parameters: bool | None) -> Parsed:
    for text in _attempts(sql, has_parameters):
        tree = _tree(text)
        if tree is not None:
            return Parsed(sql=sql, tree=tree, pieces=tuple(_pieces(tree, text, whole=sql)))
    return Parsed(sql=sql, tree=None)


def _attempts(sql: str, has_parameters: bool | None) -> Iterator[str]:
    yield from _readings(sql, has_parameters)
    if HIDDEN in sql:  # a redacted VARCHAR(…) or RESTART WITH … is still the same statement
        yield from _readings(sql.replace(HIDDEN, "0"), has_parameters)


def _readings(sql: str, has_parameters: bool | None) -> Iterator[str]:
    if has_parameters is False or "%" not in sql:
        yield sql
    elif has_parameters:
        yield from placeholders.numbered(sql)
    elif "%(" in sql:  # what looks like a placeholder is hardly ever an operator: this saves a failed attempt
        yield from placeholders.numbered(sql)
        yield sql
    else:
        yield sql
        yield from placeholders.numbered(sql)


@lru_cache(maxsize=4096)
def shape(sql: str, has_parameters: bool | None) -> str:
    """Return what a text has in common with others that differ in literals and lengths of lists alone.

    A body that runs, of a DO block or a function, is no literal: there the text itself is the shape.
    """
    parsed = parse(sql, has_parameters)
    if parsed.tree is not None and not any(kind(node) in {"DoStmt", "CreateFunctionStmt"} for node in parsed.nodes):
        for text in _attempts(sql, has_parameters):
            with contextlib.suppress(postgast.PgQueryError):
                return str(postgast.fingerprint(text).hex)
    return " ".join(sql.split())


def kind(node: Node) -> str:
    """Return the name of the node's type in PostgreSQL's source, such as `DropStmt`."""
    return str(node.DESCRIPTOR.name)


def unwrap(node: Node) -> Node:
    """Return what a `Node` wraps; an empty one stays as it is."""
    if node.DESCRIPTOR.name != "Node":
        return node
    which = node.WhichOneof("node")
    return getattr(node, which) if which else node


def relation(range_var: Node) -> Name:
    return Name(range_var.schemaname or None, range_var.relname)


def dotted(parts: Any) -> Name:
    """Return the name that a list of String nodes spells: `[schema, name]`, the database's name in front left out."""
    words = [item.string.sval for item in parts if item.HasField("string")]
    return Name(words[-2] if len(words) > 1 else None, words[-1] if words else "")


def option(options: Any, name: str) -> Node | None:
    """Return the DefElem of this name among a statement's options."""
    return next((item.def_elem for item in options if item.def_elem.defname == name), None)


def string_of(node: Node) -> str | None:
    """Return the text of a string literal, seen through casts; None for any other expression."""
    node = unwrap(node)
    while kind(node) == "TypeCast":
        node = unwrap(node.arg)
    return str(node.sval.sval) if kind(node) == "A_Const" and node.WhichOneof("val") == "sval" else None


def _tree(text: str) -> Node | None:
    if "\0" in text or (len(text) > LONG and is_too_deep(text)):
        return None
    try:
        return postgast.parse(text)
    except Exception:  # noqa: BLE001 - also protobuf's DecodeError (over 100 levels deep) and lone surrogates: unknown, all of them
        return None


def _pieces(tree: Node, text: str, whole: str) -> Iterator[Piece]:
    if len(tree.stmts) == 1:
        statement = unwrap(tree.stmts[0].stmt)
        yield Piece(text=whole, statement=statement, nodes=tuple(_running(statement, text)))
        return
    raw = text.encode()
    for item in tree.stmts:
        end = item.stmt_location + item.stmt_len if item.stmt_len else len(raw)
        statement = unwrap(item.stmt)
        part = raw[item.stmt_location : end].decode(errors="replace").strip()
        yield Piece(text=part, statement=statement, nodes=tuple(_running(statement, part)))


def _running(root: Node, text: str) -> Iterator[Node]:
    """Yield the statements and function calls below a statement that run when it runs."""
    if _calls_nothing(root, text):
        yield root
        return
    stack = [root]
    while stack:
        node = stack.pop()
        name, is_shown, is_stored = _traits(node.__class__)
        if name == "Node":
            which = node.WhichOneof("node")
            if which is None:
                continue
            node = getattr(node, which)
            name, is_shown, is_stored = _traits(node.__class__)
        if is_shown:
            yield node
        if is_stored or _is_only_planned(node, name):
            continue
        children: list[Node] = []
        for _, value in node.ListFields():
            if type(value) in SCALARS:
                continue
            if hasattr(value, "ListFields"):
                children.append(value)
            else:
                children.extend(value)
        stack.extend(reversed(children))


SCALARS = frozenset({str, int, bool, float})


@cache
def _traits(cls: Any) -> tuple[str, bool, bool]:
    """Return a node type's name, whether it is a statement or a call, and whether nothing below it runs now."""
    name: str = cls.DESCRIPTOR.name
    return name, name.endswith("Stmt") or name == "FuncCall", name in LEAVES or name in STORED


#: Words that stand before a parenthesis in ordinary DDL and call nothing.
NOT_CALLS = frozenset(
    {"varchar", "char", "character", "varying", "numeric", "decimal", "timestamp", "time", "bit", "float", "interval", "key",
     "unique", "check", "in", "values", "default", "include", "identity", "with", "set"}
)  # fmt: skip
BEFORE_PARENTHESIS = re.compile(r"([\w\"]+)\s*\(")


def _calls_nothing(root: Node, text: str) -> bool:
    """Tell from the text alone, in a fifth of the time, that an ALTER TABLE holds no call; a comment could hide one."""
    if root.DESCRIPTOR.name != "AlterTableStmt" or "--" in text or "/*" in text:
        return False
    return all(word.lower() in NOT_CALLS for word in BEFORE_PARENTHESIS.findall(text))


def _is_only_planned(node: Node, name: str) -> bool:
    """EXPLAIN without ANALYZE, CREATE TABLE AS ... WITH NO DATA and SET DEFAULT do not run what they hold."""
    if name == "ExplainStmt":
        return not is_analyzing(node)
    if name == "AlterTableCmd":  # a new default is stored; existing rows keep their values
        return bool(node.subtype == pg.AT_ColumnDefault)
    return name == "CreateTableAsStmt" and bool(node.into.skip_data)


def is_analyzing(explain: Node) -> bool:
    """Tell whether an EXPLAIN runs its statement (https://www.postgresql.org/docs/current/sql-explain.html)."""
    return any(item.def_elem.defname == "analyze" and _is_on(item.def_elem) for item in explain.options)


def _is_on(element: Node) -> bool:
    if not element.HasField("arg"):
        return True
    value = unwrap(element.arg)
    text = str(value.sval if kind(value) == "String" else getattr(value, "ival", getattr(value, "boolval", ""))).lower()
    return text not in {"off", "false", "0"}
