"""Reads one function of an upgrade, and the functions that it calls, each call for itself."""

import ast
from collections.abc import Mapping, Sequence

from migration_pipeline.domain import upgrade_calls
from migration_pipeline.domain import upgrade_words as words
from migration_pipeline.domain.upgrade_code import (
    DEEPEST,
    STATEMENTS,
    Bound,
    Function,
    Helper,
    Is,
    Library,
    Meaning,
    Module,
    NotUnderstood,
    Written,
    bindings,
    imported,
)  # fmt: skip

NOTHING = next(one for one in ast.parse("def nothing(): pass").body if isinstance(one, ast.FunctionDef))
RETURNS = {"get_bind": Is.BIND, "get_context": Is.CONTEXT, "batch_alter_table": Is.BATCH}
#: What an attribute of something is; one that is not here is not understood.
ATTRIBUTES = {
    (Is.BIND, "dialect"): Is.VALUE, (Is.BIND, "engine"): Is.BIND,
    (Is.CONTEXT, "dialect"): Is.VALUE, (Is.CONTEXT, "bind"): Is.BIND, (Is.CONTEXT, "connection"): Is.BIND,
    (Is.INSPECTOR, "dialect"): Is.VALUE, (Is.INSPECTOR, "bind"): Is.BIND,
}  # fmt: skip


def calls_of(source: bytes, helpers: Mapping[str, Helper]) -> tuple[str, ...] | None:
    """Return the calls of an `upgrade()` that change a schema, where nothing that it may do loses data; None: who knows."""
    try:
        function = Module(source, helpers).function("upgrade")
        named = {*function.module.bindings, *words.BUILTINS, *words.ERRORS}
        if any(isinstance(one, ast.arg) and one.arg in named for one in ast.walk(function.tree.args)):
            return None  # it has another meaning there
        reader = Reader(function, {})
        reader.body()
    except (NotUnderstood, RecursionError):
        return None
    return tuple(sorted(reader.sends))


