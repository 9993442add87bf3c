"""The console script: parse, run the job, draw its events, ask, exit code. The only owner of the terminal."""

import io
import sys

import click

from migration_pipeline import errors
from migration_pipeline.cli.annotate import annotate
from migration_pipeline.cli.backup_db import backup_db
from migration_pipeline.cli.backups import backups, garbage, pin_backup, prune_backups, verify_backup
from migration_pipeline.cli.check_annotations import check_annotations
from migration_pipeline.cli.demo import demo
from migration_pipeline.cli.fleet import fleet, migrate_fleet
from migration_pipeline.cli.migrate import migrate
from migration_pipeline.cli.plan import plan
from migration_pipeline.cli.restore_db import drop_replaced, restore_db
from migration_pipeline.cli.terminal import Terminal
from migration_pipeline.cli.test_downgrades import test_downgrades
from migration_pipeline.cli.ui import ui

INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="migration-pipeline")
def commands() -> None:
    """Run Alembic migrations on PostgreSQL behind a verified backup, a measured rehearsal and a confirmation.

    Exit codes: 0 done or nothing to do; 1 failed; 2 wrong usage or settings; 3 refused; 130 interrupted.
    """


for command in (
    migrate,
    backup_db,
    restore_db,
    plan,
    annotate,
    check_annotations,
    test_downgrades,
    backups,
    verify_backup,
    prune_backups,
    pin_backup,
    garbage,
    drop_replaced,
    migrate_fleet,
    fleet,
    demo,
    ui,
):
    commands.add_command(command)


def main() -> None:
    """Run a command; turn our errors into stderr and an exit code. The one place."""
    try:
        code = commands(standalone_mode=False)
    except click.exceptions.Abort:
        code = INTERRUPTED
    except KeyboardInterrupt:
        code = INTERRUPTED
    except click.ClickException as error:
        told = io.StringIO()
        error.show(told)  # it repeats what was typed, or pasted
        click.echo("\n".join(map(errors.printable, told.getvalue().splitlines())), err=True)
        code = error.exit_code
    except errors.MigrationPipelineError as error:
        Terminal().error(error)
        code = error.exit_code
    sys.exit(code if isinstance(code, int) else 0)
