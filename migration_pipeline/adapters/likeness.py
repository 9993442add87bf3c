"""What a copy takes over from the database itself, which no dump holds: locale, owner, rights, settings of a session."""

import contextlib
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from migration_pipeline import errors
from migration_pipeline.adapters import postgres
from migration_pipeline.domain.connection import Connection

#: How the source stores its text; a copy that sorts differently could hide what an index or a CHECK does.
LOCALE = """
SELECT pg_encoding_to_char(encoding), datcollate, datctype, datlocprovider = 'i', to_jsonb(d) ->> 'daticulocale',
       to_jsonb(d) ->> 'datlocale'
FROM pg_database d WHERE datname = current_database()
"""
OWNER = "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = current_database()"

#: Who may do what in the source; CONNECT is left out, for nobody connects to a copy but its maker.
RIGHTS = """
SELECT CASE WHEN grantee <> 0 THEN pg_get_userbyid(grantee)::text END, privilege_type
FROM pg_database d, aclexplode(coalesce(datacl, acldefault('d', datdba)))
WHERE datname = current_database() AND privilege_type IN ('CREATE', 'TEMPORARY')
UNION SELECT current_user::text, right_ FROM unnest(ARRAY['CREATE', 'TEMPORARY']) right_
WHERE has_database_privilege(current_database(), right_)
"""

#: Settings that a session of ours begins with in the source, the strongest of each name: a search_path decides which table
#: a revision means. https://www.postgresql.org/docs/current/sql-alterrole.html
SETTINGS = """
SELECT DISTINCT ON (split_part(setting, '=', 1)) setting
FROM pg_db_role_setting, unnest(setconfig) setting
WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
  AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))
  AND split_part(setting, '=', 1) NOT IN ('role', 'session_authorization')
ORDER BY split_part(setting, '=', 1), setrole = 0, setdatabase = 0
"""

#: Roles to whom the maker of a copy may give it, and be its owner still.
MAY_GIVE_TO = "SELECT pg_has_role(oid, 'USAGE') AND pg_has_role(oid, '{become}') FROM pg_roles WHERE rolname = %s"


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """What makes a database like another one before anything is in it."""

    locale: tuple[Any, ...]
    owner: str
    rights: tuple[tuple[str | None, str], ...]  #: role (None: PUBLIC) and privilege
    settings: tuple[str, ...]  #: name=value


def of(source: Connection) -> Likeness:
    with postgres.session(source, purpose="reads settings") as live:
        return Likeness(
            locale=postgres.one(live, LOCALE),
            owner=postgres.one(live, OWNER)[0],
            rights=tuple((role, right) for role, right in postgres.rows(live, RIGHTS)),
            settings=tuple(row[0] for row in postgres.rows(live, SETTINGS)),
        )


def create(opened: "psycopg.Connection[Any]", name: str, like: Likeness, comment: str) -> None:
    """Make an empty database. Its owner is the source's where our role may act for him: the schema public is his."""
    database = sql.Identifier(name)
    (login,) = postgres.one(opened, "SELECT current_user::text")
    owner = like.owner if _may_give_to(opened, like.owner) else login
    encoding, collate, ctype, icu, *icu_locale = like.locale
    parts = [sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}").format(
        database, sql.Identifier(owner), sql.Literal(encoding), sql.Literal(collate), sql.Literal(ctype))]  # fmt: skip
    if icu:
        chosen = next(one for one in icu_locale if one)
        parts.append(sql.SQL("LOCALE_PROVIDER icu ICU_LOCALE {}").format(sql.Literal(chosen)))
    postgres.execute(opened, sql.SQL(" ").join(parts))
    postgres.execute(opened, sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    postgres.execute(opened, sql.SQL("COMMENT ON DATABASE {} IS {}").format(database, sql.Literal(comment)))
    if owner != login:  # the owner's members are not the maker
        postgres.execute(opened, sql.SQL("REVOKE CONNECT ON DATABASE {} FROM {}").format(database, sql.Identifier(owner)))
        postgres.execute(opened, sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, sql.Identifier(login)))
    _grant(opened, database, like)
    # in the copy we are who logged in, who may restore for others; the rehearsal becomes the live role by itself
    postgres.execute(opened, sql.SQL("ALTER ROLE {} IN DATABASE {} SET role = 'none'").format(sql.Identifier(login), database))
    for setting in like.settings:
        key, _, value = setting.partition("=")
        with contextlib.suppress(errors.MigrationPipelineError, psycopg.Error):  # a setting that only a superuser may give
            _set(opened, login, name, key, value)


def _may_give_to(opened: "psycopg.Connection[Any]", owner: str) -> bool:
    become = "SET" if opened.info.server_version >= 160000 else "MEMBER"  # noqa: PLR2004 - memberships got options then
    found = postgres.rows(opened, MAY_GIVE_TO.format(become=become), owner)
    return bool(found and found[0][0])


def _grant(opened: "psycopg.Connection[Any]", database: sql.Identifier, like: Likeness) -> None:
    known = {row[0] for row in postgres.rows(opened, "SELECT rolname::text FROM pg_roles")}
    for role, right in like.rights:
        if role is None or role in known:
            whom = sql.SQL("PUBLIC") if role is None else sql.Identifier(role)
            postgres.execute(opened, sql.SQL("GRANT {} ON DATABASE {} TO {}").format(sql.SQL(right), database, whom))


def _set(opened: "psycopg.Connection[Any]", login: str, name: str, key: str, value: str) -> None:
    # a list such as search_path is stored as it was written, quotes and all, so it goes back as it is; for our login in this
    # database, because that is stronger than whatever the scratch server has set for either
    opened.execute(
        sql.SQL(
            "DO $do$ BEGIN PERFORM set_config({0}, {1}, true);"
            " EXECUTE format('ALTER ROLE %I IN DATABASE %I SET %s FROM CURRENT', {2}, {3}, {0}); END $do$"
        ).format(sql.Literal(key), sql.Literal(value), sql.Literal(login), sql.Literal(name))
    )
