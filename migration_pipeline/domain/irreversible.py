"""What a revision's file says of its own downgrade: the `# DOWNGRADE: IRREVERSIBLE` comment, and whether it raises on purpose."""

import ast
import io
import re
import tokenize
import warnings
from dataclasses import dataclass

EXACT = re.compile(r"#+\s*DOWNGRADE\s*:\s*(?P<value>\S*)\s*(?P<reason>.*)")
IRREVERSIBLE = "IRREVERSIBLE"
RIGHT = f'"# DOWNGRADE: {IRREVERSIBLE} <why>"'
#: What says by its name that there is no way back: Python's own, and what projects call theirs.
ON_PURPOSE = re.compile(r"NotImplementedError|.*Irreversible.*", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What the comment says: a reason, a problem, or nothing."""

    reason: str | None = None
    problem: str | None = None


def read(source: bytes) -> Declared:
    """Read the comment, anywhere in the file; comment tokens only."""
    lines = source.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        comments = [token for token in tokenize.tokenize(io.BytesIO(lines).readline) if token.type == tokenize.COMMENT]
    except (tokenize.TokenError, SyntaxError, ValueError, LookupError, RecursionError):
        return Declared()  # what cannot be read has raised before
    for token in comments:
        if match := EXACT.fullmatch(token.string):
            return _judged(token.start[0], match["value"], match["reason"].strip())
    return Declared()


def _judged(number: int, value: str, reason: str) -> Declared:
    if value.rstrip(":,;.-") != IRREVERSIBLE:
        return Declared(problem=f"line {number} says something else after DOWNGRADE: than {IRREVERSIBLE}; right: {RIGHT}")
    if not reason.strip(":,;.- "):
        return Declared(problem=f"line {number} gives no reason; right: {RIGHT}")
    return Declared(reason=reason.lstrip(":,;- "))


def line_of_downgrade(source: bytes) -> int:
    """Return the line that the downgrade function begins at; 1 where there is none."""
    tree = _parsed(source)
    found = [
        node.lineno for node in (tree.body if tree else []) if isinstance(node, ast.FunctionDef) and node.name == "downgrade"
    ]
    return found[-1] if found else 1


def raises_on_purpose(source: bytes, kind: str, line: int | None) -> bool:
    """Tell whether what was raised was meant: by its type's name, or because a `raise` of the file itself raised it."""
    if ON_PURPOSE.fullmatch(kind.rpartition(".")[2]):
        return True
    tree = _parsed(source)
    if tree is None or line is None:
        return False
    raising = (node for node in ast.walk(tree) if isinstance(node, ast.Raise))
    return any(node.lineno <= line <= (node.end_lineno or node.lineno) for node in raising)


def _parsed(source: bytes) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, LookupError, RecursionError, MemoryError):
        return None
