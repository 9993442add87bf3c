"""An ordinary role is enough; a role that lacks a right is told which; a scratch server of its own need not know the roles."""

import pytest

from migration_pipeline_tests.conftest import execute
from migration_pipeline_tests.pipeline.conftest import start


@pytest.fixture
def as_role(make_site, server):
    """Return a function: the site of a project in a database that belongs to an ordinary role."""
    made = []

    def make(name, rights="CREATEDB"):
        site = make_site(name)
        role = f"app_{site.url.rpartition('/')[2]}"
        made.append(role)
        database = site.url.rpartition("/")[2]
        execute(
            server.url(), f"CREATE ROLE {role} LOGIN PASSWORD 'geheim%:' {rights}", f'ALTER DATABASE "{database}" OWNER TO {role}'
        )
        site.url = f"postgresql://{role}:geheim%25%3A@127.0.0.1:{server.port}/{database}"
        site.owner = role
        return site

    yield make
    for role in made:
        execute(server.url(), f"ALTER ROLE {role} NOLOGIN")


def test_an_ordinary_role_that_owns_the_database_can_do_everything(as_role):
    site = as_role("linear")
    start(site, "0001")
    site.query("INSERT INTO patients (name) VALUES ('x')", "REVOKE ALL ON SCHEMA public FROM PUBLIC")

    backup = site.just("backup-db")
    assert backup.returncode == 0, backup.stderr
    done = site.just("migrate")
    assert done.returncode == 0, done.stderr
    assert site.revision == ["0003"]
    assert site.scratch_databases == []


def test_a_role_that_may_not_make_databases_is_told_so(as_role):
    site = as_role("linear", rights="")
    start(site, "0001")

    refused = site.just("backup-db")

    assert refused.returncode == 3, refused.stderr
    assert f'right: role "{site.owner}" lacks CREATEDB: ALTER ROLE {site.owner} CREATEDB' in refused.stderr
    assert site.backups == []


def test_a_table_that_the_role_may_not_read_is_named(as_role, server):
    site = as_role("linear")
    start(site, "0001")
    execute(server.url(site.url.rpartition("/")[2]), "CREATE TABLE secret (id int)", "ALTER TABLE patients ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE patients FORCE ROW LEVEL SECURITY")  # fmt: skip

    refused = site.just("backup-db")

    assert refused.returncode == 3, refused.stderr
    assert f'role "{site.owner}" lacks SELECT on public.secret: the backup would not be whole' in refused.stderr
    assert "hides rows of patients" in refused.stderr


def test_a_scratch_server_of_its_own_need_not_know_the_roles(make_site18, server18, second_server):
    site = make_site18("linear", at="0001", SCRATCH_DATABASE_URL=second_server.url("anything"))
    role = f"reader_{site.url.rpartition('/')[2]}"
    execute(server18.url(), f"CREATE ROLE {role} NOLOGIN")
    site.query(f"GRANT SELECT ON patients TO {role}")

    backup = site.just("backup-db")
    assert backup.returncode == 0, backup.stderr
    done = site.just("migrate")

    assert done.returncode == 0, done.stderr
    assert site.revision == ["0003"]
    left = execute(second_server.url(), "SELECT datname FROM pg_database WHERE datname LIKE 'mp%'")
    assert left == []
