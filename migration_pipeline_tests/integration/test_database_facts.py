"""What no dump holds of a database: read, written down, and given to another one, by us and by psql alone."""

import itertools
import os
import re
import subprocess

import psycopg
import pytest

from migration_pipeline import errors
from migration_pipeline.adapters import client, database_facts, postgres
from migration_pipeline.domain.backups import DatabaseFacts, Setting
from migration_pipeline.domain.connection import Connection
from migration_pipeline_tests.conftest import execute

numbers = itertools.count(1)
SECRET = 'ge\'heim\\ :"DBNAME"\nzwei'

#: Everything of a database that can differ and is not in its files, with names of roles instead of numbers.
ALL = """
SELECT pg_get_userbyid(datdba), encoding, datcollate, datctype, to_jsonb(d) -> 'datlocprovider', to_jsonb(d) -> 'datlocale',
       to_jsonb(d) -> 'daticulocale', datconnlimit, datallowconn, shobj_description(d.oid, 'pg_database'),
       (SELECT array_agg(DISTINCT (CASE WHEN grantee <> 0 THEN pg_get_userbyid(grantee)::text END, privilege_type, is_grantable)::text)
        FROM aclexplode(coalesce(datacl, acldefault('d', datdba)))),
       (SELECT array_agg((setrole::regrole, setting)::text ORDER BY setrole, setting)
        FROM pg_db_role_setting, unnest(setconfig) setting WHERE setdatabase = d.oid)
FROM pg_database d WHERE datname = %s
"""


class Cluster:
    """A server, and what a test makes on it."""

    def __init__(self, server):
        self.server = server
        self.roles, self.databases = [], []

    def role(self, name, rights="NOLOGIN"):
        name = f"{name}_{os.getpid()}_{next(numbers)}"
        execute(self.server.url(), f"CREATE ROLE \"{name}\" {rights} PASSWORD 'geheim'")
        self.roles.append(name)
        return name

    def database(self, options=""):
        name = f"Facts'\"{os.getpid()}_{next(numbers)}"
        self.databases.append(name)
        if options is not None:
            execute(self.server.url(), f"CREATE DATABASE {quoted(name)} TEMPLATE template0 {options}")
        return name

    def connection(self, name="postgres", role=None):
        parameters = {"host": "127.0.0.1", "port": str(self.server.port), "user": role or "postgres", "dbname": name}
        return Connection(parameters=parameters, password="geheim" if role else self.server.password)

    def session(self, name="postgres", role=None):
        return postgres.session(self.connection(name, role), purpose="tests")

    def of(self, name):
        with self.session(name) as opened:
            return database_facts.of(opened)

    def everything(self, name):
        with self.session() as opened:
            return postgres.one(opened, ALL, name)


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


@pytest.fixture
def cluster(server):
    yield from run(server)


@pytest.fixture
def cluster18(server18):
    yield from run(server18)


