"""`# SAFETY:` comments and `safety.toml`: a declaration that stands there to the letter, or a problem with what to do about it."""

import hashlib
import io
import re
import tokenize
from types import SimpleNamespace

import pytest
from hypothesis import example, given

from migration_pipeline import errors
from migration_pipeline.adapters import pending
from migration_pipeline.domain import annotations, safety
from migration_pipeline.domain.annotations import Declared
from migration_pipeline_tests.bad_input.bad import ODD, Tally, damaged, edited, made, snapshot

RIGHT = """\
"Drop the ward."

# SAFETY: DESTRUCTIVE
# SAFETY-REASON: nobody reads it

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.execute("ALTER TABLE patients DROP COLUMN ward")  # gone
"""
COMMENTS = ["# SAFETY: DESTRUCTIVE", "# SAFETY: NON_DESTRUCTIVE", "# SAFETY: NON-DESTRUCTIVE", "# SAFTEY: DESTRUCTIVE", "# safety: destructive", "#SAFETY:DESTRUCTIVE",
            "# SAFETY: DЕSTRUCTIVE", "# ＳＡＦＥＴＹ: DESTRUCTIVE", "# SAFETY： DESTRUCTIVE", "# SAFETY:\u200bDESTRUCTIVE", "# SAFETY:\xa0DESTRUCTIVE", "# SAFETY: \u202eDESTRUCTIVE",
            "# SAFETY:", "# SAFETY: \x1b[2J", "# SAFETY: DESTRUCTIVE # SAFETY: NON_DESTRUCTIVE", "#\tSAFETY\t:\tDESTRUCTIVE\t", "# SAFETY:\x0bDESTRUCTIVE", "# SAFETY: [/x]",
            "# SAFETY: " + "D" * 5000, "# SAFETY-REASON:", "# SAFETY-REASON: \x1b[2J", '"""# SAFETY: DESTRUCTIVE"""', "'# SAFETY: DESTRUCTIVE'", '"""', "'''", "\\", "\t", "  x",
            "# -*- coding: latin-1 -*-", "# coding: rot13", "# coding: utf-7", "# coding: gone", "# coding: utf-16", "# coding: undefined", "# coding: punycode", "# coding: idna",
            "# vim: set fileencoding=\x00 :", "(" * 300, "f'{", "x = 0777", "¬", "\x0c", "# c\r# SAFETY: NON_DESTRUCTIVE", "#\u2028 SAFETY: NON_DESTRUCTIVE"]  # fmt: skip
QUOTES = re.compile(r"\"{3}|'{3}|\\$", re.MULTILINE)  #: a comment may stand in a text of several lines
LINES = RIGHT.splitlines()


def source(random):
    """Return the bytes of a revision's file: lines lost, doubled or strange, edits anywhere, damaged bytes."""
    chance = random.random()
    if chance < 0.03:
        return random.randbytes(random.randint(0, 200))
    lines = list(LINES)
    for _ in range(random.randint(1, 3)):
        place = random.choice([0, 2, 3, random.randint(0, len(lines))])
        lines[place : place + random.randint(0, 1)] = [random.choice(COMMENTS)]
    text = "\n".join(lines) + "\n"
    if chance < 0.05:
        text = text + "x = 1\n" * 2000
    return damaged(random, text if chance < 0.5 else edited(random, text, (*ODD, *COMMENTS)))


def refusal(annotation):
    """Return the error that a revision without a declaration ends in."""
    report = safety.classify(
        annotations={"0002": annotation},
        files={"0002": "versions/0002.py"},
        statements=[],
        measured=None,
        version_table="alembic_version",
    )
    with pytest.raises(errors.NotClassified) as refused:
        report.raise_if_refused()
    return refused.value


def decoded(content):
    """Return what Python reads: in the file's own encoding, and each of its three ends of a line as one."""
    lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    encoding, _ = tokenize.detect_encoding(io.BytesIO(lines).readline)
    return lines.decode(encoding)


