"""THE WATCH: what sensors look at in a Target, one function a question. Nothing here changes a database, but `end`.

Each opens what it needs and holds no lock, so that it never stands in the way of a run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from migration_pipeline import errors, restoring
from migration_pipeline.adapters import activity, postgres
from migration_pipeline.domain import watching
from migration_pipeline.domain.backups import Entry
from migration_pipeline.domain.plan import Identity
from migration_pipeline.domain.restoration import Cost
from migration_pipeline.domain.watching import Activity, Heads, Standing
from migration_pipeline.workplace import Workplace

GRACE = timedelta(seconds=10)  #: in which a cancelled run rolls back by itself
DEFAULT_TABLE = Standing.version_table


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Where a database is, and how it came there."""

    standing: Standing
    error: errors.Failure | None  #: what to tell; None: nothing
    reason: str


def upgrade(place: Workplace) -> Activity | None:
    """Return what the Target's upgrade does on the live server now; None: it has no transaction open."""
    return activity.of_upgrade(place.live, place.target.name)


def end(place: Workplace, found: Activity) -> dict[str, str]:
    """See the session of a cancelled upgrade gone, and end it where the run does not; return the state as evidence."""
    try:
        is_gone = activity.is_gone(place.live, found, within=GRACE)
        by_itself = is_gone
        if not is_gone:
            is_gone = postgres.end_backend(place.live, found.pid, found.started, is_start=True)
        outcome = postgres.outcome(place.live, found.xid) if is_gone and found.xid else "aborted"
    except errors.MigrationPipelineError as error:
        return {"state": f"unknown: {error.what}"}
    if not is_gone:
        return {"state": f"its session (process {found.pid}) is still on the server, with its locks"}
    if found.alone:
        ended = f"{found.alone} was cut off, which PostgreSQL does not roll back: just plan says what it left"
    else:
        ended = "rolled back" if outcome == "aborted" else "its transaction was committed before that"
    who = "" if by_itself else f", after the server was told to end its session (process {found.pid})"
    return {"state": f"{ended}{who}; {_whereabouts(place)}; its session is gone, and its locks with it"}


def standing(place: Workplace) -> dict[str, str]:
    """Say where the live database is, for a run that did not say it itself."""
    try:
        left = upgrade(place)
    except errors.MigrationPipelineError as error:
        return {"state": f"unknown: {error.what}"}
    session = "no upgrade has a session on the server" if left is None else f"its session (process {left.pid}) works on"
    return {"state": f"{_whereabouts(place)}; {session}"}


def revision(place: Workplace, before: Standing | None) -> Seen:
    """Look at the database's revision, and whether a run of ours can have brought it there."""
    now, identity = _standing(place, before.version_table if before else DEFAULT_TABLE)
    if now == before:
        return _unchanged(now)
    entries = _entries(place)
    now, identity = _standing(place, _version_table(place, entries))
    if now == before:
        return _unchanged(now)
    records = watching.of_database(place.history.all()[0], identity)
    why = watching.why_ours(now, before, records, {one.heads for one in entries})
    if why is not None:
        return Seen(standing=now, error=None, reason=f"it is at {_at(now.heads)}: {why}")
    error = watching.foreign_revision(now, before, records)
    return Seen(standing=now, error=error, reason=error.what)


def newest_backup(place: Workplace) -> tuple[Entry | None, errors.Failure | None]:
    """Return the newest verified backup of the database, and what is wrong with it; None: it is young enough."""
    with postgres.session(place.live, purpose="looks") as opened:
        identity, now = place.identity(postgres.server(opened)), postgres.now(opened)
    entries, rejected = place.store.entries()
    found = watching.newest(entries, identity, now)
    error = watching.old_backup(found, now, place.target.max_backup_age)
    if error is not None and found is None:
        error.evidence |= {one.id: one.reason for one in rejected[:5]} or {"store": f"none in {place.store.where}"}
    return found, error


def is_replaced(place: Workplace, cost: Cost) -> bool | None:
    """Return whether a restore has replaced the live database; None: it cannot be seen."""
    try:
        with postgres.session(place.admin, purpose="looks") as opened:
            found = postgres.rows(opened, restoring.OID, cost.database)
    except errors.MigrationPipelineError:
        return None
    return [row[0] for row in found] != ([] if cost.oid is None else [cost.oid])


def _unchanged(now: Standing) -> Seen:
    return Seen(standing=now, error=None, reason=f"it is at {_at(now.heads)}, as before")


def _standing(place: Workplace, table: tuple[str | None, str]) -> tuple[Standing, Identity]:
    with postgres.session(place.live, purpose="looks") as opened:
        identity = place.identity(postgres.server(opened))
        heads = postgres.version_rows(opened, *table)
    return Standing(oid=identity.oid, heads=heads, version_table=table), identity


def _entries(place: Workplace) -> list[Entry]:
    return [one for one in place.store.entries()[0] if one.identity.target == place.target.name]


def _version_table(place: Workplace, entries: Sequence[Entry]) -> tuple[str | None, str]:
    """Return the project's version table as the newest backup names it: nothing of the project is run to watch it."""
    if not entries:
        return DEFAULT_TABLE
    manifest = place.store.read(entries[0].id).manifest
    return manifest.version_table_schema, manifest.version_table


def _whereabouts(place: Workplace) -> str:
    try:
        now, _ = _standing(place, _version_table(place, _entries(place)))
    except errors.MigrationPipelineError as error:
        return f"where the database is could not be looked at ({error.what})"
    return f"the database is at {_at(now.heads)}"


def _at(heads: Heads) -> str:
    return ", ".join(heads) or "no revision"
