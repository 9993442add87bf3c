"""The database's own facts, which no dump holds: its locale, owner, rights, settings and comment.

They stand in the manifest, to choose and to create by, and whole in the `.database.sql` file beside the dump: a script for
psql that works on whichever database it is run in, one statement a line, so that it can be run without psql as well.
"""

import contextlib
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from migration_pipeline import errors
from migration_pipeline.adapters import postgres, roles
from migration_pipeline.domain import sql as parser
from migration_pipeline.domain.backups import WITH_PROVIDERS, DatabaseFacts, Setting
from migration_pipeline.domain.tokens import pg

VARIABLE = ':"DBNAME"'  #: psql's name for the database that it is connected to, quoted as an identifier
HEAD = (
    "-- What a database has apart from its content. Run it with psql in the restored database, after the roles were made:",
    "--   psql --no-psqlrc --set=ON_ERROR_STOP=1 --dbname=<the restored database> --file=<this file>",
    "SET client_encoding = 'UTF8';",
)

FACTS = """
SELECT pg_get_userbyid(datdba)::text, pg_encoding_to_char(encoding)::text, datcollate::text, datctype::text,
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'), spcname::text, datconnlimit,
       shobj_description(d.oid, 'pg_database')
FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace WHERE datname = current_database()
"""
ACCESS = """
SELECT CASE WHEN grantee <> 0 THEN pg_get_userbyid(grantee)::text END, privilege_type, bool_or(is_grantable)
FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE datname = %s
GROUP BY grantee, privilege_type ORDER BY 1 NULLS FIRST, 2
"""
OWNER = "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = %s"
SETTINGS = """
SELECT split_part(setting, '=', 1), CASE WHEN setrole <> 0 THEN pg_get_userbyid(setrole)::text END,
       substr(setting, strpos(setting, '=') + 1)
FROM pg_db_role_setting, unnest(setconfig) setting
WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 2 NULLS FIRST, 1
"""
#: None for the template's own: to name that one would take a right that nobody needs to stay in it.
TABLESPACE = """
SELECT CASE WHEN oid <> (SELECT dattablespace FROM pg_database WHERE datname = 'template0')
            THEN has_tablespace_privilege(oid, 'CREATE') END FROM pg_tablespace WHERE spcname = %s
"""
KNOWN_ROLES = "SELECT rolname::text FROM pg_roles"

#: Lists that are stored quoted already, as pg_dump's variable_is_guc_list_quote() has them (src/bin/pg_dump/dumputils.c).
QUOTED_LISTS = frozenset(
    {"local_preload_libraries", "oauth_validator_libraries", "search_path", "session_preload_libraries",
     "shared_preload_libraries", "temp_tablespaces", "unix_socket_directories"}
)  # fmt: skip
ITEM = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",]*?))\s*(?:,|$)')

PASSED_ON = ("08", "57", "55P03", "40")  #: what the begin of such a code says is no answer to the statement

#: What each kind of statement in the file is about, and where it names its database and its roles.
GIVES = {"CommentStmt": "the comment", "AlterDatabaseStmt": "the connection limit", "AlterOwnerStmt": "the owner",
         "AlterDatabaseSetStmt": "the setting", "AlterRoleSetStmt": "the setting", "GrantStmt": "the rights"}  # fmt: skip


def of(opened: "psycopg.Connection[Any]") -> tuple[DatabaseFacts, str]:
    """Return the facts of the current database, and the text of its `.database.sql`."""
    owner, encoding, collate, ctype, locale, tablespace, limit, comment = postgres.one(opened, FACTS)
    (name,) = postgres.one(opened, "SELECT current_database()::text")
    settings = postgres.rows(opened, SETTINGS)
    facts = DatabaseFacts(
        owner=owner,
        encoding=encoding,
        collate=collate,
        ctype=ctype,
        icu_locale=locale,
        tablespace=tablespace,
        connection_limit=limit,
        access=tuple((role, right, grantable) for role, right, grantable in postgres.rows(opened, ACCESS, name)),
        settings=tuple(Setting(name=key, role=role, value=None if "." in key else value) for key, role, value in settings),
    )
    lines = [*_given(comment, settings, limit), *_owned(facts)]
    return facts, "\n".join([*HEAD, *(f"{line};" for line in lines), ""])


