"""What a revision declares about itself: the `# SAFETY:` comment in its file, or its entry in `safety.toml`.

A declaration is a claim, not the truth, and nothing is ever guessed from a typing error: that is a problem with a line.
"""

import difflib
import hashlib
import io
import re
import tokenize
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Declared(StrEnum):
    """What a revision may declare."""

    NON_DESTRUCTIVE = "NON_DESTRUCTIVE"  #: no data is lost; it runs without a question
    DESTRUCTIVE = "DESTRUCTIVE"  #: data is lost; the operator is asked


def line(declared: Declared) -> str:
    """Return the comment that declares this."""
    return f"# SAFETY: {declared}"


class Source(StrEnum):
    """Where a declaration was found."""

    COMMENT = "comment"
    SAFETY_FILE = "safety.toml"


EITHER = f'"{line(Declared.NON_DESTRUCTIVE)}" or "{line(Declared.DESTRUCTIVE)}"'


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """What a revision declares, or why that is not known: exactly one of `declared` and `problem` is set."""

    declared: Declared | None = None
    problem: str | None = None  #: a clause, such as: line 3 says "DESTRUCTVE"
    fix: str | None = None  #: what to do about the problem; None where the file simply says nothing
    reason: str | None = None  #: the text of `# SAFETY-REASON:`
    source: Source = Source.COMMENT

    @property
    def is_missing(self) -> bool:
        return self.declared is None and self.fix is None


MISSING = "the file has no # SAFETY: comment"


def read(source: bytes) -> Annotation:
    """Read the annotation of a revision file: comment tokens only, anywhere in the file, in the file's own encoding."""
    lines = source.replace(b"\r\n", b"\n").replace(b"\r", b"\n")  # any of the three ends a line for Python
    try:
        comments = [
            (token.start[0], token.string)
            for token in tokenize.tokenize(io.BytesIO(lines).readline)
            if token.type == tokenize.COMMENT
        ]
    except (tokenize.TokenError, SyntaxError, ValueError, LookupError, RecursionError) as error:
        # Half a file may hide the second of two values. (ValueError: wrong bytes. LookupError: an unknown encoding.)
        return Annotation(problem=f"the file cannot be read as Python ({type(error).__name__})", fix="make the file valid Python")
    return _judge(comments)


EXACT = re.compile(r"#+\s*SAFETY\s*:(?P<value>.*)")
REASON = re.compile(r"#+\s*SAFETY-REASON\s*:(?P<text>.*)")
#: A comment that might be a try: one word, perhaps a mark, then the rest.
TRY = re.compile(r"[#!\s]*(?P<word>[A-Za-z]+)\s*(?P<mark>[:=-]*)\s*(?P<rest>.*)")
#: An annotation behind other text: it may be one, or a remark about one.
LATER = re.compile(r"#\s*SAFETY\s*:")
VALUES = tuple(Declared)


def _judge(comments: list[tuple[int, str]]) -> Annotation:
    values: dict[Declared, int] = {}
    reason = None
    for number, comment in comments:
        if match := REASON.fullmatch(comment):
            reason = match["text"].strip() or reason
        elif match := EXACT.fullmatch(comment):
            value = match["value"].strip()
            if value not in VALUES:
                return _unknown(number, value, reason)
            values.setdefault(Declared(value), number)
        elif _is_a_try(comment):
            problem = f"line {number}, {_quoted(comment)}, looks like a safety annotation but is not one"
            return Annotation(problem=problem, fix=f"change line {number} to {EITHER}", reason=reason)
    if len(values) > 1:
        said = " and ".join(f"line {number} says {value}" for value, number in sorted(values.items(), key=lambda item: item[1]))
        return Annotation(problem=said, fix="keep one of the two comments", reason=reason)
    if not values:
        return Annotation(problem=MISSING, reason=reason)
    return Annotation(declared=next(iter(values)), reason=reason)


def _unknown(number: int, value: str, reason: str | None) -> Annotation:
    said = f"{_quoted(value)}, which is not a value" if value else "nothing after SAFETY:"
    meant = _closest(value)
    right = f'"{line(meant)}", if that is what it means' if meant else EITHER
    return Annotation(problem=f"line {number} says {said}", fix=f"change line {number} to {right}", reason=reason)


def _is_a_try(comment: str) -> bool:
    """Tell whether a comment was meant as an annotation: a word like SAFETY, then a value or something like it.

    `# Safety: the lock is short` is prose; `# SAFTEY: DESTRUCTIVE` and `# safety DESTRUCTIVE` are tries.
    """
    if LATER.search(comment, 1):
        return True
    match = TRY.fullmatch(comment)
    if match is None or not _resembles(match["word"].upper(), "SAFETY"):
        return False
    words = match["rest"].split()
    return _closest(match["rest"]) is not None or (bool(words) and _closest(words[0]) is not None)


