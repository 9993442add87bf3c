"""Reading `# SAFETY:` comments and safety.toml: a declaration is exact, or it is a problem with a line."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration_pipeline.domain import annotations
from migration_pipeline.domain.annotations import Declared

EITHER = '"# SAFETY: NON_DESTRUCTIVE" or "# SAFETY: DESTRUCTIVE"'


@pytest.mark.parametrize(
    ("source", "declared"),
    [
        ("# SAFETY: DESTRUCTIVE", Declared.DESTRUCTIVE),
        ("# SAFETY: NON_DESTRUCTIVE\n", Declared.NON_DESTRUCTIVE),
        ("#SAFETY:DESTRUCTIVE", Declared.DESTRUCTIVE),
        ("##   SAFETY  :   NON_DESTRUCTIVE   ", Declared.NON_DESTRUCTIVE),
        ('"""A docstring."""\n\n\ndef upgrade():\n    pass  # SAFETY: DESTRUCTIVE\n', Declared.DESTRUCTIVE),
        ("# SAFETY: DESTRUCTIVE\nx = 1\n# SAFETY: DESTRUCTIVE\n", Declared.DESTRUCTIVE),
        ("# Safety: the lock is short.\n# SAFETY: DESTRUCTIVE\n", Declared.DESTRUCTIVE),
        ("\ufeff# SAFETY: DESTRUCTIVE\n", Declared.DESTRUCTIVE),
        ("# SAFETY: DESTRUCTIVE\r\nx = 1\r\n", Declared.DESTRUCTIVE),
    ],
)
def test_an_exact_comment_declares(source, declared):
    assert annotations.read(source.encode()) == annotations.Annotation(declared=declared)


def test_the_encoding_cookie_is_honoured():
    source = "# -*- coding: latin-1 -*-\n# é\n# SAFETY: DESTRUCTIVE\n".encode("latin-1")
    assert annotations.read(source).declared is Declared.DESTRUCTIVE


def test_a_reason_is_read():
    found = annotations.read(b"# SAFETY: DESTRUCTIVE\n# SAFETY-REASON: the column was never used\n")
    assert (found.declared, found.reason) == (Declared.DESTRUCTIVE, "the column was never used")


@pytest.mark.parametrize(
    "source",
    [
        "",
        "x = 1\n",
        'x = "# SAFETY: DESTRUCTIVE"\n',
        '"""\n# SAFETY: DESTRUCTIVE\n"""\n',
        "# Safety: nothing to see\n",
        "# safe\n",
    ],
)
def test_a_file_that_says_nothing_is_missing_its_annotation(source):
    found = annotations.read(source.encode())
    assert (found.declared, found.problem, found.fix) == (None, "the file has no # SAFETY: comment", None)
    assert found.is_missing


@pytest.mark.parametrize(
    ("source", "problem", "fix"),
    [
        (
            "# SAFETY: DESTRUCTIVE\n\n# SAFETY: NON_DESTRUCTIVE\n",
            "line 1 says DESTRUCTIVE and line 3 says NON_DESTRUCTIVE",
            "keep one of the two comments",
        ),
        (
            "# SAFETY: DESTRUCTVE",
            'line 1 says "DESTRUCTVE", which is not a value',
            'change line 1 to "# SAFETY: DESTRUCTIVE", if that is what it means',
        ),
        (
            "# SAFETY: NON-DESTRUCTIVE",
            'line 1 says "NON-DESTRUCTIVE", which is not a value',
            'change line 1 to "# SAFETY: NON_DESTRUCTIVE", if that is what it means',
        ),
        (
            "# SAFETY: destructive",
            'line 1 says "destructive", which is not a value',
            'change line 1 to "# SAFETY: DESTRUCTIVE", if that is what it means',
        ),
        ("# SAFETY: maybe", 'line 1 says "maybe", which is not a value', f"change line 1 to {EITHER}"),
        ("# SAFETY:", "line 1 says nothing after SAFETY:", f"change line 1 to {EITHER}"),
        (
            "# SAFETY: NON_DESTRUCTIVE or DESTRUCTIVE",
            'line 1 says "NON_DESTRUCTIVE or DESTRUCTIVE", which is not a value',
            f"change line 1 to {EITHER}",
        ),
        (
            "x = 1\n# SAFTEY: DESTRUCTIVE",
            'line 2, "# SAFTEY: DESTRUCTIVE", looks like a safety annotation but is not one',
            f"change line 2 to {EITHER}",
        ),
        (
            "# safety: destructive",
            'line 1, "# safety: destructive", looks like a safety annotation but is not one',
            f"change line 1 to {EITHER}",
        ),
        (
            "# SAFETY = DESTRUCTIVE",
            'line 1, "# SAFETY = DESTRUCTIVE", looks like a safety annotation but is not one',
            f"change line 1 to {EITHER}",
        ),
        (
            "x = 1  # noqa  # SAFETY: DESTRUCTIVE",
            'line 1, "# noqa # SAFETY: DESTRUCTIVE", looks like a safety annotation but is not one',
            f"change line 1 to {EITHER}",
        ),
        ("x = (", "the file cannot be read as Python (TokenError)", "make the file valid Python"),
        ("# -*- coding: nonsense -*-\n", "the file cannot be read as Python (SyntaxError)", "make the file valid Python"),
    ],
)
def test_what_is_not_exact_is_a_problem_with_its_fix(source, problem, fix):
    found = annotations.read(source.encode())
    assert (found.declared, found.problem, found.fix) == (None, problem, fix)


def test_a_typing_error_beside_a_valid_comment_is_still_a_problem():
    found = annotations.read(b"# SAFETY: NON_DESTRUCTIVE\n# SAFTEY: DESTRUCTIVE\n")
    assert found.declared is None


FILE = b"revision = 'a1b2c3'\n"
SHA256 = hashlib.sha256(FILE).hexdigest()


def table(**changes):
    keys = {"id": "a1b2c3", "sha256": SHA256, "value": "NON_DESTRUCTIVE", "reason": "adds a table"} | changes
    return "[[revision]]\n" + "".join(f'{key} = "{value}"\n' for key, value in keys.items() if value is not None)


def test_an_entry_declares_for_a_file_that_says_nothing():
    found = annotations.from_safety_file(table()).annotation("a1b2c3", FILE)
    assert found == annotations.Annotation(
        declared=Declared.NON_DESTRUCTIVE, reason="adds a table", source=annotations.Source.SAFETY_FILE
    )


def test_an_entry_for_other_bytes_does_not_count_and_says_so():
    changed = FILE + b"x = 1\n"
    found = annotations.from_safety_file(table()).annotation("a1b2c3", changed)
    checksum = hashlib.sha256(changed).hexdigest()
    assert found.declared is None
    assert found.problem == f"the entry in safety.toml is for other bytes of the file (sha256 {SHA256[:12]}, not {checksum[:12]})"
    assert found.fix == f'look at the file again, then set sha256 = "{checksum}" in safety.toml'


def test_a_comment_and_an_entry_that_differ_are_a_problem():
    source = FILE + b"# SAFETY: DESTRUCTIVE\n"
    entries = annotations.from_safety_file(table(sha256=hashlib.sha256(source).hexdigest()))
    found = entries.annotation("a1b2c3", source)
    assert found.problem == "the comment says DESTRUCTIVE and safety.toml says NON_DESTRUCTIVE"


def test_a_comment_counts_where_the_entry_is_out_of_date():
    assert annotations.from_safety_file(table()).annotation("a1b2c3", b"# SAFETY: DESTRUCTIVE\n").declared is Declared.DESTRUCTIVE


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (table(value="HARMLESS"), 'its value "HARMLESS" is neither NON_DESTRUCTIVE nor DESTRUCTIVE'),
        (table(reason=None), "its table lacks reason"),
        (table(reason=" ", sha256=None), "its table lacks sha256 and reason"),
        (table(sha256="abc"), "its sha256 is not 64 hexadecimal digits"),
        (table(note="x"), 'its table has an unknown key "note"'),
        (table() + table(), "its revision has two tables"),
        ("[[revision", "the text is not valid TOML"),
        ("revision = 1", "only [[revision]] tables are known"),
        ("[[revision]]\nvalue = 'DESTRUCTIVE'", "a [[revision]] table has no id"),
    ],
)
def test_a_wrong_entry_does_not_count_and_says_why(text, problem):
    found = annotations.from_safety_file(text).annotation("a1b2c3", FILE)
    assert found.declared is None
    assert found.problem == f"the file has no # SAFETY: comment, and in safety.toml {problem}"
    assert found.fix == "correct safety.toml, or add the comment to the file"


def test_a_wrong_entry_does_not_touch_the_other_revisions():
    assert annotations.from_safety_file(table() + table(id="b2c3d4", value="?")).annotation("a1b2c3", FILE).declared is not None


@given(st.binary())
def test_no_bytes_make_reading_raise(source):
    annotations.read(source)


@given(st.text())
def test_no_text_makes_reading_raise(text):
    annotations.read(f"# {text}".encode(errors="surrogatepass"))
    annotations.read(f"# -*- coding: {text} -*-\n# SAFETY: {text}".encode(errors="surrogatepass"))
    annotations.from_safety_file(text).annotation("a", b"")
    annotations.from_safety_file(f"[[revision]]\n{text}").annotation("a", b"")
