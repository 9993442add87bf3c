"""The swap of names that makes a restored database the live one, in one transaction: both names, or none.

The first rename locks the live database at once, so that nobody gets in any more, and waits until everybody has left; a
second session sees to that. Nothing is switched off that a dead process could leave switched off.
https://www.postgresql.org/docs/current/sql-alterdatabase.html; src/backend/commands/dbcommands.c, RenameDatabase().
"""

import contextlib
import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from migration_pipeline import errors
from migration_pipeline.adapters import postgres, roles
from migration_pipeline.domain.backups import TIME_IN_NAME
from migration_pipeline.domain.connection import Connection

LONGEST_NAME = 63  # bytes, https://www.postgresql.org/docs/current/limits.html
ATTEMPTS = 3
ATTEMPT_SECONDS = 3  # how long one keeps everybody out
PAUSE_SECONDS = 0.5
END_SECONDS = 0.02
PURPOSE = "swaps names"

MARK = "replaced by a restore of migration_pipeline: database "
NAME = re.compile(r"_before_restore_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d$")
COMMENT = re.compile(re.escape(MARK) + r'"(.+?)" at (\S+)(?:\nIts comment was: (.*))?', re.DOTALL)

DATABASES = """
SELECT datname::text, oid::bigint, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = ANY (%s)
"""
PREPARED = "SELECT database::text, gid FROM pg_prepared_xacts WHERE database = ANY (%s) ORDER BY 2"

#: Sessions in a database, with what pg_terminate_backend() asks for. What is not ours to see of others is NULL here, the type
#: of a backend too; one without a role is an autovacuum worker, and gives way to a rename by itself.
SESSIONS = """
SELECT a.pid, coalesce(nullif(a.application_name, ''), a.backend_type, 'no name') AS name, a.usename::text AS role,
       theirs.rolsuper AS superuser, me.rolsuper OR NOT theirs.rolsuper
         AND (pg_has_role(theirs.oid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE')) AS may_end
FROM pg_stat_activity a JOIN pg_roles theirs ON theirs.oid = a.usesysid JOIN pg_roles me ON me.rolname = current_user
WHERE a.pid <> pg_backend_pid()
"""
THERE = SESSIONS + " AND a.datname = ANY (%s) ORDER BY a.pid"

#: Sessions that hold a lock on the database itself, wherever they are: CREATE DATABASE ... TEMPLATE, ALTER DATABASE.
HOLDERS = (
    SESSIONS
    + """ AND a.pid IN (
  SELECT pid FROM pg_locks WHERE locktype = 'object' AND classid = 'pg_database'::regclass AND objid = ANY (%s) AND granted)
ORDER BY a.pid"""
)

#: Ends the sessions only once the rename has asked for its lock, which none of them can come back through. They are chosen
#: before anything is ended: in one WHERE, PostgreSQL could ask the function first, which would end every session there is.
END = (
    "WITH found AS MATERIALIZED ("
    + SESSIONS
    + """
  AND a.datid = ANY (%s) AND EXISTS (
    SELECT FROM pg_locks WHERE pid = %s AND locktype = 'object' AND classid = 'pg_database'::regclass AND objid = %s
                           AND mode = 'AccessExclusiveLock')
), chosen AS MATERIALIZED (SELECT pid FROM found WHERE may_end)
SELECT pid, pg_terminate_backend(pid) FROM chosen"""
)

#: What is left of a swap whose connection was lost; asked to end each time that it is looked for.
OUR_BACKEND = "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND application_name = %s"

#: Whose rights a swap takes: the owner's (a member with INHERIT has them), and CREATEDB. Superusers have both.
RIGHTS = """
SELECT current_user::text, me.rolsuper, me.rolsuper OR me.rolcreatedb, pg_get_userbyid(datdba)::text,
       pg_has_role(datdba, 'USAGE'), theirs.rolsuper, datname = current_database()
FROM pg_roles me, pg_database JOIN pg_roles theirs ON theirs.oid = datdba
WHERE me.rolname = current_user AND datname = %s
"""
MAKER = "SELECT current_user::text, rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user"

REPLACED = """
SELECT datname::text, shobj_description(oid, 'pg_database'),
       CASE WHEN has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')
            THEN pg_database_size(oid) END
FROM pg_database WHERE starts_with(shobj_description(oid, 'pg_database'), %s) ORDER BY 1
"""
SLOTS = "SELECT slot_name::text, active FROM pg_replication_slots WHERE database = %s ORDER BY 1"
SUBSCRIPTIONS = """
SELECT subname::text FROM pg_subscription
WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = %s) AND (subenabled OR NOT %s) ORDER BY 1
"""

IN_USE = (psycopg.errors.ObjectInUse, psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled)


@dataclass(frozen=True, kw_only=True)
class Swapped:
    """What a swap took."""

    seconds: float  #: for so long nobody could connect
    ended: int  #: sessions


