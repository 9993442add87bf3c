"""psycopg, SQLAlchemy's psycopg2 and the real psql reach the database that a Connection names, whatever its names and password hold."""

import os
import stat
import subprocess

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from migration_pipeline.domain.connection import Connection
from migration_pipeline_tests.conftest import execute

ODD = "".join(map(chr, range(32, 127))) + "äß漢\N{GRINNING FACE}"
PASSWORDS = [*":\\%@/#?&+= '\"", "\\:", "::", "a\\", " both ends ", "ä漢", ODD, ODD * 12]
WHO = "SELECT current_user || ' in ' || current_database()"


@pytest.fixture
def odd(server18):
    """A database and a role with odd names; the role's URL without a password."""
    role, database = r"o'dd\:@ /r%le#", ' d"a\\t:a/ b=%?ß'
    admin = Connection.from_url(server18.url())
    execute(server18.url(), str_of("CREATE DATABASE {} TEMPLATE template0", database), str_of("CREATE ROLE {} LOGIN", role))
    parameters = {**admin.parameters, "user": role, "dbname": database}
    yield server18, role, database, parameters
    execute(server18.url(), str_of("DROP DATABASE {} WITH (FORCE)", database), str_of("DROP ROLE {}", role))


def str_of(statement, name):
    return sql.SQL(statement).format(sql.Identifier(name)).as_string(None)


def set_password(server, role, password):
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(password)))


def psql(server, folder, connection, *, passfile_in_service):
    passfile, service = folder / "pass word", folder / "service"
    passfile.touch(0o600)
    passfile.write_text(connection.passfile_line())
    assert stat.S_IMODE(passfile.stat().st_mode) == 0o600
    service.write_text(connection.service_file(passfile if passfile_in_service else None))
    environ = {
        "PATH": os.environ["PATH"],
        "PGSERVICEFILE": str(service),
        "PGSERVICE": "migration_pipeline",
        "PGCLIENTENCODING": "UTF8",
    }
    if not passfile_in_service:
        environ["PGPASSFILE"] = str(passfile)
    done = subprocess.run(
        [server.binaries / "psql", "-X", "-w", "-At", "-c", WHO],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.removesuffix("\n")


def test_every_odd_password_and_name_reaches_the_server(odd, tmp_path):
    server, role, database, parameters = odd
    right = f"{role} in {database}"
    for password in PASSWORDS:
        set_password(server, role, password)
        connection = Connection(parameters=parameters, password=password)
        assert Connection.from_url(connection.driver_url("psycopg", with_password=True)) == connection
        with psycopg.connect(**connection.keywords(with_password=True)) as session:
            assert session.execute(WHO).fetchone() == (right,)
        for driver in ("psycopg", "psycopg2"):
            engine = create_engine(connection.driver_url(driver, with_password=True), poolclass=NullPool)
            with engine.connect() as session:
                assert session.exec_driver_sql(WHO).scalar() == right
        assert psql(server, tmp_path, connection, passfile_in_service=True) == right
        assert psql(server, tmp_path, connection, passfile_in_service=False) == right


def test_a_passfile_serves_several_hosts_and_ports(server18, tmp_path):
    admin = Connection.from_url(server18.url())
    port = admin.parameters["port"]
    several = Connection.from_url(
        f"postgresql://postgres:{server18.password}@127.0.0.1:1,127.0.0.1:{port}/postgres?target_session_attrs=read-write&connect_timeout=5"
    )
    assert psql(server18, tmp_path, several, passfile_in_service=True) == "postgres in postgres"


def test_the_wrong_password_is_no_way_in(server18, tmp_path):
    wrong = Connection(parameters=Connection.from_url(server18.url()).parameters, password="wrong")
    with pytest.raises(AssertionError, match="password authentication failed"):
        psql(server18, tmp_path, wrong, passfile_in_service=True)


def test_the_programs_are_told_no_password_in_the_service_file(server18):
    connection = Connection.from_url(server18.url())
    assert server18.password in connection.passfile_line()
    assert server18.password not in connection.service_file("/run/passfile")
