"""THE WAY BACK: what a restore is, one function a step.

    choose → weigh → confirm → restore_beside → swap

The backup is restored into a new database beside the live one and compared with its manifest; only then are the two names
swapped, in one transaction. Until then the live database is as it was, and after it the replaced one stays under another name.
"""

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from migration_pipeline import errors
from migration_pipeline.adapters import (
    comparison,
    database_facts,
    globals,  # noqa: A004 - what pg_dumpall calls it
    postgres,
    preflight,
    scratch,
    streams,
    swap,
)
from migration_pipeline.adapters.swap import Replaced
from migration_pipeline.domain import backups
from migration_pipeline.domain.backups import Backup, DatabaseFacts, Entry, Layout, Level, Manifest, StoredFile
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.restoration import Beside, Cost, RestoreConfirmation, Restored
from migration_pipeline.domain.schema import SchemaSnapshot
from migration_pipeline.workplace import Workplace

OID = "SELECT oid::bigint FROM pg_database WHERE datname = %s"
UNVERIFIED = "backup_unverified"  #: the id of a file that no manifest vouches for
#: How long the rows of a table that somebody has locked are waited for: the incident does not wait for them.
LOCK_TIMEOUT = "3s"
COUNT_TIMEOUT = "20s"  # for one table


def choose(place: Workplace, backup_id: str) -> Backup:
    """Return the named backup, or the newest verified one of this database."""
    if backup_id:
        return place.store.read(backup_id)
    with _admin(place, "looks") as opened:
        now = postgres.now(opened)
        cluster = postgres.server(opened).system_identifier
    found, rejected = place.store.entries()
    reasons = {entry.id: _why_not(entry, place, cluster, now) for entry in found}
    for backup, reason in reasons.items():
        if reason is None:
            return place.store.read(backup)
    seen = {**reasons, **{one.id: one.reason for one in rejected}}
    raise errors.NotAllowed(
        "There is no verified backup of this database to restore; nothing was changed.",
        evidence=dict([*seen.items()][:5]) or {"backups": f"none in {place.store.where}"},
        next_step="name one: just restore-db <backup>. With none: alembic downgrade -1; if that fails, the administrator",
    )


def from_elsewhere(place: Workplace, file: Path) -> Backup:
    """Return a plain dump that no manifest vouches for as a backup of which nothing is known. Raise Refusal."""
    try:
        known = file.stat()
        with file.open("rb") as opened:
            is_text = b"\0" not in opened.read(4096)
    except OSError as error:
        raise errors.SettingsError("The file cannot be read.", evidence={"file": file, "reason": error.strerror}) from None
    if not is_text:
        raise errors.NotAllowed(
            "The file is no plain dump; nothing was changed.",
            evidence={"file": file},
            next_step="pg_restore -f FILE.sql makes a plain dump of an archive",
        )
    with _admin(place, "looks") as opened:
        server = postgres.server(opened)
    return Backup(
        manifest=Manifest(
            id=UNVERIFIED,
            identity=place.identity(server),
            server_version=str(server.version),
            client_version="unknown",
            snapshot_time=datetime.fromtimestamp(known.st_mtime, UTC),
            heads=(),
            files=(StoredFile(name=f"{UNVERIFIED}.sql", bytes=known.st_size, checksum=""),),
            seconds=0,
            rows={},
            schema=SchemaSnapshot(objects={"schema public": {}}),
            schema_fingerprint="",
            extensions={},
            roles=(),
        ),
        location=str(file),
    )


def _why_not(entry: Entry, place: Workplace, cluster: str, now: datetime) -> str | None:
    """Return why a backup is not chosen by itself; None: it can be."""
    identity = entry.identity
    if (identity.target, identity.database) != (place.target.name, place.live.database):
        return f"a backup of another database ({identity.target}, {identity.database})"
    if identity.system_identifier != cluster:
        return "a backup of another server; name it, if it is the right one"
    if entry.snapshot_time > now:
        return "its time is in the future"
    return None if entry.restored is not None else "not verified by a restore"


