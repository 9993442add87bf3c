"""URLs of every driver, read into libpq's keywords and written again; nothing here connects to anything."""

from pathlib import PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg import conninfo
from sqlalchemy.engine import make_url

from migration_pipeline.domain.connection import Connection, WrongUrl

SECRET = "pa55-Word"
FORM = "postgresql://USER:PASSWORD@HOST:5432/DATABASE"

READ = {
    "postgresql://app:pw@db.example:5433/clinic": "host=db.example port=5433 user=app password=pw dbname=clinic",
    "postgres://db/clinic": "host=db dbname=clinic",
    "postgresql+psycopg2://app@db/clinic": "host=db user=app dbname=clinic",
    "postgresql+psycopg://app@db/clinic": "host=db user=app dbname=clinic",
    "postgresql+psycopg_async://app@db/clinic": "host=db user=app dbname=clinic",
    "postgresql+asyncpg://app@db/clinic": "host=db user=app dbname=clinic",
    "postgresql+pg8000://app@db/clinic?application_name=x&timeout=3": "host=db user=app dbname=clinic",
    "  postgresql://db/clinic\n": "host=db dbname=clinic",
    "postgresql://a%40b:%2F%3A%40%25+%20%C3%A4%27@db/my%20clinic": "host=db user=a@b password='/:@%+ ä\\'' dbname='my clinic'",
    "postgresql://app:p:w?x#y@db/clinic": "host=db user=app password=p:w?x#y dbname=clinic",
    "postgresql://:pw@db/clinic": "host=db password=pw dbname=clinic",
    "postgresql://d%62.example/clinic": "host=db.example dbname=clinic",
    # sockets
    "postgresql:///clinic": "dbname=clinic",
    "postgresql:///clinic?host=/var/run/postgresql": "host=/var/run/postgresql dbname=clinic",
    "postgresql://app:pw@/clinic?host=/cloudsql/a:b:c": "host=/cloudsql/a:b:c user=app password=pw dbname=clinic",
    "postgresql://%2Fvar%2Frun%2Fpostgresql/clinic": "host=/var/run/postgresql dbname=clinic",
    "postgresql://app@%2Ftmp:5433/clinic": "host=/tmp port=5433 user=app dbname=clinic",
    "postgresql://localhost:5433/clinic?host=/tmp": "host=/tmp port=5433 dbname=clinic",
    "postgresql:///clinic?host=%40abstract": "host=@abstract dbname=clinic",
    # addresses
    "postgresql://[2001:db8::1]:5433/clinic": "host=2001:db8::1 port=5433 dbname=clinic",
    "postgresql://[fe80::1%25eth0]/clinic": "host=fe80::1%eth0 dbname=clinic",
    "postgresql:///clinic?host=::1&port=5433": "host=::1 port=5433 dbname=clinic",
    "postgresql:///clinic?hostaddr=10.0.0.1": "hostaddr=10.0.0.1 dbname=clinic",
    # several hosts
    "postgresql://app@h1:5432,h2:5433/clinic": "host=h1,h2 port=5432,5433 user=app dbname=clinic",
    "postgresql://h1,h2:5433/clinic": "host=h1,h2 port=,5433 dbname=clinic",
    "postgresql://h1,[::1]:5433/clinic?target_session_attrs=read-write": "host=h1,::1 port=,5433 target_session_attrs=read-write dbname=clinic",
    "postgresql+psycopg2://app@/clinic?host=h1:5432&host=h2:5433": "host=h1,h2 port=5432,5433 user=app dbname=clinic",
    "postgresql+psycopg2://app@/clinic?host=h1,h2&port=5432,5433": "host=h1,h2 port=5432,5433 user=app dbname=clinic",
    "postgresql://app@/clinic?host=h1,h2&port=5433": "host=h1,h2 port=5433 user=app dbname=clinic",
    # parameters
    "postgresql://db/clinic?user=app&password=p%2Bw": "host=db user=app password=p+w dbname=clinic",
    "postgresql://db?dbname=clinic": "host=db dbname=clinic",
    "postgresql+asyncpg://db/?database=clinic": "host=db dbname=clinic",
    "postgresql://db/clinic?sslmode=verify-full&sslrootcert=system": "host=db sslmode=verify-full sslrootcert=system dbname=clinic",
    "postgresql://db/clinic?sslcert=c.crt&sslkey=c.key&sslcrl=c.crl": "host=db sslcert=c.crt sslkey=c.key sslcrl=c.crl dbname=clinic",
    "postgresql+asyncpg://db/clinic?ssl=true": "host=db sslmode=require dbname=clinic",
    "postgresql+asyncpg://db/clinic?ssl=false": "host=db sslmode=disable dbname=clinic",
    "postgresql+asyncpg://db/clinic?ssl=verify-full": "host=db sslmode=verify-full dbname=clinic",
    "postgresql+asyncpg://db/clinic?ssl=prefer": "host=db sslmode=prefer dbname=clinic",
    "postgresql+asyncpg://db/clinic?prepared_statement_cache_size=0&statement_cache_size=0&command_timeout=60": "host=db dbname=clinic",
    "postgresql+psycopg2://db/clinic?client_encoding=utf8&application_name=a+b": "host=db dbname=clinic",
    "postgresql://db/clinic?options=-csearch_path%3Dcare%20-crole%3Dx": "host=db options='-csearch_path=care -crole=x' dbname=clinic",
    "postgresql://db/clinic?connect_timeout=10&keepalives=1&keepalives_idle=30&keepalives_interval=5&keepalives_count=3":
        "host=db connect_timeout=10 keepalives=1 keepalives_idle=30 keepalives_interval=5 keepalives_count=3 dbname=clinic",
    "postgresql://db/clinic?channel_binding=require&gssencmode=disable&krbsrvname=pg":
        "host=db channel_binding=require gssencmode=disable krbsrvname=pg dbname=clinic",
}  # fmt: skip


