"""What an error says, and that no terminal obeys it."""

from migration_pipeline.errors import Failure, printable


def test_an_error_has_three_parts():
    error = Failure("It broke.", evidence={"file": "a.py", "said": "one\ntwo", "nothing": ""}, next_step="just plan")
    assert str(error) == "It broke.\n  file: a.py\n  said: one\n    two\n  nothing: \nNext: just plan"


def test_what_a_terminal_would_obey_is_written_as_python_writes_it():
    error = Failure(
        '"a\nb\x1b[2J" broke.', evidence={"\x07": "\x9b31m\r\nname \u202eexe.txt \udcff é"}, next_step="just \u2028plan"
    )
    assert str(error) == ('"a\\nb\\x1b[2J" broke.\n  \\x07: \\x9b31m\n    name \\u202eexe.txt \\udcff é\nNext: just \\u2028plan')


def test_ordinary_text_stays_as_it_is():
    text = "Zeile „ä“ \xa0 日本語 🧪 [bold] %s {x} \\"
    assert printable(text) == text