def _closest(text: str) -> Declared | None:
    """Return the value that a text was probably meant as."""
    word = re.sub(r"[\s-]+", "_", text.strip().upper())[:40]
    found = difflib.get_close_matches(word, VALUES, n=1, cutoff=0.8)
    return Declared(found[0]) if found else None


def _resembles(word: str, other: str) -> bool:
    return difflib.SequenceMatcher(None, word[:20], other).ratio() >= 0.75  # noqa: PLR2004 - two letters of SAFETY exchanged


def _quoted(text: str) -> str:
    short = " ".join(text.split())
    return f'"{short[:60]}…"' if len(short) > 60 else f'"{short}"'  # noqa: PLR2004 - room for it in a message


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One revision in `safety.toml`: a declaration about a file that is not ours to edit, bound to that file's bytes."""

    revision: str
    sha256: str
    declared: Declared
    reason: str


@dataclass(frozen=True, kw_only=True)
class SafetyFile:
    """What `safety.toml` holds. An entry with a problem does not count, and the problem is said where it would have."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)  #: revision → what is wrong with its entry
    problem: str | None = None  #: what is wrong with the file as a whole

    def annotation(self, revision: str, source: bytes) -> Annotation:
        """Return what counts for a revision: its comment, or its entry where the file has no comment. Never both, different."""
        comment = read(source)
        entry = self.entries.get(revision)
        if entry is None:
            return self._with_problem(revision, comment)
        checksum = hashlib.sha256(source).hexdigest()
        if entry.sha256 != checksum:
            problem = f"the entry in safety.toml is for other bytes of the file (sha256 {entry.sha256[:12]}, not {checksum[:12]})"
            fix = f'look at the file again, then set sha256 = "{checksum}" in safety.toml'
            return Annotation(problem=problem, fix=fix, source=Source.SAFETY_FILE) if comment.is_missing else comment
        if comment.is_missing:
            return Annotation(declared=entry.declared, reason=entry.reason, source=Source.SAFETY_FILE)
        if comment.declared not in {None, entry.declared}:
            said = f"the comment says {comment.declared} and safety.toml says {entry.declared}"
            return Annotation(problem=said, fix="remove the entry from safety.toml, or make both say the same")
        return comment

    def _with_problem(self, revision: str, comment: Annotation) -> Annotation:
        problem = self.problems.get(revision) or self.problem
        if problem is None or not comment.is_missing:
            return comment
        fix = "correct safety.toml, or add the comment to the file"
        return Annotation(problem=f"{MISSING}, and in safety.toml {problem}", fix=fix, source=Source.SAFETY_FILE)


def from_safety_file(text: str) -> SafetyFile:
    """Read `safety.toml`: a `[[revision]]` table for each file that is not ours to edit. Wrong tables become problems.

    A table has four keys, all needed: `id`, the revision; `sha256` of the bytes of its file, in hexadecimal; `value`,
    NON_DESTRUCTIVE or DESTRUCTIVE; `reason`.
    """
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError):
        return SafetyFile(problem="the text is not valid TOML")
    tables = content.get("revision")
    if set(content) - {"revision"} or not isinstance(tables, list | None):
        return SafetyFile(problem="only [[revision]] tables are known")
    entries: dict[str, Entry] = {}
    problems: dict[str, str] = {}
    for table in tables or []:
        if not isinstance(table, dict) or not isinstance(table.get("id"), str):
            return SafetyFile(problem="a [[revision]] table has no id")
        revision = table["id"]
        if revision in entries or revision in problems:
            problems[revision] = "its revision has two tables"
        elif wrong := _wrong(table):
            problems[revision] = wrong
        else:
            entries[revision] = _entry(table)
    return SafetyFile(entries={key: value for key, value in entries.items() if key not in problems}, problems=problems)


def _wrong(table: dict[str, Any]) -> str | None:
    missing = [key for key in ("sha256", "value", "reason") if not isinstance(table.get(key), str) or not table[key].strip()]
    if missing:
        return f"its table lacks {' and '.join(missing)}"
    if unknown := sorted(set(table) - {"id", "sha256", "value", "reason"}):
        return f"its table has an unknown key {_quoted(unknown[0])}"
    if not re.fullmatch(r"[0-9a-fA-F]{64}", table["sha256"].strip()):
        return "its sha256 is not 64 hexadecimal digits"
    if table["value"] not in VALUES:
        return f"its value {_quoted(table['value'])} is neither NON_DESTRUCTIVE nor DESTRUCTIVE"
    return None


def _entry(table: dict[str, Any]) -> Entry:
    return Entry(
        revision=table["id"],
        sha256=table["sha256"].strip().lower(),
        declared=Declared(table["value"]),
        reason=table["reason"].strip(),
    )