def test_a_comment_declares_to_the_letter_or_is_a_problem_with_a_way_out():
    tally = Tally("comments of revisions")

    @given(made(source))
    @example(b"# SAFETY: NON_DESTRUCTIVE\n# c\r# SAFETY: DESTRUCTIVE\n")
    @example(b"# SAFETY: DESTRUCTIVE\rx = 1\r")
    @example(b"# SAFETY: DESTRUCTIVE\x00\n")
    def prove(content):
        found = annotations.read(content)
        assert (found.declared is None) != (found.problem is None)
        if found.declared is None:
            assert found.is_missing or found.fix
            tally.refused(refusal(found))
            return
        tally.value()
        text = decoded(content)
        assert re.search(rf"#\s*SAFETY\s*:\s*{found.declared}\s*$", text, re.MULTILINE), content
        other = ({*Declared} - {found.declared}).pop()
        assert QUOTES.search(text) or not re.search(rf"^# SAFETY: {other}$", text, re.MULTILINE), content

    tally.run(prove)


SHA = hashlib.sha256(b"x = 1\n").hexdigest()
SAFETY = f"""\
[[revision]]
id = "0001"
sha256 = "{SHA}"
value = "NON_DESTRUCTIVE"
reason = "a vendor's file"

[[revision]]
id = "0002"
sha256 = "{SHA}"
value = "DESTRUCTIVE"
reason = "as above"
"""
WRONG = ['""', '" "', "1", "nan", "true", "[]", "{}", "1979-05-27", "9" * 5000, '"0001"', '"\\u001b[2J"', '"[/x]"', '"\\u0000"', '"DESTRUCTIV"', f'"{"x" * 5000}"', f'"{SHA}"',
         f'"{SHA.upper()}"', f'" {SHA}"', '"\\u0665"', '"""a\nb"""', "1e999", '["x"]']  # fmt: skip
TABLES = ["[[revision]]\n", "[revision]\n", "[[revisions]]\n", "revision = 1\n", "revision = []\n", "revision = [1]\n", 'id = "x"\n', "[[revision]]\nid = 1\n", "x = 1\n", '"\\u001b[2J" = 1\n',
          "x = " + "[" * 5000 + "\n", "[[revision.x]]\n", "\x1b[2J\n", "# \x00\n"]  # fmt: skip


def safety_file(random):
    chance = random.random()
    lines = SAFETY.splitlines(keepends=True)
    for _ in range(random.randint(1, 2)):
        place = random.randrange(len(lines))
        key = random.choice(["id", "sha256", "value", "reason", "why"])
        lines[place : place + random.randint(0, 1)] = [
            f"{key} = {random.choice(WRONG)}\n" if random.random() < 0.6 else random.choice(TABLES)
        ]
    text = "".join(lines)
    return damaged(random, text if chance < 0.6 else edited(random, text))


def test_a_safety_file_declares_to_the_letter_or_its_problem_is_said(tmp_path):
    tally = Tally("safety files")
    path = tmp_path / "safety.toml"
    for revision in ("0001", "0002"):
        (tmp_path / f"{revision}.py").write_text("x = 1\n")
    plan = SimpleNamespace(
        revisions=[SimpleNamespace(id=revision, path=str(tmp_path / f"{revision}.py")) for revision in ("0001", "0002")]
    )
    path.write_text(SAFETY)
    right = {revision: one.declared for revision, one in pending.annotations_of(plan, path).items()}
    assert right == {"0001": Declared.NON_DESTRUCTIVE, "0002": Declared.DESTRUCTIVE}

    @given(made(safety_file))
    @example(b"\xef\xbb\xbf" + SAFETY.encode())
    def prove(content):
        path.write_bytes(content)
        before = snapshot(tmp_path)
        found = pending.annotations_of(plan, path)
        assert snapshot(tmp_path) == before
        wrong = [refusal(one) for one in found.values() if one.declared is None]
        tally.refused(*wrong) if wrong else tally.value()
        for revision, one in found.items():
            assert one.declared in {None, right[revision]} or f'"{one.declared}"'.encode() in content.replace(b"\x00", b"")

    tally.run(prove)