@dataclass(frozen=True, kw_only=True)
class Replaced:
    """A database that a restore has put aside."""

    name: str
    live: str
    at: datetime
    bytes: int | None  #: None: not ours to know


@dataclass(frozen=True, kw_only=True)
class _Names:
    """The databases of a swap as they were before it."""

    live: str
    new: str
    replaced: str
    oids: dict[str, int]
    comments: dict[str, str | None]

    @property
    def there(self) -> list[str]:
        return list(self.oids)

    @property
    def locked_first(self) -> int:
        return self.oids.get(self.live, self.oids[self.new])


def replaced_name(live: str, moment: datetime) -> str:
    """Return the name under which the replaced database stays; a long name is cut, and its comment has the whole of it."""
    rest = f"_before_restore_{moment.astimezone(UTC).strftime(TIME_IN_NAME)}"
    return live.encode()[: LONGEST_NAME - len(rest)].decode(errors="ignore") + rest


def swap(
    server: Connection,
    maintenance: str,
    *,
    live: str,
    new: str,
    replaced: str,
    statements: Sequence[sql.Composable | str] = (),
) -> Swapped:
    """Give `live` the name `replaced` and `new` the name `live`, and run the statements, all or nothing. Raise Failure.

    Where no database is called `live` any more, the other one only takes its name.
    """
    with _as_login(server.replace(database=maintenance), PURPOSE) as opened:
        names = _look(opened, live=live, new=new, replaced=replaced)
        text = _text(names, postgres.now(opened), statements)
        opened.execute("SET default_transaction_read_only = off")
        opened.execute(f"SET statement_timeout = {1000 * ATTEMPT_SECONDS:.0f}")
        opened.execute(f"SET lock_timeout = {800 * ATTEMPT_SECONDS:.0f}")
        for attempt in range(ATTEMPTS):
            time.sleep(PAUSE_SECONDS if attempt else 0)
            _demand_that_nothing_stays(opened, names)
            try:
                return _attempt(server.replace(database=maintenance), opened, names, text)
            except IN_USE as error:
                last = error
            except psycopg.Error as error:
                raise _broken(names, error) from None
        raise _failed(names, "Sessions stayed in the database; the names were not swapped.", last, _sessions(opened, names))


def _look(opened: "psycopg.Connection[Any]", *, live: str, new: str, replaced: str) -> _Names:
    found = postgres.rows(opened, DATABASES, [live, new, replaced])
    names = _Names(
        live=live,
        new=new,
        replaced=replaced,
        oids={name: oid for name, oid, _ in found},
        comments={name: comment for name, _, comment in found},
    )
    if opened.info.dbname in {live, new}:
        raise errors.NotAllowed(
            "A database cannot be renamed from within; nothing was changed.",
            evidence={"maintenance database": opened.info.dbname},
            next_step="name another maintenance database, such as postgres, in the settings",
        )
    if new not in names.oids or replaced in names.oids:
        what = f'there is no database "{new}"' if new not in names.oids else f'there is a database "{replaced}" already'
        raise errors.Failure("The names cannot be swapped.", evidence={"state": f"{_as_it_was(names)}; {what}"})
    return names


def _text(names: _Names, moment: datetime, statements: Sequence[sql.Composable | str]) -> sql.Composed:
    """Return the swap as one message: the server runs it as one transaction, and waits for nothing of ours in between."""
    live, new, replaced = map(sql.Identifier, (names.live, names.new, names.replaced))
    parts: list[sql.Composable] = []
    if names.live in names.oids:
        was = names.comments[names.live]
        comment = f'{MARK}"{names.live}" at {moment.isoformat()}' + (f"\nIts comment was: {was}" if was is not None else "")
        parts.append(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(live, replaced))
        parts.append(sql.SQL("COMMENT ON DATABASE {} IS {}").format(replaced, sql.Literal(comment)))
    parts.append(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(new, live))
    # by its comment a database is known for one that may be dropped: the live one must not keep it
    own = COMMENT.fullmatch(names.comments[names.new] or "")
    parts.append(sql.SQL("COMMENT ON DATABASE {} IS {}").format(live, sql.Literal(own[3] if own else None)))
    return sql.SQL(";\n").join([*parts, *(sql.SQL(one) if isinstance(one, str) else one for one in statements)])


def _demand_that_nothing_stays(opened: "psycopg.Connection[Any]", names: _Names) -> None:
    """Raise Failure when a swap cannot succeed, before anybody is sent away."""
    if prepared := [gid for _, gid in postgres.rows(opened, PREPARED, names.there)]:
        raise errors.Failure(
            "A prepared transaction is open in the database; the names were not swapped.",
            evidence={"state": _as_it_was(names), "prepared transactions": ", ".join(prepared)},
            next_step="COMMIT PREPARED or ROLLBACK PREPARED each in its database, then run the same command again",
        )
    if staying := [one for one in postgres.rows(opened, THERE, names.there) if not one[-1]]:
        raise errors.Failure(
            "Sessions are in the database that our role may not end; the names were not swapped.",
            evidence={"state": _as_it_was(names), "sessions": "\n".join(_words(*one) for one in staying)},
            next_step=_mend(opened, staying),
        )


