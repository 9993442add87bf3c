"""What may be shown of a statement or an error message: never a row's value.

A revision may build its SQL from rows that it read, and PostgreSQL quotes values in some of its messages. A literal is
shown only when it stands in the revision's own file: then it is code, unless it is told as a password. Whatever cannot be
read is withheld.
"""

import ast
import re
import warnings
from collections.abc import Iterator
from functools import lru_cache

from migration_pipeline.domain import sql, statements, tokens

WITHHELD = "(message withheld: it may hold row values)"
HIDDEN = sql.HIDDEN
LONGEST = 200

TEXT_LITERALS = frozenset({"SCONST", "USCONST", "XCONST", "BCONST"})
NUMBER_LITERALS = frozenset({"ICONST", "FCONST"})
COMMENTS = frozenset({"SQL_COMMENT", "C_COMMENT"})
#: How a statement tells a password, or makes the statement that does: PASSWORD 'x', password = 'x', PASSWORD %L, password=x in
#: what a subscription connects by; and one in a URL. A column of that name is none.
SECRET = re.compile(r"\bpassword\b\s*(?:=|%|\$|\|\||(?:e|u&)?')|://[^\s/:@']*:[^\s@']*@", re.IGNORECASE)


def statement(text: str, source: str) -> str:
    """Return the statement with every literal that is not in the revision's source replaced, and without comments.

    Names stay as long as the text parses; in a text that does not (a quote in a value ends the literal, and the rest of
    the value reads like names), they too must be in the source. Where a password is told, no text is shown at all.
    """
    names_are_names = any(sql.parse(text, has_parameters).tree is not None for has_parameters in (None, False))
    redacted = _redact(text, source, names_are_names=names_are_names)
    if redacted is not None and (SECRET.search(text) or SECRET.search(redacted)):
        redacted = _redact(text, source, names_are_names=True, has_texts=False) if names_are_names else None
    return redacted if redacted is not None else f"{statements.leading_words(text)} {HIDDEN}".strip()


