"""The change of the schema that a revision makes, as a text that is committed beside it and read in a review."""

import difflib
import re
from collections.abc import Iterator, Mapping

from migration_pipeline.domain.downgrade_schema import comparable
from migration_pipeline.domain.schema import SchemaSnapshot

HEAD = "# What this revision changes in the schema. Written by: migration-pipeline test-downgrades --write-expected\n"
MOST_LINES = 20  #: of a difference that is shown


def text(before: SchemaSnapshot, after: SchemaSnapshot, role: str) -> str:
    """Return the change, objects in order of their names. `role` is who the check runs as: its name is nobody's business."""
    was, now = (comparable(schema).objects for schema in (before, after))
    lines: list[str] = []
    for name in sorted(was.keys() | now.keys()):
        lines += _object(name, _common(was.get(name), role), _common(now.get(name), role))
    return HEAD + "".join(f"{line}\n" for line in lines)


def _common(properties: Mapping[str, str] | None, role: str) -> dict[str, str] | None:
    """Return the properties that are the same wherever the check runs."""
    if properties is None:
        return None
    own = re.compile(rf"(?<![\w\"]){re.escape(role)}(?=[=,]|$)")
    kept = {key: own.sub("owner", value) if key == "privileges" else value for key, value in properties.items()}
    return {key: value for key, value in kept.items() if (key, value) != ("owner", role)}


def _object(name: str, was: dict[str, str] | None, now: dict[str, str] | None) -> Iterator[str]:
    if was == now:
        return
    yield f"{'+' if was is None else '-' if now is None else '~'} {name}"
    if now is None:
        return
    for key in sorted((was or {}).keys() | now.keys()):
        if was is None:
            yield from _value("  ", key, now[key])
        elif was.get(key) != now.get(key):
            yield from _value("- ", key, was.get(key))
            yield from _value("+ ", key, now.get(key))


def _value(mark: str, key: str, value: str | None) -> Iterator[str]:
    if value is None:
        return
    first, *rest = value.split("\n")
    yield f"  {mark}{key}: {first}".rstrip()
    yield from (f"  {mark}    {line}".rstrip() for line in rest)


def differences(committed: str, found: str) -> list[str]:
    """Return what is not as committed, as lines of a diff without its context."""
    lines = difflib.unified_diff(committed.splitlines(), found.splitlines(), lineterm="", n=0)
    told = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    return [*told[:MOST_LINES], *([f"… and {len(told) - MOST_LINES} lines more"] if len(told) > MOST_LINES else [])]
