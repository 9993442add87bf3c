"""Privileges as the catalog prints them, `reader=r/owner, =U/owner`, and what two such lists have not in common."""

import re
from collections.abc import Iterator

from migration_pipeline.domain.downgrades import Finding, Kind
from migration_pipeline.domain.mending import execute
from migration_pipeline.domain.schema_names import Name

#: https://www.postgresql.org/docs/current/ddl-priv.html
LETTERS = {
    "r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE", "D": "TRUNCATE", "x": "REFERENCES", "t": "TRIGGER",
    "m": "MAINTAIN", "X": "EXECUTE", "U": "USAGE", "C": "CREATE", "c": "CONNECT", "T": "TEMPORARY",
}  # fmt: skip
ITEM = re.compile(r'((?:"(?:[^"]|"")*"|[^=,"])*)=([a-zA-Z*]*)/')
#: Kinds that nobody but the owner has a privilege on until somebody grants it, and how GRANT calls them.
KINDS = {"table": "", "view": "", "materialized view": "", "foreign table": "", "sequence": "SEQUENCE ", "schema": "SCHEMA "}


def findings(name: Name, was: str | None, now: str | None, owner: str) -> Iterator[Finding]:
    """Yield what was granted and is not any more, then what is granted and was not."""
    if name.kind not in KINDS or "*" in f"{was}{now}":
        yield Finding(kind=Kind.CHANGED, what=f"{name}: its privileges are {now or 'the default'}, were {was or 'the default'}")
        return
    before, after = _granted(was, owner), _granted(now, owner)
    if before == after:
        yield Finding(kind=Kind.CHANGED, what=f"{name}: the owner's own privileges are not what they were")
    on = f"{KINDS[name.kind]}{name.short}"
    for grantee in sorted(before.keys() | after.keys()):
        gone = sorted(before.get(grantee, set()) - after.get(grantee, set()))
        new = sorted(after.get(grantee, set()) - before.get(grantee, set()))
        if gone:
            what = f"{name}: {', '.join(gone)} is not granted to {grantee} any more"
            yield Finding(kind=Kind.LOST, what=what, add=(execute(f"GRANT {', '.join(gone)} ON {on} TO {grantee}"),))
        if new:
            what = f"{name}: {', '.join(new)} is granted to {grantee}"
            yield Finding(kind=Kind.RESIDUE, what=what, add=(execute(f"REVOKE {', '.join(new)} ON {on} FROM {grantee}"),))


def _granted(items: str | None, owner: str) -> dict[str, set[str]]:
    """Return the privileges by grantee; the owner's own, which nobody grants, are left out."""
    found: dict[str, set[str]] = {}
    for grantee, letters in ITEM.findall(items or ""):
        who = grantee.strip(" ,") or "PUBLIC"
        if who != owner:
            found.setdefault(who, set()).update(LETTERS.get(letter, letter) for letter in letters)
    return found