def weigh(place: Workplace, backup: Backup) -> Cost:
    """Look at what is lost by going back to this backup. Raise NotAllowed where our role could not restore at all."""
    place.hold_lock()
    with contextlib.suppress(errors.MigrationPipelineError):  # a scratch server that is gone must not keep a restore waiting
        place.sweep()
    manifest = backup.manifest
    if manifest.layout is Layout.OWN_SYSTEM:
        raise errors.NotAllowed(
            f'Backup "{backup.id}" is kept by a backup system of its own, which alone can go back to it; nothing was changed.',
            evidence={"there": manifest.kept_as},
            next_step="restore it with that system; it may go back with the whole cluster: docs/own-backup-system.md",
        )
    with _admin(place, "looks") as opened:
        server = postgres.server(opened)
        _demand(place, opened, manifest, server.major)
        oid = _oid(opened, place.live.database)
        now = postgres.now(opened)
        fed = [
            f"subscription {one} goes on in the replaced database: ALTER SUBSCRIPTION ... DISABLE it there"
            for one in swap.subscriptions(opened, place.live.database)
        ]
    if oid is None:
        state, heads, rows = f"there is no database {place.live.database}", None, None
    else:
        state, heads, rows = _live(place.live, manifest)
    return Cost(
        database=place.live.database,
        oid=oid,
        backup=backup,
        age=now - manifest.snapshot_time,
        state=state,
        heads_now=heads,
        rows_now=rows,
        revisions_since=tuple(_revisions_since(place, manifest)),
        notes=(*_notes(place, manifest, server), *fed),
    )


def restore_beside(place: Workplace, cost: Cost, consent: RestoreConfirmation) -> Beside:
    """Restore into a new database beside the live one, and compare it with the manifest."""
    _check_same(cost, consent)
    place.hold_lock()
    try:
        return _restored_beside(place, cost)
    except errors.VerificationFailed as error:
        error.next_step = "just backups, then another one: just restore-db <backup>"
        raise


def _restored_beside(place: Workplace, cost: Cost) -> Beside:
    started = time.monotonic()
    backup, manifest = cost.backup, cost.backup.manifest
    if manifest.id == UNVERIFIED:
        return _unverified(place, cost, started)
    with place.store.fetched(backup) as folder:
        notes = _provide_roles(place, manifest, _side_file(place, folder, manifest, backups.GLOBALS))
        facts, database_sql, unknown = _facts(place, folder, cost)
        name, more = place.beside(facts, database_sql)
        into = place.live.replace(database=name)
        place.restore(backup, folder, into, _major(place), keeps_subscriptions=True)
    place.progress("compare", 0, None)
    comparison.check_copy(manifest, into, place.target.backups.level if manifest.row_hashes else Level.RESTORE)
    _analyze(place, into)
    return Beside(name=name, seconds=time.monotonic() - started, notes=(*notes, *unknown, *more))


def _unverified(place: Workplace, cost: Cost, started: float) -> Beside:
    """Restore a file from elsewhere. psql's own commands in it are off; its SQL runs with the rights of our role."""
    file = Path(cost.backup.location)
    facts, database_sql, unknown = _facts_now(place, cost)
    name, notes = place.beside(facts, database_sql)
    into = place.live.replace(database=name)
    place.restore(cost.backup, file.parent, into, _major(place), keeps_subscriptions=True, file=file)
    _analyze(place, into)
    notes.append("the file was compared with nothing: no manifest vouches for it")
    return Beside(name=name, seconds=time.monotonic() - started, notes=(*unknown, *notes))


def _analyze(place: Workplace, into: Connection) -> None:
    """Give the planner its statistics: a dump holds none, and an application's first minute would be its slowest."""
    place.progress("ANALYZE", 0, None)
    with postgres.session(into, purpose="analyzes") as opened:
        postgres.execute(opened, "ANALYZE")


