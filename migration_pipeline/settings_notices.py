"""Whom a Target tells: its channels for operators, and those for the clinicians who work with it."""

import re

from migration_pipeline.domain.notices import Channel
from migration_pipeline.settings_table import Table

COMMITTED = "holds a URL in a file that is committed, and who knows it can write there"
RIGHT = '["env:NAME"], with the URL in that environment variable'
VARIABLE = re.compile("env:([A-Za-z_][A-Za-z0-9_]{0,99})")
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")


def read(table: Table, key: str) -> tuple[Channel, ...]:
    """Return the channels that a list names; what is wrong is in the table's problems."""
    found = (_channel(table, key, text) for text in dict.fromkeys(table.texts(key)))
    return tuple(channel for channel in found if channel)


def _channel(table: Table, key: str, text: str) -> Channel | None:
    named = VARIABLE.fullmatch(text)
    if named is None:
        table.wrong(key, f"{COMMITTED if '://' in text else 'names no channel'}; right: {RIGHT}")
        return None
    url = table.environ.get(named[1], "")
    if not url:
        table.wrong(key, f"stands in the environment variable {named[1]}, which is not set; right: set {named[1]}")
    elif not URL.fullmatch(url):
        table.wrong(key, f"stands in the environment variable {named[1]}, which holds no URL; right: one of apprise, SERVICE://…")
    else:
        return Channel(variable=named[1], url=url)
    return None