def _given(comment: str | None, settings: Iterable[tuple[str, str | None, str]], limit: int) -> Iterator[str]:
    yield f"COMMENT ON DATABASE {VARIABLE} IS {'NULL' if comment is None else _literal(comment)}"
    for key, role, value in settings:
        whose = f"DATABASE {VARIABLE}" if role is None else f"ROLE {_identifier(role)} IN DATABASE {VARIABLE}"
        items = _items(value) if key.lower() in QUOTED_LISTS else [value]
        yield f"ALTER {whose} SET {_identifier(key)} TO {', '.join(map(_literal, items or ['']))}"
    yield f"ALTER DATABASE {VARIABLE} CONNECTION LIMIT {limit}"


def _owned(facts: DatabaseFacts) -> Iterator[str]:
    """Yield the owner before the rights: what somebody was granted who made the database would go over to its new owner."""
    yield f"ALTER DATABASE {VARIABLE} OWNER TO {_identifier(facts.owner)}"
    for role in (None, facts.owner):
        yield f"REVOKE ALL ON DATABASE {VARIABLE} FROM {_whom(role)}"
    for role, right, grantable in facts.access:
        yield f"GRANT {right} ON DATABASE {VARIABLE} TO {_whom(role)}{' WITH GRANT OPTION' if grantable else ''}"


def _whom(role: str | None) -> str:
    return "PUBLIC" if role is None else _identifier(role)


def _identifier(name: str) -> str:
    """Return an identifier on one line."""
    if not re.search(r"[\r\n]", name):
        return '"' + name.replace('"', '""') + '"'
    escaped = name.replace("\\", "\\\\").replace('"', '""').replace("\n", "\\000a").replace("\r", "\\000d")
    return f'U&"{escaped}"'


def _literal(value: str) -> str:
    """Return a literal on one line that reads the same whatever standard_conforming_strings is."""
    escaped = value.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n").replace("\r", "\\r")
    return f"E'{escaped}'" if "\\" in escaped else f"'{escaped}'"


def _items(value: str) -> list[str]:
    """Return the items of a stored list as SplitGUCList() does (src/bin/pg_dump/dumputils.c)."""
    found, position = [], 0
    while position < len(value):
        item = ITEM.match(value, position)
        if item is None:
            return [value]
        found.append(item[2] if item[1] is None else item[1].replace('""', '"'))
        position = item.end()
    return found


def create(opened: "psycopg.Connection[Any]", name: str, facts: DatabaseFacts, *, comment: str) -> list[str]:
    """Make an empty database that only its maker may connect to; return what could not be as it was.

    Raise NotAllowed when the server lacks its locale. It can be connected to only when PUBLIC no longer may; its comment
    is there from that moment on.
    """
    roles.become_login(opened)
    database = sql.Identifier(name)
    (login,) = postgres.one(opened, "SELECT current_user::text")
    owner = facts.owner if _may_give_to(opened, facts.owner) else login
    notes = [] if owner == facts.owner else [f'the database belongs to role "{login}", not to "{facts.owner}"']
    parts = ["CREATE DATABASE {} OWNER {} TEMPLATE template0 ALLOW_CONNECTIONS false", *_locale(opened, facts)]
    words = [sql.SQL(parts[0]).format(database, sql.Identifier(owner)), *map(sql.SQL, parts[1:])]
    may_use = postgres.rows(opened, TABLESPACE, facts.tablespace)
    if may_use == [(True,)]:
        words.append(sql.SQL("TABLESPACE {}").format(sql.Identifier(facts.tablespace)))
    elif may_use != [(None,)]:
        notes.append(f'tablespace "{facts.tablespace}" is not there for role "{login}": the default one is used')
    with _locale_of(facts):
        opened.execute(sql.SQL(" ").join(words))
    with opened.transaction():
        opened.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
        opened.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(database, sql.Literal(comment)))
        if owner != login:  # the owner's members are not the maker
            opened.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM {}").format(database, sql.Identifier(owner)))
            opened.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, sql.Identifier(login)))
        for role in _makers(opened, facts):  # who was given a publication must have it
            opened.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, sql.Identifier(role)))
        opened.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(database))
    return notes


