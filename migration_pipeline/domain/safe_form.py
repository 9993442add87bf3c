"""The text of a safe form, as it is shown: statements, and comments that say when each is sent."""

import contextlib
from collections.abc import Sequence

from migration_pipeline.domain import redaction, spelling, sql
from migration_pipeline.domain.finders import Hit
from migration_pipeline.domain.rule import SafeForm


def written(write: SafeForm, node: sql.Node, hits: Sequence[Hit], *, text: str, source: str) -> str | None:
    """Return the safe form of what a rule sees in a statement, or None where there is none.

    As of any statement, a literal is shown only when it stands in the source. A text in which a number was hidden was read
    with another one: the form would hold that.
    """
    if sql.HIDDEN in text and not spelling.is_readable(text):
        return None
    with contextlib.suppress(*spelling.UNPRINTABLE):
        return "\n".join(_lines(write, node, hits, source)) or None
    return None


def _lines(write: SafeForm, node: sql.Node, hits: Sequence[Hit], source: str) -> list[str]:
    lines: list[str] = []
    last = ""
    for when, one, literal in dict.fromkeys(step for hit in hits for step in write(node, hit)):
        if when != last and when:
            lines.append(f"-- {when}:")
        last = when
        shown = redaction.statement(one, f"{source} '{literal}'" if literal else source)
        if "\n" in shown or sql.parse(shown, has_parameters=False).tree is None:  # no line, or not what was meant
            return []
        lines.append(f"{shown};")
    return lines
