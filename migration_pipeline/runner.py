"""Runs an Alembic project's revisions in the project's own interpreter, in one transaction that it never ends by itself.

The pipeline starts this file as a child process and speaks JSON lines with it: here every statement is a question before
it is sent, every revision applied is reported, and the last question is "commit or roll back?". End of input is roll back.

Whatever `env.py` asks for, it gets our one connection: the drivers' `connect` functions are replaced, so that no URL in the
project reaches another database, and `commit`, `rollback`, `close` and `autocommit` of that connection do nothing outside
a revision and stop the run inside one. An `autocommit_block()` stays inside the transaction.

A revision that PostgreSQL runs outside a transaction only runs "alone": its connection commits each statement.

To "check" downgrades the pipeline says which revision goes up or down next, each in a transaction of its own: that is for a
scratch database alone. One that leaves its transaction runs once more, "alone" in another sense: nothing is held back, and what
it ends, begins and connects to is what it would be under `alembic upgrade` and `alembic downgrade`.

Needs Python 3.8, Alembic 1.8, SQLAlchemy 1.4 and psycopg2, psycopg or asyncpg; imports nothing of this package.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    del sys.path[0]  # this package's folder: its modules must not hide the project's own (settings, errors, ...)

import argparse
import contextlib
import importlib.util
import json
import os
import queue
import re
import threading
import time
import traceback
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NoReturn, Optional, Set, TextIO, Tuple, cast
from urllib.parse import parse_qs, urlsplit

Message = Dict[str, Any]

GRACE_SECONDS = 3  # how long a cancelled statement has to end once the pipeline is gone


class Stopped(BaseException):
    """The pipeline said stop, or the project did what cannot be rolled back. No `except Exception` may swallow it."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Pipe:
    """The two streams to the pipeline, moved off stdin and stdout, which the project may use as it likes."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        answers = os.fdopen(os.dup(0), "r", encoding="utf-8")
        silence = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(silence, descriptor)
        self._answers: queue.Queue[Optional[Message]] = queue.Queue()
        self.hung_up: Optional[Callable[[], None]] = None  # called when the pipeline is gone
        threading.Thread(target=self._read, args=(answers,), daemon=True).start()

    def _read(self, answers: TextIO) -> None:
        for line in answers:
            self._answers.put(json.loads(line))
        self._answers.put(None)
        if self.hung_up:
            self.hung_up()
        time.sleep(GRACE_SECONDS)
        os._exit(1)  # a closed socket is a rolled-back transaction

    def send(self, **message: Any) -> None:
        self._out.write(json.dumps(message, default=str) + "\n")
        self._out.flush()

    def receive(self) -> Message:
        message = self._answers.get()
        if message is None:
            raise Stopped("hung up", "the pipeline is gone")
        return message


#: What a statement holds that ends or begins a transaction, or forgets what is temporary; whether it does, the pipeline reads.
ENDS_TRANSACTION = re.compile(r"\b(?:commit|rollback|abort|end|begin|start|prepare|discard)\b", re.IGNORECASE)

#: What a statement holds that may outlast its transaction in the session: `alembic` runs each command in a new one.
STAYS = re.compile(r"(?:^|;)\s*(?:set|reset|prepare)\b|\bset_config\b|\btemp(?:orary)?\b", re.IGNORECASE)


class Session:
    """The one connection, and the conversation about it."""

    def __init__(self, pipe: Pipe, start: Message) -> None:
        self.pipe = pipe
        self.start = start
        self.connection: Any = None  # the guarded DB-API connection
        self.driver = ""
        self.revision: Optional[str] = None  # the revision that is running
        self.doomed: Optional[str] = None  # why nothing more may be sent: the first failure
        self.stopped: Optional[str] = None  # the kind of it; a bare `except:` may swallow it
        self.error: Optional[Message] = None  # what ended the run
        self.database_error: Optional[Message] = None  # the first error that the server answered with
        self.statement: Optional[str] = None
        self.quiet = False  # our own queries are no questions
        self.options = ""  # the settings that the project opened its connection with
        self.has_savepoint = False  # from the connection to the first revision
        self.is_alone = bool(start.get("alone"))  # there is no transaction of ours
        self.commits_each = self.is_alone  # nor one of anybody's: each statement commits
        self.others: List[Any] = []  # connections that a revision has opened beside ours, alone on a scratch database
        self.pooled: List[Any] = []  # what pools of SQLAlchemy hold of these: their records
        self.is_checking = start["mode"] == "check"  # there is a transaction for each revision, up or down
        self.has_stayed = False  # something of a revision may have outlasted its transaction
        self.has_run = False  # env.py has run the migrations
        self.is_autocommit = False  # env.py has set its connection so
        self.script: Any = None  # the project's, where its revisions lie
        self.commits_itself = False  # that, or the step that runs has asked Alembic for a block without a transaction

    def ask(self, question: str, **facts: Any) -> Message:
        """Ask the pipeline, answer its queries from inside the transaction, and return its answer."""
        self.pipe.send(ask=question, **facts)
        while True:
            answer = self.pipe.receive()
            if "query" in answer:
                self.pipe.send(**self.own_query(answer["query"]))
            elif answer["answer"] == "stop":
                self.stop(answer["kind"], answer["reason"])
            else:
                return answer

    def own_query(self, sql: str, *parameters: Any) -> Message:
        self.quiet = True
        try:
            rows = self.connection.own_rows(sql, parameters)
        except Exception as error:  # noqa: BLE001 - whatever the driver raises is the answer
            return {"error": describe(error)}
        else:
            return {"rows": [list(row) for row in rows]}
        finally:
            self.quiet = False

    def question(self, sql: str, *, has_parameters: bool, own: bool = True) -> Optional[str]:
        """Ask whether a statement may be sent; return the text to send instead, or None. Raise Stopped when it may not."""
        if self.quiet:
            return None
        if self.doomed:
            raise Stopped("doomed", self.doomed)
        self.statement = sql
        self.has_stayed = self.has_stayed or STAYS.search(sql) is not None
        if self.is_checking and own and not ENDS_TRANSACTION.search(sql):
            return None  # on a scratch database anything may be sent but what would end our transaction
        return self.ask("statement", sql=sql, parameters=has_parameters, revision=self.revision, own=own).get("instead")

    def stop(self, kind: str, reason: str) -> NoReturn:
        if self.doomed is None:
            self.doomed, self.stopped = reason, kind
        raise Stopped(kind, reason)

    def answered(self, error: Optional[Exception]) -> None:
        """Remember the server's first error: what follows it is often only "current transaction is aborted"."""
        if self.quiet:
            return
        if error is None:
            self.database_error = self.statement = None
        elif self.database_error is None:
            self.database_error = dict(describe(error), statement=self.statement, frames=places(traceback.extract_stack()))

    def ends(self, how: str) -> None:
        """Somebody ends the transaction, which is ours to end: fatal inside a revision.

        Before the first one, what env.py "commits" outlasts a statement of its own that fails later and is rolled back.
        """
        if self.revision is not None and not self.quiet:
            self.stop("ends transaction", "it ends the transaction itself: " + how)
        if self.is_checking and how in ("commit()", "rollback()"):
            self.connection.really_end(how[:-2])
        if self.has_savepoint:
            failed = "error" in self.own_query("SELECT 1")
            if failed and how == "rollback()":
                self.own_query("ROLLBACK TO SAVEPOINT migration_pipeline")
                self.database_error = None
            elif not failed and how != "rollback()":
                self.own_query("RELEASE SAVEPOINT migration_pipeline; SAVEPOINT migration_pipeline")

    @property
    def lets(self) -> bool:
        """Whether a revision runs as it does under Alembic: on a scratch database, with nothing held back."""
        return self.is_checking and self.is_alone and self.revision is not None and not self.quiet

    def is_over(self, connection: Any) -> bool:
        """Whether a revision opened this connection and is over: what still ends it, another revision's garbage, is no deed."""
        return self.connection is not None and connection is not self.connection and connection not in self.others

    def begin_only_run(self) -> None:
        """Note that env.py runs the migrations, and stop it when it does so again."""
        if self.has_run:
            self.stop("several runs", "env.py runs the migrations more than once (several databases or schemas)")
        self.has_run = True

    def release_savepoint(self) -> None:
        if self.has_savepoint:
            self.has_savepoint = False
            self.own_query("RELEASE SAVEPOINT migration_pipeline")

    def connect(self, driver: str, options: str) -> Any:
        """Return the one connection, opened at the first call. Raise Stopped for a second one inside a revision."""
        if self.connection is None:
            self.options = options
            self.connection = DRIVERS[driver](self, options)
            if self.is_alone:
                self.connection.really_autocommit()
            self.pipe.hung_up = self.connection.cancel
            self.driver = driver
            self.ask("connected", driver=driver)
            if self.is_checking:
                self.connection.really_end("commit")
            elif not self.is_alone:
                self.has_savepoint = "error" not in self.own_query("SAVEPOINT migration_pipeline")
        elif self.lets:
            self.others.append(DRIVERS[driver](self, options))
            return self.others[-1]
        elif self.revision is not None:
            self.stop("second connection", "it opens a second connection")
        elif driver != self.driver:
            self.stop("second connection", "env.py connects with " + self.driver + " and with " + driver)
        elif options != self.options:
            self.stop("second connection", "env.py connects twice, with different settings in `options`")
        return self.connection

    def parameters(self, options: str) -> Message:
        """Return how to connect: where and as whom the pipeline says, with the project's settings and then the pipeline's."""
        if self.start["mode"] == "render":
            self.stop("no server", "it connects to a database")
        ours = self.start["connection"]
        return {**ours, "options": (options + " " + ours.get("options", "")).strip()}