def _locale(opened: "psycopg.Connection[Any]", facts: DatabaseFacts) -> Iterator[str]:
    """Yield the locale's part of CREATE DATABASE; the provider is always named, or it would be that of the template."""
    major = opened.info.server_version // 10_000
    for keyword, value in (("ENCODING", facts.encoding), ("LC_COLLATE", facts.collate), ("LC_CTYPE", facts.ctype)):
        yield f"{keyword} {_literal(value)}"
    provider, locale = facts.provider(major), _literal(facts.icu_locale or "")
    if provider == "builtin":
        yield f"LOCALE_PROVIDER builtin BUILTIN_LOCALE {locale}"
    elif provider == "icu":
        yield f"LOCALE_PROVIDER icu ICU_LOCALE {locale}"
    elif major >= WITH_PROVIDERS:
        yield "LOCALE_PROVIDER libc"


@contextlib.contextmanager
def _locale_of(facts: DatabaseFacts) -> Iterator[None]:
    try:
        yield
    except (
        psycopg.errors.WrongObjectType,
        psycopg.errors.InvalidParameterValue,
        psycopg.errors.InvalidObjectDefinition,
        psycopg.errors.FeatureNotSupported,
        psycopg.errors.SyntaxError,
    ) as error:
        more = {"locale": facts.icu_locale} if facts.icu_locale else {}
        raise errors.NotAllowed(
            "The server cannot make a database with the encoding and locale of the backup; nothing was changed.",
            evidence={
                "encoding": facts.encoding,
                "LC_COLLATE": facts.collate,
                "LC_CTYPE": facts.ctype,
                **more,
                "server": error.diag.message_primary or "",
            },
            next_step="install the locale on the server and restart it, then run the same command again",
        ) from None


def _may_give_to(opened: "psycopg.Connection[Any]", owner: str) -> bool:
    become = "SET" if opened.info.server_version >= roles.GRANTS_WITH_OPTIONS else "MEMBER"
    query = f"SELECT pg_has_role(oid, 'USAGE') AND pg_has_role(oid, '{become}') FROM pg_roles WHERE rolname = %s"
    return postgres.rows(opened, query, owner) == [(True,)]


