"""Database URLs: each is read as something that libpq's files can hold, or refused key by key."""

from hypothesis import example, given

from migration_pipeline.domain.connection import Connection, WrongUrl
from migration_pipeline.domain.connection_url import CHOICES, DROPPED, NUMBERS, REFUSED, TEXTS
from migration_pipeline.settings_source import wrong_settings
from migration_pipeline_tests.bad_input.bad import CANARY, Tally, assert_shows_nothing, edited, made

SPECIAL = [
    CANARY + mark
    for mark in (
        "",
        "/",
        "@",
        ":",
        "?",
        "#",
        "%",
        "%2",
        "%2F",
        "&",
        "&x=1",
        " ",
        "+",
        "\\",
        "'",
        '"',
        "%0A",
        "%ff",
        "é",
        "[",
        "]",
    )
]
HOSTS = ["", "db", "db.example:5433", "db:0", "db:65536", "db:-1", "db:५", "db:5432:5433", "db:", "[::1]", "[::1]:5433", "[::1", "::1", "[fe80::1%25eth0]",
         "%2Fvar%2Frun", "/tmp", "h1,h2", "h1:1,h2:2", "h1,,h2", ",", "h1:1,[::1]:2", "d b", "dä", "%00", "db%0Ahost=evil", "db.example\x1b[2J", "a" * 300,
         "127.0.0.1:99999999999999999999"]  # fmt: skip
SCHEMES = ["postgresql", "postgres", *(f"postgresql+{driver}" for driver in ("psycopg2", "psycopg", "asyncpg", "pg8000", "psycopg_async")),
           "postgresql+", "postgresql+zxjdbc", "POSTGRESQL", "postgresql+psycopg+x", "mysql", "jdbc:postgresql", "", " postgresql", "postgresql\n"]  # fmt: skip
USERS = ["app", "app", "", "a%40b", "a@b", "a:b", "a%00", "a%0Ab", "a b ", "ä", "a\x9bb"]
DATABASES = ["/clinic", "/clinic", "", "/", "/my%20db", "/a/b", "/a%2Fb", "/%00", "/\x1b[2J", "/x%20", "/" + "d" * 950, "/é"]
KEYS = sorted(
    {
        *CHOICES,
        *NUMBERS,
        *TEXTS,
        *DROPPED,
        *REFUSED,
        "ssl",
        "database",
        "username",
        "sslmod",
        "SSLMODE",
        "pool_size",
        "a b",
        "é",
        "\x1b",
        "[/x]",
        "",
        "x" * 90,
    }
)
VALUES = ["", "1", "require", "verify-full", "disable", "true", "/tmp", "ca.crt", "h1,h2", "5432,5433", "a=b", "-csearch_path%3Dx", "a+b", "%", "%00", "%0A", "%FF", "x" * 950,
          "any", "primary", "2147483648", "-1", "utf8", "latin1", "../../x", CANARY]  # fmt: skip


RIGHT = [
    f"postgresql://app:{CANARY}@db.example:5432/clinic",
    f"postgresql+asyncpg://app:{CANARY}@[::1]:5433/clinic?ssl=verify-full",
    f"postgres://app:{CANARY}@h1:5432,h2:5433/clinic?target_session_attrs=read-write",
    f"postgresql:///clinic?host=/var/run/postgresql&user=app&password={CANARY}",
    f"postgresql+psycopg2://app:{CANARY}@/clinic?host=h1:5432&host=h2:5433&sslmode=require&sslrootcert=ca.crt",
]


def by_grammar(random):
    """Return a URL whose parts are right or nearly right."""
    pairs = [(random.choice(KEYS), random.choice(VALUES)) for _ in range(random.randint(0, 3))]
    query = "?" + "&".join(f"{key}={value}" for key, value in pairs) if pairs else ""
    at = "" if random.random() < 0.1 else "@"
    parts = (random.choice(part) for part in (SCHEMES, USERS, SPECIAL, HOSTS, DATABASES))
    scheme, user, secret, host, database = (part if random.random() < 0.9 else edited(random, part, most=1) for part in parts)
    return f"{scheme}://{user}:{secret}{at}{host}{database}{query}"


def url(random):
    return by_grammar(random) if random.random() < 0.5 else edited(random, random.choice(RIGHT))


def test_a_url_is_read_or_refused_and_never_repeated():
    tally = Tally("database URLs")

    @given(made(url))
    @example(f"postgresql://app:pw?{CANARY}=1")
    @example(f"postgresql://app:12?{CANARY}=1")
    @example("postgresql://a\x9b2Jb@db/clinic")
    @example("postgresql://a%C2%9B2Jb@db/clinic")
    def prove(url):
        try:
            connection = Connection.from_url(url)
        except WrongUrl as wrong:
            clauses = [f"{key} {clause}".strip() for key, clause in wrong.problems]
            assert all("; right: " in clause or "; did you mean" in clause for clause in clauses), clauses
            tally.refused(wrong_settings({"DATABASE_URL": clauses}))
            return
        tally.value()
        if connection.password and CANARY in connection.password:
            for text in (repr(connection), connection.driver_url("psycopg"), connection.asyncpg_dsn()):
                assert_shows_nothing(text)
        assert connection.service_file().splitlines() == [
            "[migration_pipeline]",
            *(f"{k}={v}" for k, v in connection.parameters.items()),
        ]
        assert connection.passfile_line().count("\n") == (connection.password is not None)
        if any("%" in host for host, _ in connection.addresses):
            return  # the zone of an IPv6 address: libpq decodes it, SQLAlchemy does not
        again = Connection.from_url(connection.driver_url("psycopg2", with_password=True))
        assert (again.password, again.database) == (connection.password, connection.database)

    tally.run(prove)
