"""The names that a schema snapshot gives its objects, taken apart: `constraint public.notes.ck_body` and its like."""

import re
from typing import NamedTuple

#: Kinds of more than one word; the others are the name's first word.
LONG = (
    "materialized view", "foreign table", "event trigger", "text search configuration", "text search dictionary",
    "text search parser", "text search template", "foreign data wrapper", "operator class", "operator family", "access method",
    "default privileges of", "user mapping for", "database setting",
)  # fmt: skip
PART = re.compile(r'"(?:[^"]|"")*"|[^".]+')
PUBLIC = "public."
#: Kinds whose names are the table's, and a last part of their own.
OF_A_TABLE = frozenset({"column", "constraint", "trigger", "policy", "rule", "attribute"})


class Name(NamedTuple):
    """An object of a snapshot."""

    kind: str
    full: str  #: quoted where it must be

    @classmethod
    def of(cls, text: str) -> "Name":
        kind = next((kind for kind in LONG if text.startswith(kind + " ")), text.partition(" ")[0])
        return cls(kind, text[len(kind) + 1 :])

    def __str__(self) -> str:
        return f"{self.kind} {self.short}".rstrip()  # the database has no name

    @property
    def short(self) -> str:
        """The name as SQL has it where the search_path is the usual one."""
        return self.full.removeprefix(PUBLIC)

    @property
    def parts(self) -> list[str]:
        """The plain names that it is made of."""
        return [plain(part) for part in PART.findall(self.full)]

    @property
    def owner(self) -> str:
        """The name of the table, or domain, that it is a part of."""
        return self.full[: -len(PART.findall(self.full)[-1]) - 1]

    @property
    def of_what(self) -> tuple[str, str]:
        """Its kind, and the name of what it is a part of."""
        return self.kind, self.owner

    @property
    def short_owner(self) -> str:
        return self.owner.removeprefix(PUBLIC)

    @property
    def last(self) -> str:
        """The last part as SQL has it."""
        return str(PART.findall(self.full)[-1])


def plain(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part
