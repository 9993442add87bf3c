"""Which calls of an `upgrade()` did not run when it was rendered, and may send what loses data where they do."""

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence

from migration_pipeline.domain import upgrade_words as words
from migration_pipeline.domain.upgrade_code import DEEPEST, Function, Helper, Module, NotUnderstood, parsed
from migration_pipeline.domain.upgrade_reader import Reader

DIALECT = {"name": "postgresql", "dialect_description": "postgresql+psycopg2"}


def doubt(source: bytes, lines: Collection[int], helpers: Mapping[str, Helper]) -> str | None:
    """Return the first call that did not run and may lose data; None: there is none. `lines` are those that ran."""
    try:
        tree = parsed(source)
    except NotUnderstood:
        return None  # it ran, so another parser than ours knows it: what it sent is all that there is to go by
    tree = _Spelled(tree).visit(tree)
    tree.body = [one for one in tree.body if not (isinstance(one, ast.FunctionDef) and _is_way_back(one, lines))]
    functions = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)]
    ran = {one.name for one in functions if _has_run(one, lines)}
    idle = {one.name for one in functions if not _has_run(one, lines)}
    # One that did not run may be what the name means elsewhere.
    examined = [one for one in functions if one.name == "upgrade" or one.name in ran]
    calls = [(one, call) for one in examined for call in _unreached(one.body, lines, {*idle, *helpers})]
    module = _module(source, helpers) if calls else None
    return next((ast.unparse(call.func) for function, call in calls if not _is_harmless(module, function, call)), None)


def _module(source: bytes, helpers: Mapping[str, Helper]) -> Module | None:
    try:
        return Module(source, helpers)
    except (NotUnderstood, RecursionError):
        return None


def _is_way_back(function: ast.FunctionDef, lines: Collection[int]) -> bool:
    return function.name == "downgrade" and not _has_run(function, lines)


def _has_run(function: ast.FunctionDef, lines: Collection[int]) -> bool:
    return any(_ran(one, lines) for one in function.body)


class _Spelled(ast.NodeTransformer):
    """Writes the dialect's name out where a variable holds it and nothing else."""

    def __init__(self, tree: ast.Module) -> None:
        stored = [one.id for one in ast.walk(tree) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]
        assigned = [one for one in ast.walk(tree) if isinstance(one, ast.Assign) and _dialect(one.value)]
        named = [(target.id, one.value) for one in assigned for target in one.targets if isinstance(target, ast.Name)]
        sure = [name for name, _ in named]
        arguments = {one.arg for one in ast.walk(tree) if isinstance(one, ast.arg)}
        self._values = {name: value for name, value in named if stored.count(name) == sure.count(name) and name not in arguments}

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._values.get(node.id, node) if isinstance(node.ctx, ast.Load) else node


def _ran(node: ast.stmt, lines: Collection[int]) -> bool:
    return any(line in lines for line in range(node.lineno, (node.end_lineno or node.lineno) + 1))


def _unreached(block: Sequence[ast.stmt], lines: Collection[int], idle: Collection[str]) -> Iterator[ast.Call]:
    """Yield the calls of a block that did not run; what no PostgreSQL ever reaches is left out.

    `idle` are names of functions of which it is not known that they ran.
    """
    for node in block:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue  # looked at by itself, where it was called
        known = _known(node.test) if isinstance(node, ast.If) else None
        own = [one for one in ast.iter_child_nodes(node) if isinstance(one, ast.expr | ast.withitem)]
        ran = any(_reached(one, lines) for one in own) if own else _ran(node, lines)
        yield from (call for one in own for call in (_perhaps(one, idle) if ran else _calls(one)))
        for part, within in _parts(node, known, lines):
            yield from _unreached(part, within, idle)
        if isinstance(node, ast.If) and known is not None and _ends(node.body if known else node.orelse):
            return


def _parts(node: ast.stmt, known: bool | None, lines: Collection[int]) -> Iterator[tuple[list[ast.stmt], Collection[int]]]:
    """Yield the blocks of a statement, and the lines that say of them that they ran: not the one that they begin on."""
    body = getattr(node, "body", [])
    if known is not False:
        is_sure = known is True or isinstance(node, ast.With | ast.Try)
        yield body, lines if is_sure else _without(lines, node, body)
    if known is not True:
        yield getattr(node, "orelse", []), lines
    for handler in getattr(node, "handlers", []):
        yield handler.body, _without(lines, handler, handler.body)
    for case in getattr(node, "cases", []):
        yield case.body, set(lines) - {case.pattern.lineno}
    yield getattr(node, "finalbody", []), lines


