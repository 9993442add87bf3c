"""`migration-pipeline ui`: Dagster's webserver and daemon on a local port."""

import os
import sys

import click

from migration_pipeline.cli.job import prepare_home
from migration_pipeline.cli.options import here

CODE_LOCATION = "migration_pipeline.definitions"
#: Dagster would rather be started by another tool of its own, which is no news for an operator.
NO_ADVICE = "ignore:Function `dev_command` is superseded"


@click.command()
@click.option("--port", default=3000, show_default=True, help="The port on 127.0.0.1.")
def ui(port: int) -> None:
    """Start Dagster's UI and its daemon on this machine; Ctrl-C ends both."""
    home = prepare_home(here())
    click.echo(f"Dagster's UI: http://127.0.0.1:{port} (its runs are kept in {home})", err=True)
    sys.stdout.flush()
    command = [sys.executable, "-W", NO_ADVICE, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port), "-m", CODE_LOCATION]
    os.execv(command[0], command)  # noqa: S606 - in our place: every signal reaches it, and nobody is left to be orphaned