def _attempt(admin: Connection, opened: "psycopg.Connection[Any]", names: _Names, text: sql.Composed) -> Swapped:
    failure = None
    pid = opened.info.backend_pid
    with _ending_sessions(admin, pid, names) as ended:
        begin = time.monotonic()
        try:
            opened.execute(text)
        except psycopg.Error as error:  # not through the other session, which would take it for its own
            failure = error
        seconds = time.monotonic() - begin
    if failure is not None and not (opened.broken and _is_done_after_all(admin, names, pid)):
        raise failure
    return Swapped(seconds=seconds, ended=len(ended))


@contextlib.contextmanager
def _ending_sessions(admin: Connection, pid: int, names: _Names) -> Iterator[set[int]]:
    """End the sessions that the rename of this process waits for, as long as the block runs; yield those that were ended."""
    ended: set[int] = set()
    stop = threading.Event()

    def end(opened: "psycopg.Connection[Any]") -> None:
        oids = [names.oids[name] for name in (names.live, names.new) if name in names.oids]
        while not stop.wait(END_SECONDS):
            ended.update(found for found, gone in postgres.rows(opened, END, oids, pid, names.locked_first) if gone)

    with _as_login(admin, "ends sessions") as other, ThreadPoolExecutor(1, thread_name_prefix="swap") as pool:
        pool.submit(end, other)  # where it fails, the rename does: what that says is what counts
        try:
            yield ended
        finally:
            stop.set()


def _is_done_after_all(admin: Connection, names: _Names, pid: int) -> bool:
    """Look whether a swap whose connection was lost was committed; only once nothing of it runs any more."""
    try:
        with _as_login(admin, "looks") as opened:
            while postgres.rows(opened, OUR_BACKEND, pid, f"{postgres.APPLICATION_NAME} {PURPOSE}"):
                time.sleep(END_SECONDS)
            found = {name: oid for name, oid, _ in postgres.rows(opened, DATABASES, [names.live])}
    except errors.MigrationPipelineError as error:
        error.evidence["state"] = f'unknown: nobody answers; "{names.live}" is whole, either the old database or the new one'
        raise
    return found.get(names.live) == names.oids[names.new]


def _broken(names: _Names, error: psycopg.Error) -> errors.Failure:
    """Say that the server refused, in its own words only where they speak of rights: others may quote a setting's value."""
    said = error.diag.message_primary if isinstance(error, psycopg.errors.InsufficientPrivilege) else None
    return errors.Failure(
        "The names were not swapped.",
        evidence={
            "state": _as_it_was(names),
            "server": f"{error.sqlstate or ''} {said or 'refused it, or the connection was lost'}".strip(),
        },
        next_step="mend what is named above, then run the same command again",
    )


def _failed(names: _Names, what: str, error: psycopg.Error, sessions: list[str]) -> errors.Failure:
    return errors.Failure(
        what,
        evidence={
            "state": _as_it_was(names),
            "sessions": "\n".join(sessions) or "gone meanwhile",
            "server": f"{error.sqlstate} after {ATTEMPTS} attempts of {ATTEMPT_SECONDS} s",
        },
        next_step="stop what connects there, then run the same command again",
    )


def _as_it_was(names: _Names) -> str:
    if names.live not in names.oids:
        return f'there is no database "{names.live}", as before'
    return f'database "{names.live}" is as it was and accepts connections'


def _sessions(opened: "psycopg.Connection[Any]", names: _Names) -> list[str]:
    rows = [*postgres.rows(opened, THERE, names.there), *postgres.rows(opened, HOLDERS, [*names.oids.values()])]
    return [_words(*row) for row in dict.fromkeys(rows)]


def _words(pid: int, name: str, role: str, *_: object) -> str:
    return f'process {pid}: "{name}" of role "{role}"'


def _mend(opened: "psycopg.Connection[Any]", staying: Sequence[tuple[Any, ...]]) -> str:
    ours = sql.Identifier(postgres.one(opened, MAKER)[0]).as_string(None)
    if any(is_superuser for *_, is_superuser, _ in staying):
        return "only a superuser may end a superuser's session: end them, or restore as a superuser"
    return f"GRANT pg_signal_backend TO {ours}, then run the same command again"


