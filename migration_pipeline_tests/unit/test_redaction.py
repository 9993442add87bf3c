"""What may be shown: a literal only when it is code, a message only when it holds no row's value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration_pipeline.domain import redaction

SOURCE = '''
def upgrade():
    op.execute("UPDATE visits SET state = 'closed' WHERE ward = 7")
    op.add_column("patients", sa.Column("note", sa.String(50), server_default="none yet"))
    op.execute("""DO $$ BEGIN PERFORM 'O''Brien'; END $$""")
    if bad:
        raise RuntimeError(f"{len(bad)} patients have no ward, the first is {bad[0]}")
    raise ValueError("no such state: %s" % state)
'''


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("UPDATE visits SET state = 'closed' WHERE ward = 7", "UPDATE visits SET state = 'closed' WHERE ward = 7"),
        ("UPDATE patients SET name = 'Jane Doe' WHERE id = 4711", "UPDATE patients SET name = '…' WHERE id = …"),
        ("UPDATE patients SET name = 'none'", "UPDATE patients SET name = '…'"),
        (
            "ALTER TABLE patients ADD note VARCHAR(50) DEFAULT 'none yet'",
            "ALTER TABLE patients ADD note VARCHAR(50) DEFAULT 'none yet'",
        ),
        ("SELECT 70, 7.5, 7", "SELECT …, …, 7"),
        ("DELETE FROM t -- Jane Doe\n WHERE a /* Jane */ = ''", "DELETE FROM t  \n WHERE a   = ''"),
        ("SELECT E'Jane\\'s', B'101', X'1F', U&'Jane', $$Jane$$, $x$it's Jane$x$", "SELECT '…', '…', '…', '…', $$…$$, $x$ … $x$"),
        ("SELECT 'O''Brien', 'O''Neil'", "SELECT 'O''Brien', '…'"),
        ("INSERT INTO t VALUES (%(name)s, %s, 'Jane')", "INSERT INTO t VALUES (%(name)s, %s, '…')"),
        ("DO $$ BEGIN UPDATE visits SET state = 'Jane'; END $$", "DO $$ BEGIN UPDATE visits SET state = '…'; END $$"),
        ("SELECT é, 'Zoë', ü FROM t", "SELECT é, '…', ü FROM t"),
    ],
)
def test_a_literal_stays_only_when_it_is_code(text, shown):
    assert redaction.statement(text, SOURCE) == shown


def test_a_body_that_is_code_stays_whole():
    text = "DO $$ BEGIN PERFORM 'O''Brien'; END $$"
    assert redaction.statement(text, SOURCE) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("UPDATE patients SET name = 'Jane O'Brien' WHERE x = 'y'", "UPDATE patients SET … = '…'… '…'…"),
        ("UPDATE patients SET name = 'Jane O'Brien'", "UPDATE …"),
        ("INSERT INTO patients VALUES ('Jane", "INSERT …"),
        ("DROP TABLE patients; 'Jane", "DROP TABLE …"),
        ("Jane Doe 'x", "…"),
        ("SELECT 'a' \0 Jane", "SELECT …"),
        ("Jane Doe", "… …"),
    ],
)
def test_in_a_text_that_cannot_be_read_names_may_be_values(text, shown):
    found = redaction.statement(text, SOURCE)
    assert "Jane" not in found
    assert "Brien" not in found
    if "WHERE" not in text:
        assert found == shown


def test_without_a_source_no_literal_is_shown():
    assert redaction.statement("UPDATE t SET a = 'closed', b = 7", "") == "UPDATE t SET a = '…', b = …"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("CREATE ROLE r PASSWORD 'secret' VALID UNTIL 'infinity'", "CREATE ROLE r PASSWORD '…' VALID UNTIL '…'"),
        ("ALTER USER r WITH ENCRYPTED PASSWORD /* mine */ E'secret'", "ALTER USER r WITH ENCRYPTED PASSWORD   '…'"),
        ("ALTER ROLE r PASSWORD $$secret$$", "ALTER ROLE r PASSWORD '…'"),
        ("DO $$ BEGIN CREATE ROLE r PASSWORD 'secret'; END $$", "DO $$ BEGIN CREATE ROLE r PASSWORD '…'; END $$"),
        ("DO $$ BEGIN CREATE ROLE r PASSWORD $p$secret$p$; END $$", "DO $$ BEGIN CREATE ROLE r PASSWORD '…'; END $$"),
        ("DO $$ BEGIN EXECUTE 'CREATE ROLE r PASSWORD ''secret'''; END $$", "DO $$ BEGIN EXECUTE '…'; END $$"),
        ("DO $$ BEGIN EXECUTE format('CREATE ROLE r PASSWORD %L', 'secret'); END $$", "DO $$ BEGIN EXECUTE format('…', '…'); END $$"),
        ("CREATE USER MAPPING FOR r SERVER s OPTIONS (user 'u', password 'secret')",
         "CREATE USER MAPPING FOR r SERVER s OPTIONS (user '…', password '…')"),
        ("CREATE SUBSCRIPTION s CONNECTION 'host=h password=secret' PUBLICATION p", "CREATE SUBSCRIPTION s CONNECTION '…' PUBLICATION p"),
        ("CREATE SUBSCRIPTION s CONNECTION 'postgresql://u:secret@h/d' PUBLICATION p", "CREATE SUBSCRIPTION s CONNECTION '…' PUBLICATION p"),
        ("UPDATE users SET password = 'secret'", "UPDATE users SET password = '…'"),
        ("CREATE ROLE r PASSWORD 'my'secret'", "CREATE ROLE …"),
        ("ALTER TABLE users ADD password VARCHAR(50) DEFAULT 'none yet'", "ALTER TABLE users ADD password VARCHAR(50) DEFAULT 'none yet'"),
    ],
)  # fmt: skip
def test_a_password_in_the_source_is_no_code(text, shown):
    source = f'op.execute("""{text}""")'
    assert redaction.statement(text, source) == shown


def test_what_tells_a_password_may_be_written_otherwise_than_in_the_source():
    text = "DO $$ BEGIN EXECUTE format('CREATE ROLE r PASSWORD {}L', 'secret'); END $$"
    source = f'op.execute("{text.format("%")}")'
    assert redaction.statement(text.format("%%"), source) == "DO $$ BEGIN EXECUTE format('…', '…'); END $$"


def test_a_long_statement_becomes_one_line():
    line = redaction.one_line("SELECT 1,\n\t  2\n" + ", 3" * 100)
    assert line.startswith("SELECT 1, 2 , 3")
    assert len(line) == 200
    assert line.endswith("…")
    assert redaction.one_line("SELECT\n 1") == "SELECT 1"


@pytest.mark.parametrize(
    ("sqlstate", "message"),
    [
        ("23505", 'duplicate key value violates unique constraint "patients_nhs_key"'),
        ("23502", 'null value in column "name" of relation "patients" violates not-null constraint'),
        ("23514", 'check constraint "age" of relation "patients" is violated by some row'),
        ("42P01", 'relation "patients" does not exist'),
        ("42704", 'type "status" does not exist'),
        ("42804", 'column "a" is of type integer but expression is of type text'),
        ("2BP01", "cannot drop table patients because other objects depend on it"),
        ("55P03", "canceling statement due to lock timeout"),
        ("40P01", "deadlock detected"),
        ("53100", "could not extend file: No space left on device"),
        ("57014", "canceling statement due to statement timeout"),
        ("22012", "division by zero"),
        ("22001", "value too long for type character varying(20)"),
        ("22003", "integer out of range"),
        ("XX000", "cache lookup failed for relation 1234"),
    ],
)
def test_a_message_about_names_is_shown(sqlstate, message):
    assert redaction.server_message(sqlstate, message) == message


@pytest.mark.parametrize(
    ("sqlstate", "message"),
    [
        ("22P02", 'invalid input syntax for type integer: "Jane Doe"'),
        ("22007", 'invalid input syntax for type date: "Jane"'),
        ("22008", 'date/time field value out of range: "1950-13-01"'),
        ("22003", 'value "99999999999" is out of range for type integer'),
        ("22023", 'invalid value "Jane"'),
        ("22P05", "character with byte sequence 0xc3 0xab has no equivalent"),
        ("P0001", "patient Jane has no ward"),
        ("P0004", "Jane"),
        ("38000", "Jane"),
        ("39000", "Jane"),
        ("HV000", "Jane"),
        ("JD001", "Jane"),
        ("", "Jane"),
        ("Jane", "Jane"),
        ("23505", ""),
    ],
)
def test_a_message_that_may_hold_values_is_withheld(sqlstate, message):
    assert redaction.server_message(sqlstate, message) == "(message withheld: it may hold row values)"


def test_a_raise_with_a_borrowed_code_is_withheld():
    assert redaction.server_message("23505", "Jane is there twice", raised_by_user=True) == redaction.WITHHELD
    assert redaction.server_message("22012", "division by zero", raised_by_user=True) == redaction.WITHHELD


def test_a_syntax_error_does_not_quote_the_rest_of_a_value():
    assert redaction.server_message("42601", 'syntax error at or near "Brien"') == 'syntax error at or near "…"'
    assert (
        redaction.server_message("42601", 'syntax error at or near "visits"', source=SOURCE) == 'syntax error at or near "visits"'
    )


def test_with_the_source_a_name_that_is_not_in_it_is_left_out():
    assert redaction.server_message("42P01", 'relation "jane" does not exist', source=SOURCE) == 'relation "…" does not exist'
    known = 'column "note" of relation "patients" already exists'
    assert redaction.server_message("42701", known, source=SOURCE) == known


def test_only_the_first_line_is_a_message():
    told = redaction.server_message("23505", 'duplicate key value violates unique constraint "k"\nDETAIL:  Key (name)=(Jane)')
    assert told == 'duplicate key value violates unique constraint "k"'


@pytest.mark.parametrize(
    ("type_name", "message", "shown"),
    [
        ("ValueError", "no such state: Jane", "no such state: …"),
        ("RuntimeError", "3 patients have no ward, the first is Jane", "… patients have no ward, the first is …"),
        ("builtins.NameError", "name 'op' is not defined", "name 'op' is not defined"),
        ("ModuleNotFoundError", "No module named 'app'", "No module named 'app'"),
        ("alembic.util.exc.CommandError", "Can't locate revision identified by 'x'", "Can't locate revision identified by 'x'"),
        ("KeyError", "'Jane'", redaction.WITHHELD),
        ("ValueError", "invalid literal for int() with base 10: 'Jane'", redaction.WITHHELD),
        ("app.errors.NameError", "Jane", redaction.WITHHELD),
        ("sqlalchemy.exc.DataError", "(psycopg.errors) Jane", redaction.WITHHELD),
        ("ValueError", "no such state", redaction.WITHHELD),
        ("ValueError", "", redaction.WITHHELD),
    ],
)
def test_an_exception_says_what_its_source_says(type_name, message, shown):
    assert redaction.exception_message(type_name, message, SOURCE, may_hold_rows=False) == shown


@pytest.mark.parametrize(
    ("type_name", "message", "shown"),
    [
        ("ValueError", "no such state: Jane", "no such state: …"),
        ("alembic.util.exc.CommandError", "no such state: Jane", "no such state: …"),
        ("alembic.util.exc.CommandError", "patient Jane", redaction.WITHHELD),
        ("sqlalchemy.exc.NoSuchModuleError", "Can't load plugin: sqlalchemy.dialects:Jane", redaction.WITHHELD),
        ("NameError", "name 'bad' is not defined", "name 'bad' is not defined"),
        ("NameError", "name 'Jane' is not defined", "name '…' is not defined"),
        ("NameError", "Jane", redaction.WITHHELD),
        ("AttributeError", "module 'sa' has no attribute 'Jane'", "module 'sa' has no attribute '…'"),
        ("AttributeError", "'op.sa' object has no attribute 'add_column'", "'op.sa' object has no attribute 'add_column'"),
        ("AttributeError", "module 'sa' has no attribute 'Column'. Jane", "module 'sa' has no attribute 'Column'"),
        ("AttributeError", "type object 'op' has no attribute 'Jane Doe'", redaction.WITHHELD),
        ("ImportError", "cannot import name 'Jane' from 'sa' (/home/jane/sa.py)", "cannot import name '…' from 'sa'"),
        ("ModuleNotFoundError", "No module named 'Jane.Doe'", "No module named '…'"),
        ("SyntaxError", "Jane (<string>, line 1)", redaction.WITHHELD),
        ("app.errors.NameError", "name 'bad' is not defined", redaction.WITHHELD),
    ],
)
def test_where_rows_were_read_no_type_is_trusted(type_name, message, shown):
    assert redaction.exception_message(type_name, message, SOURCE, may_hold_rows=True) == shown


def test_a_template_without_text_of_its_own_shows_nothing():
    assert (
        redaction.exception_message("ValueError", "Jane", 'raise ValueError(f"{name}")', may_hold_rows=True) == redaction.WITHHELD
    )
    assert redaction.exception_message("ValueError", "Jane", "not Python (", may_hold_rows=True) == redaction.WITHHELD


def test_many_fields_are_matched_in_linear_time():
    source = "x = f'" + "{a}b" * 200 + "cc'"
    assert redaction.exception_message("ValueError", "b" * 20_000, source, may_hold_rows=True) == redaction.WITHHELD


@given(st.text(), st.text())
def test_no_text_makes_redaction_raise(text, source):
    redaction.statement(text, source)
    redaction.statement(f"SELECT '{text}', $${text}$$, {text}", source)
    redaction.one_line(text)
    redaction.server_message(text[:5], text, source=source)
    redaction.exception_message(text, text, source, may_hold_rows=True)


NAMES = st.text(alphabet=st.characters(categories=["Lu", "Ll"]), min_size=9, max_size=12).map(lambda text: f"Zq{text}")


@given(NAMES, NAMES)
def test_no_value_is_shown_however_the_statement_breaks(name, other):
    for text in (
        f"UPDATE t SET a = '{name}' WHERE b = \"c\"",
        f"UPDATE t SET a = '{name}'{other}'",
        f"UPDATE t SET a = '{name}'{other}' OR '",
        f"INSERT INTO t VALUES ('{name}', {other} {name})",
        f"/* {name} */ SELECT 1 -- {other}",
        f"DO $$ BEGIN EXECUTE 'SELECT ''{name}'''; END $$",
    ):
        shown = redaction.statement(text, "op.execute(sql)")
        assert name not in shown
        assert other not in shown
