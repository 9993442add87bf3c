"""What a revision that declares nothing should say: the comment, why it says so, and the file's new bytes.

It fails closed: what is not known to lose nothing is DESTRUCTIVE. But for the comment, a file keeps every byte.
"""

import ast
import codecs
import difflib
import io
import json
import re
import tokenize
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from migration_pipeline import errors
from migration_pipeline.domain import annotations, effects, rules, safety
from migration_pipeline.domain.annotations import Annotation, Declared
from migration_pipeline.domain.prediction import Finding
from migration_pipeline.domain.rules import Grade

NEEDS_A_REHEARSAL = "needs a rehearsal: "
MOST_SHOWN = 100  # characters of a reason
COOKIE = re.compile(rb"[ \t\f]*#.*?coding[:=][ \t]*[-\w.]+")


class NotEditable(Exception):
    """The comment cannot be put into this file; the text is a clause that says why."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What a revision should declare, and what decided it."""

    declared: Declared
    reason: str  #: one line, printable


def predicted(revision: str, statements: Sequence[effects.Statement], *, version_table: str, source: str) -> tuple[Finding, ...]:
    """Return what one revision's SQL does, whoever runs it: what an earlier revision made counts as there."""
    found = safety.predict(statements, version_table=version_table, sources={revision: source})
    return tuple(finding for finding in found if finding.grade in {Grade.LOSES_DATA, Grade.UNKNOWN})


def is_sure(finding: Finding) -> bool:
    """Tell whether data is lost whatever the rows are."""
    return finding.grade is Grade.LOSES_DATA and finding.certain


def propose(
    findings: Sequence[Finding], *, sent: int, unknown: str | None, harmless_calls: Sequence[str] | None = None
) -> Proposal:
    """Propose what findings about `sent` statements mean; `unknown` says why these are not all.

    `harmless_calls` are all that may follow on what the database answers.
    """
    if sure := [finding for finding in findings if is_sure(finding)]:
        return destructive(clause(sure))
    if unknown is not None:
        return destructive(NEEDS_A_REHEARSAL + unknown)
    if findings:
        return destructive(NEEDS_A_REHEARSAL + clause(findings))
    if harmless_calls is not None:
        told = f"none of its calls loses data: {', '.join(harmless_calls)}" if harmless_calls else "it sends no SQL"
        return Proposal(declared=Declared.NON_DESTRUCTIVE, reason=f"whatever is there, {told}")
    statements = f"{sent:,} statement{'' if sent == 1 else 's'}"
    why = f"none of its {statements} loses data" if sent > 1 else f"its {statements} loses no data" if sent else "it sends no SQL"
    return Proposal(declared=Declared.NON_DESTRUCTIVE, reason=why)


def destructive(reason: str) -> Proposal:
    """Return the proposal that is right wherever it is not known that nothing is lost."""
    return Proposal(declared=Declared.DESTRUCTIVE, reason=_one_line(reason))


def clause(findings: Sequence[Finding]) -> str:
    """Return the first of the findings in words, and how many more there are."""
    first = findings[0]
    told = f"{first.name}: {', '.join(first.objects)}" if first.objects else first.name
    more = len(dict.fromkeys((one.rule, one.objects) for one in findings)) - 1
    return shortened(told) + (f", and {more:,} more" if more else "")