def swap_names(place: Workplace, cost: Cost, beside: Beside, consent: RestoreConfirmation) -> Restored:
    """Give the restored database the live one's name, and keep the replaced one under another."""
    _check_same(cost, consent)
    place.hold_lock()
    database_sql = place.database_sql(beside.name)
    with _admin(place, "swaps names") as opened:
        _demand_the_same_database(opened, cost)
        replaced = swap.replaced_name(cost.database, place.clock())
        statements, notes = database_facts.prepared(opened, database_sql, new=beside.name, live=cost.database)
        cut = swap.subscriptions(opened, beside.name, enabled=False)
        slots = swap.logical_slots(opened, cost.database)
    notes += [f"subscription {one} of the restored database is off, and cut from its slot" for one in cut]
    notes += [f"logical replication slot {one} stays with the replaced database" for one in slots]
    swapped = swap.swap(
        place.live,
        place.target.maintenance_database,
        live=cost.database,
        new=beside.name,
        replaced=replaced,
        statements=statements,
    )
    manifest = cost.backup.manifest
    return Restored(
        database=cost.database,
        backup_id=cost.backup.id,
        replaced=replaced if cost.oid is not None else None,
        heads=manifest.heads,
        seconds=beside.seconds + swapped.seconds,
        swap_seconds=swapped.seconds,
        ended_sessions=swapped.ended,
        notes=(*beside.notes, *notes),
    )


def replaced(place: Workplace) -> list[Replaced]:
    """Return the databases that restores have put aside, oldest first."""
    with _admin(place, "looks") as opened:
        return swap.replaced_databases(opened, place.live.database)


def drop_replaced(place: Workplace, name: str, *, end_sessions: bool) -> None:
    """Drop one of them for good."""
    place.hold_lock()
    swap.drop_replaced(
        place.live, place.target.maintenance_database, live=place.live.database, name=name, end_sessions=end_sessions
    )


def standing(place: Workplace, cost: Cost | None) -> dict[str, str]:
    """Say, as looked at now, whether the live database was replaced: for a run that ended before its end."""
    if cost is None:
        return {"state": f"database {place.live.database} is as it was; nothing was begun"}
    try:
        with _admin(place, "looks") as opened:
            found = _oid(opened, cost.database)
            aside = swap.replaced_databases(opened, cost.database)
    except errors.MigrationPipelineError:
        return {"state": f"the server does not answer; database {cost.database} is whole, either the old one or the restored one"}
    if found == cost.oid:
        there = "is as it was" if found is not None else "is not there, as before"
        return {"state": f"database {cost.database} {there}"}
    if found is None:
        return {"state": f"there is no database {cost.database} any more, and it was not this restore that took it away"}
    stays = f"; the replaced one stays as {aside[-1].name}" if aside else ""
    return {"state": f"database {cost.database} was replaced by the restored one{stays}"}


def standing_aside(place: Workplace) -> dict[str, str]:
    """Say which replaced databases there are now: for a drop that ended before its end."""
    try:
        names = [one.name for one in replaced(place)]
    except errors.MigrationPipelineError:
        return {"state": "the server does not answer; a database is dropped whole or not at all"}
    return {"state": f"database {place.live.database} is as it was", "replaced databases": ", ".join(names) or "none is left"}


@contextlib.contextmanager
def _admin(place: Workplace, purpose: str) -> Iterator["psycopg.Connection[Any]"]:
    with postgres.session(place.admin, purpose=purpose) as opened:
        yield opened


def _major(place: Workplace) -> int:
    with _admin(place, "looks") as opened:
        return postgres.server(opened).major


def _demand(place: Workplace, opened: "psycopg.Connection[Any]", manifest: Manifest, major: int) -> None:
    """Raise NotAllowed with all that would make this restore fail, before anything is begun."""
    place.programs(major)
    problems = dict(swap.problems(opened, place.live.database))
    if manifest.major > major:
        problems["version"] = f"the backup is of PostgreSQL {manifest.major}, and this server is {major}: it cannot take it back"
    free = preflight.free_bytes(opened, place.live)
    if free is not None and free < manifest.database_bytes:
        problems["disk"] = f"{free:,} bytes are free, the restored database needs about {manifest.database_bytes:,}"
    if problems:
        raise errors.NotAllowed(
            "The backup cannot be restored here; nothing was changed.",
            evidence={"database": place.live.where, **problems},
            next_step="mend what is named above, then run the same command again",
        )
    scratch.check(opened, place.admin, manifest)