class Reader:
    """One call of a function: what its names stand for, and whether all that it does is understood."""

    def __init__(self, function: Function, given: Mapping[str, Meaning], depth: int = 0) -> None:
        if depth > DEEPEST:
            raise NotUnderstood
        self.module, self.tree = function.module, function.tree
        self.given = given
        self.depth = depth
        self.sends: set[str] = set()  #: calls that may change a schema
        self._bound = bindings(self.tree)
        self._reading: set[str] = set()

    def body(self) -> Meaning:
        """Read the whole function; return what it returns. Raise NotUnderstood."""
        returned: set[Meaning] = set()
        for node in self._statements(self.tree.body):
            meant = self._statement(node)
            if isinstance(node, ast.Return):
                returned.add(meant)
        return returned.pop() if len(returned) == 1 else self._plain(returned)

    def _statements(self, block: Sequence[ast.stmt]) -> list[ast.stmt]:
        found: list[ast.stmt] = []
        for node in block:
            if not isinstance(node, STATEMENTS):
                raise NotUnderstood
            handlers = [inner for one in getattr(node, "handlers", []) for inner in one.body]
            inner = [*getattr(node, "body", []), *handlers, *getattr(node, "orelse", []), *getattr(node, "finalbody", [])]
            found += [node, *self._statements(inner)]
        return found

    def _statement(self, node: ast.stmt) -> Meaning:
        match node:
            case ast.Return(value=ast.expr() as value):
                return self.read(value)
            case ast.Raise():
                self._all_plain([one for one in (node.exc, node.cause) if one is not None])
            case ast.With(items=items) if any(self.read(one.context_expr) not in {Is.BATCH, Is.CONTEXT} for one in items):
                raise NotUnderstood  # what it does when it ends, nobody knows
            case ast.Import() | ast.ImportFrom() if any(imported(one, node) is None for one in node.names):
                raise NotUnderstood
            case ast.Try(handlers=handlers) if any(one.type and upgrade_calls.has_call(one.type) for one in handlers):
                raise NotUnderstood
            case _:
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr) and not _is_target(node, child):
                        self.read(child)
        return Is.VALUE

    def read(self, node: ast.expr) -> Meaning:
        """Return what an expression stands for. Raise NotUnderstood."""
        match node:
            case ast.Constant():
                return Is.VALUE
            case ast.Name(id=name):
                return self._meaning(name)
            case ast.Attribute():
                return self._attribute(node)
            case ast.Call():
                return self._call(node)
            case ast.Lambda() | ast.Await() | ast.Yield() | ast.YieldFrom():
                raise NotUnderstood
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                parts = [one for made in node.generators for one in (made.iter, *made.ifs)]
                values = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
                return self._all_plain([*parts, *values])
            case _:  # its parts are looked at, and a part that could send by itself is not understood
                return self._all_plain([one for one in ast.iter_child_nodes(node) if isinstance(one, ast.expr)])

    def _all_plain(self, nodes: Sequence[ast.expr]) -> Meaning:
        for one in nodes:
            self._read_plain(one)
        return Is.VALUE

    def _read_plain(self, node: ast.expr) -> None:
        self._plain({self.read(node)})

    def _plain(self, found: set[Meaning]) -> Meaning:
        for one in found:
            if isinstance(one, Library):
                upgrade_calls.check_constructor(one)
            elif one not in {Is.VALUE, Is.BUILTIN}:
                raise NotUnderstood
        return Is.VALUE

    def _meaning(self, name: str) -> Meaning:
        bound = self._bound.get(name, [])
        if name in self.given:
            if any(one.value is None or self._of(one) is not self.given[name] for one in bound):
                raise NotUnderstood
            return self.given[name]
        if not bound:
            found = self.module.meaning(name)
            return self._of_file(found) if isinstance(found, Written) else found
        if name in self._reading:
            raise NotUnderstood
        self._reading.add(name)
        meant = {self._of(one) for one in bound}
        self._reading.discard(name)
        return meant.pop() if len(meant) == 1 else self._plain(meant)

    def _of_file(self, written: Written) -> Meaning:
        """Read what stands in the file outside its functions: a list, a type; nothing that could send."""
        return self._plain({Reader(Function(written.module, NOTHING), {}, self.depth + 1).read(written.value)})

    def _of(self, bound: Bound) -> Meaning:
        value = bound.value
        if isinstance(value, ast.alias):
            meant = imported(value, bound.parent)
        elif isinstance(value, ast.expr):
            meant = self._plain({self.read(value)}) if bound.is_part else self.read(value)
        else:
            meant = None
        if meant is None:
            raise NotUnderstood
        return meant

    def _attribute(self, node: ast.Attribute) -> Meaning:
        base = self.read(node.value)
        if isinstance(base, Library):
            return Library((*base.path, node.attr))
        if isinstance(base, Helper):
            return Module(base.source).function(node.attr)
        if base is Is.VALUE and not node.attr.startswith("_"):
            return Is.VALUE
        if isinstance(base, Is) and (base, node.attr) in ATTRIBUTES:
            return ATTRIBUTES[base, node.attr]
        raise NotUnderstood

    def _call(self, node: ast.Call) -> Meaning:
        function = node.func
        base = self.read(function.value) if isinstance(function, ast.Attribute) else None
        if isinstance(function, ast.Attribute) and isinstance(base, Is):
            return self._method(base, function.attr, node)
        if not isinstance(function, ast.Name | ast.Attribute):
            raise NotUnderstood
        called = self.read(function)
        if isinstance(called, Library):
            if called.path in words.INSPECTS:
                self._arguments(node, Is.BIND)
                return Is.INSPECTOR
            upgrade_calls.check_constructor(called)
            upgrade_calls.check_sql(node, called.path[-1], self.read)
            self._arguments(node)
            return Is.VALUE
        if isinstance(called, Function):
            return self._helper(called, node)
        if called is not Is.BUILTIN:
            raise NotUnderstood
        self._arguments(node)
        return Is.VALUE

    def _method(self, base: Is, name: str, node: ast.Call) -> Meaning:
        if base in {Is.OP, Is.BATCH}:
            return self._operation(base, name, node)
        allowed = {
            Is.INSPECTOR: words.ASKS, Is.LOGGER: words.LOGS, Is.VALUE: words.VALUE_CALLS, Is.CONTEXT: {"autocommit_block"},
        }.get(base, ())  # fmt: skip
        if name not in allowed:
            raise NotUnderstood
        self._arguments(node, *([Is.BIND] if name in {"create", "has_table"} else []))
        return Is.CONTEXT if base is Is.CONTEXT else Is.VALUE

    def _operation(self, base: Is, name: str, node: ast.Call) -> Meaning:
        """Read one of Alembic's operations."""
        upgrade_calls.check_operation(base, name, node, self.read)
        self._arguments(node)
        if name not in {*RETURNS, "f"}:
            self.sends.add(name)
        return RETURNS.get(name, Is.VALUE)

    def _arguments(self, node: ast.Call, *also: Meaning) -> None:
        for one in [*node.args, *(keyword.value for keyword in node.keywords)]:
            meant = self.read(one.value if isinstance(one, ast.Starred) else one)
            if meant not in also:
                self._plain({meant})

    def _helper(self, called: Function, node: ast.Call) -> Meaning:
        """Read a function with what this call gives it."""
        spec = called.tree.args
        names = [one.arg for one in [*spec.posonlyargs, *spec.args]]
        if spec.vararg or spec.kwarg or len(node.args) > len(names) or any(one.arg is None for one in node.keywords):
            raise NotUnderstood
        given = {name: self.read(one) for name, one in zip(names, node.args, strict=False)}
        given |= {str(one.arg): self.read(one.value) for one in node.keywords}
        everything = {*names, *(one.arg for one in spec.kwonlyargs)}
        if given.keys() - everything or any(isinstance(one, ast.Starred) for one in node.args):
            raise NotUnderstood
        for default in [*spec.defaults, *(one for one in spec.kw_defaults if one)]:
            if not isinstance(default, ast.Constant):
                raise NotUnderstood
        reader = Reader(called, {**dict.fromkeys(everything, Is.VALUE), **given}, self.depth + 1)
        returned = reader.body()
        self.sends |= reader.sends
        return returned


def _is_target(statement: ast.stmt, child: ast.expr) -> bool:
    if isinstance(statement, ast.AnnAssign):
        return child in (statement.target, statement.annotation)
    return child in getattr(statement, "targets", []) or child is getattr(statement, "target", None)
