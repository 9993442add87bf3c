"""What the commands share: their options, and the Target that these name."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from migration_pipeline import errors, settings
from migration_pipeline.settings import Target

target_option = click.option("--target", metavar="NAME", help="Which Target of pipeline.toml; needed where there are several.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object on stdout.")

Command = Callable[..., Any]


def load(target: str | None) -> Target:
    """Return the Target; raise SettingsError."""
    return settings.load(os.environ, here(), target)


def here() -> Path:
    """Return the current folder; raise SettingsError where it was removed under the shell that stands in it."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise errors.SettingsError(
            "The current folder does not exist any more.", next_step="cd to the project's folder"
        ) from None
