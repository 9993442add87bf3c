"""The proposed comment: what it says, where it goes, and that nothing else of the file changes."""

import ast
import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration_pipeline.domain import annotations, proposals
from migration_pipeline.domain.annotations import Declared
from migration_pipeline.domain.effects import Statement
from migration_pipeline.domain.proposals import Fault, NotEditable, Proposal

HARMLESS = Proposal(declared=Declared.NON_DESTRUCTIVE, reason="its 1 statement loses no data")
SAYS = b"# SAFETY: NON_DESTRUCTIVE\n# SAFETY-REASON: its 1 statement loses no data\n"
CRLF = SAYS.replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", SAYS),
        (b"x = 1\n", SAYS + b"x = 1\n"),
        (b"x = 1", SAYS + b"x = 1"),
        (b'"""Title."""\n\nx = 1\n', b'"""Title."""\n\n' + SAYS + b"\nx = 1\n"),
        (b'"""Title."""\nx = 1\n', b'"""Title."""\n\n' + SAYS + b"x = 1\n"),
        (b'"""Title."""', b'"""Title."""\n\n' + SAYS.rstrip(b"\n")),
        (b'"""Title.\n\nMore.\n"""; x = """\n"""\ny = 2\n', b'"""Title.\n\nMore.\n"""; x = """\n"""\n\n' + SAYS + b"y = 2\n"),
        (b"# remark\n'one' \\\n 'two'  # end\nx = 1\n", b"# remark\n'one' \\\n 'two'  # end\n\n" + SAYS + b"x = 1\n"),
        (b"#!/usr/bin/python\nx = 1\n", b"#!/usr/bin/python\n" + SAYS + b"x = 1\n"),
        (
            b"#!/usr/bin/python\n# -*- coding: latin-1 -*-\nx = '\xe9'\n",
            b"#!/usr/bin/python\n# -*- coding: latin-1 -*-\n" + SAYS + b"x = '\xe9'\n",
        ),
        (b"# a remark\n# coding: cp1252\nx = 1\n", b"# a remark\n# coding: cp1252\n" + SAYS + b"x = 1\n"),
        (codecs.BOM_UTF8 + b"x = 1\n", codecs.BOM_UTF8 + SAYS + b"x = 1\n"),
        (b'"""Title."""\r\nx = 1\r\n', b'"""Title."""\r\n\r\n' + CRLF + b"x = 1\r\n"),
        (b"x = 1\r\ny = 2", CRLF + b"x = 1\r\ny = 2"),
        (b"x = 1\ry = 2\r", SAYS.replace(b"\n", b"\r") + b"x = 1\ry = 2\r"),
        (b"x = '\\d'\n", SAYS + b"x = '\\d'\n"),
    ],
)
def test_the_comment_goes_below_the_docstring_or_the_encoding_and_every_other_byte_stays(before, after):
    assert proposals.with_comment(before, HARMLESS) == after
    assert annotations.read(after).declared is Declared.NON_DESTRUCTIVE
    assert annotations.read(after).reason == HARMLESS.reason


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (b"def unfinished(:\n", "the file cannot be read as Python (SyntaxError)"),
        (b"# coding: no-such-thing\nx = 1\n", "the file cannot be read as Python (SyntaxError)"),
        (b"x = '\xe9'\n", "the file cannot be read as Python (SyntaxError)"),
        (b"x = 1\0\n", "the file cannot be read as Python (SyntaxError)"),
        (b"# SAFETY: DESTRUCTIVE\nx = 1\n", "the comment would change what the file means"),
    ],
)
def test_a_file_that_would_not_say_it_afterwards_is_left_alone(source, why):
    with pytest.raises(NotEditable) as refused:
        proposals.with_comment(source, HARMLESS)
    assert str(refused.value) in {why, why.replace("SyntaxError", "ValueError")}


def test_a_reason_names_no_encoding_by_accident():
    proposal = Proposal(declared=Declared.DESTRUCTIVE, reason="column dropped: encoding: x")
    changed = proposals.with_comment(b"x = 1\n", proposal)
    assert changed == b"# SAFETY: DESTRUCTIVE\n# SAFETY-REASON: column dropped: encoding : x\nx = 1\n"


def test_a_name_that_the_encoding_of_the_file_does_not_have_is_written_out():
    proposal = Proposal(declared=Declared.DESTRUCTIVE, reason="table dropped: naïve, 患者")
    changed = proposals.with_comment(b"# coding: latin-1\n", proposal)
    assert changed.splitlines()[2] == b"# SAFETY-REASON: table dropped: na\xefve, \\u60a3\\u8005"


ENDINGS = st.sampled_from(["\n", "\r\n", "\r"])
PIECES = st.lists(
    st.sampled_from(['"""doc"""', "# remark", "", "x = 1", "'''a", "'''", "# -*- coding: utf-8 -*-", "#!/bin/sh", "  ", "\f", "é = 'é'", "(1,", ")", "\\"]),
    max_size=8,
)  # fmt: skip


