"""What a schema is, by names: one snapshot, its fingerprint, and the difference of two. It never looks at a database.

A snapshot knows no OID, no attribute number and no spelling of an expression, so that a restored copy has the same fingerprint.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

#: Characters of a long text (a function body, a view) that a difference shows, and how many stand before the first change.
EXCERPT = 160
LEAD = 40
#: Properties that are hashes of what may be secret.
HIDDEN = frozenset({"hidden value", "hidden options"})


@dataclass(frozen=True, kw_only=True)
class SchemaSnapshot:
    """All objects of a database: `column public.patients.allergy` → {`type`: `text`, ...}.

    Only what is not PostgreSQL's default is there, as canonical text.
    """

    objects: Mapping[str, Mapping[str, str]]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the meaning, in hexadecimal."""
        text = json.dumps(self.objects, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def as_restored(self) -> "SchemaSnapshot":
        """What a restore can bring back: a dump names an extension and not its version (the server's default is installed)."""
        return self.without({"version"})

    def without(self, properties: AbstractSet[str]) -> "SchemaSnapshot":
        """Leave properties out: `{"owner", "privileges"}` where the copy stands on a server that lacks the roles."""
        kept = {name: {key: value for key, value in held.items() if key not in properties} for name, held in self.objects.items()}
        return SchemaSnapshot(objects=kept)


@dataclass(frozen=True)
class Difference:
    """One object, or one property of it, that is not the same: a line for a person."""

    object: str
    property: str | None = None  #: None: the object as a whole
    before: str | None = None  #: None: was not there, or had its default
    after: str | None = None

    def __str__(self) -> str:
        if self.property is None:
            return f"{self.object} is {'new' if self.before is None else 'missing'}"
        before, after = excerpts(self.before, self.after)
        return f"{self.object}: {self.property} is {after}, was {before}"


def diff(before: SchemaSnapshot, after: SchemaSnapshot) -> tuple[Difference, ...]:
    """Return every difference, objects in order of their names."""
    return tuple(differences(before.objects, after.objects))


def differences(before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]]) -> Iterator[Difference]:
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was is None or now is None:
            yield Difference(name, None, None if was is None else name, None if now is None else name)
            continue
        for key in sorted(was.keys() | now.keys()):
            if was.get(key) != now.get(key):
                yield Difference(name, key, was.get(key), now.get(key))


def excerpts(before: str | None, after: str | None) -> tuple[str, str]:
    """Return both values on one line each, long ones from shortly before the place where they part."""
    if before is None or after is None:
        return shown(before, 0), shown(after, 0)
    length = min(len(before), len(after))
    parting = next((place for place in range(length) if before[place] != after[place]), length)
    start = max(0, parting - LEAD) if max(len(before), len(after)) > EXCERPT else 0
    return shown(before, start), shown(after, start)


def shown(value: str | None, start: int) -> str:
    if value is None:
        return "not set"
    end = start + EXCERPT
    return ("…" if start else "") + value[start:end].replace("\n", "\\n") + ("…" if len(value) > end else "")
