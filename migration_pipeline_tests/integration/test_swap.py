"""The swap of names: whole or not at all, whoever is connected and whoever is killed; rights, messages, and what is put aside."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from datetime import UTC, datetime

import psycopg
import pytest

from migration_pipeline import errors
from migration_pipeline.adapters import postgres, swap
from migration_pipeline.domain.connection import Connection
from migration_pipeline_tests.conftest import execute, wait_until

MOMENT = datetime(2026, 10, 10, 9, 30, 15, tzinfo=UTC)
numbers = itertools.count(1)


class Pair:
    """A live database and one that was restored beside it; each says in a table which it is."""

    def __init__(self, server, owner=None):
        self.server = server
        self.live = f"swap_{os.getpid()}_{next(numbers)}"
        self.new = f"{self.live}_restore"
        self.replaced = swap.replaced_name(self.live, MOMENT)
        self.admin = Connection.from_url(server.url())
        for name, kind in ((self.live, "old"), (self.new, "new")):
            execute(server.url(), f"CREATE DATABASE {name} TEMPLATE template0" + (f" OWNER {owner}" if owner else ""))
            execute(
                server.url(name),
                f"CREATE TABLE kind AS SELECT '{kind}' AS a, '{kind}' AS b",
                "CREATE TABLE written (at timestamptz DEFAULT now())",
                "GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC",
            )

    def swap(self, *, admin=None, statements=()):
        return swap.swap(
            admin or self.admin, "postgres", live=self.live, new=self.new, replaced=self.replaced, statements=statements
        )

    def kinds(self):
        """Return which database each name is."""
        return {name: self.kind(name) for name in self.names()}

    def kind(self, name):
        return execute(self.server.url(name), "SELECT a FROM kind")[0][0]

    def names(self):
        mine = (self.live, self.new, self.replaced)
        return [name for name in mine if execute(self.server.url(), f"SELECT 1 FROM pg_database WHERE datname = '{name}'")]

    def drop(self):
        for name in self.names():
            with psycopg.connect(self.server.url(name), autocommit=True) as connection:
                for (gid,) in connection.execute("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"):
                    connection.execute(f"ROLLBACK PREPARED '{gid}'")
            execute(self.server.url(), f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def pair(server):
    made = Pair(server)
    yield made
    made.drop()


@pytest.fixture
def closing(pair18):
    """Close connections before the databases are dropped."""
    with contextlib.ExitStack() as stack:
        yield lambda connection: stack.enter_context(contextlib.closing(connection))


@pytest.fixture
def pair18(server18):
    made = Pair(server18)
    yield made
    made.drop()


def before(pair):
    return {pair.live: "old", pair.new: "new"}


def after(pair):
    return {pair.live: "new", pair.replaced: "old"}


class Clients:
    """Three threads that connect, read and write, one connection after the other."""

    def __init__(self, url):
        self.url = url
        self.stop = threading.Event()
        self.seen, self.failures, self.good = [], [], []
        self.threads = [threading.Thread(target=self.hammer) for _ in range(3)]

    def hammer(self):
        while not self.stop.is_set():
            begin = time.monotonic()
            try:
                with psycopg.connect(self.url, autocommit=True, connect_timeout=10) as connection:
                    for _ in range(5):
                        self.seen.append(
                            connection.execute("SELECT a, b, (SELECT count(*) >= 0 FROM written) FROM kind").fetchone()
                        )
                        connection.execute("INSERT INTO written DEFAULT VALUES")
                self.good.append((begin, time.monotonic()))
            except psycopg.OperationalError as error:
                self.failures.append((begin, time.monotonic(), error.sqlstate, str(error).splitlines()[-1]))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_until(lambda: len(self.good) > 10, lambda: self.failures, 10)
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def longest_gap(self):
        """Return the longest time in which no client had a working connection."""
        ends = sorted(end for _, end in self.good)
        return max((b - a for a, b in itertools.pairwise(ends)), default=0.0)


def test_clients_that_hammer_see_the_old_database_or_the_new_one_and_are_out_for_a_moment(pair):
    pool = [psycopg.connect(pair.server.url(pair.live)) for _ in range(5)]
    with Clients(pair.server.url(pair.live)) as clients:
        swapped = pair.swap()
        done = len(clients.good)
        wait_until(lambda: len(clients.good) > done + 30, lambda: clients.failures[-3:], 10)

    print(
        f"\nswap {swapped.seconds:.3f} s, {swapped.ended} sessions ended; no client in for {clients.longest_gap():.3f} s;"
        f" {len(clients.failures)} failures: {[failure[2:] for failure in clients.failures]}"
    )
    for connection in pool:
        connection.close()
    assert swapped.ended >= len(pool)
    assert set(clients.seen) == {("old", "old", True), ("new", "new", True)}
    assert clients.longest_gap() < 3
    assert swapped.seconds < 3
    assert pair.kinds() == after(pair)


SWAPPER = """
import sys
from migration_pipeline.adapters import swap
from migration_pipeline.domain.connection import Connection
url, live, new, replaced = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
swap.swap(Connection.from_url(url), "postgres", live=live, new=new, replaced=replaced, statements=["SELECT pg_sleep(0.15)"])
"""


@pytest.mark.parametrize("milliseconds", [5, 20, 40, 60, 90, 130, 180, 250, 400])
def test_a_swap_that_is_killed_leaves_both_names_or_none(pair18, milliseconds):
    pair = pair18
    sleeping = psycopg.connect(pair.server.url(pair.live))
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SWAPPER), pair.server.url(), pair.live, pair.new, pair.replaced],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    process.stdout.readline()
    process.stdin.write(b"\n")
    process.stdin.flush()
    time.sleep(milliseconds / 1000)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()

    begin = time.monotonic()
    kind = None
    while kind is None:
        with contextlib.suppress(psycopg.OperationalError):
            kind = pair.kind(pair.live)
    seconds = time.monotonic() - begin
    wait_until(lambda: not execute(pair.server.url(), "SELECT 1 FROM pg_stat_activity WHERE application_name ~ 'swaps names'"),
               lambda: "the swap's session", 5)  # fmt: skip
    print(f"\nkilled after {milliseconds} ms: {pair.kind(pair.live)}, connected {seconds:.3f} s later")
    assert seconds < 3
    assert pair.kinds() in (before(pair), after(pair))
    sleeping.close()


def test_a_session_in_an_open_transaction_is_ended(pair):
    idle = psycopg.connect(pair.server.url(pair.live), application_name="ward round")
    idle.execute("INSERT INTO written DEFAULT VALUES")

    swapped = pair.swap()

    assert swapped.ended == 1
    assert pair.kinds() == after(pair)
    with pytest.raises(psycopg.OperationalError):
        idle.execute("SELECT 1")
    idle.close()


def test_nobody_elsewhere_is_ended(pair18):
    elsewhere = psycopg.connect(pair18.server.url(), autocommit=True)
    inside = psycopg.connect(pair18.server.url(pair18.new))

    assert pair18.swap().ended == 1

    assert elsewhere.execute("SELECT 1").fetchone() == (1,)
    elsewhere.close()
    inside.close()


def test_a_prepared_transaction_stops_the_swap_before_anybody_is_sent_away(pair):
    execute(pair.server.url(pair.live), f"BEGIN; INSERT INTO written DEFAULT VALUES; PREPARE TRANSACTION 'two {pair.live}'")
    inside = psycopg.connect(pair.server.url(pair.live), autocommit=True)

    with pytest.raises(errors.Failure) as caught:
        pair.swap()

    assert str(caught.value) == (
        "A prepared transaction is open in the database; the names were not swapped.\n"
        f'  state: database "{pair.live}" is as it was and accepts connections\n'
        f"  prepared transactions: two {pair.live}\n"
        "Next: COMMIT PREPARED or ROLLBACK PREPARED each in its database, then run the same command again"
    )
    assert inside.execute("SELECT a FROM kind").fetchone() == ("old",)
    inside.close()
    assert pair.kinds() == before(pair)


def test_a_database_that_was_dropped_comes_back_under_its_name(pair18):
    execute(pair18.server.url(), f"DROP DATABASE {pair18.live}")

    pair18.swap()

    assert pair18.kinds() == {pair18.live: "new"}


def test_the_statements_are_part_of_the_swap(pair):
    role = f"owner_{pair.live}"
    execute(pair.server.url(), f"CREATE ROLE {role}")
    statements = [f"ALTER DATABASE {pair.live} OWNER TO {role}", f"ALTER DATABASE {pair.live} SET work_mem TO '5MB'"]

    with pytest.raises(errors.Failure) as caught:
        pair.swap(statements=[*statements, f"ALTER DATABASE {pair.live} SET nonsense TO 'secret'"])
    assert str(caught.value) == (
        "The names were not swapped.\n"
        f'  state: database "{pair.live}" is as it was and accepts connections\n'
        "  server: 42704 refused it, or the connection was lost\n"
        "Next: mend what is named above, then run the same command again"
    )
    assert pair.kinds() == before(pair)

    pair.swap(statements=statements)
    assert pair.kinds() == after(pair)
    owners = execute(
        pair.server.url(), f"SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE datname ~ '^{pair.live}' ORDER BY 1"
    )
    assert owners == [(pair.live, role), (pair.replaced, "postgres")]
    assert execute(pair.server.url(pair.live), "SHOW work_mem") == [("5MB",)]
    pair.drop()
    execute(pair.server.url(), f"DROP ROLE {role}")


def test_somebody_who_holds_the_database_from_elsewhere_stops_it_and_everybody_can_connect_again(pair18, monkeypatch, closing):
    monkeypatch.setattr(swap, "ATTEMPT_SECONDS", 0.3)
    elsewhere = closing(psycopg.connect(pair18.server.url(), application_name="admin"))
    elsewhere.execute(f"COMMENT ON DATABASE {pair18.live} IS 'held'")

    with pytest.raises(errors.Failure) as caught:
        pair18.swap()

    assert str(caught.value) == (
        "Sessions stayed in the database; the names were not swapped.\n"
        f'  state: database "{pair18.live}" is as it was and accepts connections\n'
        f'  sessions: process {elsewhere.info.backend_pid}: "admin" of role "postgres"\n'
        "  server: 55P03 after 3 attempts of 0.3 s\n"
        "Next: stop what connects there, then run the same command again"
    )
    elsewhere.close()
    assert pair18.kinds() == before(pair18)


def test_a_swap_whose_session_is_ended_leaves_the_names_and_says_so(pair18, closing):
    elsewhere = closing(psycopg.connect(pair18.server.url()))
    elsewhere.execute(f"COMMENT ON DATABASE {pair18.live} IS 'held'")
    waiting = "FROM pg_stat_activity WHERE application_name ~ 'swaps names' AND wait_event_type = 'Lock'"

    def end():
        wait_until(lambda: execute(pair18.server.url(), f"SELECT 1 {waiting}"), lambda: "no swap", 5)
        execute(pair18.server.url(), f"SELECT pg_terminate_backend(pid) {waiting}")

    ending = threading.Thread(target=end)
    ending.start()
    with pytest.raises(errors.Failure) as caught:
        pair18.swap()
    ending.join()
    elsewhere.rollback()

    assert caught.value.evidence == {
        "state": f'database "{pair18.live}" is as it was and accepts connections',
        "server": "57P01 refused it, or the connection was lost",
    }
    assert pair18.kinds() == before(pair18)


def test_a_swap_whose_connection_is_cut_is_looked_at_before_anything_is_said(pair18):
    opened, original = {}, psycopg.connect
    sleeping = "SELECT pid FROM pg_stat_activity WHERE application_name ~ 'swaps names' AND wait_event = 'PgSleep'"

    def connect(*parts, **keywords):
        connection = original(*parts, **keywords)
        opened[connection.info.backend_pid] = connection.fileno()
        return connection

    def cut():
        wait_until(lambda: execute(pair18.server.url(), sleeping), lambda: "no swap", 5)
        ((pid,),) = execute(pair18.server.url(), sleeping)
        with socket.socket(fileno=os.dup(opened[pid])) as same:
            same.shutdown(socket.SHUT_RDWR)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg, "connect", connect)
        cutting = threading.Thread(target=cut)
        cutting.start()
        with pytest.raises(errors.Failure) as caught:
            pair18.swap(statements=["SELECT pg_sleep(1)"])
        cutting.join()

    assert caught.value.evidence["state"] == f'database "{pair18.live}" is as it was and accepts connections'
    assert execute(pair18.server.url(), sleeping) == []
    assert pair18.kinds() == before(pair18)


@pytest.fixture
def own(server):
    """A pair of a role that is no superuser and owns it, with CREATEDB; another role that may connect."""
    login, other = (f"{name}_{os.getpid()}_{next(numbers)}" for name in ("mig", "app"))
    execute(
        server.url(), *(f"CREATE ROLE {name} LOGIN PASSWORD 'geheim'" for name in (login, other)), f"ALTER ROLE {login} CREATEDB"
    )
    made = Pair(server, owner=login)
    made.login, made.other = login, other
    made.by_login = Connection.from_url(server.url().replace(f"postgres:{server.password}", f"{login}:geheim"))
    yield made
    made.drop()
    execute(server.url(), f"DROP ROLE {login}", f"DROP ROLE {other}")


def asked(pair):
    with postgres.session(pair.by_login, purpose="asks") as opened:
        return list(swap.problems(opened, pair.live))


def as_role(pair, role, **more):
    return psycopg.connect(pair.server.url(pair.live).replace(f"postgres:{pair.server.password}", f"{role}:geheim"), **more)


def test_an_owner_with_createdb_swaps_his_own_database_and_ends_his_own_sessions(own):
    mine = as_role(own, own.login)

    assert asked(own) == []
    assert own.swap(admin=own.by_login).ended == 1

    assert own.kinds() == after(own)
    mine.close()


def test_sessions_of_others_take_pg_signal_backend_and_those_of_a_superuser_a_superuser(own):
    theirs = as_role(own, own.other, application_name="ward")

    with pytest.raises(errors.Failure) as caught:
        own.swap(admin=own.by_login)

    session = f'process {theirs.info.backend_pid}: "ward" of role "{own.other}"'
    assert str(caught.value) == (
        "Sessions are in the database that our role may not end; the names were not swapped.\n"
        f'  state: database "{own.live}" is as it was and accepts connections\n'
        f"  sessions: {session}\n"
        f'Next: GRANT pg_signal_backend TO "{own.login}", then run the same command again'
    )
    assert asked(own) == [("sessions", f'role "{own.login}" may not end {session}: GRANT pg_signal_backend TO "{own.login}"')]
    assert theirs.execute("SELECT a FROM kind").fetchone() == ("old",)

    execute(own.server.url(), f"GRANT pg_signal_backend TO {own.login}")
    with psycopg.connect(own.server.url(own.live), application_name="root") as root:
        assert [what for what, _ in asked(own)] == ["sessions"]
        with pytest.raises(errors.Failure) as caught:
            own.swap(admin=own.by_login)
        assert caught.value.evidence["sessions"] == f'process {root.info.backend_pid}: "root" of role "postgres"'
        assert caught.value.next_step == "only a superuser may end a superuser's session: end them, or restore as a superuser"
    wait_until(lambda: asked(own) == [], lambda: asked(own), 5)
    assert own.swap(admin=own.by_login).ended == 1
    assert own.kinds() == after(own)
    theirs.close()


def test_what_a_role_lacks_is_named_with_what_mends_it(own):
    execute(own.server.url(), f"ALTER ROLE {own.login} NOCREATEDB", f"ALTER DATABASE {own.live} OWNER TO {own.other}")
    options = " WITH INHERIT TRUE, SET TRUE" if execute(own.server.url(), "SHOW server_version_num")[0][0] >= "160000" else ""
    grant = f'GRANT "{own.other}" TO "{own.login}"{options}'

    assert asked(own) == [
        (
            "right to create",
            f'role "{own.login}" lacks CREATEDB, for the new database and both names: ALTER ROLE "{own.login}" CREATEDB',
        ),
        ("owner", f'database "{own.live}" belongs to role "{own.other}", for which "{own.login}" may not act: {grant}'),
    ]
    with pytest.raises(errors.Failure) as caught:
        own.swap(admin=own.by_login)
    assert caught.value.evidence["server"] == f"42501 must be owner of database {own.live}"
    assert own.kinds() == before(own)

    execute(own.server.url(), f'ALTER ROLE "{own.login}" CREATEDB', grant)
    assert asked(own) == []
    own.swap(admin=own.by_login)
    assert own.kinds() == after(own)


def test_a_database_of_a_superuser_is_to_be_given_away_not_to_be_joined(own):
    execute(own.server.url(), f"ALTER DATABASE {own.live} OWNER TO postgres")

    mend = f'ALTER DATABASE "{own.live}" OWNER TO "{own.login}"'
    assert asked(own) == [
        ("owner", f'database "{own.live}" belongs to role "postgres", for which "{own.login}" may not act: {mend}')
    ]


def test_no_database_is_renamed_from_within(pair18):
    with pytest.raises(errors.NotAllowed) as caught:
        swap.swap(pair18.admin, pair18.live, live=pair18.live, new=pair18.new, replaced=pair18.replaced)

    assert caught.value.evidence == {"maintenance database": pair18.live}
    with postgres.session(pair18.admin.replace(database=pair18.live), purpose="asks") as opened:
        assert [what for what, _ in swap.problems(opened, pair18.live)] == ["maintenance database"]


def put_aside(pair):
    with postgres.session(pair.admin, purpose="looks") as opened:
        return swap.replaced_databases(opened, pair.live)


def comment(pair, name):
    return execute(pair.server.url(), f"SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{name}'")[
        0
    ][0]


def test_what_was_put_aside_is_known_by_its_comment_and_taken_back_whole(pair18):
    pair = pair18
    execute(
        pair.server.url(),
        f"COMMENT ON DATABASE {pair.live} IS 'Ours,\nsince 1999'",
        f"COMMENT ON DATABASE {pair.new} IS 'unfinished'",
    )
    assert put_aside(pair) == []

    pair.swap()

    (one,) = put_aside(pair)
    assert (one.name, one.live) == (pair.replaced, pair.live)
    assert abs(one.at - datetime.now(UTC)).total_seconds() < 60
    assert one.bytes > 1_000_000
    assert comment(pair, pair.live) is None

    swap.swap(pair.admin, "postgres", live=pair.live, new=pair.replaced, replaced=pair.new)

    assert pair.kinds() == before(pair)
    assert comment(pair, pair.live) == "Ours,\nsince 1999"
    assert put_aside(pair) == [], "under a name that is not ours it is somebody's"


def test_only_what_was_put_aside_is_dropped_and_never_under_somebody_unless_told(pair18):
    pair = pair18
    pair.swap()
    with pytest.raises(errors.NotAllowed) as caught:
        swap.drop_replaced(pair.admin, "postgres", live=pair.live, name=pair.live)
    assert str(caught.value) == (
        f'Database "{pair.live}" was not dropped.\n'
        f'  reason: no restore of database "{pair.live}" has put it aside: its comment does not say so\n'
        "Next: mend what is named above, then run it again"
    )

    reader = psycopg.connect(pair.server.url(pair.replaced), application_name="auditor")
    with pytest.raises(errors.NotAllowed) as caught:
        swap.drop_replaced(pair.admin, "postgres", live=pair.live, name=pair.replaced)
    assert caught.value.evidence == {"sessions": f'process {reader.info.backend_pid}: "auditor" of role "postgres"'}

    swap.drop_replaced(pair.admin, "postgres", live=pair.live, name=pair.replaced, end_sessions=True)
    assert pair.kinds() == {pair.live: "new"}
    reader.close()


def test_slots_and_subscriptions_of_what_was_put_aside_are_named_and_not_lost(pair18):
    pair = pair18
    subscription = ("CREATE SUBSCRIPTION feed CONNECTION 'host=127.0.0.1 port=1 dbname=nowhere' PUBLICATION p"
                    " WITH (connect = false, slot_name = 'feed_slot', enabled = false, create_slot = false)")  # fmt: skip
    execute(pair.server.url(pair.live), subscription)
    pair.swap()

    with pytest.raises(errors.NotAllowed) as caught:
        swap.drop_replaced(pair.admin, "postgres", live=pair.live, name=pair.replaced, end_sessions=True)

    assert list(caught.value.evidence) == ["subscriptions"]
    assert caught.value.evidence["subscriptions"].startswith("feed: DROP SUBSCRIPTION in it")
    with postgres.session(pair.admin, purpose="looks") as opened:
        assert swap.subscriptions(opened, pair.replaced) == []
        assert swap.subscriptions(opened, pair.replaced, enabled=False) == ["feed"]
    execute(pair.server.url(pair.replaced), "ALTER SUBSCRIPTION feed SET (slot_name = NONE)", "DROP SUBSCRIPTION feed")
    swap.drop_replaced(pair.admin, "postgres", live=pair.live, name=pair.replaced)
    assert pair.kinds() == {pair.live: "new"}


@pytest.mark.parametrize("live", ["clinic", "k" * 63, "ä" * 31])
def test_the_name_of_what_is_put_aside_fits_and_says_when(live):
    name = swap.replaced_name(live, MOMENT)

    assert len(name.encode()) <= 63
    assert name.endswith("_before_restore_2026-10-10_09-30-15")
    assert live.startswith(name.removesuffix("_before_restore_2026-10-10_09-30-15"))