def run(server):
    made = Cluster(server)
    yield made
    for name in made.databases:
        execute(server.url(), f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")
    for role in made.roles:
        execute(server.url(), f'DROP ROLE "{role}"')


@pytest.fixture
def rich(cluster):
    """A database with everything."""
    cluster.owner, cluster.reader, cluster.lead = (cluster.role(name) for name in ("owner", "Rea'der", "lead"))
    name = cluster.database("CONNECTION LIMIT 7")
    d, reader, lead = quoted(name), quoted(cluster.reader), quoted(cluster.lead)
    with psycopg.connect(**cluster.connection(name).keywords(with_password=True), autocommit=True) as opened:
        for statement in (
            f"ALTER DATABASE {d} OWNER TO {cluster.owner}",
            f"REVOKE ALL ON DATABASE {d} FROM PUBLIC",
            f"REVOKE TEMPORARY ON DATABASE {d} FROM {cluster.owner}",
            f"GRANT CONNECT ON DATABASE {d} TO {reader}",
            f"GRANT CONNECT, CREATE ON DATABASE {d} TO {lead} WITH GRANT OPTION",
            f"SET ROLE {lead}",
            f"GRANT CREATE ON DATABASE {d} TO {reader}",
            "RESET ROLE",
            f"COMMENT ON DATABASE {d} IS E'Ward\\'s \\\\. :\"DBNAME\"\\n\\\\! second line'",
            f'ALTER DATABASE {d} SET search_path = "$user", "a ""b, c", public, \'Lab\'',
            f"ALTER DATABASE {d} SET temp_tablespaces = ''",
            f"ALTER DATABASE {d} SET work_mem = '5MB'",
            f'ALTER DATABASE {d} SET "app.key" = E\'ge\\\'heim\\\\ :"DBNAME"\\nzwei\'',
            f"ALTER ROLE {reader} IN DATABASE {d} SET default_transaction_read_only = on",
            f"ALTER ROLE {reader} IN DATABASE {d} SET search_path = ''",
        ):
            opened.execute(statement)
    return name


def test_the_facts_are_read_and_no_setting_of_the_application_is_in_them(cluster, rich):
    facts, _ = cluster.of(rich)

    assert facts == DatabaseFacts(
        owner=cluster.owner,
        encoding="UTF8",
        collate="C.UTF-8",
        ctype="C.UTF-8",
        connection_limit=7,
        access=tuple(
            sorted(
                [
                    (cluster.owner, "CONNECT", False),
                    (cluster.owner, "CREATE", False),
                    (cluster.reader, "CONNECT", False),
                    (cluster.reader, "CREATE", False),
                    (cluster.lead, "CONNECT", True),
                    (cluster.lead, "CREATE", True),
                ]
            )
        ),
        settings=(
            Setting(name="app.key"),
            Setting(name="search_path", value='"$user", "a ""b, c", public, "Lab"'),
            Setting(name="temp_tablespaces", value='""'),
            Setting(name="work_mem", value="5MB"),
            Setting(name="default_transaction_read_only", role=cluster.reader, value="on"),
            Setting(name="search_path", role=cluster.reader, value='""'),
        ),
    )


def test_psql_alone_makes_another_database_what_the_first_one_is(cluster, rich):
    _, text = cluster.of(rich)
    other = cluster.database()

    with client.environment(cluster.connection(other)) as environ:
        done = subprocess.run(
            [cluster.server.binaries / "psql", "-X", "--set=ON_ERROR_STOP=1", "--file=-"],
            env=environ, input=text.encode(), capture_output=True,
        )  # fmt: skip

    assert done.stderr.decode() == ""
    assert cluster.everything(other) == cluster.everything(rich)
    assert cluster.of(other) == cluster.of(rich)


def test_a_new_database_is_closed_until_it_is_given_what_the_first_one_has(cluster, rich):
    facts, text = cluster.of(rich)
    other = cluster.database(None)

    with cluster.session() as opened:
        assert database_facts.create(opened, other, facts, comment="being restored") == []
        access = {row[:2] for row in postgres.rows(opened, database_facts.ACCESS, other)}
        assert {role for role, right in access if right == "CONNECT"} == {"postgres"}
        assert cluster.everything(other)[7:10] == (-1, True, "being restored")
        assert database_facts.apply(opened, text, other) == []

    assert cluster.everything(other) == cluster.everything(rich)


def test_what_was_tried_on_the_new_database_is_for_the_live_name_and_changed_nothing(cluster, rich):
    facts, text = cluster.of(rich)
    other, live = cluster.database(None), cluster.database()
    with cluster.session() as opened:
        database_facts.create(opened, other, facts, comment="being restored")
        before = cluster.everything(other)
        statements, notes = database_facts.prepared(opened, text, new=other, live=live)
        assert (notes, cluster.everything(other)) == ([], before)
        with opened.transaction():
            opened.execute("; ".join(statements))

    assert cluster.everything(live) == cluster.everything(rich)


def test_what_is_of_a_role_that_is_gone_is_left_out_and_said(cluster, rich):
    _, text = cluster.of(rich)
    other = cluster.database()
    for role in (cluster.reader, cluster.owner):
        text = text.replace(role, f"gone_{role}")

    with cluster.session() as opened:
        notes = database_facts.apply(opened, text, other)

    owner, reader = f"gone_{cluster.owner}", f"gone_{cluster.reader}"
    assert notes == [
        f'the setting "default_transaction_read_only" of role "{reader}" could not be given: role "{reader}" does not exist',
        f'the setting "search_path" of role "{reader}" could not be given: role "{reader}" does not exist',
        f'the owner "{owner}" could not be given: role "{owner}" does not exist',
        f'the rights of role "{owner}" could not be given: role "{owner}" does not exist',
        f'the rights of role "{reader}" could not be given: role "{reader}" does not exist',
    ]
    assert cluster.everything(other)[9] == cluster.everything(rich)[9]


def test_an_owner_without_superuser_gives_what_he_may(cluster, rich):
    facts, text = cluster.of(rich)
    login = cluster.role("mig", "LOGIN CREATEDB")
    execute(cluster.server.url(), f"GRANT {cluster.owner} TO {login}")
    other = cluster.database(None)

    with cluster.session(role=login) as opened:
        assert database_facts.create(opened, other, facts, comment="being restored") == []
    with cluster.session(other, login) as opened:
        postgres.execute(opened, "CREATE TABLE restored (id int)")
    with cluster.session(role=login) as opened:
        statements, notes = database_facts.prepared(opened, text, new=other, live=other)
        with opened.transaction():
            opened.execute("; ".join(statements))

    lost = ('"app.key"', *(f'"{name}" of role "{cluster.reader}"' for name in ("default_transaction_read_only", "search_path")))
    assert notes == [
        f'the setting {one} could not be given: role "{login}" may not; a superuser can, with the backup\'s .database.sql'
        for one in lost
    ]
    assert cluster.everything(other)[:11] == cluster.everything(rich)[:11]


def test_an_owner_that_ours_may_not_act_for_is_said(cluster18):
    owner, login = cluster18.role("owner"), cluster18.role("mig", "LOGIN CREATEDB")
    name, other = cluster18.database(f"OWNER {owner}"), cluster18.database(None)
    facts, text = cluster18.of(name)

    with cluster18.session(role=login) as opened:
        assert database_facts.create(opened, other, facts, comment="x") == [
            f'the database belongs to role "{login}", not to "{owner}"'
        ]
        assert database_facts.apply(opened, text, other) == [
            f'the owner "{owner}" could not be given: role "{login}" may not; a superuser can, with the backup\'s .database.sql'
        ]
    with cluster18.session(other, login) as opened:
        assert postgres.one(opened, "SELECT 1") == (1,)


def test_the_builtin_locale_stays(cluster18):
    name, other = cluster18.database("LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'"), cluster18.database(None)
    facts, text = cluster18.of(name)
    assert facts.icu_locale == "C.UTF-8"

    with cluster18.session() as opened:
        database_facts.create(opened, other, facts, comment="x")
        database_facts.apply(opened, text, other)

    assert cluster18.everything(other) == cluster18.everything(name)


@pytest.mark.parametrize("provider", ["libc", "icu"])
def test_a_locale_of_the_operating_systems_or_of_icu_stays(cluster, provider):
    try:
        name = cluster.database(f"LOCALE 'C' LOCALE_PROVIDER {provider}" + (" ICU_LOCALE 'de-AT'" if provider == "icu" else ""))
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this server was built without ICU")
    facts, text = cluster.of(name)
    other = cluster.database(None)

    with cluster.session() as opened:
        database_facts.create(opened, other, facts, comment="x")
        database_facts.apply(opened, text, other)

    assert cluster.everything(other) == cluster.everything(name)


def test_a_locale_that_the_server_lacks_is_named_before_anything_is_made(cluster):
    name = cluster.database(None)

    with cluster.session() as opened, pytest.raises(errors.NotAllowed) as caught:
        database_facts.create(opened, name, DatabaseFacts(owner="postgres", collate="xx_XX.utf8", ctype="C"), comment="x")

    said = str(caught.value)
    assert re.sub(r"invalid LC_COLLATE locale name.*|invalid locale name.*", "invalid …", said) == (
        "The server cannot make a database with the encoding and locale of the backup; nothing was changed.\n"
        "  encoding: UTF8\n"
        "  LC_COLLATE: xx_XX.utf8\n"
        "  LC_CTYPE: C\n"
        "  server: invalid …\n"
        "Next: install the locale on the server and restart it, then run the same command again"
    )
    assert execute(cluster.server.url(), "SELECT count(*) FROM pg_database WHERE datname ~ '^Facts'") == [(0,)]


def test_icu_that_the_server_lacks_is_named(cluster18):
    name = cluster18.database(None)
    facts = DatabaseFacts(owner="postgres", icu_locale="de-AT")

    with cluster18.session() as opened, pytest.raises(errors.NotAllowed) as caught:
        database_facts.create(opened, name, facts, comment="x")

    assert caught.value.evidence["locale"] == "de-AT"
    assert caught.value.evidence["server"] == "ICU is not supported in this build"


def test_a_tablespace_that_is_not_there_is_said(cluster18):
    name = cluster18.database(None)
    facts = DatabaseFacts(owner="postgres", tablespace="fast_disk")

    with cluster18.session() as opened:
        notes = database_facts.create(opened, name, facts, comment="x")

    assert notes == ['tablespace "fast_disk" is not there for role "postgres": the default one is used']


@pytest.mark.parametrize(
    "line",
    [
        "DROP DATABASE postgres;",
        'ALTER DATABASE "postgres" CONNECTION LIMIT 0;',
        'GRANT ALL ON DATABASE :"DBNAME", postgres TO PUBLIC;',
        'COMMENT ON DATABASE :"DBNAME" IS NULL; DROP TABLE x;',
        "\\! true",
        'ALTER DATABASE :"DBNAME" RENAME TO other;',
    ],
)
def test_a_file_that_is_not_ours_is_refused(line):
    with pytest.raises(errors.Failure) as caught:
        database_facts.read(line)

    assert str(caught.value) == "The file with the database's own facts holds a statement that does not belong there."