@pytest.mark.parametrize(("url", "meant"), READ.items())
def test_a_url_of_any_driver_means_the_same_to_us_as_to_libpq(url, meant):
    assert Connection.from_url(url).keywords(with_password=True) == conninfo.conninfo_to_dict(meant)


AMBIGUOUS = ("", 'can be read in two ways; right: "/" as %2F and "@" as %40 wherever they are part of a value')
NO_HOST = ("host", "is no host name, address or folder of a socket; right: HOST, HOST:PORT or [IPv6]:PORT")
WRONG = {
    "": [("", f"is no PostgreSQL URL; right: {FORM}")],
    "mysql://app@db/clinic": [("", f"is no PostgreSQL URL; right: {FORM}")],
    "sqlite:///clinic.db": [("", f"is no PostgreSQL URL; right: {FORM}")],
    "host=db dbname=clinic": [("", f"is no PostgreSQL URL; right: {FORM}")],
    "postgresql+zxjdbc://db/clinic": [
        ("", "names a driver that is not known; right: none, or one of psycopg2, psycopg, psycopg_async, psycopg2cffi, asyncpg, pg8000")
    ],
    "postgresql://app@db": [("database", f"is missing; right: {FORM}")],
    "postgresql://app@db/": [("database", f"is missing; right: {FORM}")],
    "postgresql://app:pa/55@db/clinic": [AMBIGUOUS],
    "postgresql://app:1/55@db/clinic": [AMBIGUOUS],
    "postgresql://app:pa@55@db/clinic": [AMBIGUOUS],
    "postgresql://db/clinic?options=a@b": [AMBIGUOUS],
    "postgresql://app:50%@db/clinic": [("password", "has a % that begins no code; right: %25")],
    "postgresql://app:%ff@db/clinic": [("password", "is not UTF-8; right: UTF-8")],
    "postgresql://app:a%0Ab@db/clinic": [("password", "holds a line end or a NUL; right: one line of text")],
    "postgresql://db/cli%00nic": [("database", "holds a control character; right: printable text")],
    "postgresql://a%0Ab@db/clinic": [("user", "holds a control character; right: printable text")],
    "postgresql://db/clinic%20": [("database", "ends with white space or is too long; right: up to 900 bytes that end with none")],
    "postgresql://db:70000/clinic": [("port", "is no port; right: a number from 1 to 65535")],
    "postgresql://db:x/clinic": [NO_HOST],
    "postgresql://[::1/clinic": [NO_HOST],
    "postgresql://h1,,h2/clinic": [NO_HOST],
    "postgresql://d b/clinic": [NO_HOST],
    "postgresql://h1:1,h2:2/clinic?port=1,2,3": [("port", "does not fit the hosts; right: one port, or one for each host")],
    "postgresql://db/clinic?sslmode=on": [("sslmode", "is not known; right: disable, allow, prefer, require, verify-ca, verify-full")],
    "postgresql+asyncpg://db/clinic?ssl=yes": [("sslmode", "is not known; right: disable, allow, prefer, require, verify-ca, verify-full")],
    "postgresql://db/clinic?target_session_attrs=standby": [("target_session_attrs", "is not known; right: any, read-write, primary")],
    "postgresql://db/clinic?client_encoding=latin1": [("client_encoding", "is not known; right: utf8, UTF8, utf-8, UTF-8")],
    "postgresql://db/clinic?connect_timeout=soon": [("connect_timeout", "is no whole number; right: a number of seconds or of tries")],
    "postgresql://db/clinic?sslmode=require&ssl=true": [("sslmode", "is given twice; right: once")],
    "postgresql://db/clinic?sslmode": [("sslmode", "has no value; right: KEY=VALUE")],
    "postgresql://db/clinic?options=-cx%3Da+b": [("options", 'holds a "+", a space for SQLAlchemy and a plus for libpq; right: %20 or %2B')],
    "postgresql://db/clinic?sslmod=require": [("sslmod", 'is no connection parameter of libpq; did you mean "sslmode"?')],
    "postgresql://db/clinic?pool_size=5": [("pool_size", "is no connection parameter of libpq; right: remove it")],
    "postgresql://db/clinic?password=a&b=c": [("a key of the query", "is no connection parameter of libpq; right: remove it")],
    "postgresql://app:pa?word=1": [
        NO_HOST, ("a key of the query", "is no connection parameter of libpq; right: remove it"), ("database", f"is missing; right: {FORM}")
    ],
    "postgresql://a\x9b2Jb@db/clinic": [("user", "holds a control character; right: printable text")],
    "postgresql://db/clinic?service=x": [("service", "is not supported; right: write host, user and database into the URL: no service file is read")],
    "postgresql://db/clinic?sslpassword=x": [
        ("sslpassword", "is not supported; right: use a client key without a passphrase that only its owner can read")
    ],
    "postgresql://db/clinic?schema=care": [("schema", "is not supported; right: write options=-csearch_path%3DSCHEMA")],
    "postgresql+asyncpg://db/clinic?direct_tls=true": [("direct_tls", "is not supported; right: write sslnegotiation=direct")],
    "postgresql://h1,h2/clinic?load_balance_hosts=random": [
        ("load_balance_hosts", "is not supported; right: remove it: the backup and the migration would reach different servers")
    ],
    "postgresql+pg8000://db/clinic?unix_sock=/tmp/x": [("unix_sock", "is not supported; right: write host=/FOLDER/OF/THE/SOCKET")],
    "postgresql+nothing://app@db:0?sslmode=x&colour=red": [
        ("", "names a driver that is not known; right: none, or one of psycopg2, psycopg, psycopg_async, psycopg2cffi, asyncpg, pg8000"),
        ("port", "is no port; right: a number from 1 to 65535"),
        ("sslmode", "is not known; right: disable, allow, prefer, require, verify-ca, verify-full"),
        ("colour", "is no connection parameter of libpq; right: remove it"),
        ("database", f"is missing; right: {FORM}"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("url", "problems"), WRONG.items())
def test_a_wrong_url_is_refused_by_key_with_all_that_is_wrong(url, problems):
    with pytest.raises(WrongUrl) as refused:
        Connection.from_url(url)
    assert list(refused.value.problems) == problems


# what a person may type, or paste unescaped
parts = st.text(st.sampled_from(list("abcXYZ019:/@?#&=%+,;[]'\" \\\n\0äß.-_")), max_size=12)


@given(parts, parts, parts)
@example("app:1/", "", "@db/clinic")
@example("app:a/", "?x=", "@db/clinic")
@example("app@db/clinic?password=a&", "", "=1")
@example("app@db/clinic?", "", "")
def test_no_text_makes_anything_but_a_wrong_url_nor_is_a_password_ever_repeated(before, inside, after):
    for password in (SECRET + inside, inside + SECRET):
        try:
            connection = Connection.from_url(f"postgresql://{before}:{password}@{after}")
        except WrongUrl as wrong:
            shown = str(wrong)
        else:
            shown = f"{connection.where}{connection!r}{connection}"
        assert SECRET not in shown


def test_a_connection_never_shows_its_password():
    connection = Connection.from_url(f"postgresql://app:{SECRET}@db.example:5432/clinic?sslmode=require")
    shown = f"{connection} {connection!r} {[connection]} {connection.where} {connection.parameters} {connection.service_file()}"
    assert SECRET not in shown + connection.driver_url("psycopg") + str(connection.keywords(with_password=False))
    assert repr(connection) == "Connection(clinic on db.example:5432 as app)"


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("postgresql://app:pw@db.example:5432/clinic", "clinic on db.example:5432 as app"),
        ("postgresql://db/clinic", "clinic on db"),
        ("postgresql:///clinic", "clinic on the local server"),
        ("postgresql:///clinic?port=5433", "clinic on the local server:5433"),
        ("postgresql://app@/clinic?host=/tmp", "clinic on /tmp as app"),
        ("postgresql://[::1]:5433/clinic", "clinic on [::1]:5433"),
        ("postgresql://h1,h2:5433/clinic", "clinic on h1,h2:5433"),
    ],
)
def test_where_says_the_database_in_a_few_words(url, where):
    assert Connection.from_url(url).where == where


