"""Roles that are missing are made as they were; a role that exists is never touched. The text is pg_dumpall's own."""

import itertools
import os
import subprocess

import pytest

from migration_pipeline import errors
from migration_pipeline.adapters import client, postgres
from migration_pipeline.adapters import globals as roles_file
from migration_pipeline.domain.connection import Connection
from migration_pipeline_tests.conftest import execute

numbers = itertools.count(1)
LOOK = """
SELECT rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconnlimit,
       rolvaliduntil::text, shobj_description(oid, 'pg_authid'), rolconfig,
       (SELECT array_agg((g.rolname, m.admin_option)::text ORDER BY g.rolname) FROM pg_auth_members m JOIN pg_roles g ON g.oid = roleid
        WHERE member = r.oid)
FROM pg_roles r WHERE rolname = %s
"""


class Cluster:
    def __init__(self, server):
        self.server, self.roles = server, []

    def name(self, word):
        self.roles.append(f"{word} {os.getpid()}'{next(numbers)}\n\"x")
        return self.roles[-1]

    def role(self, word, rights=""):
        name = self.name(word)
        self.run(f"CREATE ROLE {quoted(name)} {rights}")
        return name

    def run(self, *statements):
        return execute(self.server.url(), *statements)

    def session(self, role=None):
        parameters = {"host": "127.0.0.1", "port": str(self.server.port), "user": role or "postgres", "dbname": "postgres"}
        return postgres.session(
            Connection(parameters=parameters, password="geheim" if role else self.server.password), purpose="tests"
        )

    def look(self, name):
        with self.session() as opened:
            found = postgres.rows(opened, LOOK, name)
        return found[0] if found else None

    def dump(self):
        with client.environment(Connection.from_url(self.server.url())) as environ:
            command = [self.server.binaries / "pg_dumpall", "--globals-only", "--no-role-passwords"]
            return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout

    def provide(self, text, *missing, role=None):
        with self.session(role) as opened:
            assert roles_file.missing(opened, missing) == sorted(missing)
            return roles_file.provide(opened, text, missing)

    def drop(self, *names):
        for name in names:
            self.run(f"DROP ROLE IF EXISTS {quoted(name)}")


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


@pytest.fixture
def cluster(server):
    made = Cluster(server)
    yield made
    made.drop(*made.roles)


@pytest.fixture
def people(cluster):
    """A group that stays, one that goes, a nurse who goes and a doctor who stays; and the text of then."""
    cluster.stays, cluster.goes = cluster.role("group"), cluster.role("Lab", "BYPASSRLS")
    cluster.nurse = cluster.role("nurse", "LOGIN CREATEDB NOINHERIT CONNECTION LIMIT 3 VALID UNTIL '2040-01-01' PASSWORD 'x'")
    cluster.doctor = cluster.role("doctor", "LOGIN SUPERUSER")
    nurse, stays, goes, doctor = map(quoted, (cluster.nurse, cluster.stays, cluster.goes, cluster.doctor))
    cluster.run(
        f"GRANT {stays} TO {nurse} WITH ADMIN OPTION",
        f"GRANT {goes}, {stays} TO {doctor}",
        f"GRANT {goes} TO {nurse}",
        f"ALTER ROLE {nurse} SET search_path = \"$user\", 'Lab; x'",
        f"ALTER ROLE {nurse} SET \"app.key\" = E'geheim\\\\'",
        f"COMMENT ON ROLE {nurse} IS E'from\\n\\\\restrict x\\n-- ward 7; DROP ROLE postgres;'",
    )
    cluster.text = cluster.dump()
    return cluster


def test_missing_roles_come_back_as_they_were_without_their_passwords(people):
    before = {name: people.look(name) for name in (people.nurse, people.goes)}
    people.drop(people.nurse, people.goes)

    notes = people.provide(people.text, people.nurse, people.goes)

    assert {name: people.look(name) for name in before} == before
    name = quoted(people.nurse)
    mend = f"set one (\\password {name}), or take its login away (ALTER ROLE {name} NOLOGIN)"
    assert notes == [
        f'role "{people.goes}" was made anew',
        f'role "{people.nurse}" was made anew and has no password: {mend}',
    ]
    assert people.run(
        f"SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL AND rolname LIKE 'nurse {os.getpid()}%'"
    ) == [(0,)]


