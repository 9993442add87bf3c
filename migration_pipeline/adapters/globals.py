"""Roles that a restore needs and the server lacks, made anew from the backup's `.globals.sql`.

That file is pg_dumpall's, with every role of the server. A role that exists is never altered: somebody who left since the
backup would get back what was taken away. https://www.postgresql.org/docs/current/app-pg-dumpall.html
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from migration_pipeline import errors
from migration_pipeline.adapters import postgres, roles
from migration_pipeline.domain import sql as parser
from migration_pipeline.domain import tokens
from migration_pipeline.domain.tokens import pg

PASSED_ON = ("08", "57", "55P03", "40")  #: what the begin of such a code says is no answer to the statement
ME = "SELECT current_user::text, rolsuper FROM pg_roles WHERE rolname = current_user"
SUPERUSER = "SUPERUSER"

#: What an attribute is called in a statement, where it is not what CREATE ROLE gives by itself. Only these are written: to
#: name one of them at all, even to refuse it, can take a superuser. https://www.postgresql.org/docs/current/sql-alterrole.html
ATTRIBUTES = {
    ("superuser", True): SUPERUSER,
    ("inherit", False): "NOINHERIT",
    ("createrole", True): "CREATEROLE",
    ("createdb", True): "CREATEDB",
    ("canlogin", True): "LOGIN",
    ("isreplication", True): "REPLICATION",
    ("bypassrls", True): "BYPASSRLS",
}


@dataclass(frozen=True, kw_only=True)
class Part:
    """One statement about a missing role."""

    text: str
    role: str
    gives: str  #: for a note: what the role lacks where this fails


def missing(opened: "psycopg.Connection[Any]", names: Collection[str]) -> list[str]:
    """Return the roles of these names that the server lacks."""
    known = {row[0] for row in postgres.rows(opened, "SELECT rolname::text FROM pg_roles")}
    return sorted({*names} - known)


def statements_for(text: str, missing: Collection[str]) -> list[str]:
    """Return what makes the missing roles as they were: attributes, settings, comments, memberships. Raise Failure.

    A membership is given only to a missing role: an existing one may have lost it since.
    """
    return [part.text for part in _parts(text, missing)]


def provide(opened: "psycopg.Connection[Any]", text: str, missing: Collection[str]) -> list[str]:
    """Make the missing roles, all or none; return what a human must know or do. Raise NotAllowed where ours may not.

    Ours becomes a member of each where it is no superuser: it could not restore what belongs to them otherwise.
    """
    roles.become_login(opened)
    login, is_superuser = postgres.one(opened, ME)
    parts = list(_parts(text, missing))
    notes: list[str] = []
    with opened.transaction():
        opened.execute("SET LOCAL standard_conforming_strings = on")  # as pg_dumpall wrote it
        for role in sorted(missing):
            _make(opened, role, login, is_superuser=is_superuser, all_of_them=missing)
        rest = [part for part in parts if not part.text.startswith("CREATE ROLE")]
        notes.extend(why for part in rest if (why := _why_not(opened, part, login)))
    return [*_told(opened, missing, parts, None if is_superuser else login), *notes]


def _make(opened: "psycopg.Connection[Any]", role: str, login: str, *, is_superuser: bool, all_of_them: Collection[str]) -> None:
    name = sql.Identifier(role)
    try:
        opened.execute(sql.SQL("CREATE ROLE {}").format(name))
        if not is_superuser:
            options = " WITH INHERIT TRUE, SET TRUE" if opened.info.server_version >= roles.GRANTS_WITH_OPTIONS else ""
            opened.execute(sql.SQL("GRANT {} TO {}" + options).format(name, sql.Identifier(login)))
    except psycopg.errors.InsufficientPrivilege:
        raise errors.NotAllowed(
            "The server lacks roles that the backup names, and our role may not make them; nothing was changed.",
            evidence={"roles": ", ".join(sorted(all_of_them))},
            next_step=f"ALTER ROLE {sql.Identifier(login).as_string(None)} CREATEROLE, or make them by hand from the backup's"
            " .globals.sql, then run the same command again",
        ) from None
    except psycopg.errors.DuplicateObject:
        raise errors.Failure(
            "A role that the backup needs was made by somebody else meanwhile; nothing was changed.",
            evidence={"role": role},
            next_step="run the same command again",
        ) from None


def _why_not(opened: "psycopg.Connection[Any]", part: Part, login: str) -> str | None:
    """Run a statement; return why it cannot be. The server's own words may quote a setting's value, so its code is told."""
    try:
        with opened.transaction():
            opened.execute(part.text)
    except psycopg.errors.InsufficientPrivilege:
        return f'role "{part.role}" was made without {part.gives}: role "{login}" may not give it'
    except psycopg.Error as error:
        if not error.sqlstate or error.sqlstate.startswith(PASSED_ON):
            raise
        return f'role "{part.role}" was made without {part.gives}: PostgreSQL refused it ({error.sqlstate})'
    return None


def _told(
    opened: "psycopg.Connection[Any]", missing: Collection[str], parts: Collection[Part], member: str | None
) -> Iterator[str]:
    may_login = {row[0] for row in postgres.rows(opened, "SELECT rolname::text FROM pg_roles WHERE rolcanlogin")}
    described = {part.role for part in parts}
    for role in sorted(missing):
        name = sql.Identifier(role).as_string(None)
        if role not in described:
            yield f'role "{role}" was made as a name alone, without a login: the backup does not describe it'
        elif role in may_login:
            yield (
                f'role "{role}" was made anew and has no password: set one (\\password {name}),'
                f" or take its login away (ALTER ROLE {name} NOLOGIN)"
            )
        else:
            yield f'role "{role}" was made anew'
        if member is not None:
            revoke = f"REVOKE {name} FROM {sql.Identifier(member).as_string(None)}"
            yield f'role "{member}" became a member of "{role}" to restore for it; when it need not be: {revoke}'


def _parts(text: str, missing: Collection[str]) -> Iterator[Part]:
    for statement_text in _statements(_without_restrict(text)):
        for piece in parser.parse(statement_text, has_parameters=False).pieces:
            yield from (part for part in _of_piece(piece) if part.role in missing)


def _statements(text: str) -> Iterator[str]:
    """Cut a file at its semicolons, without the comments: whole, that of a server with many roles is too long to parse."""
    words = tokens.scan(text)
    if words is None:
        raise errors.Failure("The backup's file with the server's roles cannot be read.")
    raw, start = text.encode(), None
    for word, token in words:
        if word == ";" and start is not None:
            yield raw[start : token.start].decode()
            start = None
        elif word != ";" and start is None and tokens.kind(token) not in {"SQL_COMMENT", "C_COMMENT"}:
            start = token.start


def _without_restrict(text: str) -> str:
    r"""Take away the pair of \restrict and \unrestrict that pg_dumpall wraps its file in: psql's, and no SQL.

    The key is random and the first word of the file, so nobody can have written the same line into a comment on a role.
    """
    lines = text.split("\n")
    first = next((line for line in lines if line.strip() and not line.startswith("--")), "")
    command, _, key = first.partition(" ")
    if command != "\\restrict":
        return text
    return "\n".join(line for line in lines if line not in {first, f"\\unrestrict {key}"})


def _of_piece(piece: parser.Piece) -> Iterator[Part]:
    statement, kind = piece.statement, parser.kind(piece.statement)
    if kind == "CreateRoleStmt":
        yield Part(role=statement.role, text=f"CREATE ROLE {_quoted(statement.role)}", gives="anything")
        yield from _attributes(statement.role, statement.options)
    elif kind == "AlterRoleStmt":
        yield from _attributes(statement.role.rolename, statement.options)
    elif kind == "AlterRoleSetStmt" and statement.HasField("role") and not statement.database:
        yield Part(role=statement.role.rolename, text=piece.text, gives=f'its setting "{statement.setstmt.name}"')
    elif kind == "CommentStmt" and statement.objtype == pg.OBJECT_ROLE:
        yield Part(role=parser.unwrap(statement.object).sval, text=piece.text, gives="its comment")
    elif kind == "GrantRoleStmt" and statement.is_grant:
        yield from _memberships(statement)
    elif kind == "GrantStmt" and statement.objtype == pg.OBJECT_PARAMETER_ACL and len(statement.grantees) == 1:
        yield Part(role=statement.grantees[0].role_spec.rolename, text=piece.text, gives="its right to a setting")


def _attributes(role: str, options: Any) -> Iterator[Part]:
    """Yield one statement an attribute, so that one which we may not give does not keep the others away."""
    for item in options:
        element = item.def_elem
        value = parser.unwrap(element.arg)
        if element.defname == "connectionlimit":
            attribute: str | None = f"CONNECTION LIMIT {value.ival}" if value.ival >= 0 else None
        elif element.defname == "validUntil":
            attribute = f"VALID UNTIL {sql.Literal(value.sval).as_string(None)}"
        else:
            attribute = ATTRIBUTES.get((element.defname, bool(getattr(value, "boolval", False))))
        if attribute is not None:
            yield Part(role=role, text=f"ALTER ROLE {_quoted(role)} {attribute}", gives=attribute)


def _memberships(statement: parser.Node) -> Iterator[Part]:
    """Yield one statement a membership, granted by us: who granted it may not exist here."""
    for granted in statement.granted_roles:
        for grantee in statement.grantee_roles:
            group, member = granted.access_priv.priv_name, grantee.role_spec.rolename
            options = [_option(item.def_elem) for item in statement.opt]
            text = f"GRANT {_quoted(group)} TO {_quoted(member)}" + (f" WITH {', '.join(options)}" if options else "")
            yield Part(role=member, text=text, gives=f'its membership in "{group}"')


def _option(element: parser.Node) -> str:
    """Return a membership's option as every version reads it: ADMIN OPTION is the one that was there before 16."""
    is_on = parser.unwrap(element.arg).boolval
    return "ADMIN OPTION" if element.defname == "admin" and is_on else f"{element.defname.upper()} {str(is_on).upper()}"


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string(None)