def test_a_connection_is_a_value():
    one = Connection.from_url("postgres://app:pw@db/clinic?sslmode=require")
    same = Connection.from_url("postgresql+asyncpg://app:pw@db/clinic?ssl=true")
    assert (one == same, hash(one) == hash(same), one == one.replace(database="other")) == (True, True, False)
    assert one.replace(database="other").keywords(with_password=True) == {**one.keywords(with_password=True), "dbname": "other"}
    with pytest.raises(TypeError):
        one.parameters["host"] = "elsewhere"


@pytest.mark.parametrize("parameters", [{}, {"dbname": ""}, {"dbname": "a\nhost=evil"}, {"dbname": "a", "password": "x"}])
def test_a_connection_that_libpqs_files_cannot_hold_cannot_be_made(parameters):
    with pytest.raises(WrongUrl):
        Connection(parameters=parameters)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("postgresql://a@db/clinic", "postgresql://b@db:5432/clinic", True),
        ("postgresql://db/clinic", "postgresql://db/other", False),
        ("postgresql://db/clinic", "postgresql://db:5433/clinic", False),
        ("postgresql://h1,h2/clinic", "postgresql://h2/clinic", True),
    ],
)
def test_two_connections_to_one_database_are_recognised_by_address(one, other, same):
    assert Connection.from_url(one).is_same_database_as(Connection.from_url(other)) is same