def test_who_lost_a_right_since_does_not_get_it_back(people):
    people.run(
        f"ALTER ROLE {quoted(people.doctor)} NOLOGIN NOSUPERUSER", f"REVOKE {quoted(people.stays)} FROM {quoted(people.doctor)}"
    )
    people.drop(people.goes)
    before = people.look(people.doctor)

    people.provide(people.text, people.goes)

    assert people.look(people.doctor) == before


def test_only_statements_about_missing_roles_are_taken(people):
    text, name, group = people.text, quoted(people.goes), quoted(people.stays)

    assert roles_file.statements_for(text, []) == []
    assert roles_file.statements_for(text, [people.goes]) == [f"CREATE ROLE {name}", f"ALTER ROLE {name} BYPASSRLS"]
    assert roles_file.statements_for(text, [people.stays]) == [f"CREATE ROLE {group}"]
    assert not any("PASSWORD" in one for one in roles_file.statements_for(text, people.roles))


def test_a_role_with_createrole_makes_what_it_may_and_says_what_it_may_not(people):
    login = f"maker_{os.getpid()}_{next(numbers)}"
    people.run(f"CREATE ROLE {login} LOGIN CREATEROLE CREATEDB PASSWORD 'geheim'")
    for gone in (people.nurse, people.goes, people.doctor):
        people.drop(gone)

    notes = people.provide(people.text, people.nurse, people.goes, people.doctor, role=login)

    assert people.look(people.doctor)[:7] == (False, True, False, False, True, False, False)
    assert people.look(people.nurse)[1:9] == (False, False, True, True, False, False, 3, "2040-01-01 00:00:00+00")
    assert f'role "{people.doctor}" was made without SUPERUSER: role "{login}" may not give it' in notes
    assert f'role "{people.goes}" was made without BYPASSRLS: role "{login}" may not give it' in notes
    revoke = f'REVOKE {quoted(people.goes)} FROM "{login}"'
    assert f'role "{login}" became a member of "{people.goes}" to restore for it; when it need not be: {revoke}' in notes
    with people.session(login) as opened:
        postgres.execute(opened, f"SET ROLE {quoted(people.goes)}")
    people.drop(people.nurse, people.goes, people.doctor)
    people.run(f"DROP ROLE {login}")


def test_without_createrole_nothing_is_made_and_it_is_said_how(people):
    login = f"poor_{os.getpid()}_{next(numbers)}"
    people.run(f"CREATE ROLE {login} LOGIN PASSWORD 'geheim'")
    people.drop(people.goes)

    with pytest.raises(errors.NotAllowed) as caught:
        people.provide(people.text, people.goes, role=login)

    assert (
        caught.value.what == "The server lacks roles that the backup names, and our role may not make them; nothing was changed."
    )
    assert caught.value.evidence == {"roles": people.goes}
    assert caught.value.next_step == (
        f'ALTER ROLE "{login}" CREATEROLE, or make them by hand from the backup\'s .globals.sql, then run the same command again'
    )
    people.run(f"DROP ROLE {login}")


def test_a_role_that_the_backup_does_not_describe_is_a_name_alone(people):
    name = people.name("nobody")

    assert people.provide(people.text, name) == [
        f'role "{name}" was made as a name alone, without a login: the backup does not describe it'
    ]
    assert people.look(name)[:7] == (False, True, False, False, False, False, False)


def test_a_membership_in_a_role_that_is_gone_is_said(people):
    people.drop(people.nurse, people.goes)

    notes = people.provide(people.text, people.nurse)

    assert notes[1:] == [
        f'role "{people.nurse}" was made without its membership in "{people.goes}": PostgreSQL refused it (42704)'
    ]


def test_the_file_of_a_server_with_thousands_of_roles_is_read():
    text = "".join(f"CREATE ROLE r{n};\nALTER ROLE r{n} WITH NOSUPERUSER INHERIT LOGIN;\n" for n in range(2000))

    assert roles_file.statements_for(text, ["r1999"]) == ['CREATE ROLE "r1999"', 'ALTER ROLE "r1999" LOGIN']


def test_a_file_that_cannot_be_read_is_refused():
    with pytest.raises(errors.Failure, match=r"^The backup's file with the server's roles cannot be read\.$"):
        roles_file.statements_for("CREATE ROLE 'x", ["x"])
