"""The words of a text as PostgreSQL's own scanner cuts it, and how long a text may be before its parser is asked."""

import importlib
from typing import Any

#: Imported so because mypy cannot read the package's own stub: a field in it is named like a keyword.
postgast: Any = importlib.import_module("postgast")
pg = postgast.pg_query_pb2  #: the numbers of the grammar's enumerations


#: A text longer than this is counted before it is parsed, see `is_too_deep`.
LONG = 30_000
#: libpg_query writes its tree recursively: 200,000 nested operators ended the process, 20,000 did not (tried).
MOST_NESTED = 10_000


def scan(sql: str) -> list[tuple[str, Any]] | None:
    """Return each token's text with the token, or None when PostgreSQL's scanner refuses the text."""
    if "\0" in sql:  # the C library would stop at it and see half of the text
        return None
    try:
        raw = sql.encode()
        return [(raw[token.start : token.end].decode(), token) for token in postgast.scan(sql).tokens]
    except (postgast.PgQueryError, UnicodeError):
        return None


def kind(token: Any) -> str:
    """Return the name of a token's kind in PostgreSQL's grammar; a character that the grammar does not know has none."""
    return TOKEN_NAMES.get(token.token, "")


TOKEN_NAMES: dict[int, str] = {number: name for name, number in pg.Token.items()}


DATA_TOKENS = frozenset({"SCONST", "ICONST", "FCONST", "XCONST", "BCONST", "PARAM", "ASCII_40", "ASCII_41", "ASCII_44", "NULL_P"})


def is_too_deep(text: str) -> bool:
    """Guess whether parsing could end the process. Rows of literals, the usual long text, do not nest and are not counted."""
    found = scan(text)
    return found is None or sum(kind(token) not in DATA_TOKENS for _, token in found) > MOST_NESTED
