"""Scratch databases: where a backup is restored to and a plan rehearsed. Nobody but their maker may connect.

Each has an owner alive as long as it is used: an advisory lock on the scratch server. A run that died leaves a database
whose lock is free, and the next run drops it.
"""

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import sql

from migration_pipeline import errors
from migration_pipeline.adapters import database_facts, likeness, locks, postgres, roles
from migration_pipeline.adapters.locks import AdvisoryLock
from migration_pipeline.domain.backups import DatabaseFacts, Manifest
from migration_pipeline.domain.connection import Connection

PREFIX = "mp_scratch"
SECONDS_TO_REACH = "3"
COMMENT = "scratch database of migration_pipeline; dropped by its run, or by the next one"

ORPHANS = """
SELECT datname::text FROM pg_database
WHERE shobj_description(oid, 'pg_database') = '""" + COMMENT + """'
  AND datname ~ '(^mp_scratch_.*|_restore)_[0-9a-f]{8}$' AND datname <> ALL (%s)
"""  # fmt: skip
COLLATIONS = """
SELECT quote_ident(collname) FROM pg_collation
WHERE collnamespace = 'pg_catalog'::regnamespace AND collencoding IN (-1, pg_char_to_encoding(%s))
"""
SUBSCRIPTIONS = """
SELECT subname FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

USER_MAPPINGS = """
SELECT m.srvname::text, m.usename::text, m.umoptions, w.fdwname IN ('postgres_fdw', 'dblink_fdw')
FROM pg_user_mappings m JOIN pg_foreign_server s ON s.oid = m.srvid JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
"""
NO_USER = "migration_pipeline_rehearsal"


@contextlib.contextmanager
def database(server: Connection, source: Connection, target: str, maintenance: str) -> Iterator[Connection]:
    """Yield an empty database on the scratch server, made as the source was; it is dropped in the end, come what may."""
    name = f"{PREFIX}_{target[:30]}_{secrets.token_hex(4)}"
    admin = server.replace(database=maintenance)
    owner = AdvisoryLock(admin, name, purpose=f"owns {name}")
    if not owner.try_acquire():
        raise errors.Failure("A scratch database of the same name is in use.", next_step="run the same command again")
    try:
        with _as_login(admin, "makes scratch") as opened:
            likeness.create(opened, name, likeness.of(source), COMMENT)
        yield server.replace(database=name)
    finally:
        with contextlib.suppress(errors.MigrationPipelineError):  # what cannot be dropped now is swept by the next run
            drop(admin, name)
        owner.release()


@contextlib.contextmanager
def beside(admin: Connection, live: str, facts: DatabaseFacts) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of an empty database beside the live one, for a restore, and what it could not be given.

    One that does not get the live name is dropped in the end, by us or by the next run.
    """
    token = secrets.token_hex(4)
    name = f"{live.encode()[:46].decode(errors='ignore')}_restore_{token}"
    owner = AdvisoryLock(admin, name, purpose=f"owns {name}")
    if not owner.try_acquire():
        raise errors.Failure("A database of the same name is being restored.", next_step="run the same command again")
    try:
        with _as_login(admin, "makes a database") as opened:
            notes = database_facts.create(opened, name, facts, comment=COMMENT)
        yield name, notes
    finally:
        with contextlib.suppress(errors.MigrationPipelineError):
            drop(admin, name)
        owner.release()


def check(opened: "psycopg.Connection[Any]", server: Connection, manifest: Manifest) -> None:
    """Raise NotAllowed with what a server lacks for a restore of a backup, before it starts."""
    available = {row[0] for row in postgres.rows(opened, "SELECT name::text FROM pg_available_extensions")}
    problems = {f"extension {name}": "is not installed there" for name in manifest.extensions if name not in available}
    known = {row[0] for row in postgres.rows(opened, COLLATIONS, manifest.database.encoding)}
    used = {held["collation"] for held in manifest.schema.objects.values() if "collation" in held}
    made = {name.partition(" ")[2] for name in manifest.schema.objects if name.startswith("collation ")}
    problems |= {f"collation {name}": "is not known there" for name in sorted(used - made - known)}
    if problems:
        raise errors.NotAllowed(
            "The server lacks what the backup needs; nothing was restored.",
            evidence={"server": server.where, **problems},
            next_step="install what is named above on that server, then run the same command again",
        )