def one_line(text: str) -> str:
    """Return the text on one line of at most 200 characters."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1].rstrip()}{HIDDEN}"


def _redact(text: str, source: str, *, names_are_names: bool, has_texts: bool = True) -> str | None:
    found = tokens.scan(text)
    if found is None:
        return None
    raw, parts, position, before = text.encode(), [], 0, ""
    for token_text, token in found:
        parts.append(raw[position : token.start].decode())
        kind = tokens.kind(token)
        if kind in TEXT_LITERALS and not has_texts:
            parts.append(f"'{HIDDEN}'" if before == "PASSWORD" else _hidden_text(token_text, source, has_texts=False))
        else:
            parts.append(_shown(token_text, kind, source, names_are_names=names_are_names))
        position, before = token.end, before if kind in COMMENTS else kind
    parts.append(raw[position:].decode())
    return "".join(parts)


def _shown(token: str, kind: str, source: str, *, names_are_names: bool) -> str:
    if kind in COMMENTS:
        return " "
    if kind in TEXT_LITERALS:
        return token if _content(token) == HIDDEN or is_quoted_in(_content(token), source) else _hidden_text(token, source)
    if kind in NUMBER_LITERALS:
        return token if is_word_of(token, source) else HIDDEN
    if kind in {"IDENT", "UIDENT"} and not names_are_names:
        return token if is_word_of(token.strip('"'), source) else HIDDEN
    return token


def _hidden_text(token: str, source: str, *, has_texts: bool = True) -> str:
    """Replace a literal; of a dollar-quoted body, whose form says that it is code, only what it holds."""
    tag = re.match(r"\$\w*\$", token)
    if tag is None:
        return f"'{HIDDEN}'"
    inner = _redact(token[tag.end() : -tag.end()], source, names_are_names=False, has_texts=has_texts)
    return f"{tag[0]} {HIDDEN} {tag[0]}" if inner is None else f"{tag[0]}{inner}{tag[0]}"


def _content(token: str) -> str:
    """Return what a literal holds, without its quotes."""
    tag = re.match(r"\$\w*\$", token)
    if tag:
        return token[tag.end() : -tag.end()]
    return token[token.index("'") + 1 : -1].replace("''", "'") if "'" in token else token


def is_quoted_in(content: str, source: str) -> bool:
    """Tell whether a text stands in the source between quotes: a part of a longer text is not the same text."""
    if not content:
        return True
    spellings = {content, content.replace("'", "''"), content.replace("'", "\\'"), content.replace("\\", "\\\\")}
    return any(f"{quote}{spelling}{quote}" in source for spelling in spellings for quote in ("'", '"', "$"))


def is_word_of(word: str, source: str) -> bool:
    """Tell whether a number or a name stands in the source as a word of its own."""
    return bool(word) and re.search(rf"(?<![\w.]){re.escape(word)}(?![\w.]*\w)", source) is not None


QUOTES_HIDDEN, SHOWN, HELD_BACK = "quotes hidden", "shown", "held back"

#: What the primary messages of a class may hold, read from PostgreSQL's message catalog
#: (classes: https://www.postgresql.org/docs/current/errcodes-appendix.html). A class that is not listed is held back:
#: 22 quotes input values, 38, 39, P0 and every class of a user's own are written by user code, HV by remote systems.
CLASSES = {
    **dict.fromkeys(
        ("03", "08", "0A", "0L", "0P", "20", "21", "23", "24", "25", "26", "27", "28", "2B", "2D", "34", "3B", "3D", "3F", "40",
         "44", "53", "54", "55", "57", "58", "72", "F0"),
        SHOWN,
    ),
    "42": SHOWN,  # names and types; `CODES` has the exceptions
    "XX": QUOTES_HIDDEN,  # internal errors: mostly object ids
}  # fmt: skip
CODES = {
    "42601": QUOTES_HIDDEN,  # syntax_error quotes the text that it stopped at: the rest of a value whose quote ended a literal
    "42602": QUOTES_HIDDEN,  # invalid_name: raised by casts of values to names
}
#: Messages of class 22 and P0 that hold no value, whole.
HARMLESS = re.compile(
    r"division by zero|(?:small|big)?(?:integer|int) out of range|numeric field overflow|query returned no rows"
    r"|query returned more than one row|value too long for type character(?: varying)?\(\d+\)|cannot take logarithm of zero"
    r"|interval out of range|timestamp out of range|date out of range|array size exceeds the maximum allowed \(\d+\)"
)
QUOTED = re.compile(r'"[^"]*"|„[^“”]*[“”]|«[^»]*»|“[^”]*”')


def server_message(sqlstate: str, message: str, *, source: str | None = None, raised_by_user: bool = False) -> str:
    """Return PostgreSQL's primary message as far as it holds no row value; DETAIL, HINT and CONTEXT never.

    `source` is the revision's file: given, a quoted word of a message about names (class 42) is shown only when it is in
    the file, since `'Jane'::regclass` and an unquoted value make a message about a name too. `raised_by_user` is for an
    error whose source function is `exec_stmt_raise`: RAISE may borrow any code.
    """
    first = message.split("\n", 1)[0].strip()
    if HARMLESS.fullmatch(first) and not raised_by_user:
        return first
    policy = CODES.get(sqlstate, CLASSES.get(sqlstate[:2], HELD_BACK)) if re.fullmatch(r"[0-9A-Z]{5}", sqlstate) else HELD_BACK
    if policy == HELD_BACK or raised_by_user or not first:
        return WITHHELD
    if policy == SHOWN and (source is None or not sqlstate.startswith("42")):
        return one_line(first)
    return one_line(QUOTED.sub(lambda match: _known_word(match[0], source or ""), first))


def _known_word(quoted: str, source: str) -> str:
    parts = quoted[1:-1].split(".")
    return quoted if all(is_word_of(part, source) or is_quoted_in(part, source) for part in parts) else f'"{HIDDEN}"'


#: Raised by Python about code, not about values.
NO_SUCH_DRIVER = "sqlalchemy.exc.NoSuchModuleError"
CODE_ERRORS = frozenset({"SyntaxError", "ImportError", "ModuleNotFoundError", "NameError", "AttributeError"})
#: How Python says that a name is missing. The names are in quotes.
MISSING_NAME = re.compile(
    r"name '\w+' is not defined|No module named '[\w.]+'|cannot import name '\w+' from '[\w.]+'"
    r"|(?:module |type object )?'[\w.]+' (?:object )?has no attribute '\w+'"
)


def exception_message(type_name: str, message: str, source: str, *, may_hold_rows: bool) -> str:
    """Return what an exception says as far as its source says it; the rest is `…`.

    `type_name` is the type's name, with its module where it has one: `ValueError`, `alembic.util.exc.CommandError`. Where
    no row was read, the message of an error about code is shown whole. A revision raises any type with any text, and
    `getattr(sa, name)` makes a row's value part of Python's own: there a name must be in the source.
    """
    module, _, name = type_name.rpartition(".")
    is_pythons = module in {"", "builtins"} and name in CODE_ERRORS
    if not may_hold_rows and (is_pythons or module == "alembic.util.exc" or type_name == NO_SUCH_DRIVER):
        return one_line(message)
    if is_pythons and (found := MISSING_NAME.match(message)):
        words = frozenset(re.findall(r"\w+", source))
        return re.sub(r"'([\w.]+)'", lambda match: match[0] if words.issuperset(match[1].split(".")) else f"'{HIDDEN}'", found[0])
    parts = next((parts for parts in _templates(source) if _is_made_of(message, parts)), None)
    return WITHHELD if parts is None else one_line(HIDDEN.join(parts))


def _is_made_of(message: str, parts: tuple[str, ...]) -> bool:
    """Tell whether the fixed parts of a template make up the message, with anything between them. In linear time."""
    first, *middle = parts
    if not middle:
        return message == first
    *middle, last = middle
    position, end = len(first), len(message) - len(last)
    for part in middle:
        found = message.find(part, position)
        if found < 0:
            return False
        position = found + len(part)
    return position <= end and message.startswith(first) and message.endswith(last)


@lru_cache(maxsize=64)
def _templates(source: str) -> tuple[tuple[str, ...], ...]:
    """Return the texts of a source file as their fixed parts: whole texts first, then those that fix the most."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in a revision is no business of ours
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    pieces = sorted(set(_texts(tree)), key=lambda parts: (len(parts), -sum(map(len, parts))))
    return tuple(parts for parts in pieces if any(len(part.strip()) > 1 for part in parts))


#: A field of `%` formatting or of str.format().
FIELD = re.compile(r"%\(\w+\)[-#0 +\d.]*[a-zA-Z]|%[-#0 +\d.]*[a-zA-Z]|\{[^{}]*\}")


def _texts(tree: ast.AST) -> Iterator[tuple[str, ...]]:
    """Yield each text of the file as its fixed parts: one part for a plain text, more around the fields of a template."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield (node.value,)
            parts = tuple(FIELD.split(node.value))
            if len(parts) > 1:
                yield parts
        elif isinstance(node, ast.JoinedStr):
            yield _fixed_parts(node)


def _fixed_parts(template: ast.JoinedStr) -> tuple[str, ...]:
    parts = [""]
    for value in template.values:
        if isinstance(value, ast.Constant):
            parts[-1] += str(value.value)
        else:
            parts.append("")
    return tuple(parts)
