"""The statements inside a DO block, PL/pgSQL only. What it cannot read is named, never guessed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from migration_pipeline.domain import sql, tokens

#: How PostgreSQL reads an expression of PL/pgSQL (RawParseMode in src/include/parser/parser.h).
STATEMENT, EXPRESSION = 0, 2
#: A name or a value that only running the block would tell; as an identifier it parses where a name may stand.
UNKNOWN_PART = "…"
#: After one of these words a statement may begin, in a block that could not be parsed as a whole.
BEFORE_STATEMENT = re.compile(r"\b(?:begin|then|else|loop)\b", re.IGNORECASE)
PERFORM = re.compile(r"^\s*perform\b", re.IGNORECASE)
FORMAT_FIELD = re.compile(r"%(?:%|(?:\d+\$)?-?\d*([sIL]))")


@dataclass(frozen=True, kw_only=True, eq=False)
class Body:
    """What a DO block runs."""

    #: Static SQL, and static texts given to EXECUTE; expressions as `SELECT expression`.
    statements: tuple[sql.Parsed, ...]
    #: Texts that EXECUTE builds, with `…` for what only running tells.
    built: tuple[sql.Parsed, ...]
    #: Those of them that run on a condition, in a loop, or where an exception may undo them, and nowhere else.
    doubtful: frozenset[sql.Parsed] = frozenset()
    #: Why the block is not understood as a whole; empty when it is.
    opaque: tuple[str, ...]
    #: A COMMIT or ROLLBACK in the block.
    controls_transaction: bool = False
    #: The block's text when it could not be parsed; its words are all there is to go by.
    unread: str = ""


def body(do: sql.Node) -> Body:
    """Read the block of a DO statement (https://www.postgresql.org/docs/current/sql-do.html)."""
    text, language = "", "plpgsql"
    for item in do.args:
        element = item.def_elem
        if element.defname == "as":
            text = element.arg.string.sval
        elif element.defname == "language":
            language = element.arg.string.sval.lower()
    return _read(text, language)


@lru_cache(maxsize=256)
def _read(text: str, language: str) -> Body:
    if language != "plpgsql":
        return Body(statements=(), built=(), opaque=(f"a block in {language} cannot be read",), unread=text)
    tree = _tree(text)
    if tree is None:
        found = tuple(parsed for parsed in map(_fragment, text.split(";")) if parsed is not None)
        return Body(statements=found, built=(), opaque=("the block cannot be parsed",), unread=text)
    reader = _Reader()
    reader.walk(tree)
    return Body(
        statements=tuple(reader.statements),
        built=tuple(reader.built),
        doubtful=frozenset(reader.doubtful - reader.sure),
        opaque=tuple(dict.fromkeys(reader.opaque)),
        controls_transaction=reader.controls_transaction,
    )


def _tree(text: str) -> Any:
    tag = next(f"$mp{number}$" for number in range(len(text) + 1) if f"$mp{number}$" not in text)
    if "\0" in text or len(text) > tokens.LONG * 10:
        return None
    try:
        return tokens.postgast.parse_plpgsql(f"DO {tag}{text}{tag}")
    except Exception:  # noqa: BLE001 - types of other schemas, %ROWTYPE fields and broken JSON of the library: unread, all of them
        return None


def _fragment(text: str) -> sql.Parsed | None:
    """Return one statement of a block that could not be parsed as a whole, or None when it is none."""
    for start in (0, *(match.end() for match in BEFORE_STATEMENT.finditer(text))):
        parsed = sql.parse(PERFORM.sub("SELECT ", text[start:]).strip(), has_parameters=False)
        if parsed.pieces and sql.kind(parsed.pieces[0].statement) != "TransactionStmt":  # END of a block reads as COMMIT
            return parsed
    return None


class _Reader:
    """Collects what a parsed block runs. A text given to EXECUTE is under `query` of two node types and under `dynquery`."""

    def __init__(self) -> None:
        self.statements: list[sql.Parsed] = []
        self.built: list[sql.Parsed] = []
        self.opaque: list[str] = []
        self.doubtful: set[sql.Parsed] = set()
        self.sure: set[sql.Parsed] = set()
        self.controls_transaction = False

    def walk(self, tree: Any) -> None:
        stack: list[tuple[Any, bool, bool]] = [(tree, False, False)]
        while stack:
            node, is_text, is_doubtful = stack.pop()
            if isinstance(node, list):
                stack.extend((item, False, is_doubtful) for item in reversed(node))
            elif isinstance(node, dict):
                for name, value in reversed(node.items()):
                    if name == "PLpgSQL_expr":
                        self._expression(value, is_text=is_text, known=self.doubtful if is_doubtful else self.sure)
                        continue
                    doubtful = is_doubtful or name in ON_CONDITION or (name == "PLpgSQL_stmt_block" and "exceptions" in value)
                    self.controls_transaction |= name in {"PLpgSQL_stmt_commit", "PLpgSQL_stmt_rollback"}
                    if name in {"PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors"}:
                        stack.extend((part, key == "query", doubtful) for key, part in reversed(value.items()))
                    else:
                        stack.append((value, name == "dynquery", doubtful))

    def _expression(self, expression: dict[str, Any], *, is_text: bool, known: set[sql.Parsed]) -> None:
        query, mode = expression.get("query", ""), expression.get("parseMode", STATEMENT)
        if is_text:
            self._execute(query, known)
        elif mode == STATEMENT:
            self._statement(query, known)
        else:
            self._statement(f"SELECT {query if mode == EXPRESSION else _assigned(query)}", known)

    def _statement(self, text: str, known: set[sql.Parsed]) -> None:
        parsed = sql.parse(text, has_parameters=False)
        self.statements.append(parsed)
        known.add(parsed)
        if parsed.tree is None:
            self.opaque.append("a statement of the block cannot be parsed")

    def _execute(self, expression: str, known: set[sql.Parsed]) -> None:
        parsed = sql.parse(f"SELECT {expression}", has_parameters=False)
        self.statements.append(parsed)  # the expression itself may call a function
        value = parsed.pieces[0].statement.target_list[0].res_target.val if parsed.pieces else None
        text = sql.string_of(value) if value is not None else None
        if text is not None:
            self._statement(text, known)
            return
        self.opaque.append("EXECUTE runs a text that the block builds")
        pattern = _pattern(value) if value is not None else UNKNOWN_PART
        if pattern != UNKNOWN_PART:
            self.built.append(sql.parse(pattern, has_parameters=False))
            known.add(self.built[-1])


#: Statements whose parts may not run; a block whose exceptions are caught is another.
ON_CONDITION = frozenset(
    f"PLpgSQL_stmt_{name}" for name in ("if", "case", "loop", "while", "fori", "fors", "forc", "foreach_a", "dynfors")
)


def _assigned(query: str) -> str:
    """Return the expression of `name := expression` or `name = expression`."""
    for operator in (":=", "="):
        if operator in query:
            return query.split(operator, 1)[1]
    return query


def _pattern(node: sql.Node) -> str:
    """Return the text that an expression builds, with `…` for each part that is not written in it."""
    node = sql.unwrap(node)
    text = sql.string_of(node)
    if text is not None:
        return text
    if sql.kind(node) == "A_Expr" and [item.string.sval for item in node.name] == ["||"]:
        return _pattern(node.lexpr) + _pattern(node.rexpr)
    if sql.kind(node) == "FuncCall" and len(node.args):
        name = sql.dotted(node.funcname).name
        if name == "format":
            return FORMAT_FIELD.sub(_field, _pattern(node.args[0]))
        if name in {"concat", "concat_ws"}:
            return "".join(map(_pattern, node.args))
        if name in {"quote_literal", "quote_nullable"}:
            return f"'{UNKNOWN_PART}'"
    return UNKNOWN_PART


def _field(match: re.Match[str]) -> str:
    """Return what stands for a field of format() (https://www.postgresql.org/docs/current/functions-string.html)."""
    if match[1] is None:
        return "%"
    return f"'{UNKNOWN_PART}'" if match[1] == "L" else UNKNOWN_PART


def all_statements(parsed: sql.Parsed) -> Iterator[sql.Parsed]:
    """Yield a text and every text that its DO blocks run, however deep, built ones included."""
    yield parsed
    for node in parsed.nodes:
        if sql.kind(node) == "DoStmt":
            block = body(node)
            for inner in (*block.statements, *block.built):
                yield from all_statements(inner)
