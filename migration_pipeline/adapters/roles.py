"""Roles of a copy: who owns what a dump names, whether our role may give it to them, and whose name the rehearsal bears."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from migration_pipeline import errors
from migration_pipeline.adapters import postgres
from migration_pipeline.domain.connection import Connection

#: A membership has had its own INHERIT and SET since this version (https://www.postgresql.org/docs/release/16.0/).
GRANTS_WITH_OPTIONS = 160000

ME = """
SELECT session_user::text, current_user::text, rolsuper, ARRAY(
  WITH RECURSIVE mine AS (
    SELECT roleid FROM pg_auth_members WHERE member = r.oid
    UNION SELECT m.roleid FROM pg_auth_members m JOIN mine ON m.member = mine.roleid)
  SELECT rolname::text FROM mine JOIN pg_roles g ON g.oid = mine.roleid ORDER BY 1)
FROM pg_roles r WHERE rolname = current_user
"""

#: Roles that a dump gives objects to, or sets default privileges for. What belongs to an extension is not in a dump. The
#: bootstrap superuser, number 10, is never in pg_shdepend, so the catalogs themselves are asked for it; since PostgreSQL 15
#: the schema public belongs to pg_database_owner, before it to that superuser, and neither is written down.
OWNERS = """
WITH held (classid, objid) AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
owned (classid, objid, owner) AS (
  SELECT classid, objid, refobjid FROM pg_shdepend
  WHERE deptype = 'o' AND refclassid = 'pg_authid'::regclass AND classid <> 'pg_extension'::regclass
    AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  UNION ALL SELECT 'pg_class'::regclass, oid, 10 FROM pg_class
  WHERE relowner = 10 AND oid >= 16384 AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
  UNION ALL SELECT 'pg_proc'::regclass, oid, 10 FROM pg_proc WHERE proowner = 10 AND oid >= 16384
  UNION ALL SELECT 'pg_type'::regclass, oid, 10 FROM pg_type
  WHERE typowner = 10 AND oid >= 16384 AND typrelid = 0 AND typcategory <> 'A' AND typtype <> 'm'
  UNION ALL SELECT 'pg_namespace'::regclass, oid, 10 FROM pg_namespace
  WHERE nspowner = 10 AND (oid >= 16384 AND nspname !~ '^pg_'
    OR nspname = 'public' AND current_setting('server_version_num')::int >= 150000)
  UNION ALL SELECT 'pg_largeobject'::regclass, oid, 10 FROM pg_largeobject_metadata WHERE lomowner = 10
  UNION ALL SELECT 'pg_event_trigger'::regclass, oid, 10 FROM pg_event_trigger WHERE evtowner = 10
)
SELECT DISTINCT r.rolname::text FROM owned JOIN pg_roles r ON r.oid = owner
WHERE (classid, objid) NOT IN (SELECT classid, objid FROM held)
UNION SELECT r.rolname::text FROM pg_default_acl JOIN pg_roles r ON r.oid = defaclrole
"""

#: To restore for somebody else, a role must be able to become him (ALTER ... OWNER TO) and have his rights (COPY).
MAY_ACT_FOR = """
SELECT rolname::text, quote_ident(rolname), quote_ident(session_user), rolsuper,
       pg_has_role(oid, 'USAGE') AND pg_has_role(oid, '{become}')
FROM pg_roles WHERE rolname = ANY (%s) ORDER BY 1
"""


@dataclass(frozen=True, kw_only=True)
class Needed:
    """The roles that a copy of the live database cannot do without."""

    login: str
    runs: str  #: the role that revisions run as: the login itself, or what `ALTER ROLE ... SET role` made of it
    is_superuser: bool
    memberships: tuple[str, ...]
    owners: tuple[str, ...]


def needed(live: Connection) -> Needed:
    """Ask the live database."""
    with postgres.session(live, purpose="reads roles") as opened:
        login, runs, is_superuser, memberships = postgres.one(opened, ME)
        owners = tuple(row[0] for row in postgres.rows(opened, OWNERS))
    return Needed(login=login, runs=runs, is_superuser=is_superuser, memberships=tuple(memberships), owners=owners)


def problems(opened: "psycopg.Connection[Any]", roles: Needed) -> Iterator[tuple[str, str]]:
    """Yield for whom our role on the scratch server could not restore or rehearse, each with what mends it."""
    login, _, is_superuser, _ = postgres.one(opened, ME)
    if is_superuser:
        return
    wanted = sorted({*roles.owners, roles.runs} - {login})
    may_grant_options = opened.info.server_version >= GRANTS_WITH_OPTIONS
    query = MAY_ACT_FOR.format(become="SET" if may_grant_options else "MEMBER")
    options = " WITH INHERIT TRUE, SET TRUE" if may_grant_options else ""
    for name, role, ours, owner_is_superuser, may in postgres.rows(opened, query, wanted):
        if may:
            continue
        does = "owns objects or default privileges here" if name in roles.owners else "runs the revisions"
        mend = f"GRANT {role} TO {ours}{options}"
        if owner_is_superuser:  # a grant of it would make ours one
            mend = "give them another owner, or name a superuser of another server in SCRATCH_DATABASE_URL"
        yield f"role {name}", f'{does}, and role "{login}" may not act for it, so a copy cannot be made: {mend}'


def provide(server: Connection, maintenance: str, roles: Needed, named: Sequence[str]) -> None:
    """Make the roles that a dump names and the scratch server lacks: without a login, so that they are names alone.

    Only a server of its own can lack them. Raise NotAllowed when they cannot be made.
    """
    with postgres.session(server.replace(database=maintenance), purpose="provides roles") as opened:
        become_login(opened)
        known = {row[0] for row in postgres.rows(opened, "SELECT rolname::text FROM pg_roles")}
        login, _, is_superuser, _ = postgres.one(opened, ME)
        memberships = [role for role in roles.memberships if not role.startswith("pg_")]
        missing = sorted({*named, *roles.owners, roles.login, roles.runs, *memberships} - known)
        try:
            for role in missing:
                _make(opened, role, as_superuser=is_superuser and roles.is_superuser and role == roles.runs)
                if not is_superuser:  # who makes a role may not act for it yet
                    opened.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(login)))
            if roles.runs in missing:
                for role in roles.memberships:
                    opened.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(roles.runs)))
        except psycopg.errors.InsufficientPrivilege:
            raise errors.NotAllowed(
                "The scratch server lacks roles that the backup names, and our role there may not make them.",
                evidence={"scratch server": server.where, "roles": ", ".join(missing)},
                next_step="create them there (CREATE ROLE name NOLOGIN), or name a role with CREATEROLE in SCRATCH_DATABASE_URL",
            ) from None


def for_rehearsal(copy: Connection, roles: Needed) -> str | None:
    """Return the role that a rehearsal must become, so that what it makes has the owner it will have; None: it is that role."""
    with postgres.session(copy, purpose="looks") as opened:
        (ours,) = postgres.one(opened, "SELECT current_user::text")
    return None if ours == roles.runs else roles.runs


def become_login(opened: "psycopg.Connection[Any]") -> None:
    """Be who logged in: `ALTER ROLE ... SET role` is for the application, and what it names may not make databases."""
    postgres.execute(opened, "SET ROLE NONE")


def _make(opened: "psycopg.Connection[Any]", role: str, *, as_superuser: bool) -> None:
    rights = sql.SQL("NOLOGIN SUPERUSER" if as_superuser else "NOLOGIN")
    opened.execute(sql.SQL("CREATE ROLE {} {}").format(sql.Identifier(role), rights))
