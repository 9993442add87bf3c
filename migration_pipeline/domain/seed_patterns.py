"""Strings that match a regular expression or a LIKE pattern: the numbered ones are distinct as far as the pattern allows.

PostgreSQL's expressions are read as Python's, which is right for the simple ones that stand in check constraints. What is made is
matched again afterwards; for what cannot be read there is no string.
"""

import importlib
import re
import string
from collections.abc import Iterator
from itertools import islice
from typing import Any

#: Python's own parser of regular expressions; typeshed does not know it under the name that raises no warning.
parser: Any = importlib.import_module("re._parser")

MOST = 60  #: strings of one pattern
FAVOURED = string.ascii_lowercase + string.digits + string.ascii_uppercase + "_-@. /:,+#"
CLASSES = {
    "alpha": "a-zA-Z",
    "digit": "0-9", "alnum": "a-zA-Z0-9", "upper": "A-Z", "lower": "a-z", "space": r"\s", "xdigit": "0-9a-fA-F",
    "punct": r"!-/:-@\[-`{-~", "blank": r" \t",
}  # fmt: skip
CATEGORIES = {"DIGIT": string.digits, "WORD": string.ascii_lowercase + string.digits + "_", "SPACE": " "}
UNLIMITED = 3  #: how often what may repeat without end is repeated


def strings(pattern: str) -> Iterator[str]:
    """Yield distinct strings that a regular expression matches, `MOST` at most."""
    translated = _translated(pattern)
    try:
        tree, matches = parser.parse(translated), re.compile(translated)
    except (re.error, OverflowError, RecursionError):
        return
    found = (text for text in (_Made(tree, number).text for number in range(MOST * 4)) if matches.search(text))
    yield from islice(dict.fromkeys(found), MOST)


def matches(pattern: str, text: str) -> bool:
    """Return whether a text matches; True for a pattern that Python does not read."""
    try:
        return re.search(_translated(pattern), text) is not None
    except (re.error, OverflowError, RecursionError):
        return True


def of_like(pattern: str) -> str:
    r"""Return LIKE's pattern as a regular expression: `%`, `_`, and what stands behind a `\`."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    return f"^{''.join({'%': '.*', '_': '.'}.get(part) or re.escape(part[-1]) for part in parts)}$"


def of_similar(pattern: str) -> str:
    """Return SIMILAR TO's pattern as a regular expression: it has its own `%` and `_`."""
    return f"^(?:{pattern.replace('%', '.*').replace('_', '.')})$"


def _translated(pattern: str) -> str:
    """Return PostgreSQL's expression in Python's spelling."""
    spelled = re.sub(r"\[:(\w+):\]", lambda found: CLASSES.get(found[1], found[0]), pattern)
    return re.sub(r"\\([mMyY])", lambda found: r"\B" if found[1] == "Y" else r"\b", spelled)


class _Made:
    """One string: at each choice the number says which way, and the rest of it goes to the choices that follow."""

    def __init__(self, tree: Any, number: int) -> None:
        self._left = number
        self._groups: dict[int, str] = {}
        self.text = self._sequence(tree)

    def _choice(self, size: int) -> int:
        self._left, chosen = divmod(self._left, size)
        return chosen

    def _sequence(self, tree: Any) -> str:
        return "".join(self._part(operation.name, value) for operation, value in tree)

    def _part(self, operation: str, value: Any) -> str:  # noqa: PLR0911 - a way out an operation
        match operation:
            case "LITERAL":
                return chr(value)
            case "NOT_LITERAL" | "ANY" | "IN":
                return self._one_of(_characters(operation, value))
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                fewest, most, tree = value
                return "".join(self._sequence(tree) for _ in range(max(fewest, min(most, UNLIMITED))))
            case "SUBPATTERN":
                number, _, _, tree = value
                made = self._sequence(tree)
                self._groups[number] = made
                return made
            case "BRANCH":
                _, trees = value
                return self._sequence(trees[self._choice(len(trees))])
            case "GROUPREF":
                return self._groups.get(value, "")
            case _:  # an anchor, or a look around: the finished string is matched again
                return ""

    def _one_of(self, characters: str) -> str:
        return characters[self._choice(len(characters))] if characters else ""


def _characters(operation: str, value: Any) -> str:
    """Return what may stand in one place, the usual characters first."""
    if operation == "ANY":
        return CATEGORIES["WORD"]
    if operation == "NOT_LITERAL":
        return "".join(one for one in FAVOURED if one != chr(value))
    names = [(part.name, held) for part, held in value]
    if names and names[0][0] == "NEGATE":
        excluded = "".join(_members(name, held) for name, held in names[1:])
        return "".join(one for one in FAVOURED if one not in excluded)
    allowed = "".join(_members(name, held) for name, held in names)
    return "".join(sorted(dict.fromkeys(allowed), key=lambda one: FAVOURED.find(one) % (len(FAVOURED) + 1)))


def _members(name: str, held: Any) -> str:
    if name == "LITERAL":
        return chr(held)
    if name == "RANGE":
        low, high = held
        return "".join(map(chr, range(low, min(high, low + 200) + 1)))
    category = held.name.removeprefix("CATEGORY_")
    if category.startswith("NOT_"):
        return "".join(one for one in FAVOURED if one not in CATEGORIES[category.removeprefix("NOT_")])
    return CATEGORIES[category]
