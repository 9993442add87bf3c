"""Scratch databases: where a backup is restored to and a plan rehearsed. Nobody but their maker may connect.

Each has an owner alive as long as it is used: an advisory lock on the scratch server. A run that died leaves a database
whose lock is free, and the next run drops it.
"""

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg import sql

from migration_pipeline import errors
from migration_pipeline.adapters import postgres
from migration_pipeline.adapters.locks import AdvisoryLock
from migration_pipeline.domain.connection import Connection

PREFIX = "mp_scratch"
COMMENT = "scratch database of migration_pipeline; dropped by its run, or by the next one"

#: How the source stores its text; a copy that sorts differently could hide what an index or a CHECK does.
LOCALE = """
SELECT pg_encoding_to_char(encoding), datcollate, datctype, datlocprovider = 'i', to_jsonb(d) ->> 'daticulocale',
       to_jsonb(d) ->> 'datlocale'
FROM pg_database d WHERE datname = current_database()
"""
ORPHANS = """
SELECT datname::text FROM pg_database
WHERE datname LIKE 'mp\\_scratch\\_%' AND shobj_description(oid, 'pg_database') = '""" + COMMENT + """'
"""  # fmt: skip
SUBSCRIPTIONS = "SELECT subname FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())"

USER_MAPPINGS = """
SELECT m.srvname::text, m.usename::text, m.umoptions, w.fdwname IN ('postgres_fdw', 'dblink_fdw')
FROM pg_user_mappings m JOIN pg_foreign_server s ON s.oid = m.srvid JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
"""
NO_USER = "migration_pipeline_rehearsal"

#: Settings that ALTER DATABASE gave the source: a search_path decides which table a revision means.
SETTINGS = """
SELECT unnest(setconfig) FROM pg_db_role_setting
WHERE setrole = 0 AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@contextlib.contextmanager
def database(server: Connection, source: Connection, target: str, maintenance: str) -> Iterator[Connection]:
    """Yield an empty database on the scratch server, made as the source was; it is dropped in the end, come what may."""
    name = f"{PREFIX}_{target[:30]}_{secrets.token_hex(4)}"
    admin = server.replace(database=maintenance)
    owner = AdvisoryLock(admin, name, purpose=f"owns {name}")
    if not owner.try_acquire():
        raise errors.Failure("A scratch database of the same name is in use.", next_step="run the same command again")
    try:
        _create(admin, source, name)
        yield server.replace(database=name)
    finally:
        with contextlib.suppress(errors.MigrationPipelineError):  # what cannot be dropped now is swept by the next run
            drop(admin, name)
        owner.release()


def sweep(server: Connection, maintenance: str) -> list[str]:
    """Drop the scratch databases whose run is dead; return their names."""
    admin = server.replace(database=maintenance)
    with postgres.session(admin, purpose="sweeps") as opened:
        names = [row[0] for row in postgres.rows(opened, ORPHANS)]
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
    cut_subscriptions(admin.replace(database=name))
    with postgres.session(admin, purpose="drops scratch") as opened:
        postgres.execute(opened, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def cut_subscriptions(connection: Connection) -> None:
    """Drop the subscriptions of a restored copy without touching the slots of the publisher: these are production's.

    https://www.postgresql.org/docs/current/sql-dropsubscription.html, Notes.
    """
    with contextlib.suppress(errors.ServerUnreachable), postgres.session(connection, purpose="cuts subscriptions") as opened:
        for (name,) in postgres.rows(opened, SUBSCRIPTIONS):
            subscription = sql.Identifier(name)
            for text in ("ALTER SUBSCRIPTION {} DISABLE", "ALTER SUBSCRIPTION {} SET (slot_name = NONE)", "DROP SUBSCRIPTION {}"):
                postgres.execute(opened, sql.SQL(text).format(subscription))


def drop_public_schema(connection: Connection) -> None:
    """Drop the schema that every new database has: a dump of a database without it does not say so."""
    with postgres.session(connection, purpose="prepares scratch") as opened:
        postgres.execute(opened, "DROP SCHEMA public")


def provide_roles(server: Connection, maintenance: str, roles: Sequence[str]) -> None:
    """Make the roles that a dump names and the scratch server lacks: without a login, so that they are names alone.

    Only a server of its own can lack them. Raise NotAllowed when they cannot be made.
    """
    with postgres.session(server.replace(database=maintenance), purpose="provides roles") as opened:
        known = {row[0] for row in postgres.rows(opened, "SELECT rolname::text FROM pg_roles")}
        missing = [role for role in roles if role not in known]
        try:
            for role in missing:
                opened.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
        except psycopg.errors.InsufficientPrivilege:
            raise errors.NotAllowed(
                "The scratch server lacks roles that the backup names, and our role there may not make them.",
                evidence={"scratch server": server.where, "roles": ", ".join(missing)},
                next_step="create them there (CREATE ROLE name NOLOGIN), or name a role with CREATEROLE in SCRATCH_DATABASE_URL",
            ) from None


def cut_foreign_servers(connection: Connection) -> None:
    """Give the user mappings of a restored copy a user that exists nowhere: through them it could write to other systems."""
    with postgres.session(connection, purpose="cuts foreign servers") as opened:
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


def _create(admin: Connection, source: Connection, name: str) -> None:
    with postgres.session(source, purpose="reads settings") as live:
        locale = postgres.one(live, LOCALE)
        settings = [row[0].partition("=") for row in postgres.rows(live, SETTINGS)]
    encoding, collate, ctype, icu, *icu_locale = locale
    parts = [sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}").format(
        sql.Identifier(name), sql.Literal(encoding), sql.Literal(collate), sql.Literal(ctype))]  # fmt: skip
    if icu:
        chosen = next(one for one in icu_locale if one)
        parts.append(sql.SQL("LOCALE_PROVIDER icu ICU_LOCALE {}").format(sql.Literal(chosen)))
    database_name = sql.Identifier(name)
    with postgres.session(admin, purpose="makes scratch") as opened:
        postgres.execute(opened, sql.SQL(" ").join(parts))
        postgres.execute(opened, sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database_name))
        postgres.execute(opened, sql.SQL("COMMENT ON DATABASE {} IS {}").format(database_name, sql.Literal(COMMENT)))
        for key, _, value in settings:
            with contextlib.suppress(errors.MigrationPipelineError, psycopg.Error):  # a setting that only a superuser may give
                _set(opened, database_name, key, value)


def _set(opened: "psycopg.Connection[Any]", database_name: sql.Identifier, key: str, value: str) -> None:
    # a list such as search_path is stored as it was written, quotes and all, so it goes back as it is
    opened.execute(
        sql.SQL("DO $do$ BEGIN PERFORM set_config({0}, {1}, false); EXECUTE format('ALTER DATABASE %I SET %I FROM CURRENT', {2}, {0}); END $do$")
        .format(sql.Literal(key), sql.Literal(value), sql.Literal(database_name.as_string(None).strip('"')))
    )