def refuse_live(server: Connection, live: Connection) -> None:
    """Raise NotAllowed where a server on which revisions are to be committed is the live one, by its address or its identity.

    A live server that is not reached has no identity: a project's CI need not have it.
    """
    if server.is_same_server_as(live) or ((found := _identity(live)) and found == _identity(server)):
        raise errors.NotAllowed(
            "The scratch server is the live server: what revisions do to roles there would reach the live database.",
            evidence={"live database": live.where, "scratch server": server.where},
            next_step="name another server in SCRATCH_DATABASE_URL, or leave it out: then a throw-away server is started",
        )


def _identity(connection: Connection) -> str | None:
    hurried = replace(connection, parameters={"connect_timeout": SECONDS_TO_REACH, **connection.parameters})
    with contextlib.suppress(errors.MigrationPipelineError), postgres.session(hurried, purpose="looks") as opened:
        return postgres.server(opened).system_identifier
    return None


def sweep(server: Connection, maintenance: str, *, never: Sequence[str] = ()) -> list[str]:
    """Drop the scratch databases whose run is dead; return their names.

    Both a comment and a name of ours are needed: somebody may have given one of them another name, and work in it.
    """
    admin = server.replace(database=maintenance)
    with postgres.session(admin, purpose="sweeps") as opened:
        found = [row[0] for row in postgres.rows(opened, ORPHANS, list(never))]
        names = [name for name in found if postgres.one(opened, locks.HELD_ANYWHERE, locks.key(name)) == (False,)]
    swept = []
    for name in names:
        owner = AdvisoryLock(admin, name, purpose="sweeps")
        if owner.try_acquire():
            with contextlib.suppress(errors.MigrationPipelineError):
                drop(admin, name)
                swept.append(name)
            owner.release()
    return swept


def drop(admin: Connection, name: str) -> None:
    """Drop a scratch database with its sessions. A subscription would block it, so it goes first, cut from its slot."""
    with contextlib.suppress(errors.ServerUnreachable):
        cut_subscriptions(admin.replace(database=name))
    with _as_login(admin, "drops scratch") as opened:
        postgres.execute(opened, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def cut_subscriptions(connection: Connection, *, keep: bool = False) -> None:
    """Drop the subscriptions of a restored copy without touching the slots of the publisher: these are production's.

    Or keep them, off and without a slot, in a database that is to be the live one.

    https://www.postgresql.org/docs/current/sql-dropsubscription.html, Notes.
    """
    with _as_login(connection, "cuts subscriptions") as opened:
        for (name,) in postgres.rows(opened, SUBSCRIPTIONS):
            subscription = sql.Identifier(name)
            cut = ("ALTER SUBSCRIPTION {} DISABLE", "ALTER SUBSCRIPTION {} SET (slot_name = NONE)")
            for text in cut if keep else (*cut, "DROP SUBSCRIPTION {}"):
                postgres.execute(opened, sql.SQL(text).format(subscription))


def drop_public_schema(connection: Connection) -> None:
    """Drop the schema that every new database has: a dump of a database without it does not say so."""
    with _as_login(connection, "prepares scratch") as opened:
        postgres.execute(opened, "DROP SCHEMA public")


def cut_foreign_servers(connection: Connection) -> None:
    """Give the user mappings of a restored copy a user that exists nowhere: through them it could write to other systems."""
    with _as_login(connection, "cuts foreign servers") as opened:
        for server, user, options, knows_user in postgres.rows(opened, USER_MAPPINGS):
            names = [option.partition("=")[0] for option in options or ()]
            changes = [sql.SQL("DROP {}").format(sql.Identifier(name)) for name in names if name != "user" or not knows_user]
            if knows_user:
                verb = sql.SQL("SET" if "user" in names else "ADD")
                changes.append(sql.SQL("{} user {}").format(verb, sql.Literal(NO_USER)))
            if changes:
                whom = sql.SQL("PUBLIC") if user == "public" else sql.Identifier(user)
                postgres.execute(
                    opened,
                    sql.SQL("ALTER USER MAPPING FOR {} SERVER {} OPTIONS ({})").format(
                        whom, sql.Identifier(server), sql.SQL(", ").join(changes)
                    ),
                )


@contextlib.contextmanager
def _as_login(connection: Connection, purpose: str) -> Iterator["psycopg.Connection[Any]"]:
    with postgres.session(connection, purpose=purpose) as opened:
        roles.become_login(opened)
        yield opened
