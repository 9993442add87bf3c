"""Holds a database against what was recorded of it: a restored copy, the live one under the lock, the live one afterwards."""

from datetime import datetime, timedelta

from migration_pipeline import errors
from migration_pipeline.adapters import postgres, snapshot
from migration_pipeline.domain import backups, schema
from migration_pipeline.domain.backups import Backup, Manifest
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.plan import Plan
from migration_pipeline.domain.schema import SchemaSnapshot

MOST_LINES = 5


def check_copy(manifest: Manifest, copy: Connection, plan: Plan) -> None:
    """Raise VerificationFailed when a restored copy differs from the manifest, in rows or schema."""
    with postgres.session(copy, purpose="verifies", autocommit=False) as opened:
        found = snapshot.contents(opened, (plan.version_table_schema, plan.version_table))
    wrong = {
        f"rows of {table}": f"{found.rows.get(table, 0):,}, dumped: {manifest.rows.get(table, 0):,}"
        for table in sorted(manifest.rows.keys() | found.rows.keys())
        if found.rows.get(table) != manifest.rows.get(table)
    }
    wrong |= of_schemas(manifest.schema.as_restored, found.schema.as_restored)
    if wrong:
        raise errors.VerificationFailed("The restored copy differs from what was dumped.", evidence=wrong)


def heads_now(live: Connection, plan: Plan) -> tuple[str, ...] | None:
    """Return where the live database is, as looked at now; None: the server does not answer."""
    try:
        with postgres.session(live, purpose="looks") as opened:
            return postgres.version_rows(opened, plan.version_table_schema, plan.version_table)
    except errors.MigrationPipelineError:
        return None


def of_live(live: Connection, recorded: SchemaSnapshot) -> dict[str, str]:
    """Return in which parts of its schema the live database differs from a record of it."""
    with postgres.session(live, purpose="compares", autocommit=False) as opened:
        return of_schemas(recorded, snapshot.schema_of(opened))


def of_schemas(before: SchemaSnapshot, after: SchemaSnapshot) -> dict[str, str]:
    """Return the first differences, as evidence for an error."""
    differences = schema.diff(before, after)
    lines = [str(one) for one in differences[:MOST_LINES]]
    if len(differences) > MOST_LINES:
        lines.append(f"and {len(differences) - MOST_LINES} more")
    return {"schema": "\n".join(lines)} if lines else {}


def check_still_valid(live: Connection, backup: Backup, *, now: datetime, limit: timedelta) -> None:
    """Raise Stale unless the backup is young enough, and the live schema is still what it holds."""
    age = now - backup.manifest.snapshot_time
    if not timedelta(0) <= age <= limit:
        told = "is of a time in the future" if age < timedelta(0) else f"is {backups.words(age)} old: too old to upgrade on"
        raise errors.Stale(
            f'Backup "{backup.id}" {told}; nothing was changed.',
            evidence={"limit": backups.words(limit)},
            next_step="just migrate",
        )
    if changed := of_live(live, backup.manifest.schema):
        raise errors.Stale(
            "The live schema has changed since the backup; nothing was changed.",
            evidence=changed,
            next_step="find out who changed it, then: just migrate",
        )
