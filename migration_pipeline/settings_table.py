"""One Target's settings as an operator wrote them, read key by key; every problem is kept under the key it has there.

Never raises for a wrong value, and never repeats one: it may be a secret in the wrong place.
"""

import os
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.connection_url import WrongUrl, nearest, wrong_password, wrong_text

Choice = TypeVar("Choice", bound=StrEnum)


class Table:
    """The keys of one Target: a table of pipeline.toml, or the environment variables under their keys."""

    def __init__(
        self, values: Mapping[str, object], *, folder: Path, environ: Mapping[str, str], variables: Mapping[str, str]
    ) -> None:
        self.values = values
        self.folder = folder
        self.environ = environ
        self.variables = variables  #: the environment variable behind each key; empty for a table of a file
        self.known: set[str] = set()
        self.problems: dict[str, list[str]] = {}

    def wrong(self, key: str, clause: str) -> None:
        clauses = self.problems.setdefault(self.variables.get(key, key), [])
        if clause not in clauses:
            clauses.append(clause)

    def wrong_path(self, key: str, problem: str, right: str) -> None:
        self.wrong(key, f"{problem}; right: {right} (a relative path starts at {self.folder})")

    def has(self, key: str) -> bool:
        self.known.add(key)
        return key in self.values

    def is_from_environment(self, key: str) -> bool:
        value = self.values.get(key)
        return key in self.variables or (isinstance(value, str) and value.startswith("env:"))

    def value(self, key: str) -> object:
        """Return what was written, or what the variable NAME of a written "env:NAME" holds; None if there is none."""
        self.known.add(key)
        written = self.values.get(key)
        if not isinstance(written, str) or not written.startswith("env:"):
            return written
        name = written.removeprefix("env:")
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]{0,99}", name):
            self.wrong(key, 'names no environment variable; right: "env:NAME"')
        elif not self.environ.get(name):
            self.wrong(key, f"stands in the environment variable {name}, which is not set; right: set {name}")
        else:
            return self.environ[name]
        return None

    def text(self, key: str) -> str | None:
        value = self.value(key)
        if value is None:
            return None
        if not isinstance(value, str):
            self.wrong(key, "is no text; right: text in quotes")
        elif not value:
            self.wrong(key, "is empty; right: a value, or no such key")
        elif problem := wrong_password(value):
            self.wrong(key, problem)
        else:
            return value
        return None

    def choice(self, key: str, choices: type[Choice], default: Choice) -> Choice | None:
        """Return the default for an absent key, None for a wrong value."""
        word = self.word(key, [each.value for each in choices], default.value)
        return None if word is None else choices(word)

    def word(self, key: str, words: Sequence[str], default: str) -> str | None:
        """Return one of the words, the default for an absent key, None for a wrong value."""
        if not self.has(key):
            return default
        word = self.text(key)
        if word in words:
            return word
        if word is not None:
            self.wrong(key, f"is not known; right: {' or '.join(words)}{nearest(word.strip().lower(), words)}")
        return None

    def table(self, key: str) -> "Table | None":
        """Return a table within the table; None where it is absent or no table."""
        self.known.add(key)
        written = self.values.get(key)
        if written is None:
            return None
        if not isinstance(written, dict):
            self.wrong(key, f"is no table; right: [targets.NAME.{key}]")
            return None
        return Table(written, folder=self.folder, environ=self.environ, variables={})

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts; none for an absent or wrong one."""
        self.known.add(key)
        written = self.values.get(key, [])
        if not isinstance(written, list) or not all(isinstance(one, str) and one for one in written):
            self.wrong(key, 'is no list of texts; right: ["...", "..."]')
            return ()
        found = []
        for one in written:
            if problem := wrong_password(one):
                self.wrong(key, problem)
            else:
                found.append(one)
        return tuple(found)

    def number(self, key: str, unit: str, *, least: float, most: float, whole: bool = False) -> int | float | None:
        value = self.value(key)
        if value is None:
            return None
        if isinstance(value, str) and self.is_from_environment(key):
            value = _number(value)
        kind = "whole number" if whole else "number"
        right = f"a {kind} of {unit} from {least:,} to {most:,}"
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            self.wrong(key, f"is no {kind}; right: {right}")
        elif not least <= value <= most:  # false for nan too
            self.wrong(key, f"is out of range; right: {right}")
        else:
            return value
        return None

    def path(self, key: str, default: str | None = None) -> Path | None:
        """Return an absolute path; a relative one starts at the settings. Symbolic links stay: a venv's python is one."""
        text = self.text(key) if self.has(key) else default
        if text is None:
            return None
        if problem := wrong_text(text) or ("is a URL; right: a path" if "://" in text else None):
            self.wrong(key, problem)
            return None
        if text.startswith("~/") and self.environ.get("HOME"):
            text = self.environ["HOME"] + text[1:]
        return Path(os.path.normpath(self.folder / text))

    def file(self, key: str, right: str, default: str | None = None) -> Path | None:
        path = self.path(key, default)
        if path and not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises for a name that is too long
            self.wrong_path(key, "names no file" if self.has(key) else f"is missing, and there is no {path}", right)
        return path

    def url(self, key: str, *, may_hold_password: bool, word: str | None = None) -> Connection | None:
        """Return a connection whose files exist; None for what is absent or wrong, and for the word that stands for no URL."""
        text = self.text(key)
        if text is None or text == word:
            return None
        try:
            connection = Connection.from_url(text).with_files_below(self.folder)
        except WrongUrl as wrong:
            for part, clause in wrong.problems:
                self.wrong(key, f"{part} {clause}".strip())
            return None
        if connection.password is not None and not may_hold_password and not self.is_from_environment(key):
            self.wrong(key, 'holds a password in a file that is committed; right: "env:NAME", and the URL in that variable')
        for file in ("sslrootcert", "sslcert", "sslkey", "sslcrl"):
            path = connection.parameters.get(file, "system")
            if path != "system" and not os.path.isfile(path):  # noqa: PTH113 - as above
                self.wrong_path(key, f"{file} names no file", "the path of a file that can be read")
        return connection

    def refuse_unknown_keys(self) -> None:
        for key in [key for key in self.values if key not in self.known]:
            shown = key if re.fullmatch(r"[A-Za-z_][\w-]{0,60}", key, re.ASCII) else "a key"
            self.wrong(shown, "is no setting" + (nearest(key, self.known) or f"; right: one of {', '.join(sorted(self.known))}"))


def _number(text: str) -> object:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
