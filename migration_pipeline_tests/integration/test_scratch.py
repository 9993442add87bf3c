"""The restored copy is what the live database is: its owner, rights, settings and roles; and it reaches nothing outside."""

import itertools
import sys
import textwrap
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from migration_pipeline import errors, settings, steps
from migration_pipeline.adapters import postgres, roles, scratch
from migration_pipeline.cli import drawing_backups
from migration_pipeline.domain.connection import Connection
from migration_pipeline.workplace import Workplace
from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import execute
from migration_pipeline_tests.integration.conftest import migrate

PATIENTS = ("CREATE TABLE patients (id int PRIMARY KEY, name text)", "INSERT INTO patients VALUES (1, 'A'), (2, 'B')")
numbers = itertools.count(1)


class Site:
    """A database of a server at revision 0001, and a project whose 0002 is the given body."""

    def __init__(self, server, database, folder):
        self.server, self.url, self.folder = server, database, folder
        self.database = database.rpartition("/")[2]
        self.places = []
        self.more = {}
        self.environment = (projects.HERE / "shared" / "env.py").read_text()

    def role(self, name, rights="NOLOGIN", server=None):
        """Make a role that is this test's own; return its name."""
        name = f"{name}_{self.database}"
        execute((server or self.server).url(), f"CREATE ROLE {name} {rights} PASSWORD 'geheim'")
        return name

    def as_role(self, name, server=None):
        return f"postgresql://{name}:geheim@127.0.0.1:{(server or self.server).port}/{self.database}"

    def query(self, *statements):
        return execute(self.server.url(self.database), *statements)

    def at_0001(self, *statements, schema="public", owner=None):
        version = f"{schema}.alembic_version"
        self.query(
            *statements, f"CREATE TABLE {version} (version_num varchar(32) PRIMARY KEY)", f"INSERT INTO {version} VALUES ('0001')"
        )
        if owner:
            self.query(f"ALTER DATABASE {self.database} OWNER TO {owner}", f"ALTER TABLE {version} OWNER TO {owner}")

    def place(self, body="op.execute('CREATE TABLE wards (id int)')", declared="NON_DESTRUCTIVE", url=None):
        project = self.folder / f"project{next(numbers)}"
        (project / "versions").mkdir(parents=True)
        (project / "env.py").write_text(self.environment)
        (project / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s\n")
        for number, down, text in (("0001", None, "pass"), ("0002", "0001", body)):
            head = f'# SAFETY: {declared if down else "NON_DESTRUCTIVE"}\nfrom alembic import op\nrevision = "{number}"\ndown_revision = {down!r}\n'
            (project / "versions" / f"{number}_x.py").write_text(head + "def upgrade():\n" + textwrap.indent(text, "    ") + "\n")
        environ = {
            "DATABASE_URL": url or self.url,
            "ALEMBIC_CONFIG": str(project / "alembic.ini"),
            "MIGRATION_ENVIRONMENT": "staging",
            "BACKUP_LOCATION": str(self.folder / "backups"),
            "PG_BIN": str(self.server.binaries),
            "PROJECT_PYTHON": sys.executable,
            **self.more,
        }
        place = Workplace(target=settings.load(environ, self.folder), run_id="test")
        self.places.append(place)
        return place


def sites(server, database, tmp_path):
    site = Site(server, database, tmp_path)
    yield site
    for place in site.places:
        place.close()
    assert scratch_databases(server) == []


def scratch_databases(server):
    return execute(server.url(), "SELECT datname FROM pg_database WHERE datname LIKE 'mp\\_scratch%'")


@pytest.fixture
def site(server18, database18, tmp_path):
    yield from sites(server18, database18, tmp_path)


@pytest.fixture
def site_of_each_major(server, database, tmp_path):
    yield from sites(server, database, tmp_path)


def verified_backup(place):
    plan = steps.plan_for_backup(place)
    return steps.verify_backup(place, steps.backup(place, plan, protects=False), plan)


@pytest.mark.parametrize("rights", ["SUPERUSER", "CREATEDB CREATEROLE"])
def test_a_rehearsal_under_another_login_leaves_what_the_live_role_would_own(site, second_server, rights):
    app = site.role("app", "LOGIN")
    scratcher = site.role("scratcher", f"LOGIN {rights}", server=second_server)
    site.more["SCRATCH_DATABASE_URL"] = site.as_role(scratcher, second_server)
    site.at_0001(*PATIENTS, f"ALTER TABLE patients OWNER TO {app}", owner=app)

    rehearsal, _, result = migrate(
        site.place("op.execute('CREATE SCHEMA lab')\nop.execute('CREATE TABLE lab.a1 (id int)')", url=site.as_role(app))
    )

    assert result.heads == ("0002",)
    assert rehearsal.schema_after.objects["table lab.a1"]["owner"] == app
    assert execute(second_server.url(), f"SELECT rolcanlogin, rolsuper FROM pg_roles WHERE rolname = '{app}'") == [(False, False)]
    site.places[-1].close()
    assert scratch_databases(second_server) == []


def test_a_live_superuser_is_one_in_the_rehearsal_too_and_cannot_log_in_there(site, second_server):
    chief = site.role("chief", "LOGIN SUPERUSER")
    scratcher = site.role("scratcher", "LOGIN SUPERUSER", server=second_server)
    site.more["SCRATCH_DATABASE_URL"] = site.as_role(scratcher, second_server)
    other = site.role("other")
    site.at_0001(*PATIENTS, f"ALTER TABLE patients OWNER TO {other}")

    migrate(site.place("op.execute('ALTER TABLE patients ADD ward int')", url=site.as_role(chief)))

    assert execute(second_server.url(), f"SELECT rolcanlogin, rolsuper FROM pg_roles WHERE rolname = '{chief}'") == [
        (False, True)
    ]


@pytest.mark.parametrize("how", ["env.py", "ALTER ROLE"])
def test_a_login_that_becomes_the_owner_of_the_database_can_migrate(site_of_each_major, how):
    site = site_of_each_major
    owner = site.role("own_er")
    login = site.role("mig", "LOGIN CREATEDB")
    execute(site.server.url(), f"GRANT {owner} TO {login}")
    site.at_0001(*PATIENTS, f"ALTER TABLE patients OWNER TO {owner}", owner=owner)
    if how == "env.py":
        configure = "        context.configure(connection=connection)"
        assert configure in site.environment
        site.environment = site.environment.replace(
            configure, f"        connection.exec_driver_sql('SET ROLE {owner}')\n{configure}"
        )
    else:
        execute(site.server.url(), f"ALTER ROLE {login} SET role = {owner}")

    migrate(site.place("op.execute('CREATE SCHEMA lab')\nop.execute('CREATE TABLE wards (id int)')", url=site.as_role(login)))

    assert site.query("SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'lab'") == [(owner,)]
    assert site.query("SELECT tableowner FROM pg_tables WHERE tablename = 'wards'") == [(owner,)]


def test_the_copy_has_the_rights_of_the_database_and_lets_nobody_connect(site_of_each_major):
    site = site_of_each_major
    owner, reader, builder = site.role("own_er"), site.role("reader"), site.role("builder")
    site.query(f"ALTER DATABASE {site.database} OWNER TO {owner}", f"REVOKE ALL ON DATABASE {site.database} FROM PUBLIC",
               f"GRANT CONNECT, TEMPORARY ON DATABASE {site.database} TO {reader}", f"GRANT CONNECT, CREATE ON DATABASE {site.database} TO {builder}")  # fmt: skip

    connection = Connection.from_url(site.url)
    with scratch.database(connection, connection, "rights", "postgres") as copy:
        ((name, made_for),) = execute(
            site.server.url(),
            "SELECT datname, datdba::regrole::text FROM pg_database WHERE datname LIKE 'mp\\_scratch\\_rights%'",
        )
        may = {
            role: [right for right in ("CONNECT", "CREATE", "TEMPORARY")
                   if execute(site.server.url(), f"SELECT has_database_privilege('{role}', '{name}', '{right}')") == [(True,)]]
            for role in (owner, reader, builder)
        }  # fmt: skip
        assert execute(site.server.url(copy.database), "SELECT 1") == [(1,)]

    assert made_for == owner
    assert may == {owner: ["CREATE", "TEMPORARY"], reader: ["TEMPORARY"], builder: ["CREATE"]}


def test_public_keeps_temporary_where_it_has_it(site_of_each_major):
    connection = Connection.from_url(site_of_each_major.url)
    stranger = site_of_each_major.role("stranger")
    with scratch.database(connection, connection, "public", "postgres") as copy:
        may = [execute(site_of_each_major.server.url(), f"SELECT has_database_privilege('{stranger}', '{copy.database}', '{right}')")[0][0]
               for right in ("CONNECT", "CREATE", "TEMPORARY")]  # fmt: skip

    assert may == [False, False, True]


def grant(site, role, login):
    options = " WITH INHERIT TRUE, SET TRUE" if execute(site.server.url(), "SHOW server_version_num")[0][0] >= "160000" else ""
    return f"GRANT {role} TO {login}{options}"


def test_a_table_of_a_role_that_ours_may_not_act_for_is_refused_with_the_grant(site_of_each_major):
    site = site_of_each_major
    login, other = site.role("mig", "LOGIN CREATEDB"), site.role("other")
    site.at_0001(*PATIENTS, "CREATE SCHEMA lab", f"ALTER SCHEMA lab OWNER TO {other}", "CREATE TABLE lab.results (id int)",
                 f"ALTER TABLE lab.results OWNER TO {other}", f"ALTER TABLE patients OWNER TO {login}", f"GRANT USAGE ON SCHEMA lab TO {login}",
                 f"GRANT SELECT ON lab.results TO {login}", owner=login)  # fmt: skip
    place = site.place(url=site.as_role(login))

    with pytest.raises(errors.NotAllowed) as caught:
        steps.plan_for_backup(place)

    asked = grant(site, other, login)
    assert caught.value.what == "The scratch server cannot hold a restored copy; nothing was changed."
    assert caught.value.evidence[f"role {other}"] == (
        f'owns objects or default privileges here, and role "{login}" may not act for it, so a copy cannot be made: {asked}'
    )

    execute(site.server.url(), asked)
    assert migrate(place)[-1].heads == ("0002",)


def test_default_privileges_of_a_role_that_ours_may_not_act_for_are_refused(site_of_each_major):
    site = site_of_each_major
    login, other = site.role("mig", "LOGIN CREATEDB"), site.role("other")
    site.at_0001(
        *PATIENTS,
        f"ALTER TABLE patients OWNER TO {login}",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {other} GRANT SELECT ON TABLES TO PUBLIC",
        owner=login,
    )
    place = site.place(url=site.as_role(login))

    with pytest.raises(errors.NotAllowed) as caught:
        steps.plan_for_backup(place)

    asked = grant(site, other, login)
    assert caught.value.evidence[f"role {other}"].endswith(f"so a copy cannot be made: {asked}")
    execute(site.server.url(), asked)
    assert migrate(place)[-1].heads == ("0002",)


def test_a_table_of_the_superuser_is_refused_without_a_grant_that_would_make_ours_one(site_of_each_major):
    site = site_of_each_major
    login = site.role("mig", "LOGIN CREATEDB")
    site.at_0001(*PATIENTS, f"GRANT SELECT ON patients TO {login}", owner=login)

    with pytest.raises(errors.NotAllowed) as caught:
        steps.plan_for_backup(site.place(url=site.as_role(login)))

    assert caught.value.evidence["role postgres"] == (
        f'owns objects or default privileges here, and role "{login}" may not act for it, so a copy cannot be made: '
        "give them another owner, or name a superuser of another server in SCRATCH_DATABASE_URL"
    )


def test_what_an_extension_owns_is_nobodys_hindrance(site_of_each_major):
    site = site_of_each_major
    login = site.role("mig", "LOGIN CREATEDB")
    site.at_0001(*PATIENTS, f"ALTER TABLE patients OWNER TO {login}", "CREATE EXTENSION citext", owner=login)

    assert migrate(site.place(url=site.as_role(login)))[-1].heads == ("0002",)


def test_another_login_on_the_same_server_is_asked_for_the_right_to_be_the_live_role(site):
    app, scratcher = site.role("app", "LOGIN"), site.role("scratcher", "LOGIN CREATEDB")
    site.more["SCRATCH_DATABASE_URL"] = site.as_role(scratcher).replace(f"/{site.database}", "/postgres")
    site.at_0001(owner=app)
    place = site.place(url=site.as_role(app))

    with pytest.raises(errors.NotAllowed) as caught:
        steps.plan_for_backup(place)

    assert caught.value.evidence[f"role {app}"].endswith(f"GRANT {app} TO {scratcher} WITH INHERIT TRUE, SET TRUE")
    execute(site.server.url(), f"GRANT {app} TO {scratcher}")
    assert migrate(place)[0].schema_after.objects["table public.wards"]["owner"] == app


@pytest.mark.parametrize("everywhere", [False, True], ids=["alone", "against a weaker one"])
def test_settings_of_the_login_in_this_database_hold_in_the_copy(site_of_each_major, everywhere):
    site = site_of_each_major
    login = site.role("mig", "LOGIN SUPERUSER")
    site.at_0001("CREATE SCHEMA clinic", schema="clinic")
    execute(site.server.url(), f'ALTER ROLE {login} IN DATABASE {site.database} SET search_path = clinic, "$user"')
    if everywhere:
        execute(
            site.server.url(),
            f"ALTER ROLE {login} SET search_path = public",
            f"ALTER DATABASE {site.database} SET search_path = pg_catalog",
        )

    migrate(site.place(url=site.as_role(login)))

    assert site.query("SELECT to_regclass('clinic.wards')::text, to_regclass('public.wards')") == [("clinic.wards", None)]


def test_settings_of_the_database_hold_in_the_copy_and_end_with_it(site):
    site.at_0001("CREATE SCHEMA clinic", schema="clinic")
    execute(
        site.server.url(),
        f"ALTER DATABASE {site.database} SET search_path = clinic",
        f"ALTER DATABASE {site.database} SET default_transaction_read_only = off",
    )

    migrate(site.place())
    site.places[-1].close()

    assert site.query("SELECT to_regclass('clinic.wards') IS NOT NULL") == [(True,)]
    left = execute(
        site.server.url(),
        "SELECT count(*) FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = setdatabase WHERE setdatabase <> 0 AND datname IS NULL",
    )
    assert left == [(0,)]


def test_a_materialized_view_that_was_never_filled_can_be_dropped(site_of_each_major):
    site = site_of_each_major
    site.at_0001(
        *PATIENTS,
        'CREATE MATERIALIZED VIEW "Never\'s" AS SELECT * FROM patients WITH NO DATA',
        "CREATE MATERIALIZED VIEW filled AS SELECT * FROM patients",
    )

    rehearsal, *_ = migrate(
        site.place(
            "op.execute('DROP MATERIALIZED VIEW \"Never\\'s\"')\nop.execute('DROP MATERIALIZED VIEW filled')", "DESTRUCTIVE"
        )
    )

    assert {loss.name: loss.rows for loss in rehearsal.lost} == {"public.Never's": None, "public.filled": 2}


def test_a_backup_of_a_database_that_was_dropped_since_does_not_count(site):
    site.at_0001()
    verified_backup(site.place())
    site.places[-1].close()
    execute(site.server.url(), f"DROP DATABASE {site.database}", f"CREATE DATABASE {site.database} TEMPLATE template0")
    site.at_0001()

    with pytest.raises(errors.NoRecentBackup) as caught:
        steps.preflight(site.place(), "head")

    assert list(caught.value.evidence.values()) == [
        f"a backup of a database {site.database} that was dropped since; this one was made after it"
    ]


@pytest.mark.parametrize("seconds", [-20, 20], ids=["behind", "before"])
def test_a_host_whose_clock_differs_from_the_servers_can_migrate(site, seconds):
    site.at_0001()
    place = site.place()
    place.clock = lambda: datetime.now(UTC) + timedelta(seconds=seconds)

    backup = steps.backup(place, steps.plan_for_backup(place), protects=False)

    assert abs(backup.manifest.snapshot_time - datetime.now(UTC)) < timedelta(seconds=15)
    assert migrate(place)[-1].heads == ("0002",)


def test_the_table_of_backups_shows_no_negative_age(site):
    site.at_0001()
    backup = verified_backup(site.place()).backup
    console = Console(width=200)

    def shown(before):
        with console.capture() as captured:
            console.print(drawing_backups.backups([backup.entry], [], backup.manifest.snapshot_time - before))
        return captured.get()

    assert " 0 s " in shown(timedelta(seconds=20))
    assert "-" not in shown(timedelta(seconds=20)).partition(backup.id)[2]
    assert "in the future" in shown(timedelta(hours=1))


def test_a_subscription_is_not_touched_and_its_copy_reaches_no_publisher(site_of_each_major):
    site = site_of_each_major
    site.at_0001(*PATIENTS, "CREATE SUBSCRIPTION feed CONNECTION 'host=127.0.0.1 port=1 dbname=nowhere password=geheim' PUBLICATION p"
                 " WITH (connect = false, slot_name = 'feed_slot', enabled = false, create_slot = false)")  # fmt: skip
    look = "SELECT oid, subenabled, subslotname, subconninfo FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
    before = site.query(look)
    place = site.place()

    verified_backup(place)
    copies = scratch_databases(site.server)
    assert site.query(
        "SELECT count(*) FROM pg_subscription WHERE subdbid <> (SELECT oid FROM pg_database WHERE datname = current_database())"
    ) == [(0,)]
    result = migrate(place)[-1]

    assert len(copies) == 1
    assert result.heads == ("0002",)
    assert site.query(look) == before
    place.close()
    assert scratch_databases(site.server) == []
    site.query("ALTER SUBSCRIPTION feed SET (slot_name = NONE)", "DROP SUBSCRIPTION feed")


def test_the_user_mappings_of_the_copy_lead_nowhere(site_of_each_major):
    site = site_of_each_major
    site.at_0001(*PATIENTS, "CREATE EXTENSION postgres_fdw", "CREATE SERVER warehouse FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1')",
                 "CREATE USER MAPPING FOR PUBLIC SERVER warehouse OPTIONS (user 'writer', password 'geheim')",
                 "CREATE USER MAPPING FOR postgres SERVER warehouse OPTIONS (password 'geheim')",
                 "CREATE FOREIGN DATA WRAPPER odd", 'CREATE SERVER "Odd one" FOREIGN DATA WRAPPER odd',
                 "CREATE USER MAPPING FOR PUBLIC SERVER \"Odd one\" OPTIONS (\"user\" 'writer', token 'geheim')",
                 'CREATE USER MAPPING FOR postgres SERVER "Odd one"')  # fmt: skip
    look = "SELECT srvname, usename, umoptions FROM pg_user_mappings ORDER BY 1, 2"
    before = site.query(look)
    place = site.place()

    copy, _ = place.restored(verified_backup(place).backup)

    assert execute(site.server.url(copy.database), look) == [
        ("Odd one", "postgres", None), ("Odd one", "public", None),
        ("warehouse", "postgres", [f"user={scratch.NO_USER}"]), ("warehouse", "public", [f"user={scratch.NO_USER}"]),
    ]  # fmt: skip
    assert migrate(place)[-1].heads == ("0002",)
    assert site.query(look) == before


def test_a_database_without_a_public_schema_can_migrate(site_of_each_major):
    site = site_of_each_major
    site.at_0001("CREATE SCHEMA clinic", "DROP SCHEMA public", schema="clinic")
    site.query(f"ALTER DATABASE {site.database} SET search_path = clinic")

    migrate(site.place())

    assert site.query("SELECT to_regclass('clinic.wards') IS NOT NULL, to_regnamespace('public')") == [(True, None)]


def test_an_extension_of_an_older_version_can_be_restored_and_migrated(site_of_each_major):
    site = site_of_each_major
    site.at_0001("CREATE EXTENSION citext VERSION '1.4'", "CREATE TABLE mails (mail citext)", "INSERT INTO mails VALUES ('a@b')")

    migrate(site.place())

    assert site.query("SELECT extversion FROM pg_extension WHERE extname = 'citext'") == [("1.4",)]


def test_the_roles_that_a_copy_needs_are_read_from_the_live_database(site):
    group, login = site.role("own_er"), site.role("mig", "LOGIN")
    execute(site.server.url(), f"GRANT {group} TO {login}", f"ALTER ROLE {login} SET role = {group}")
    site.query(f"ALTER SCHEMA public OWNER TO {group}")

    needed = roles.needed(Connection.from_url(site.as_role(login)))

    assert (needed.login, needed.runs, needed.is_superuser, needed.owners) == (login, group, False, (group,))
    with postgres.session(Connection.from_url(site.as_role(login)), purpose="looks") as opened:
        roles.become_login(opened)
        assert list(roles.problems(opened, needed)) == []
