"""Holds a database against what was recorded of it: a restored copy, the live one under the lock, the live one afterwards."""

from datetime import datetime, timedelta

from migration_pipeline import errors
from migration_pipeline.adapters import postgres, snapshot
from migration_pipeline.domain import backups, schema
from migration_pipeline.domain.backups import Backup, Level, Manifest
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.plan import Plan
from migration_pipeline.domain.schema import SchemaSnapshot

MOST_LINES = 5
MOST_WRONG = 20


def check_copy(manifest: Manifest, copy: Connection, level: Level) -> None:
    """Raise VerificationFailed when a restored copy differs from the manifest: in rows, large objects, sequences or schema."""
    if level is Level.ROWS and not manifest.row_hashes:
        raise errors.NotAllowed(
            f'Backup "{manifest.id}" cannot be verified row by row: no hashes of its rows were recorded when it was taken.',
            next_step='set verify_level = "rows", then: just backup-db',
        )
    with postgres.session(copy, purpose="verifies", autocommit=False) as opened:
        risen = snapshot.sequences(opened)
        version_table = (manifest.version_table_schema, manifest.version_table)
        found = snapshot.contents(opened, version_table, hashed=level is Level.ROWS, recorded=manifest.row_hashes)
    wrong = {
        f"rows of {table}": f"{found.rows.get(table, 0):,}, dumped: {manifest.rows.get(table, 0):,}"
        for table in sorted(manifest.rows.keys() | found.rows.keys())
        if found.rows.get(table) != manifest.rows.get(table)
    }
    if found.large_objects != manifest.large_objects:
        wrong["large objects"] = f"{found.large_objects:,}, dumped: {manifest.large_objects:,}"
    if found.heads != manifest.heads:
        wrong["revision"] = f"{', '.join(found.heads) or 'none'}, dumped: {', '.join(manifest.heads) or 'none'}"
    wrong |= {
        f"sequence {name}": f"{risen.get(name, 0):,}, before the dump: {value:,}"
        for name, value in manifest.sequences.items()
        if risen.get(name, 0) < value
    }
    if level is Level.ROWS:
        differing = [name for name, value in manifest.row_hashes.items() if found.row_hashes.get(name) != value]
        wrong |= {f"values of {name}": "are not those that were dumped" for name in differing}
    wrong |= of_schemas(manifest.schema.as_restored, found.schema.as_restored)
    if wrong:
        raise errors.VerificationFailed("The restored copy differs from what was dumped.", evidence=_first(wrong))


def _first(wrong: dict[str, str]) -> dict[str, str]:
    more = {"more": f"{len(wrong) - MOST_WRONG} differences"} if len(wrong) > MOST_WRONG else {}
    return {**dict([*wrong.items()][:MOST_WRONG]), **more}


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


def check_age(backup: Backup, *, now: datetime, limit: timedelta) -> None:
    """Raise Stale unless the backup is young enough."""
    age = now - backup.manifest.snapshot_time
    if not timedelta(0) <= age <= limit:
        told = "is of a time in the future" if age < timedelta(0) else f"is {backups.words(age)} old: too old to upgrade on"
        raise errors.Stale(
            f'Backup "{backup.id}" {told}; nothing was changed.',
            evidence={"limit": backups.words(limit)},
            next_step="just migrate",
        )


def check_still_valid(live: Connection, backup: Backup, *, now: datetime, limit: timedelta) -> None:
    """Raise Stale unless the backup is young enough, and the live schema is still what it holds."""
    check_age(backup, now=now, limit=limit)
    if changed := of_live(live, backup.manifest.schema):
        raise errors.Stale(
            "The live schema has changed since the backup; nothing was changed.",
            evidence=changed,
            next_step="find out who changed it, then: just migrate",
        )
