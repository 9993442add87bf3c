"""Whether a call of Alembic's or SQLAlchemy's is one that loses no data, whatever is there. Raises NotUnderstood where it may."""

import ast
from collections.abc import Callable, Iterable, Iterator

from migration_pipeline.domain import upgrade_words as words
from migration_pipeline.domain.upgrade_code import Is, Library, Meaning, NotUnderstood

Read = Callable[[ast.expr], Meaning]
POSITIONAL = {(Is.OP, "alter_column"): 2, (Is.BATCH, "alter_column"): 1, (Is.OP, "batch_alter_table"): 2}


def check_operation(base: Is, name: str, node: ast.Call, read: Read) -> None:
    """Check one of Alembic's operations."""
    options = {one.arg for one in node.keywords}
    known = words.OP_CALLS if base is Is.OP else words.SCHEMA_CALLS
    if name not in known or None in options or any(isinstance(one, ast.Starred) for one in node.args):
        raise NotUnderstood
    if options - words.OPTIONS.get(name, options) or len(node.args) > POSITIONAL.get((base, name), len(node.args)):
        raise NotUnderstood
    defaults = [one.value for one in node.keywords if one.arg in words.DEFAULTS]
    if name == "alter_column" and not all(_is_default(one, read) for one in defaults):
        raise NotUnderstood
    check_sql(node, name, read)


def check_constructor(one: Library) -> None:
    name = one.path[-1]
    is_function = one.path[-2:-1] == ("func",) and name in words.PLAIN_SQL
    if not is_function and ("func" in one.path or name not in words.CONSTRUCTORS):
        raise NotUnderstood


def check_sql(node: ast.Call, name: str, read: Read) -> None:
    """Refuse SQL that is made while it runs, or that does more than an expression does."""
    sql = [one.value for one in node.keywords if one.arg in words.SQL_OPTIONS]
    sql += node.args if name in words.OF_SQL else []
    if name in words.OF_SQL and any(one.arg is None for one in node.keywords):
        raise NotUnderstood
    if not all(_is_written_down(one, read) for one in sql):
        raise NotUnderstood
    if not all(map(words.is_harmless_sql, _strings([*node.args, *(one.value for one in node.keywords)]))):
        raise NotUnderstood


def has_call(node: ast.AST) -> bool:
    return any(isinstance(one, ast.Call) for one in ast.walk(node))


def _is_default(node: ast.expr, read: Read) -> bool:
    """Tell whether an expression is a default and no identity, which would go with its sequence."""
    if isinstance(node, ast.Constant):
        return True
    called = read(node.func) if isinstance(node, ast.Call) else None
    return isinstance(called, Library) and called.path[-1] not in {"Identity", "Sequence"}


def _is_written_down(node: ast.expr, read: Read) -> bool:
    if isinstance(node, ast.Constant):
        return not (isinstance(node.value, str) and words.CHANGING.search(node.value))
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
        return False
    if isinstance(node.func, ast.Attribute) and node.func.attr == "f":
        return read(node.func.value) in {Is.OP, Is.BATCH}
    called = read(node.func)
    return isinstance(called, Library) and called.path[-1] == "text"


def _strings(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        for one in ast.walk(node):
            if isinstance(one, ast.Constant) and isinstance(one.value, str):
                yield one.value