def _makers(opened: "psycopg.Connection[Any]", facts: DatabaseFacts) -> list[str]:
    known = {row[0] for row in postgres.rows(opened, KNOWN_ROLES)}
    return [role for role, right, _ in facts.access if role is not None and right == "CREATE" and role in known - {facts.owner}]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One statement of a `.database.sql`."""

    text: str  #: with psql's variable for the name of the database
    gives: str  #: what it gives, for a note: the owner, the rights of role x
    roles: tuple[str, ...]

    def on(self, database: str) -> str:
        return self.text.replace(VARIABLE, _identifier(database), 1)


def read(text: str) -> list[Line]:
    """Return the statements of a `.database.sql`; raise Failure when it holds anything else than `of` writes."""
    written = [line for line in text.split("\n") if line and not line.startswith("--") and line not in HEAD]
    return [_line(line.removesuffix(";")) for line in written]


def _line(text: str) -> Line:
    parsed = parser.parse(text.replace(VARIABLE, _identifier(VARIABLE), 1), has_parameters=False)
    (piece,) = parsed.pieces if len(parsed.pieces) == 1 else (None,)
    if piece is not None:
        statement, kind = piece.statement, parser.kind(piece.statement)
        if kind in GIVES and _databases(statement, kind) == [VARIABLE]:
            named = tuple(role.rolename for role in _roles(statement, kind) if role.roletype == pg.ROLESPEC_CSTRING)
            return Line(text=text, gives=_gives(statement, kind, named), roles=named)
    raise errors.Failure("The file with the database's own facts holds a statement that does not belong there.")


def _databases(statement: parser.Node, kind: str) -> list[str]:
    """Return the databases that a statement is about; none where it is about something else."""
    if kind == "GrantStmt":
        return [one.string.sval for one in statement.objects] if statement.objtype == pg.OBJECT_DATABASE else []
    if kind in {"CommentStmt", "AlterOwnerStmt"}:
        objtype = statement.objtype if kind == "CommentStmt" else statement.object_type
        return [parser.unwrap(statement.object).sval] if objtype == pg.OBJECT_DATABASE else []
    return [statement.database if kind == "AlterRoleSetStmt" else statement.dbname]


def _roles(statement: parser.Node, kind: str) -> list[parser.Node]:
    if kind == "GrantStmt":
        return [one.role_spec for one in statement.grantees]
    return {"AlterOwnerStmt": lambda: [statement.newowner], "AlterRoleSetStmt": lambda: [statement.role]}.get(kind, list)()


def _gives(statement: parser.Node, kind: str, named: tuple[str, ...]) -> str:
    words = [GIVES[kind]]
    if kind in {"AlterDatabaseSetStmt", "AlterRoleSetStmt"}:
        words.append(f'"{statement.setstmt.name}"')  # never its value: it may be a secret
    if kind == "AlterOwnerStmt":
        words.append(f'"{named[0]}"')
    elif named:
        words.append(f'of role "{named[0]}"')
    return " ".join(words)


def apply(opened: "psycopg.Connection[Any]", text: str, database: str) -> list[str]:
    """Give a database what its file says; return what it could not be given, each a sentence."""
    with opened.transaction():
        return _run(opened, text, database)[1]


def prepared(opened: "psycopg.Connection[Any]", text: str, *, new: str, live: str) -> tuple[list[str], list[str]]:
    """Return the statements that give `live` its facts once `new` bears that name, and what it will not be given.

    They are tried on `new` and rolled back, so that none of them can fail when the names are swapped.
    """
    with opened.transaction(force_rollback=True):
        done, notes = _run(opened, text, new)
    return [line.on(live) for line in done], notes


def _run(opened: "psycopg.Connection[Any]", text: str, database: str) -> tuple[list[Line], list[str]]:
    roles.become_login(opened)
    known = {row[0] for row in postgres.rows(opened, KNOWN_ROLES)}
    done, notes = [], []
    for line in [*_taken_back(opened, database), *read(text)]:
        why = _why_not(opened, line, database, known)
        if why is None:
            done.append(line)
        else:
            notes.append(f"{line.gives} could not be given: {why}")
    return done, list(dict.fromkeys(notes))


def _taken_back(opened: "psycopg.Connection[Any]", database: str) -> list[Line]:
    """Return what takes away the rights that `create` gave while the database was made, but for its owner's."""
    (owner,) = postgres.one(opened, OWNER, database)
    grantees = dict.fromkeys(role for role, *_ in postgres.rows(opened, ACCESS, database) if role not in {None, owner})
    return [_line(f"REVOKE ALL ON DATABASE {VARIABLE} FROM {_whom(role)}") for role in grantees]


def _why_not(opened: "psycopg.Connection[Any]", line: Line, database: str, known: Collection[str]) -> str | None:
    """Run a statement; return why it cannot be. The server's own words may quote a value, so its code alone is told."""
    if lacking := [role for role in line.roles if role not in known]:
        return f'role "{lacking[0]}" does not exist'
    try:
        with opened.transaction():
            opened.execute(line.on(database))
    except psycopg.errors.InsufficientPrivilege:
        return f'role "{opened.info.user}" may not; a superuser can, with the backup\'s .database.sql'
    except psycopg.Error as error:
        if not error.sqlstate or error.sqlstate.startswith(PASSED_ON):
            raise
        return f"PostgreSQL refused it ({error.sqlstate})"
    return None