def test_certificates_are_found_beside_the_settings():
    url = "postgresql://db/clinic?sslrootcert=ca.crt&sslcert=/etc/c.crt&sslmode=verify-full"
    parameters = Connection.from_url(url).with_files_below(PurePosixPath("/repo")).parameters
    assert parameters["sslrootcert"] == "/repo/ca.crt"
    assert parameters["sslcert"] == "/etc/c.crt"
    system = Connection.from_url("postgresql://db/clinic?sslrootcert=system").with_files_below(PurePosixPath("/repo"))
    assert system.parameters["sslrootcert"] == "system"


def test_a_service_file_holds_everything_but_the_password():
    connection = Connection.from_url("postgresql://app:pw@db:5433/clinic?sslmode=require&options=-cx%3Dy")
    assert connection.service_file("/run/pass") == (
        "[migration_pipeline]\nuser=app\ndbname=clinic\nhost=db\nport=5433\nsslmode=require\noptions=-cx=y\npassfile=/run/pass\n"
    )
    assert "passfile" not in Connection.from_url("postgresql://app@db/clinic").service_file("/run/pass")
    with pytest.raises(ValueError, match="passfile holds a control character"):
        connection.service_file("/run/\nhost=evil")


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("postgresql://app:pw@db:5433/clinic", "db:5433:clinic:app:pw\n"),
        ("postgresql://:pw@db/clinic", "db:*:clinic:*:pw\n"),
        ("postgresql://a%3Ab:p%3A%5Cw@[::1]:1/c%5Cd", r"\:\:1:1:c\\d:a\:b:p\:\\w" + "\n"),
        ("postgresql://app:pw@/clinic?host=/tmp&port=5433", "*:*:clinic:app:pw\n"),
        ("postgresql://app:pw@h1:1,h2:2/clinic", "*:*:clinic:app:pw\n"),
        ("postgresql://app@db/clinic", ""),
    ],
)
def test_a_passfile_line_escapes_what_libpq_reads_as_its_own(url, line):
    assert Connection.from_url(url).passfile_line() == line