def _without(lines: Collection[int], node: ast.stmt | ast.ExceptHandler, body: Sequence[ast.stmt]) -> Collection[int]:
    """Leave out the lines of a statement's head: that they ran says nothing of what stands behind the colon."""
    return set(lines) - {body[0].lineno} if body and body[0].lineno <= _head(node) else lines


def _head(node: ast.stmt | ast.ExceptHandler) -> int:
    own = [one for one in ast.iter_child_nodes(node) if isinstance(one, ast.expr)]
    return max([node.lineno, *(one.end_lineno or one.lineno for one in own)])


def _reached(node: ast.AST, lines: Collection[int]) -> bool:
    if isinstance(node, ast.withitem):
        node = node.context_expr
    return isinstance(node, ast.expr) and any(line in lines for line in range(node.lineno, (node.end_lineno or node.lineno) + 1))


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    return (one for one in ast.walk(node) if isinstance(one, ast.Call))


def _perhaps(node: ast.AST, idle: Collection[str]) -> Iterator[ast.Call]:
    """Yield the calls of an expression that ran which may not have run with it: of these, what looks like sending."""
    for one in ast.walk(node):
        for part in _arms(one):
            yield from (call for call in _calls(part) if _is_sending(call, idle))


def _arms(node: ast.AST) -> list[ast.expr]:
    """Return the parts of an expression that need not run with it."""
    match node:
        case ast.IfExp():
            return [node.body, node.orelse]
        case ast.BoolOp():
            return node.values[1:]
        case ast.Lambda():
            return [node.body]
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            made = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
            later = [one.iter for one in node.generators[1:]]
            return [*made, *later, *(test for one in node.generators for test in one.ifs)]
    return []


def _is_sending(call: ast.Call, idle: Collection[str]) -> bool:
    *owner, name = ast.unparse(call.func).split(".")
    return name in words.SENDING or owner[:1] == ["op"] or {name, *owner[:1]} & set(idle) != set()


def _ends(block: Sequence[ast.stmt]) -> bool:
    return bool(block) and isinstance(block[-1], ast.Return | ast.Raise)


def _known(test: ast.expr) -> bool | None:
    """Return what a condition is on every PostgreSQL; None: that depends."""
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            known = _known(operand)
            return None if known is None else not known
        case ast.BoolOp(op=operator, values=values):
            found, decides = [_known(one) for one in values], isinstance(operator, ast.Or)
            return decides if decides in found else None if None in found else not decides
        case ast.Call(func=ast.Attribute(attr="is_offline_mode")):
            return False
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            return _compared(left, operator, right)
    return None


def _compared(left: ast.expr, operator: ast.cmpop, right: ast.expr) -> bool | None:
    """Return what a comparison with the dialect's name is."""
    if isinstance(operator, ast.In | ast.NotIn):
        dialect, other = _dialect(left), _written(right)
        within = dialect in other if dialect is not None and isinstance(other, tuple) else None
        if within is None and isinstance(_written(left), str) and (whole := _dialect(right)) is not None:
            within = str(_written(left)) in whole
        return within if within is None or isinstance(operator, ast.In) else not within
    dialect, other = (_dialect(left), _written(right)) if _dialect(left) else (_dialect(right), _written(left))
    if dialect is None or not isinstance(other, str) or not isinstance(operator, ast.Eq | ast.NotEq):
        return None
    return (dialect == other) == isinstance(operator, ast.Eq)


def _dialect(node: ast.expr) -> str | None:
    match node:
        case ast.Attribute(value=ast.Attribute(attr="dialect") | ast.Name(id="dialect"), attr=name):
            return DIALECT.get(name)
        case ast.Attribute(value=ast.Attribute(attr="engine"), attr="name"):
            return DIALECT["name"]
    return None


def _written(node: ast.expr) -> str | tuple[str, ...] | None:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
            texts = [one.value for one in elements if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            return tuple(texts) if len(texts) == len(elements) else None
    return None


def _is_harmless(module: Module | None, function: ast.FunctionDef, call: ast.Call) -> bool:
    if ast.unparse(call.func).rpartition(".")[2] in words.CONSTRUCTORS:
        return True  # it is sent by another call, or not at all
    if module is None:
        return False
    try:
        own = next(one for one in ast.walk(module.tree) if isinstance(one, ast.FunctionDef) and one.lineno == function.lineno)
        Reader(Function(module, own), {}, DEEPEST - 3).read(next(one for one in _calls(own) if _place(one) == _place(call)))
    except (NotUnderstood, RecursionError, StopIteration):
        return False
    return True


def _place(node: ast.expr) -> tuple[int, int, int | None, int | None]:
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset
