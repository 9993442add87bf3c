"""DB-API placeholders (`%(name)s`, `%s`, `%%`) turned into what PostgreSQL's grammar takes. It never sees a parameter's value."""

import re
from collections.abc import Iterator

QUOTED = r"""(?<!\w)[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|--[^\n]*|/\*.*?\*/"""
PLACEHOLDER = re.compile(rf"(?P<quoted>{QUOTED})|%%|%\((?P<name>[^)]*)\)[sbt]|%[sbt]", re.DOTALL)
#: `IN %s` with a tuple: psycopg2 writes the list's parentheses itself.
LIST = re.compile(r"\b(in|values)\s+(\$\d+)", re.IGNORECASE)
NUMBERED = re.compile(r"\$\d+")


def numbered(sql: str) -> Iterator[str]:
    """Yield what to try for a text with DB-API placeholders: `$1`; a list; a literal where the grammar takes no parameter."""
    numbers: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        if match["quoted"] is not None:
            return match["quoted"].replace("%%", "%")
        if match[0] == "%%":
            return "%"
        key = match["name"] if match["name"] is not None else f" {len(numbers)}"
        return f"${numbers.setdefault(key, len(numbers) + 1)}"

    plain = PLACEHOLDER.sub(number, sql)
    listed = LIST.sub(r"\1 (\2)", plain)
    yield from dict.fromkeys((plain, listed, NUMBERED.sub("''", listed)))