ROUND = [
    "postgresql://app:pw@db.example:5433/clinic",
    "postgresql://db/clinic",
    "postgresql:///clinic",
    "postgresql:///clinic?port=5433",
    "postgresql://a%40b:%2F%3A%40%25%2B%20%C3%A4%27%23%3F%26@db/clinic",
    "postgresql://:pw@db/clinic",
    "postgresql://app:pw@db/my%20odd%2Fdb%3F%25%23",
    "postgresql://app@/clinic?host=/var/run/postgresql&port=5433",
    "postgresql://[::1]:5433/clinic",
    "postgresql://app@h1:5432,h2:5433/clinic",
    "postgresql://app@h1,h2:5433/clinic",
    "postgresql://app@h1:5433,h2:5433/clinic?sslmode=verify-full&sslrootcert=/a%20b.crt&options=-cx%3Da%20b",
]


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
@pytest.mark.parametrize("url", ROUND)
def test_sqlalchemy_reads_a_driver_url_back_as_it_was_meant(url, driver):
    connection = Connection.from_url(url)
    read = make_url(connection.driver_url(driver, with_password=True))
    arguments = read.get_dialect()().create_connect_args(read)[1]
    meant = {key: value.replace(",,", ",5432,") for key, value in connection.keywords(with_password=True).items()}
    if meant.get("port", "").startswith(","):
        meant["port"] = "5432" + meant["port"]
    assert {key: str(value) for key, value in arguments.items()} == meant
    assert read.drivername == f"postgresql+{driver}"


def test_a_driver_url_for_asyncpg_says_what_asyncpg_knows():
    url = "postgresql://a%40b:p%2Fw@db:5433/clinic?sslmode=verify-full&sslrootcert=/ca.crt&options=-cx%3Dy&keepalives=1"
    read = make_url(Connection.from_url(url).driver_url("asyncpg", with_password=True))
    assert (read.username, read.password, read.host, read.port, read.database) == ("a@b", "p/w", "db", 5433, "clinic")
    assert dict(read.query) == {"ssl": "verify-full", "dsn": "postgresql://?sslrootcert=%2Fca.crt&options=-cx%3Dy"}
    socket = make_url(Connection.from_url("postgresql://app@/my%20db?host=/tmp").driver_url("asyncpg"))
    assert (socket.host, dict(socket.query)) == (None, {"host": "/tmp", "database": "my db"})
    several = make_url(Connection.from_url("postgresql://h1,h2:5433/clinic").driver_url("asyncpg"))
    assert dict(several.query) == {"host": "h1,h2", "port": "5432,5433"}


def test_asyncpg_itself_reads_a_dsn_of_what_it_knows():
    url = "postgresql://a%40b:p%2Fw@db:5433/clinic?sslmode=verify-full&sslrootcert=/ca.crt&options=-cx%3Dy&keepalives=1"
    connection = Connection.from_url(url)
    assert (
        connection.asyncpg_dsn() == "postgresql://a%40b@db:5433/clinic?sslmode=verify-full&sslrootcert=%2Fca.crt&options=-cx%3Dy"
    )
    again = Connection.from_url(connection.asyncpg_dsn(with_password=True))
    assert again == Connection.from_url(url.removesuffix("&keepalives=1"))
    assert (
        Connection.from_url("postgresql://app@/my%20db?host=/tmp").asyncpg_dsn() == "postgresql://app@?dbname=my%20db&host=%2Ftmp"
    )


def test_the_driver_that_a_url_names_is_kept_and_any_can_be_asked_for():
    connection = Connection.from_url("postgresql+psycopg2://app@db/clinic?sslmode=require").replace(database="other")
    assert connection.driver == "psycopg2"
    assert Connection.from_url("postgres://db/clinic").driver == ""
    assert connection.driver_url("") == "postgresql://app@db/other?sslmode=require"
    assert connection.driver_url("psycopg_async") == "postgresql+psycopg_async://app@db/other?sslmode=require"
    assert connection.driver_url("pg8000") == "postgresql+pg8000://app@db/other"


printable = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


@given(printable, printable)
def test_odd_users_and_passwords_survive_the_way_to_a_driver_url_and_back(user, password):
    if user != user.rstrip():
        user = user.rstrip() + "."
    connection = Connection(parameters={"user": user, "host": "db", "dbname": "clinic"}, password=password)
    assert Connection.from_url(connection.driver_url("psycopg2", with_password=True)) == connection
