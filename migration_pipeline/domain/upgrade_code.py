"""What the code of an `upgrade()` may do, whichever way it goes: read, never run.

It fails closed: every call in it is one of those that are known to lose no data, with arguments that hide no SQL, or the code is
not understood. What it asks the database decides then only which of the harmless calls are made.
"""

import ast
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from migration_pipeline.domain import upgrade_words as words

DEEPEST = 12  #: functions that call each other
BINDING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
NESTED = (*BINDING, ast.Lambda)
#: What Python may write in an upgrade() that is understood; what is not here is not.
STATEMENTS = (
    ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Return, ast.Pass,
    ast.Raise, ast.Assert, ast.Break, ast.Continue, ast.Import, ast.ImportFrom,
)  # fmt: skip

#: What a file may do when it is imported.
QUIET = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Import, ast.ImportFrom, ast.Pass)


class NotUnderstood(Exception):
    """The code may do anything."""


class Is(Enum):
    """What a name stands for, as far as it matters what can be called on it."""

    OP = auto()  #: `alembic.op`
    BATCH = auto()  #: what `op.batch_alter_table()` gives
    BIND = auto()  #: a connection
    CONTEXT = auto()  #: Alembic's, of the migration
    INSPECTOR = auto()
    LOGGER = auto()
    VALUE = auto()  #: a text, a list, a column, an answer of the inspector: nothing that sends by itself
    BUILTIN = auto()


@dataclass(frozen=True)
class Library:
    """A name of SQLAlchemy's, or the module of that name."""

    path: tuple[str, ...]


@dataclass(frozen=True)
class Helper:
    """What something that the file imports comes from; `function` is None for a module as a whole."""

    source: bytes
    function: str | None = None


@dataclass(frozen=True, eq=False)
class Function:
    """A function whose source is at hand."""

    module: "Module"
    tree: ast.FunctionDef


@dataclass(frozen=True, eq=False)
class Written:
    """What a file gives a name when it is imported."""

    module: "Module"
    value: ast.expr


Meaning = Is | Library | Helper | Function | Written


@dataclass(frozen=True)
class Bound:
    """One place that gives a name its meaning: the value that is assigned, or a part of it."""

    value: ast.expr | ast.alias | ast.FunctionDef | None
    is_part: bool = False
    parent: ast.AST | None = field(default=None, compare=False)


def bindings(tree: ast.AST) -> dict[str, list[Bound]]:
    """Return what gives each name of a scope its meaning; a name inside a function of it belongs to that one."""
    found: dict[str, list[Bound]] = {}
    for node in _inside(tree):
        for name, bound in _bound(node):
            found.setdefault(name, []).append(bound)
    return found


