"""Lists and tables as Dagster takes them, in which no name of a table reads as Markdown."""

import re
from collections.abc import Iterable
from typing import Any

import dagster as dg

Metadata = dict[str, Any]
MARKDOWN = re.compile(r"[\\`*_\[\]<>#|]")


def listed(lines: Iterable[str], nothing: str = "none") -> dg.MetadataValue[Any]:
    return dg.MetadataValue.md(bullets(lines) or nothing)


def bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {plain(line)}" for line in lines)


def plain(line: str) -> str:
    """Return a sentence in which no name of a table reads as Markdown."""
    return MARKDOWN.sub(r"\\\g<0>", line)


def table(rows: list[dict[str, Any]]) -> dg.MetadataValue[Any]:
    if not rows:
        return dg.MetadataValue.text("none")
    return dg.MetadataValue.table([dg.TableRecord({key: str(value) for key, value in row.items()}) for row in rows])
