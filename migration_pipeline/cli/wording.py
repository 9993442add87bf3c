"""What the terminal shows in words: numbers, spans and texts that are nobody's markup."""

from datetime import timedelta

from rich.text import Text

from migration_pipeline import errors
from migration_pipeline.domain.backups import words


def plain(text: str, style: str = "") -> Text:
    """Return what a file or a database says as it is: no markup of rich, and nothing that the terminal would obey."""
    return Text(errors.printable(text), style=style)


def ago(age: timedelta) -> str:
    return words(max(age, timedelta(0)))


def bytes_in_words(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:  # noqa: PLR2004 - decimal units
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