AUTOCOMMIT = (0, "AUTOCOMMIT", "autocommit")  # as psycopg2, SQLAlchemy and its adapter of asyncpg call that level


def guarded(session: Session, connection_class: Any) -> Any:  # noqa: C901 - a class, without a branch
    """Return a subclass of a DB-API connection class whose transaction only we can end."""

    class Guarded(connection_class):  # type: ignore[misc]
        def commit(self) -> None:
            if session.lets:
                self.really_end("commit")
            elif not session.is_over(self):
                session.ends("commit()")

        def rollback(self) -> None:
            if session.lets:
                self.really_end("rollback")
            elif not session.is_over(self):
                session.ends("rollback()")

        def close(self) -> None:
            if self in session.others:
                connection_class.close(self)

        @property
        def autocommit(self) -> Any:
            return connection_class.autocommit.__get__(self) if session.lets else False

        @autocommit.setter
        def autocommit(self, value: bool) -> None:
            if session.lets:
                self.really_autocommit(value)
            if session.lets or session.is_over(self):
                return
            if session.revision is None:
                session.is_autocommit = bool(value)
            if value or session.revision is None:  # switched off, it has committed what came before
                session.ends("autocommit")

        def set_autocommit(self, value: bool) -> None:
            self.autocommit = value

        @property
        def isolation_level(self) -> Any:
            return connection_class.isolation_level.__get__(self) if session.lets else None

        @isolation_level.setter
        def isolation_level(self, level: Any) -> None:
            if session.lets:
                connection_class.isolation_level.__set__(self, level)
            elif level in AUTOCOMMIT:
                self.autocommit = True

        def set_isolation_level(self, level: Any) -> None:
            if session.lets:
                connection_class.set_isolation_level(self, level)
            else:
                self.autocommit = level in AUTOCOMMIT

        def set_session(self, *args: Any, **kwargs: Any) -> None:
            if session.lets:
                connection_class.set_session(self, *args, **kwargs)

        def really_end(self, how: str) -> None:
            getattr(connection_class, how)(self)

        def really_autocommit(self, value: bool = True) -> None:
            if hasattr(connection_class, "set_autocommit"):
                connection_class.set_autocommit(self, value)
            else:
                connection_class.autocommit.__set__(self, value)

        def own_rows(self, sql: str, parameters: Any) -> List[Any]:
            cursor = self.cursor()
            try:
                cursor.execute(sql, parameters or None)
                return list(cursor.fetchall()) if cursor.description else []
            finally:
                cursor.close()

    return Guarded


def asking(session: Session, cursor_class: Any, text: Callable[[Any, Any, str], str], *, numbered: bool = False) -> Any:
    """Return a subclass of a DB-API cursor class that asks before it sends anything; `numbered`: its parameters are $1, $2."""

    def method(name: str) -> Any:
        original = getattr(cursor_class, name)

        def execute(self: Any, query: Any, parameters: Any = None, *args: Any, **kwargs: Any) -> Any:
            instead = session.question(text(self, query, name), has_parameters=parameters is not None and not numbered)
            if instead is not None:
                query, parameters = instead, None
            if parameters is not None:
                args = (parameters, *args)
            try:
                result = original(self, query, *args, **kwargs)
            except Exception as error:
                session.answered(error)
                raise
            session.answered(None)
            return result

        return execute

    names = ("execute", "executemany", "stream", "copy", "copy_expert", "copy_from", "copy_to", "callproc")
    return type("Asking", (cursor_class,), {name: method(name) for name in names if hasattr(cursor_class, name)})


def psycopg2_connection(session: Session, options: str) -> Any:
    import psycopg2
    import psycopg2.extensions

    def text(cursor: Any, query: Any, name: str) -> str:
        if name in ("copy_from", "copy_to"):
            return "COPY ..."
        if name == "callproc":
            return f"SELECT * FROM {query}()"
        if isinstance(query, bytes):
            return query.decode("utf-8", "replace")
        return query if isinstance(query, str) else str(query.as_string(cursor))

    cursors: Dict[Any, Any] = {}

    class Connection(guarded(session, psycopg2.extensions.connection)):  # type: ignore[misc]
        def cursor(self, *args: Any, cursor_factory: Any = None, **kwargs: Any) -> Any:
            wanted = cursor_factory or self.cursor_factory or psycopg2.extensions.cursor
            if wanted not in cursors:
                cursors[wanted] = asking(session, wanted, text)
            return super().cursor(*args, cursor_factory=cursors[wanted], **kwargs)

    return original["psycopg2"](connection_factory=Connection, **session.parameters(options))


def psycopg_connection(session: Session, options: str) -> Any:
    import psycopg

    def text(cursor: Any, query: Any, _name: str) -> str:
        if isinstance(query, bytes):
            return query.decode("utf-8", "replace")
        return query if isinstance(query, str) else str(query.as_string(cursor))

    class Connection(guarded(session, psycopg.Connection)):  # type: ignore[misc]
        pass

    connection = original["psycopg"](Connection, **session.parameters(options))
    connection.cursor_factory = asking(session, psycopg.Cursor, text)
    connection.server_cursor_factory = asking(session, psycopg.ServerCursor, text)
    return connection


