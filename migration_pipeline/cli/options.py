"""What the commands share: their options, and the Target that these name."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from migration_pipeline import settings
from migration_pipeline.settings import Target

target_option = click.option("--target", metavar="NAME", help="Which Target of pipeline.toml; needed where there are several.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object on stdout.")

Command = Callable[..., Any]


def load(target: str | None) -> Target:
    """Return the Target; raise SettingsError."""
    return settings.load(os.environ, Path.cwd(), target)