def _live(live: Connection, manifest: Manifest) -> tuple[str, tuple[str, ...] | None, dict[str, int] | None]:
    """Return the live database's state in words, its revision and its rows, as far as it answers."""
    state, heads = "it answers", None
    try:
        with postgres.session(live, purpose="looks") as opened:
            postgres.execute(opened, f"SET lock_timeout = '{LOCK_TIMEOUT}'; SET statement_timeout = '{COUNT_TIMEOUT}'")
            heads = postgres.version_rows(opened, manifest.version_table_schema, manifest.version_table)
            state = "they could not be counted"
            return "it answers", heads, postgres.count_rows(opened)
    except errors.MigrationPipelineError as error:
        told = error.evidence.get("server", error.what)
        return f"{state} ({told})" if heads is not None else f"the database does not answer ({told})", heads, None


def _revisions_since(place: Workplace, manifest: Manifest) -> Iterator[str]:
    migrations, _ = place.history.all()
    for one in migrations:
        since = (one.finished or one.at) > manifest.snapshot_time and one.outcome in backups.APPLIED
        if since and one.identity.database == manifest.identity.database:
            yield from one.revisions


def _notes(place: Workplace, manifest: Manifest, server: postgres.Server) -> Iterator[str]:
    if manifest.id == UNVERIFIED:
        yield "no manifest vouches for the file: whether it is whole, and of when, is not known; its time is that of the file"
        return
    if manifest.identity.database != place.live.database:
        yield f"the backup is of a database called {manifest.identity.database}"
    if manifest.identity.system_identifier != server.system_identifier:
        yield "the backup was taken on another server"
    if manifest.restored is None:
        yield "the backup was never verified by a restore; it is compared before anything is replaced"
    if manifest.snapshot_time > place.clock() + timedelta(minutes=5):
        yield "the backup's time is in the future"


def _facts(place: Workplace, folder: Path, cost: Cost) -> tuple[DatabaseFacts, str, list[str]]:
    """Return what the database was apart from its content, what gives it that, and what a human must know of it."""
    manifest = cost.backup.manifest
    if manifest.file_named(backups.DATABASE):
        return manifest.database, _side_file(place, folder, manifest, backups.DATABASE), []
    return _facts_now(place, cost)


def _facts_now(place: Workplace, cost: Cost) -> tuple[DatabaseFacts, str, list[str]]:
    """Return what the live database is apart from its content; where it is gone, what the maintenance database is."""
    if cost.heads_now is not None:  # it answered
        with postgres.session(place.live, purpose="looks") as opened:
            return *database_facts.of(opened), []
    with _admin(place, "looks") as opened:
        facts, _ = database_facts.of(opened)
    note = "the database's own rights and settings are not known: until you grant CONNECT, only its owner gets in"
    return facts, "", [note]


def _side_file(place: Workplace, folder: Path, manifest: Manifest, suffix: str) -> str:
    """Return a text beside the dump; none where the backup is of a time before there were any."""
    found = manifest.file_named(suffix)
    return streams.text_of(folder / found.name, identity_file=place.target.backups.identity_file) if found else ""


def _provide_roles(place: Workplace, manifest: Manifest, roles_sql: str) -> list[str]:
    """Make the roles that the server lacks; return what a human must know of it."""
    facts = manifest.database
    may = {role for role, *_ in facts.access if role} | {one.role for one in facts.settings if one.role}
    with _admin(place, "provides roles") as opened:
        missing = globals.missing(opened, {*manifest.roles, *may, *([facts.owner] if facts.owner else [])})
        return globals.provide(opened, roles_sql, missing) if missing else []


def _demand_the_same_database(opened: "psycopg.Connection[Any]", cost: Cost) -> None:
    """Raise Stale when the live database is another one than that whose loss was shown."""
    if _oid(opened, cost.database) != cost.oid:
        raise errors.Stale(
            f"Database {cost.database} was replaced, dropped or made since the restore was confirmed; nothing was swapped.",
            next_step="just restore-db, and read what is lost now",
        )


def _oid(opened: "psycopg.Connection[Any]", database: str) -> int | None:
    return next((row[0] for row in postgres.rows(opened, OID, database)), None)


def _check_same(cost: Cost, consent: RestoreConfirmation) -> None:
    if (consent.database, consent.backup_id) != (cost.database, cost.backup.id):
        raise errors.Stale("The confirmation belongs to another restore; nothing was changed.", next_step="just restore-db")
