"""`migration-pipeline ui`: Dagster's webserver and daemon on a local port."""

import os
import subprocess
import sys
from pathlib import Path

import click

from migration_pipeline.cli.job import prepare_home

CODE_LOCATION = "migration_pipeline.definitions"


@click.command()
@click.option("--port", default=3000, show_default=True, help="The port on 127.0.0.1.")
def ui(port: int) -> int:
    """Start Dagster's UI and its daemon on this machine; Ctrl-C ends both."""
    home = prepare_home(Path.cwd())
    click.echo(f"Dagster's UI: http://127.0.0.1:{port} (its runs are kept in {home})", err=True)
    command = [sys.executable, "-W", "ignore", "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port), "-m", CODE_LOCATION]
    return subprocess.run(command, env=dict(os.environ), check=False).returncode