@given(PIECES, ENDINGS, st.booleans(), st.booleans())
def test_whatever_the_file_its_bytes_are_those_before_and_the_comment_or_it_is_left_alone(pieces, ending, ends, marked):
    before = (codecs.BOM_UTF8 if marked else b"") + (ending.join(pieces) + (ending if ends else "")).encode()
    try:
        changed = proposals.with_comment(before, HARMLESS)
    except NotEditable:
        return
    assert annotations.read(changed).declared is Declared.NON_DESTRUCTIVE
    assert ast.dump(ast.parse(changed)) == ast.dump(ast.parse(before))
    more = len(changed) - len(before)
    assert any(changed[:place] + changed[place + more :] == before for place in range(len(before) + 1))


# --- what is proposed


def proposed(*statements, unknown=None):
    sent = [Statement(sql=sql, revision="0002") for sql in statements]
    findings = proposals.predicted("0002", sent, version_table="alembic_version", source="")
    found = proposals.propose(findings, sent=len(sent), unknown=unknown)
    return found.declared, found.reason


@pytest.mark.parametrize(
    ("statements", "unknown", "declared", "reason"),
    [
        ([], None, Declared.NON_DESTRUCTIVE, "it sends no SQL"),
        (["CREATE TABLE a (id int)"], None, Declared.NON_DESTRUCTIVE, "its 1 statement loses no data"),
        (["CREATE TABLE a (id int)", "DROP TABLE a"], None, Declared.NON_DESTRUCTIVE, "none of its 2 statements loses data"),
        (["DROP TABLE patients"], None, Declared.DESTRUCTIVE, "table dropped: patients"),
        (["DROP TABLE a", "ALTER TABLE b DROP COLUMN c"], None, Declared.DESTRUCTIVE, "table dropped: a, and 1 more"),
        (["DROP TABLE a"], "it reads from the database", Declared.DESTRUCTIVE, "table dropped: a"),
        ([], "it reads from the database", Declared.DESTRUCTIVE, "needs a rehearsal: it reads from the database"),
        (
            ["FROBNICATE patients"],
            None,
            Declared.DESTRUCTIVE,
            "needs a rehearsal: text not understood: the text cannot be parsed",
        ),
    ],
)
def test_what_is_not_known_to_lose_nothing_is_destructive(statements, unknown, declared, reason):
    assert proposed(*statements, unknown=unknown) == (declared, reason)


def test_an_earlier_revisions_table_counts_as_there():
    first, second = "CREATE TABLE a (id int)", "DROP TABLE a"
    assert proposed(first)[0] is Declared.NON_DESTRUCTIVE
    assert proposed(second)[0] is Declared.DESTRUCTIVE


def test_a_reason_is_one_line_that_a_terminal_only_shows():
    declared, reason = proposed('DROP TABLE "x\n\x1b[2J# SAFETY: NON_DESTRUCTIVE' + "y" * 200 + '"')
    assert declared is Declared.DESTRUCTIVE
    assert reason.isprintable()
    assert len(reason) < 130


# --- safety.toml


def test_an_entry_is_added_and_reads_back():
    proposal = Proposal(declared=Declared.DESTRUCTIVE, reason='table dropped: "odd"\\')
    before = "# ours\n[[revision]]\nid = 'a'\nsha256 = '" + "0" * 64 + "'\nvalue = 'DESTRUCTIVE'\nreason = 'x'"
    after = proposals.with_entries(before, {"b": ("1" * 64, proposal)})
    assert after.startswith(before + "\n\n[[revision]]\n")
    assert annotations.from_safety_file(after).entries["b"].reason == proposal.reason
    assert list(annotations.from_safety_file(after).entries) == ["a", "b"]


@pytest.mark.parametrize("before", ["not toml", "x = 1\n", "[[revision]]\nid = 'b'\n"])
def test_a_safety_file_that_is_wrong_gets_no_entry(before):
    with pytest.raises(NotEditable, match=r"^safety.toml would not say it afterwards$"):
        proposals.with_entries(before, {"b": ("1" * 64, HARMLESS)})


# --- how findings and changes are written


def test_a_finding_for_github_is_escaped():
    found = Fault(path="a,b:c%d.py", line=3, message="50 % of\r\nit: x,\x1b y")
    assert proposals.for_github(found) == r"::error file=a%2Cb%3Ac%25d.py,line=3::50 %25 of%0D%0Ait: x,\x1b y"
    assert proposals.in_text(found) == r"a,b:c%d.py:3: 50 % of\r\nit: x,\x1b y"


def test_the_diff_of_a_file_without_a_newline_at_its_end_says_so():
    lines = list(proposals.diff(b"x = 1", proposals.with_comment(b"x = 1", HARMLESS), "v/1.py"))
    assert lines == [
        "--- a/v/1.py",
        "+++ b/v/1.py",
        "@@ -1 +1,3 @@",
        "+# SAFETY: NON_DESTRUCTIVE",
        "+# SAFETY-REASON: its 1 statement loses no data",
        " x = 1",
        "\\ No newline at end of file",
    ]