def problems(opened: "psycopg.Connection[Any]", live: str) -> Iterator[tuple[str, str]]:
    """Yield what our role lacks to restore over a database, each with what mends it. Asked in the maintenance database."""
    roles.become_login(opened)
    login, may_create = postgres.one(opened, MAKER)
    ours = sql.Identifier(login).as_string(None)
    if not may_create:
        yield "right to create", f'role "{login}" lacks CREATEDB, for the new database and both names: ALTER ROLE {ours} CREATEDB'
    for *_, owner, is_owner, owner_is_superuser, is_here in postgres.rows(opened, RIGHTS, live):
        database, whose = (sql.Identifier(name).as_string(None) for name in (live, owner))
        if is_here:
            yield (
                "maintenance database",
                "is the one to be restored, and no database can be renamed from within: name another one",
            )
        if not is_owner:
            options = " WITH INHERIT TRUE, SET TRUE" if opened.info.server_version >= roles.GRANTS_WITH_OPTIONS else ""
            mend = f"ALTER DATABASE {database} OWNER TO {ours}" if owner_is_superuser else f"GRANT {whose} TO {ours}{options}"
            yield "owner", f'database "{live}" belongs to role "{owner}", for which "{login}" may not act: {mend}'
    if staying := [one for one in postgres.rows(opened, THERE, [live]) if not one[-1]]:
        words = "; ".join(_words(*one) for one in staying)
        yield "sessions", f'role "{login}" may not end {words}: {_mend(opened, staying).partition(", then")[0]}'
    if prepared := [gid for _, gid in postgres.rows(opened, PREPARED, [live])]:
        yield "prepared transactions", f"{', '.join(prepared)}: COMMIT PREPARED or ROLLBACK PREPARED them"


def subscriptions(opened: "psycopg.Connection[Any]", database: str, *, enabled: bool = True) -> list[str]:
    """Return the subscriptions of a database: one that is enabled goes on under the name that its database was given."""
    return [name for (name,) in postgres.rows(opened, SUBSCRIPTIONS, database, enabled)]


def logical_slots(opened: "psycopg.Connection[Any]", database: str) -> list[str]:
    """Return the logical replication slots of a database: they stay with it, whatever its name is."""
    return [f"{name} (in use)" if active else name for name, active in postgres.rows(opened, SLOTS, database)]


def replaced_databases(opened: "psycopg.Connection[Any]", live: str) -> list[Replaced]:
    """Return the databases that restores of this one have put aside, oldest first: known by their comment, not their name."""
    found = []
    for name, comment, size in postgres.rows(opened, REPLACED, MARK):
        told = COMMENT.fullmatch(comment)
        if told and told[1] == live and NAME.search(name):  # one that was given another name is somebody's
            with contextlib.suppress(ValueError):  # somebody has written into it
                found.append(Replaced(name=name, live=live, at=datetime.fromisoformat(told[2]), bytes=size))
    return sorted(found, key=lambda one: one.at)


def drop_replaced(server: Connection, maintenance: str, *, live: str, name: str, end_sessions: bool = False) -> None:
    """Drop a database that a restore has put aside. Raise NotAllowed when it is none, or when something still uses it."""
    with _as_login(server.replace(database=maintenance), "drops replaced") as opened:
        if why := dict(_why_not_dropped(opened, live, name, end_sessions=end_sessions)):
            raise errors.NotAllowed(
                f'Database "{name}" was not dropped.', evidence=why, next_step="mend what is named above, then run it again"
            )
        opened.execute(sql.SQL("DROP DATABASE {}" + (" WITH (FORCE)" if end_sessions else "")).format(sql.Identifier(name)))


def _why_not_dropped(opened: "psycopg.Connection[Any]", live: str, name: str, *, end_sessions: bool) -> Iterator[tuple[str, str]]:
    if name not in [one.name for one in replaced_databases(opened, live)]:
        yield "reason", f'no restore of database "{live}" has put it aside: its comment does not say so'
        return
    sessions = postgres.rows(opened, THERE, [name])
    if sessions and not end_sessions:
        yield "sessions", "\n".join(_words(*one) for one in sessions)
    if slots := logical_slots(opened, name):
        yield "logical replication slots", f"{', '.join(slots)}: they would be lost with it; SELECT pg_drop_replication_slot(...)"
    if found := subscriptions(opened, name, enabled=False):
        mend = "DROP SUBSCRIPTION in it, which drops the publisher's slot too, or SET (slot_name = NONE) first to keep that"
        yield "subscriptions", f"{', '.join(found)}: {mend}"
    if prepared := [gid for _, gid in postgres.rows(opened, PREPARED, [name])]:
        yield "prepared transactions", f"{', '.join(prepared)}: COMMIT PREPARED or ROLLBACK PREPARED them"


@contextlib.contextmanager
def _as_login(connection: Connection, purpose: str) -> Iterator["psycopg.Connection[Any]"]:
    with postgres.session(connection, purpose=purpose) as opened:
        roles.become_login(opened)
        yield opened