class Carrier:
    """An event loop of ours in a thread of its own, and the way there from any thread and any event loop of env.py's."""

    def __init__(self) -> None:
        import asyncio

        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.running: Any = None
        self.carrying = False

    def carry(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function that waits by SQLAlchemy's `await_`: in a greenlet on our loop, where we may be already."""
        from sqlalchemy.util import greenlet_spawn

        if threading.current_thread() is self.thread:
            return function(*args, **kwargs)
        self.carrying = True
        try:
            return self.wait_for(greenlet_spawn(function, *args, **kwargs))
        finally:
            self.carrying = False

    def wait_for(self, awaitable: Any) -> Any:
        import asyncio

        from sqlalchemy.util import await_only

        if threading.current_thread() is self.thread:
            return await_only(awaitable)
        self.running = asyncio.run_coroutine_threadsafe(awaitable, self.loop)
        return self.running.result()

    def cancel(self) -> None:
        if self.running is not None:
            self.running.cancel()

    def carried(self, cursor_class: Any, *names: str) -> Any:
        """Return a subclass of SQLAlchemy's asyncpg cursor, these methods of which are carried."""

        def method(original: Any) -> Any:
            return lambda cursor, *args, **kwargs: self.carry(original, cursor, *args, **kwargs)

        def execute(cursor: Any, query: str, parameters: Any = None) -> None:
            several = parameters is None and is_several(query)  # ours, in the place of the project's: only one can be prepared
            self.carry(self.simple if several else cursor_class.execute, cursor, query, *([] if several else [parameters]))

        methods = {name: method(getattr(cursor_class, name)) for name in names}
        return type("Carried", (cursor_class,), {**methods, "execute": execute})

    def simple(self, adapter: Any, sql: str) -> None:
        """Send one or several statements as they are: asyncpg prepares only one."""
        self.wait_for(adapter._connection.execute(sql))

    def rows(self, adapter: Any, sql: str, parameters: Any) -> List[Any]:
        for number in range(1, len(parameters) + 1):
            sql = sql.replace("%s", "$" + str(number), 1)
        prepared = self.wait_for(adapter._connection.prepare(sql))  # each time anew: DDL makes a kept plan invalid
        found = self.wait_for(prepared.fetch(*parameters))
        return [[value.decode() if isinstance(value, bytes) else value for value in row] for row in found]

    def sealed(self, session: Session, connection_class: Any) -> Any:
        """Return a subclass of asyncpg's own connection that only what we carry may use: nobody else asks before it sends."""

        def method(original: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                if not self.carrying:
                    session.stop("past SQLAlchemy", "it talks to asyncpg's own connection, past SQLAlchemy")
                return original(*args, **kwargs)

            return call

        sends = re.compile("execute|fetch|prepare|cursor|copy_|transaction$|reset$|close$|terminate$")
        names = [name for name in vars(connection_class) if sends.match(name)]
        return type("Sealed", (connection_class,), {name: method(getattr(connection_class, name)) for name in names})


QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$""", re.DOTALL)


def is_several(sql: str) -> bool:
    """Tell whether a text of the pipeline's is more than one statement: asyncpg sends it only as it is, and returns no rows."""
    return ";" in QUOTED.sub("", sql)


def asyncpg_adapter(session: Session, carrier: Carrier) -> Any:  # noqa: C901 - a class, nearly without a branch
    """Return a subclass of SQLAlchemy's own adapter of asyncpg connections; what waits for the server is carried."""
    from sqlalchemy.dialects.postgresql import asyncpg

    adapter: Any = asyncpg.AsyncAdapt_asyncpg_connection
    numbered = "numeric" in asyncpg.PGDialect_asyncpg.default_paramstyle  # SQLAlchemy 1.4 writes %s, and % as %%

    def asks(cursor_class: Any, *names: str) -> Any:
        return asking(session, carrier.carried(cursor_class, *names), lambda _, query, __: str(query), numbered=numbered)

    cursors = asks(asyncpg.AsyncAdapt_asyncpg_cursor, "executemany")
    streams = asks(asyncpg.AsyncAdapt_asyncpg_ss_cursor, "fetchone", "fetchmany", "fetchall", "close")

    base = guarded(session, adapter)

    class Adapter(base):  # type: ignore[misc,valid-type]
        isolation_level = base.isolation_level.getter(lambda _connection: "autocommit" if session.commits_each else None)

        def cursor(self, server_side: bool = False) -> Any:
            return (streams if server_side else cursors)(self)

        def run_async(self, function: Any) -> Any:
            return carrier.wait_for(function(self._connection))

        def begin_here(self) -> None:
            carrier.wait_for(self._start_transaction())

        def own_rows(self, sql: str, parameters: Any) -> List[Any]:
            if session.is_checking and not session.commits_each and not self._connection.is_in_transaction():
                carrier.carry(self.begin_here)  # between two steps there is no transaction
            if is_several(sql):
                carrier.carry(carrier.simple, self, sql)
                return []
            return list(carrier.carry(carrier.rows, self, sql, parameters))

        def really_end(self, how: str) -> None:
            carrier.carry(getattr(adapter, how), self)

        def terminate(self) -> None:
            pass

        def really_autocommit(self, value: bool = True) -> None:
            session.commits_each = value  # it begins a transaction only where its isolation level says so

        def set_isolation_level(self, level: Any) -> None:
            if session.lets:
                self.really_end("rollback")
                self.really_autocommit(level == "autocommit")
            else:
                base.set_isolation_level(self, level)

    Adapter.carry = carrier.carry
    Adapter.cancel = carrier.cancel
    return Adapter


def asyncpg_connection(session: Session, options: str) -> Any:
    from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi

    asyncpg, make_dbapi = importlib.import_module("asyncpg"), cast("Any", AsyncAdapt_asyncpg_dbapi)
    carrier = Carrier()
    ours = session.parameters(options)
    opening = original["asyncpg"](
        session.start["asyncpg_url"],
        server_settings={name: ours[name] for name in ("options", "application_name")},
        passfile=ours.get("passfile"),
        connection_class=carrier.sealed(session, asyncpg.Connection),
    )

    def begun() -> Any:
        connection = asyncpg_adapter(session, carrier)(make_dbapi(asyncpg), carrier.wait_for(opening))
        if not session.is_alone:
            carrier.wait_for(connection._start_transaction())
        return connection

    return carrier.carry(begun)


DRIVERS = {"psycopg2": psycopg2_connection, "psycopg": psycopg_connection, "asyncpg": asyncpg_connection}
original: Dict[str, Any] = {}  # driver → its own `connect`


def options_of(read: Callable[[str], Any], dsn: Optional[str] = "", *_args: Any, **given: Any) -> str:
    """Return the settings that a driver's `connect` is asked for; where it shall connect and as whom is not heard."""
    dsn = dsn or given.get("conninfo")
    return str(given.get("options") or (read(dsn).get("options") if dsn else None) or "")


def replace_psycopg2(session: Session, psycopg2: Any) -> None:
    original["psycopg2"] = psycopg2.connect
    read = psycopg2.extensions.parse_dsn
    psycopg2.connect = lambda *args, **kwargs: session.connect("psycopg2", options_of(read, *args, **kwargs))


def replace_psycopg(session: Session, psycopg: Any) -> None:
    original["psycopg"] = psycopg.Connection.connect.__func__
    read = psycopg.conninfo.conninfo_to_dict
    psycopg.Connection.connect = classmethod(
        lambda _cls, *args, **kwargs: session.connect("psycopg", options_of(read, *args, **kwargs))
    )
    psycopg.connect = psycopg.Connection.connect
    connect_async = psycopg.AsyncConnection.connect.__func__
    # An asynchronous env.py opens a connection that Alembic then does not use: ours takes its place in `configure`.
    psycopg.AsyncConnection.connect = classmethod(
        lambda cls, *args, **kwargs: connect_async(cls, **session.parameters(options_of(read, *args, **kwargs)))
    )


def replace_asyncpg(session: Session, asyncpg: Any) -> None:
    connect = original["asyncpg"] = asyncpg.connect

    def connect_here(dsn: Optional[str] = None, **given: Any) -> Any:
        asked = {name: values[-1] for name, values in parse_qs(urlsplit(dsn or "").query).items() if name in ASYNCPG_SETTINGS}
        asked.update(given.get("server_settings") or {})
        asked.pop("default_transaction_read_only", None)  # said here, it would win over ours
        ours = session.parameters(asked.get("options", ""))
        settings = {**asked, **{name: ours[name] for name in ("options", "application_name") if ours.get(name)}}
        classes = {name: given[name] for name in ("loop", "connection_class", "record_class") if name in given}
        return connect(session.start["asyncpg_url"], server_settings=settings, passfile=ours.get("passfile"), **classes)

    asyncpg.connect = asyncpg.connection.connect = connect_here  # a pool opens its connections with the second


def replace_from_thread(_session: Session, from_thread: Any) -> None:
    """Let an env.py that expects to run in a worker thread of AnyIO's reach an event loop from here, the main thread."""

    def replaced(run: Any) -> Any:
        def run_here(function: Any, *args: Any, **kwargs: Any) -> Any:
            if kwargs or threading.current_thread() is not threading.main_thread():
                return run(function, *args, **kwargs)
            with from_thread.start_blocking_portal() as portal:
                return portal.call(function, *args)

        return run_here

    from_thread.run = replaced(from_thread.run)
    from_thread.run_sync = replaced(from_thread.run_sync)


ASYNCPG_SETTINGS = ("options", "search_path", "role")  # of what asyncpg takes from a DSN for a setting
REPLACE = {
    "psycopg2": replace_psycopg2,
    "psycopg": replace_psycopg,
    "asyncpg": replace_asyncpg,
    "anyio.from_thread": replace_from_thread,
}


class ReplaceConnect:
    """An import hook: sends every connection of this process to the database that the pipeline named.

    Whatever URL is asked for, and however it is asked: the drivers' own functions are replaced as they are imported, and
    a driver that the project does not use is not imported.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.looking = False

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> Any:
        if name not in REPLACE or self.looking:
            return None
        self.looking = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.looking = False
        if spec is None and self.session.revision is not None and self.session.start["mode"] == "render":
            self.session.stop("no server", "it connects to a database")  # or would, with a driver that is not installed here
        if spec is not None:
            loader: Any = spec.loader
            execute = loader.exec_module

            def exec_module(module: Any) -> None:
                execute(module)
                REPLACE[name](self.session, module)

            loader.exec_module = exec_module
        return spec


def installed(driver: str) -> bool:
    return importlib.util.find_spec(driver) is not None


def watch_asynchronous_connections(session: Session) -> None:
    """Ask about statements on connections that are not ours: what they do would not be part of the transaction."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "before_cursor_execute", retval=True)
    def before(connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> Any:
        instead = None
        if getattr(connection.dialect, "is_async", False):
            instead = session.question(statement, has_parameters=bool(parameters), own=False)
        return (statement, parameters) if instead is None else (instead, ())


def watch_pools(session: Session) -> None:
    """Remember the pools that hold a revision's own connections: they end with the step, and the pool has to open others."""
    from sqlalchemy import event
    from sqlalchemy.pool import Pool

    @event.listens_for(Pool, "connect")
    def connected(connection: Any, record: Any) -> None:
        if connection in session.others:
            session.pooled.append(record)


def alembic_connection(session: Session, given: Any) -> Any:
    """Return the SQLAlchemy connection that Alembic shall use: the given one where it is ours, else one made of ours."""
    if given is not None and given.dialect.name != "postgresql":
        session.stop("other database", "it connects with " + given.dialect.name + ", not with PostgreSQL")
    if given is not None and not getattr(given.dialect, "is_async", False):
        record = given.connection
        raw = getattr(record, "dbapi_connection", None) or record.connection
        if raw is not session.connection:
            session.stop("other database", "it connects with " + given.dialect.driver + ", not with psycopg or psycopg2")
        connection = given
    else:
        wanted = () if given is None else (given.dialect.driver,)  # the one that the revisions are written for
        connection = own_connection(session, next(name for name in (*wanted, *DRIVERS) if name in DRIVERS and installed(name)))
        if given is not None:
            connection = with_settings_of(session, given, connection)
    if not connection.in_transaction():
        connection.begin()
    return connection


def own_connection(session: Session, driver: str) -> Any:
    """Return a SQLAlchemy connection made of ours."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    if driver != "asyncpg":
        return create_engine("postgresql+" + driver + "://", poolclass=NullPool).connect()
    engine = create_engine("postgresql+asyncpg://", poolclass=NullPool, creator=lambda: session.connect(driver, ""))
    engine.dialect.is_async = False  # our connection waits by itself
    return session.connect(driver, "").carry(engine.connect)


SETTINGS = """
SELECT name, setting FROM pg_settings WHERE source IN ('session', 'client') AND context IN ('user', 'superuser') AND name !~
  '_timeout$|^transaction_|^(application_name|client_encoding|client_connection_check_interval|DateStyle|default_transaction_read_only)$'
UNION ALL SELECT 'role', current_setting('role') WHERE current_setting('role') <> 'none'
"""


def with_settings_of(session: Session, given: Any, connection: Any) -> Any:
    """Give our connection what env.py set on its asynchronous one: search_path, role, schema_translate_map, ..."""
    was_in_transaction = given.in_transaction()
    session.quiet = True
    try:
        found = [tuple(row) for row in given.exec_driver_sql(SETTINGS)]
    finally:
        session.quiet = False
    if not was_in_transaction:
        given.rollback()
    for name, value in sorted(found, key=lambda row: row[0] == "role"):  # the role last: it may not set the others
        if "error" in session.own_query("SELECT set_config(%s, %s, false)", name, value):
            session.stop("setting", "the setting " + name + " of its asynchronous connection cannot be taken over")
    connection.dialect.default_schema_name = given.dialect.default_schema_name
    kept = {name: value for name, value in given.get_execution_options().items() if name == "schema_translate_map"}
    return connection.execution_options(**kept) if kept else connection


def run(session: Session) -> None:
    """Run env.py with our function in the place of Alembic's, as `alembic.command.upgrade` does."""
    start = session.start
    planning = start["mode"] in ("plan", "preview")
    config, script = project(session)

    def steps(heads: Any, context: Any) -> List[Any]:
        session.begin_only_run()
        session.release_savepoint()
        if planning:
            tell_plan(session, script, context, heads)
            return []
        pending = script._upgrade_revs(start["revision"], heads)
        if start.get("only") is not None:
            by_id = {step.revision.revision: step for step in pending}
            pending = [by_id[revision] for revision in start["only"] if revision in by_id]
        session.ask("begin", heads=sorted(heads), revisions=[step.revision.revision for step in pending])
        return [watched(session, step) for step in pending]

    def configured(context: Any) -> None:
        context.on_version_apply_callbacks += (applied,)

    def applied(step: Any, **_kwargs: Any) -> None:
        session.ask("applied", revision=step.up_revision_id)

    run_env(session, config, script, configured, fn=steps, destination_rev=start["revision"], dont_mutate=planning)


def check(session: Session) -> None:
    """Run revisions up and down, as the pipeline says, in one run of env.py: where Alembic would run those that are pending."""
    config, script = project(session)
    watch_pools(session)

    def configured(context: Any) -> None:
        context.run_migrations = lambda **given: run_steps(context, given)

    def run_steps(context: Any, given: Message) -> None:
        session.begin_only_run()
        Steps(session, script, context, given).obey()

    run_env(session, config, script, configured, destination_rev="heads")


def project(session: Session) -> Tuple[Any, Any]:
    """Return the project's configuration, and the folder of its revisions."""
    from alembic.script import ScriptDirectory

    config = configuration(session.start)
    session.script = ScriptDirectory.from_config(config)
    return config, session.script


def folders_of(script: Any) -> List[str]:
    """Return where a project's code lies. Alembic remembers the answer: none may ask before env.py has had its say."""
    return sorted({os.path.abspath(folder) for folder in (script.dir, *script._version_locations)})


def run_env(session: Session, config: Any, script: Any, configured: Callable[[Any], None], **options: Any) -> None:
    """Run env.py on our connection; `configured` is told the context that it has made, before it runs the migrations."""
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext

    def configure(connection: Any = None, **kwargs: Any) -> None:
        for key in ("url", "dialect_name", "transaction_per_migration", "as_sql"):
            kwargs.pop(key, None)
        configure_original(connection=alembic_connection(session, connection), transaction_per_migration=False, **kwargs)
        configured(environment.get_context())

    @contextlib.contextmanager
    def autocommit_block(_context: Any) -> Iterator[None]:
        """Note it, and change nothing: a transaction holds what it can, and without one each statement commits anyway.

        Where nothing is held back it does what Alembic's own does: it commits, and each statement in it commits by itself.
        """
        session.commits_itself = True
        if not session.lets or session.commits_each:
            yield
            return
        session.connection.really_end("commit")
        session.connection.really_autocommit(True)
        session.commits_each = True
        try:
            yield
        finally:
            session.commits_each = False
            session.connection.really_autocommit(False)

    MigrationContext.autocommit_block = autocommit_block  # type: ignore[method-assign,assignment]
    environment = EnvironmentContext(config, script, as_sql=False, **options)
    configure_original = environment.configure
    environment.configure = configure  # type: ignore[method-assign,assignment]
    with environment:
        script.run_env()
    if not session.has_run:
        session.stop("no run", "env.py ended without running the migrations")


class Steps:
    """Runs one revision after the other, up or down; what a revision raises is told, and the next order is waited for."""

    def __init__(self, session: Session, script: Any, context: Any, given: Message) -> None:
        from alembic.runtime.migration import HeadMaintainer

        self.session = session
        self.script = script
        self.context = context
        self.given = given  # what env.py calls each upgrade and downgrade function with
        self.seen: Dict[Any, bool] = {}  # modules of revisions that have run: they are loaded afresh for the next time
        context.impl.start_migrations()
        context._ensure_version_table()
        self.maintainer = HeadMaintainer(context, context.get_current_heads())
        self.heads = set(self.maintainer.heads)  # before the step that is running
        self.settings = dict(session.own_query(HELD)["rows"])  # env.py's own
        session.connection.really_end("commit")
        session.has_stayed = False

    def obey(self) -> None:
        """Ask for orders until there is none: a step to run, or the models to compare with."""
        order = self.session.ask("steps", **self.facts())
        while order["answer"] != "end":
            end = self.session.ask("ran", **self.run(order))
            order = self.session.ask("next", error=self.end(end["answer"]))

    def facts(self) -> Message:
        """Return the whole history in its order, and where the database stands; nothing here decides."""
        context = self.context
        heads = sorted(self.maintainer.heads)
        schema = context.version_table_schema
        if schema is None:
            ((schema,),) = self.session.own_query(WHERE_IT_IS, context.version_table)["rows"]
        return {
            "heads": heads,
            "version_table": context.version_table,
            "version_table_schema": schema,
            "folder": os.path.abspath(self.script.dir),
            "revisions": [described(step.revision) for step in self.script._upgrade_revs("heads", ())],
        }

    def run(self, order: Message) -> Message:
        """Run what the order says; its transaction stays open. Return what it raised, and what it found."""
        session = self.session
        session.revision = order["revision"]
        session.error = session.doomed = session.stopped = session.database_error = session.statement = None
        session.commits_itself = session.is_autocommit
        if not order.get("goes_on"):
            session.connection.really_end("rollback")  # the pipeline may have looked at something
            self.heads = set(self.maintainer.heads)
            if session.has_stayed:
                self.forget()
            self.begin(alone=order["alone"], commits_each=order.get("commits_each", False))
        told: Message = {"error": None}
        try:
            if order["answer"] == "step":
                self.migrate(order["revision"], down=order["down"])
            else:
                told.update(self.stamp(order["revision"]) if order["answer"] == "stamp" else self.models())
            if not order["alone"]:
                session.quiet = True
                session.connection.own_rows("SET CONSTRAINTS ALL IMMEDIATE", ())
        except BaseException as error:
            if isinstance(error, Stopped) and error.kind == "hung up":
                raise
            told["error"] = dict(failure(session, error), commits_itself=session.commits_itself)
        finally:
            session.quiet = False
        return told

    def forget(self) -> None:
        """Give the session back what it was before the revisions: temporary tables, prepared statements, settings, role."""
        session = self.session
        session.has_stayed = False
        session.own_query("RESET SESSION AUTHORIZATION")
        session.own_query(FORGET)
        now = dict(session.own_query(HELD).get("rows", ()))
        for name in sorted(now.keys() | self.settings.keys(), key=lambda name: name == "role"):  # it may not set the others
            if name not in self.settings:
                session.own_query("RESET " + name)
            elif now.get(name) != self.settings[name]:
                session.own_query("SELECT set_config(%s, %s, false)", name, self.settings[name])
        session.connection.really_end("commit")

    def begin(self, *, alone: bool, commits_each: bool) -> None:
        """Let each statement commit by itself, or begin a transaction, whatever the step before left SQLAlchemy to believe."""
        session, connection = self.session, self.context.connection
        session.is_alone = alone
        session.commits_each = alone and (commits_each or session.is_autocommit)
        session.connection.really_autocommit(session.commits_each)
        revision, session.revision, session.quiet = session.revision, None, True
        with contextlib.suppress(Exception):  # those of the application outlive a revision that was stopped in their midst
            if "sqlalchemy.orm.session" in sys.modules:
                sys.modules["sqlalchemy.orm.session"].close_all_sessions()
        with contextlib.suppress(AttributeError):  # what an older SQLAlchemy has not, it does not need
            transaction = connection.get_transaction()
            if transaction is None or not transaction.is_active or connection.invalidated:
                connection._trans_context_manager = None  # env.py's own: it need not know
                if transaction is not None:
                    transaction.rollback()
                connection.begin()  # on the same connection, which a statement that was stopped has taken from it
        session.revision, session.quiet = revision, False

    def migrate(self, revision: str, *, down: bool) -> None:
        """Do for one revision what Alembic's own loop does."""
        from alembic.runtime.migration import MigrationStep

        getattr(self.context.impl, "memo", {}).clear()  # of the types that were made: nothing makes one twice in a usual run
        make = MigrationStep.downgrade_from_script if down else MigrationStep.upgrade_from_script
        found = self.script.get_revision(revision)
        step = make(self.script.revision_map, found)
        module = self.module(found)
        (module.downgrade if down else module.upgrade)(**self.given)
        self.maintainer.update_to_step(step)
        for callback in self.context.on_version_apply_callbacks:
            callback(ctx=self.context, step=step.info, heads=set(self.maintainer.heads), run_args=self.given)

    def module(self, found: Any) -> Any:
        """Return a revision's module, loaded afresh when it has run: one that keeps what it made cannot make it twice."""
        from alembic.util import load_python_file

        if found.module not in self.seen:
            self.seen[found.module] = True
            return found.module
        return load_python_file(*os.path.split(os.path.abspath(found.path)))

    def stamp(self, revision: str) -> Message:
        """Write into the version table that the database is at a revision."""
        for step in self.script._stamp_revs(revision, tuple(self.maintainer.heads)):
            self.maintainer.update_to_step(step)
        return {}

    def models(self) -> Message:
        """Compare with the models as `alembic check` does, then make their tables where the migrated ones were.

        So the pipeline sees what that comparison does not: checks and labels. It rolls it all back.
        """
        from alembic.autogenerate import compare_metadata
        from sqlalchemy import text

        given = self.context.opts.get("target_metadata")
        models = [] if given is None else list(given) if isinstance(given, (list, tuple)) else [given]
        found = [drift(one) for one in compare_metadata(self.context, given)] if models else []
        connection, quote = self.context.connection, self.context.dialect.identifier_preparer
        for metadata in models:
            for table in metadata.tables.values():
                connection.execute(text("DROP TABLE IF EXISTS " + quote.format_table(table) + " CASCADE"))
            for kind in {column.type for table in metadata.tables.values() for column in table.columns}:
                if getattr(kind, "enums", None) and getattr(kind, "native_enum", True) and kind.name:
                    connection.execute(text("DROP TYPE IF EXISTS " + quote.format_type(kind) + " CASCADE"))
        for metadata in models:
            metadata.create_all(connection)
        return {"models": bool(models), "drift": found}

    def end(self, how: str) -> Optional[Message]:
        """End what a step did, as the pipeline says; return why it could not be committed."""
        session = self.session
        if how == "go on":
            return None
        session.revision = None
        try:
            if session.commits_each:
                session.own_query("COMMIT")  # of a BEGIN that a revision sent itself
            elif how == "commit":
                session.connection.really_end("commit")
        except Exception as error:  # noqa: BLE001 - whatever the driver raises, the server has rolled it back
            how = "rollback"
            return failure(session, error)
        finally:
            if not session.commits_each and how != "commit":
                self.maintainer.heads = self.heads
                session.connection.really_end("rollback")
            self.close_others()
            session.is_alone = session.commits_each = False
            session.connection.really_autocommit(False)
        return None

    def close_others(self) -> None:
        """Close the connections that a revision has opened; a pool that keeps one for the next revision opens another one."""
        for close in (*(one.invalidate for one in self.session.pooled), *(one.close for one in self.session.others)):
            with contextlib.suppress(Exception):  # the revision may have closed it, or the server
                close()
        self.session.pooled.clear()
        self.session.others.clear()


HELD = """
SELECT quote_ident(name), setting FROM pg_settings WHERE source = 'session' AND name !~ '^transaction_'
UNION ALL SELECT 'role', current_setting('role')
"""
FORGET = """
DO $do$
DECLARE one text;
BEGIN
  FOR one IN SELECT format('DROP TABLE IF EXISTS %s CASCADE', oid::regclass) FROM pg_class
             WHERE relnamespace = pg_my_temp_schema() AND relkind IN ('r', 'p')
    UNION ALL SELECT format('DEALLOCATE %I', name) FROM pg_prepared_statements WHERE from_sql LOOP
    EXECUTE one;
  END LOOP;
END $do$
"""


def drift(one: Any) -> List[str]:
    """Return what Alembic says of one difference to the models: its name, the object, and what it is in both."""
    if isinstance(one, list):  # several changes of one column
        name, schema, table, column, _, was, now = one[0]
        return [name, ".".join(part for part in (schema, table, column) if part), str(was), str(now)]
    name, *parts = one
    if name.endswith("_column"):
        return [name, ".".join(part for part in (*parts[:2], parts[2].name) if part), "", ""]
    item = parts[0]
    table = getattr(item, "table", None)
    columns = ", ".join(str(getattr(column, "name", column)) for column in getattr(item, "columns", ()))
    title = getattr(item, "fullname", None) or getattr(item, "name", None) or "(" + columns + ")"
    return [name, str(title) + (" of " + table.fullname if table is not None and item is not table else ""), "", ""]


def configuration(start: Message) -> Any:
    """Return the project's Alembic configuration, with the pipeline's URL in the place of its own."""
    from alembic.config import Config

    options = argparse.Namespace(config=start["config"], x=None, name="alembic", raiseerr=True, quiet=True)
    config = Config(start["config"], cmd_opts=options)
    config.set_main_option("sqlalchemy.url", driver_url(start, config))
    config.attributes["migration_pipeline"] = start["mode"]
    return config


WHERE_IT_IS = """
SELECT coalesce((SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE c.oid = to_regclass(quote_ident(%s))), current_schema())::text
"""


def tell_plan(session: Session, script: Any, context: Any, heads: Any) -> None:
    plan = facts(script, context, heads, session.start["revision"])
    if plan["version_table_schema"] is None:  # then the search_path decides, as env.py has left it
        ((plan["version_table_schema"],),) = session.own_query(WHERE_IT_IS, plan["version_table"])["rows"]
    session.pipe.send(event="plan", **plan)
    if session.start["mode"] == "preview" and plan["revisions"]:
        preview(session, script._upgrade_revs(session.start["revision"], heads))


def preview(session: Session, pending: Any) -> None:
    """Call the upgrade functions while the pipeline lets nothing but reading through: what they would send is known then.

    The first that cannot go on without its effects ends it: the others might build on them.
    """
    for step in pending:
        try:
            watched(session, step).migration_fn()
        except (Exception, Stopped):  # noqa: BLE001 - the answer is "unknown", whatever it is
            session.doomed = session.stopped = session.error = None
            return
        session.pipe.send(event="previewed", revision=step.revision.revision)


MOST_RENDERED = 5000  # statements of one revision: a loop over more is for the rehearsal


def render(session: Session) -> None:
    """Tell what every revision from the first one on would send, without a database; env.py runs as for `upgrade --sql`.

    An env.py that cannot do that is left out: its revisions are rendered with Alembic's defaults.
    """
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext

    config, script = project(session)
    statements: List[Any] = []
    told: List[Message] = []

    def steps(_heads: Any, context: Any) -> List[Any]:
        if not told:
            told.append(history(session, script, context))
            session.pipe.send(event="history", **told[0])
            for step in [] if told[0]["error"] else script._upgrade_revs("heads", cast("Any", ())):
                session.pipe.send(event="rendered", **rendered(session, step, statements))
        return []

    def configure(*_args: Any, **kwargs: Any) -> None:  # what it is given to connect with is of no use
        kept = {name: kwargs[name] for name in ("version_table", "version_table_schema", "target_metadata") if name in kwargs}
        configure_original(dialect_name="postgresql+psycopg2", **kept)
        stand_in(session, environment.get_context(), statements)

    def as_sql(_context: Any) -> bool:  # a revision is to do what it does with a connection, Alembic what it does without
        caller = sys._getframe(1).f_globals.get("__name__", "")
        return session.revision is None or caller.partition(".")[0] == "alembic"

    MigrationContext.as_sql = property(as_sql, lambda _context, _value: None)  # type: ignore[assignment]
    environment = EnvironmentContext(config, script, fn=steps, as_sql=True, destination_rev="heads")
    configure_original = environment.configure
    environment.configure = configure  # type: ignore[method-assign]
    environment.is_offline_mode = lambda: session.revision is None  # type: ignore[method-assign]
    with environment:
        with contextlib.suppress(Exception, Stopped, SystemExit):
            script.run_env()
        if not told:
            configure()
            environment.run_migrations()


def history(session: Session, script: Any, context: Any) -> Message:
    """Return every revision in its order with its file, and the files that Alembic reads them from."""
    found: Message = {
        "version_table": context.version_table,
        "version_table_schema": context.version_table_schema,
        "files": version_files(script),
        "revisions": [],
        "error": None,
    }
    try:
        found["revisions"] = [described(step.revision) for step in script._upgrade_revs("heads", ())]
    except (Exception, Stopped, SystemExit) as error:  # noqa: BLE001 - a file is code, and raises what it likes
        found["error"] = failure(session, error)
        if isinstance(error, SyntaxError):
            found["error"]["frames"].append([error.filename, error.lineno, ""])
    return found


def version_files(script: Any) -> List[str]:
    """Return the files that Alembic takes for revisions, in the order of their names."""
    found = []
    for location in script._version_locations:
        for folder, folders, names in os.walk(os.path.abspath(location)):
            if not getattr(script, "recursive_version_locations", False):
                folders.clear()
            kept = [name for name in names if name.endswith(".py") and not name.startswith((".#", "__init__"))]
            found += [os.path.join(folder, name) for name in kept]  # noqa: PTH118 - as everywhere here
    return sorted(set(found))


def rendered(session: Session, step: Any, statements: List[Any]) -> Message:
    """Call an upgrade function; return what it would send, why that is not all, and which lines of its file ran."""
    problem = session.doomed = session.stopped = None
    statements.clear()
    session.revision = step.revision.revision
    module = step.revision.module
    lines: Set[int] = set()
    try:
        with lines_run(getattr(module, "__file__", None), lines):
            step.migration_fn()
    except (Exception, Stopped, SystemExit) as error:  # noqa: BLE001 - its text may hold anything; its type is told
        problem = "it raises " + type(error).__name__ + " without a database"
    session.revision = None
    told: Message = {"revision": step.revision.revision, "statements": list(statements), "problem": session.doomed or problem}
    return {**told, "reads": session.stopped == "reads", "lines": sorted(lines), "helpers": helpers(module)}


@contextlib.contextmanager
def lines_run(path: Optional[str], lines: Set[int]) -> Iterator[None]:
    """Gather the lines of a file that run."""

    def line(frame: Any, event: str, _given: Any) -> Any:
        if event == "line":
            lines.add(frame.f_lineno)
        return line

    def call(frame: Any, _event: str, _given: Any) -> Any:
        return line if frame.f_code.co_filename == path else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        yield
    finally:
        sys.settrace(before)


def helpers(module: Any) -> Message:
    """Return the files that a revision's own names come from, and the functions in them that they are."""
    found: Message = {}
    for name, value in list(vars(module).items()):
        code = getattr(value, "__code__", None)
        if code is not None and not (isinstance(value, type(helpers)) and value.__qualname__ == code.co_name):
            continue  # a method, or a function inside another one: no name of its file means it
        path = getattr(value, "__file__", None) if isinstance(value, type(sys)) else getattr(code, "co_filename", None)
        library = str(getattr(value, "__module__", None) or getattr(value, "__name__", "")).partition(".")[0]
        is_pythons = isinstance(path, str) and path.startswith(str(Path(os.__file__).parent)) and "-packages" not in path
        if is_pythons or library in ("sqlalchemy", "alembic"):
            continue
        if isinstance(path, str) and path != getattr(module, "__file__", None):
            found[name] = [path, getattr(code, "co_name", None)]
    return found


class Writer:
    """Writes down what the revisions send, as a driver would get it, and knows no answer."""

    def __init__(self, session: Session, dialect: Any, statements: List[Any]) -> None:
        self.session = session
        self.dialect = dialect
        self.statements = statements

    def unknown(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        self.session.stop("reads", "it reads from the database")

    def write_down(self, sql: str, *, has_parameters: bool) -> Any:
        if self.session.revision is not None and self.statements[-1:] != [[sql, has_parameters]]:
            self.statements.append([sql, has_parameters])
        if len(self.statements) > MOST_RENDERED:
            self.session.stop("too many", f"it sends more than {MOST_RENDERED:,} statements")
        names = ("__getattr__", "__getitem__", "__iter__", "__len__", "__bool__", "__eq__")
        return type("Answer", (), dict.fromkeys(names, self.unknown))()

    def send(self, construct: Any, _options: Any = None, multiparams: Any = None, params: Any = None) -> Any:
        """Do what Alembic's `_exec` does on a connection."""
        from sqlalchemy import text
        from sqlalchemy.sql.ddl import DDLElement

        if isinstance(construct, str):
            construct = text(construct)
        given = multiparams or params
        if isinstance(given, (list, tuple)):  # one row stands for all
            given = given[0]
        more: Dict[str, Any] = {}
        if not isinstance(construct, DDLElement):
            more = {"compile_kwargs": {"render_postcompile": True}, "column_keys": list(given) if given else None}
        return self.write_down(str(construct.compile(dialect=self.dialect, **more)).strip(), has_parameters=True)

    def bulk_insert(self, table: Any, rows: Any, multiinsert: bool = True) -> None:  # noqa: ARG002 - Alembic's own name
        if rows:
            self.send(table.insert().inline(), None, rows)


def stand_in(session: Session, context: Any, statements: List[Any]) -> None:
    """Give Alembic a connection that only writes down what it is sent."""
    from sqlalchemy.engine.mock import MockConnection
    from sqlalchemy.inspection import _inspects

    writer = Writer(session, context.dialect, statements)

    class Connection(MockConnection):
        def execute(self, construct: Any, *multiparams: Any, **params: Any) -> Any:  # type: ignore[override]
            params.pop("execution_options", None)
            given = params.pop("parameters", None) or (multiparams[0] if multiparams else None)
            return writer.send(construct, None, given or params)

        def exec_driver_sql(self, statement: str, parameters: Any = None, **_options: Any) -> Any:
            return writer.write_down(statement, has_parameters=bool(parameters))

        def in_transaction(self) -> bool:
            return True

        def begin_nested(self) -> Any:
            return contextlib.nullcontext(self)

        def __getattr__(self, name: str) -> NoReturn:
            session.stop("no server", "it needs a connection (" + name + ")")

    _inspects(Connection)(writer.unknown)  # `inspect(connection)` is a question to the database
    context.connection = context.impl.connection = Connection(context.dialect, writer.send)
    context.impl._exec = writer.send
    context.impl.bulk_insert = writer.bulk_insert


def driver_url(start: Message, config: Any) -> str:
    """Return the URL for the driver that the project's own URL names, else for one that is installed; no password in it.

    The project's URL is read, and ours returned, as they stand in a file where env.py has yet to fill in `%(NAME)s`.
    """
    written = config.file_config.get(config.config_ini_section, "sqlalchemy.url", raw=True, fallback="")
    wanted = written.split(":")[0].partition("+")[2] or start["driver"]
    if wanted not in start["urls"] or not installed(wanted):
        wanted = next((name for name in DRIVERS if installed(name)), "psycopg2")  # none is needed to render
    url, settings = str(start["urls"][wanted]).replace("%", "%%"), re.search(r"[?&](options=[^&]*)", written)
    if settings is None or wanted == "asyncpg":
        return url
    address, _, query = url.partition("?")
    return address + "?" + "&".join([*(pair for pair in query.split("&") if pair and pair[:8] != "options="), settings[1]])


def folder_of(config_file: str) -> str:
    """Return the folder to run env.py in: the configuration's, or the one above it that its script_location starts at.

    `alembic -c db/alembic.ini` is often called in the folder above, and its relative paths are then meant from there.
    """
    from alembic.config import Config

    config = Config(config_file)
    written = config.file_config.get(config.config_ini_section, "script_location", raw=True, fallback="")
    own = Path(config_file).parent
    if (own / written).is_dir():
        return str(own)
    places = {folder: folder / written for folder in own.parents}
    return str(next((folder for folder, place in places.items() if place.is_dir() and own in (place, *place.parents)), own))


def watched(session: Session, step: Any) -> Any:
    """Wrap a step's upgrade function so that we know which revision runs, and that it failed even if env.py hides it."""
    migrate = step.migration_fn
    revision = step.revision.revision

    def upgrade(**kwargs: Any) -> None:
        session.ask("revision", revision=revision)
        session.revision = revision
        try:
            migrate(**kwargs)
        except BaseException as error:
            session.doomed = session.doomed or "revision " + revision + " failed"
            session.error = session.error or failure(session, error)
            raise
        finally:
            session.revision = None

    step.migration_fn = upgrade
    return step


def facts(script: Any, context: Any, heads: Any, target: str) -> Message:
    """Return what a plan is made of; nothing here decides."""
    from alembic.util.exc import CommandError

    unknown = []
    for head in heads:
        try:
            script.get_revision(head)
        except CommandError:
            unknown.append(head)
    plan: Message = {
        "current": sorted(heads),
        "unknown": sorted(unknown),
        "heads": sorted(script.get_heads()),
        "version_table": context.version_table,
        "version_table_schema": context.version_table_schema,
        "revisions": [],
        "folders": folders_of(script),
        "error": None,
    }
    try:
        steps = [] if unknown else script._upgrade_revs(target, tuple(heads))
        plan["revisions"] = [described(step.revision) for step in steps]
    except CommandError as error:
        plan["error"] = str(error)
    return plan


def described(revision: Any) -> Message:
    down = revision.down_revision or ()
    depends_on = getattr(revision, "_resolved_dependencies", ())
    return {
        "id": revision.revision,
        "down": [*([down] if isinstance(down, str) else down), *depends_on],
        "path": os.path.abspath(revision.path),
        "title": (revision.doc or "").strip().splitlines()[:1],
    }


def describe(error: BaseException) -> Message:
    """Return what may be told of a database error. The pipeline redacts it; DETAIL, CONTEXT and parameters are never read."""
    cause: Any = getattr(error, "orig", None) or error
    diagnosis = getattr(cause, "diag", None)
    told: Message = {"type": type(cause).__name__}
    told["sqlstate"] = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    answer = cause if hasattr(cause, "constraint_name") else cause.__cause__  # asyncpg's error, or SQLAlchemy's copy of it
    if hasattr(answer, "constraint_name"):
        for name in ("schema_name", "table_name", "column_name", "constraint_name"):
            told[name] = getattr(answer, name)
        told["message_primary"] = getattr(answer, "message", None)
        told["source_function"] = getattr(answer, "server_source_function", None)
    if diagnosis is not None:
        for name in ("message_primary", "schema_name", "table_name", "column_name", "constraint_name", "source_function"):
            told[name] = getattr(diagnosis, name, None)
    return told


def failure(session: Session, error: BaseException) -> Message:
    """Describe what ended the run."""
    kind = type(error)
    told: Message = {
        "type": kind.__module__ + "." + kind.__qualname__,
        "stopped": session.stopped or (error.kind if isinstance(error, Stopped) else None),
        "folders": folders_of(session.script) if session.script else [],
        # a database error speaks through `describe`: its own text holds DETAIL and parameters
        "message": session.doomed if session.stopped else message_of(error),
        "revision": session.revision,
        "connected": session.connection is not None,
        "statement": session.statement if session.revision else None,
        "database": session.database_error,
        "causes": causes(error),
        "frames": places(traceback.extract_tb(error.__traceback__)),
    }
    if told["database"] is None and told["message"] is None:
        told["database"] = dict(describe(error), statement=session.statement)
    return told


def places(frames: traceback.StackSummary) -> List[List[Any]]:
    return [[frame.filename, frame.lineno, frame.name] for frame in frames]


def message_of(error: BaseException) -> Optional[str]:
    return None if any(hasattr(error, name) for name in ("orig", "diag", "sqlstate")) else str(error)


def causes(error: BaseException) -> List[List[Any]]:
    """Return what an exception was raised from, or while: of each the type, and where it was raised."""
    found: List[List[Any]] = []
    one = error.__cause__ or error.__context__
    while one is not None and len(found) < MOST_CAUSES:
        frames = traceback.extract_tb(one.__traceback__)
        where = [frames[-1].filename, frames[-1].lineno] if frames else ["", 0]
        found.append([type(one).__module__ + "." + type(one).__qualname__, *where])
        one = one.__cause__ or one.__context__
    return found


MOST_CAUSES = 10  # a chain of exceptions may be a circle


def main() -> None:
    pipe = Pipe()
    session: Optional[Session] = None
    try:
        import alembic
        import alembic.config  # what every run needs is imported before the pipeline has made up its mind
        import alembic.runtime.environment
        import sqlalchemy

        pipe.send(event="hello", python=sys.version.split()[0], alembic=alembic.__version__, sqlalchemy=sqlalchemy.__version__)
        start = pipe.receive()
        session = Session(pipe, start)
        os.environ.update(start["environment"])
        os.chdir(folder_of(start["config"]))
        sys.meta_path.insert(0, ReplaceConnect(session))
        if start["mode"] != "render" and not any(installed(name) for name in DRIVERS):
            session.stop("no driver", "neither psycopg2, psycopg nor asyncpg is installed in the project's environment")
        watch_asynchronous_connections(session)
        {"render": render, "check": check}.get(start["mode"], run)(session)
        if session.error is None and start["mode"] in ("rehearse", "upgrade"):
            end(session)
            return
    except BaseException as error:  # noqa: BLE001 - the pipeline must hear of everything
        if session is None:
            pipe.send(event="failed", error={"type": type(error).__name__, "message": str(error), "frames": []})
            return
        session.error = session.error or failure(session, error)
    if session.connection is not None:
        with contextlib.suppress(Exception):  # a lost connection is rolled back by the server
            session.connection.really_end("rollback")
    pipe.send(event="ended", how="rolled back", error=session.error)


def end(session: Session) -> None:
    """Ask how to end the transaction, and end it so."""
    if session.connection is None:
        session.stop("no run", "env.py ended without connecting")
    answer = session.ask("finish")
    how = "commit" if answer["answer"] == "commit" else "rollback"
    session.connection.really_end(how)
    session.pipe.send(event="ended", how="committed" if how == "commit" else "rolled back", error=None)


if __name__ == "__main__":
    main()