def shortened(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…"


def _one_line(text: str) -> str:
    return " ".join(errors.printable(text).split())


def comment(proposal: Proposal) -> list[str]:
    """Return the lines that declare it. In a file's first two lines, "coding:" would name an encoding."""
    reason = re.sub("coding([:=])", r"coding \1", proposal.reason)
    return [annotations.line(proposal.declared), f"# SAFETY-REASON: {reason}"]


def with_comment(source: bytes, proposal: Proposal) -> bytes:
    """Return a file's bytes with the comment put in; raise NotEditable where the result would not mean the same."""
    before = _meaning(source)
    encoding, _ = tokenize.detect_encoding(io.BytesIO(_unix(source)).readline)
    lines = comment(proposal)
    changed = _with_lines(source, [line.encode(encoding.removesuffix("-sig"), "backslashreplace") for line in lines])
    read = annotations.read(changed)
    if (read.declared, _meaning(changed)) != (proposal.declared, before):
        raise NotEditable("the comment would change what the file means")
    return changed


def _with_lines(source: bytes, comment_lines: Sequence[bytes]) -> bytes:
    mark = codecs.BOM_UTF8 if source.startswith(codecs.BOM_UTF8) else b""
    lines = source[len(mark) :].splitlines(keepends=True)
    after, is_docstring = _place(source, lines)
    ending = _ending(lines)
    added = [*([b""] if is_docstring else []), *comment_lines]
    if after == len(lines) and lines and lines[-1] == lines[-1].rstrip(b"\r\n"):  # the file ends without a newline, and shall
        return mark + b"".join(lines) + b"".join(ending + line for line in added)
    return mark + b"".join([*lines[:after], *(line + ending for line in added), *lines[after:]])


def _place(source: bytes, lines: Sequence[bytes]) -> tuple[int, bool]:
    """Return how many lines stand before the comment, and whether a docstring is among them."""
    tree = _parsed(source)
    if ast.get_docstring(tree, clean=False) is not None:
        ends = (token.end[0] for token in tokenize.tokenize(io.BytesIO(_unix(source)).readline) if token.type == tokenize.NEWLINE)
        return min(next(ends, len(lines)), len(lines)), True
    cookie = next((number for number, line in enumerate(lines[:2], 1) if COOKIE.match(line)), 0)
    return max(cookie, 1 if lines and lines[0].startswith(b"#!") else 0), False


def _ending(lines: Sequence[bytes]) -> bytes:
    first = lines[0] if lines else b""
    return first[len(first.rstrip(b"\r\n")) :] or b"\n"


def _unix(source: bytes) -> bytes:
    return source.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _meaning(source: bytes) -> str:
    return ast.dump(_parsed(source))


def _parsed(source: bytes) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the project's code, such as an escape sequence that is none
            return ast.parse(source)
    except (SyntaxError, ValueError, LookupError, RecursionError, MemoryError) as error:
        raise NotEditable(f"the file cannot be read as Python ({type(error).__name__})") from None


def with_entries(text: str, entries: Mapping[str, tuple[str, Proposal]]) -> str:
    """Return the text of `safety.toml` with entries added: revision → sha256 of its file, proposal. Raise NotEditable."""
    tables = "\n".join(_table(revision, checksum, proposal) for revision, (checksum, proposal) in entries.items())
    ending = "\r\n" if "\r\n" in text else "\n"
    gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    changed = text + (gap + tables).replace("\n", ending)
    read = annotations.from_safety_file(changed.removeprefix("\ufeff"))
    if read.problem is not None or any(
        revision not in read.entries or read.entries[revision].declared is not proposal.declared
        for revision, (_, proposal) in entries.items()
    ):
        raise NotEditable("safety.toml would not say it afterwards")
    return changed


def _table(revision: str, checksum: str, proposal: Proposal) -> str:
    keys = {"id": revision, "sha256": checksum, "value": proposal.declared, "reason": proposal.reason}
    return "[[revision]]\n" + "".join(f"{key} = {json.dumps(str(value), ensure_ascii=False)}\n" for key, value in keys.items())


def diff(before: bytes, after: bytes, path: str, *, is_new: bool = False) -> Iterator[str]:
    """Return the lines of a unified diff, on lines that a terminal only shows."""
    was, now = (_text(source).splitlines(keepends=True) for source in (before, after))
    for line in difflib.unified_diff(was, now, "/dev/null" if is_new else f"a/{path}", f"b/{path}"):
        yield errors.printable(line.rstrip("\r\n"))
        if not line.endswith("\n") and line[:1] in "+- " and not line.endswith("\r"):
            yield "\\ No newline at end of file"


def _text(source: bytes) -> str:
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(_unix(source)).readline)
        return source.decode(encoding)
    except (SyntaxError, LookupError, UnicodeDecodeError):
        return source.decode("utf-8", "replace")


@dataclass(frozen=True, kw_only=True, order=True)
class Fault:
    """One line of `check-annotations`."""

    path: str
    line: int
    message: str


def fault(path: str, annotation: Annotation, line: int | None = None) -> Fault | None:
    """Return what is wrong with what a file declares; None: nothing."""
    if annotation.problem is None:
        return None
    number = re.match(r"line (\d+)", annotation.problem)
    fix = annotation.fix or "just annotate proposes one"
    return Fault(path=path, line=line or (int(number[1]) if number else 1), message=f"{annotation.problem}; {fix}")


def contradiction(path: str, findings: Iterable[Finding], line: int) -> Fault | None:
    """Return that a file declared NON_DESTRUCTIVE surely loses data; None: it does not."""
    if not (sure := [finding for finding in findings if is_sure(finding)]):
        return None
    effect = rules.BY_CODE[sure[0].rule].effect
    said = f'it is annotated NON_DESTRUCTIVE, but loses data: {clause(sure)}: {effect}; change it to "DESTRUCTIVE"'
    return Fault(path=path, line=line, message=said)


def line_of(source: bytes, pattern: bytes) -> int:
    """Return the number of the first line in which a pattern is found, or 1."""
    return next((number for number, line in enumerate(source.splitlines(), 1) if re.search(pattern, line)), 1)


def in_text(found: Fault) -> str:
    return errors.printable(f"{found.path}:{found.line}: {found.message}")


def for_github(found: Fault) -> str:
    """Return a fault as a workflow command of GitHub's, which the log shows beside the line."""
    properties = f"file={_escaped(found.path, is_property=True)},line={found.line}"
    return errors.printable(f"::error {properties}::{_escaped(found.message)}")


def _escaped(text: str, *, is_property: bool = False) -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if is_property else text