def _inside(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        yield node
        if not isinstance(node, NESTED):
            yield from _inside(node)


def _bound(node: ast.AST) -> Iterator[tuple[str, Bound]]:  # noqa: C901 - a way a kind of binding
    match node:
        case ast.Import() | ast.ImportFrom():
            for one in node.names:
                yield one.asname or one.name.partition(".")[0], Bound(one, parent=node)
        case ast.FunctionDef():
            yield node.name, Bound(node)
        case ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name, Bound(None)
        case ast.ExceptHandler(name=str(name)):
            yield name, Bound(ast.Constant(value=""))
        case ast.Assign(targets=targets, value=value):
            yield from (pair for one in targets for pair in _target(one, value))
        case ast.AnnAssign(target=target, value=value) if value is not None:
            yield from _target(target, value)
        case ast.AugAssign(target=target, value=value) | ast.NamedExpr(target=target, value=value):
            yield from _target(target, value)
        case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
            yield from _target(target, value, is_part=True)
        case ast.withitem(context_expr=value, optional_vars=target) if target is not None:
            yield from _target(target, value)
        case ast.MatchAs() | ast.MatchStar() | ast.MatchMapping() | ast.AsyncFor():
            raise NotUnderstood


def _target(target: ast.expr, value: ast.expr, *, is_part: bool = False) -> Iterator[tuple[str, Bound]]:
    if isinstance(target, ast.Name):
        yield target.id, Bound(value, is_part)
        return
    if not isinstance(target, ast.Tuple | ast.List):
        raise NotUnderstood  # an attribute or an item: it may belong to anything
    for one in target.elts:
        yield from _target(one, value, is_part=True)


class Module:
    """One file: what its names stand for."""

    def __init__(self, source: bytes, helpers: Mapping[str, Helper] | None = None) -> None:
        self.tree = parsed(source)
        self.helpers = helpers or {}
        self.bindings = bindings(self.tree)
        self._check_import(self.tree.body)
        for node in ast.walk(self.tree):
            self._check(node)
        if "*" in self.bindings:
            raise NotUnderstood

    def _check(self, node: ast.AST) -> None:
        """Refuse what may give a name another meaning behind our back."""
        targets = node.targets if isinstance(node, ast.Assign | ast.Delete) else [getattr(node, "target", None)]
        for one in (part for target in targets if target is not None for part in _parts_of(target)):
            if isinstance(one, ast.Attribute | ast.Subscript) and not ast.unparse(one).startswith(("self.", "cls.")):
                raise NotUnderstood
        if isinstance(node, ast.Name) and node.id in words.OVERWRITING:
            raise NotUnderstood
        for name in node.names if isinstance(node, ast.Global) else ():
            self.bindings.setdefault(name, []).append(Bound(None))

    def _check_import(self, block: Sequence[ast.stmt]) -> None:
        """Refuse what the file may do when it is imported: it could change what a known call does."""
        for node in block:
            if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant):
                raise NotUnderstood
            if isinstance(node, BINDING):
                if any(words.HOOKS.search(ast.unparse(one)) for one in node.decorator_list):
                    raise NotUnderstood
                continue
            if isinstance(node, ast.If | ast.Try):
                handlers = [inner for one in getattr(node, "handlers", []) for inner in one.body]
                self._check_import([*node.body, *handlers, *node.orelse, *getattr(node, "finalbody", [])])
            elif not isinstance(node, QUIET) or _hooks(node):
                raise NotUnderstood

    def function(self, name: str) -> Function:
        found = self.meaning(name)
        if not isinstance(found, Function):
            raise NotUnderstood
        return found

    def meaning(self, name: str) -> Meaning:
        """Return what a name stands for everywhere in the file."""
        found = self.bindings.get(name, [])
        if not found and name in words.BUILTINS | words.ERRORS:
            return Is.BUILTIN
        if len(found) != 1 or found[0].is_part or found[0].value is None:
            raise NotUnderstood
        value = found[0].value
        if isinstance(value, ast.FunctionDef):
            if value.decorator_list or value not in self.tree.body:
                raise NotUnderstood
            return Function(self, value)
        if isinstance(value, ast.alias):
            return self._imported(name, value, found[0].parent)
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "logging.getLogger":
            return Is.LOGGER
        return Written(self, value)

    def _imported(self, name: str, alias: ast.alias, parent: ast.AST | None) -> Meaning:
        meant = imported(alias, parent)
        if meant is not None:
            return meant
        helper = self.helpers.get(name)
        if helper is None:
            raise NotUnderstood
        return helper if helper.function is None else Module(helper.source).function(helper.function)


def _hooks(node: ast.stmt) -> bool:
    return any(isinstance(one, ast.Call) and words.HOOKS.search(ast.unparse(one.func)) for one in ast.walk(node))


def _parts_of(target: ast.expr) -> Iterator[ast.expr]:
    if isinstance(target, ast.Tuple | ast.List):
        for one in target.elts:
            yield from _parts_of(one)
    else:
        yield target.value if isinstance(target, ast.Starred) else target


def imported(alias: ast.alias, parent: ast.AST | None) -> Meaning | None:
    """Return what is imported from SQLAlchemy or Alembic; None: it comes from elsewhere."""
    if isinstance(parent, ast.ImportFrom):
        if parent.level:
            return None
        path = (*(parent.module or "").split("."), alias.name)
    else:
        path = tuple(alias.name.split(".")) if alias.asname else (alias.name.split(".")[0],)
    if path == ("alembic", "op"):
        return Is.OP
    return Library(path) if path[0] in words.LIBRARIES else None


def parsed(source: bytes) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the project's code
            return ast.parse(source)
    except (SyntaxError, ValueError, LookupError, RecursionError, MemoryError):
        raise NotUnderstood from None
