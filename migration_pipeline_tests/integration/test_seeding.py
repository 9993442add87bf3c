"""Synthetic rows on real servers: every kind of column and constraint has rows, and what has none is told with the reason."""

import time
from pathlib import Path

import psycopg
import pytest

from migration_pipeline.adapters import seeding
from migration_pipeline_tests.conftest import execute

WORLD = Path(__file__).with_name("seeded.sql").read_text()
ROWS = 3
ONE_ROW = {"public.singleton"}
REFUSING = """
CREATE TABLE locked (id int);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'secret %', NEW.id; END$$;
CREATE TRIGGER refuse BEFORE INSERT ON locked FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TABLE swallowed (id int);
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE TRIGGER swallow BEFORE INSERT ON swallowed FOR EACH ROW EXECUTE FUNCTION swallow();
CREATE TABLE impossible (id int PRIMARY KEY, CONSTRAINT never CHECK (id * 2 = 7));
CREATE TABLE orphan (id int PRIMARY KEY, parent int NOT NULL REFERENCES impossible);
CREATE TABLE may_be_orphan (id int PRIMARY KEY, parent int REFERENCES impossible);
CREATE TABLE pseudo (id int, rights aclitem NOT NULL);
CREATE TABLE half (id int, rights aclitem, never int CHECK (never * 2 = 7));
CREATE EXTENSION postgres_fdw;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw;
CREATE FOREIGN TABLE far (id int) SERVER elsewhere;
"""


@pytest.fixture
def world(database):
    with psycopg.connect(database, autocommit=True) as session:
        session.execute(WORLD)
        yield session


def leaves(session):
    """Return the tables that hold rows themselves."""
    query = "SELECT 'public.' || relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    return {name for (name,) in session.execute(query).fetchall()}


def content(session):
    """Return every row of every table, as text."""
    names = sorted(leaves(session))
    tables = {name: psycopg.sql.Identifier(*name.split(".", 1)) for name in names}
    query = psycopg.sql.SQL("SELECT t::text FROM ONLY {} t ORDER BY 1")
    return {name: session.execute(query.format(table)).fetchall() for name, table in tables.items()}


def empty_columns(session):
    """Return the columns in which nothing is."""
    columns = (
        "SELECT attrelid::regclass::text, attname::text FROM pg_attribute WHERE attnum > 0 AND attrelid = ANY (%s::regclass[])"
    )
    found = []
    quoted = [psycopg.sql.Identifier(*name.split(".", 1)).as_string() for name in leaves(session)]
    for table, column in session.execute(columns, [quoted]).fetchall():
        name = psycopg.sql.Identifier(column)
        if session.execute(psycopg.sql.SQL("SELECT count({}) = 0 FROM {}").format(name, psycopg.sql.SQL(table))).fetchone()[0]:
            found.append(f"{table}.{column}")
    return found


def test_every_table_has_rows_and_every_column_values(world):
    seeded = seeding.seed(world)

    assert seeded.refused == {}
    assert seeded.unfilled == {}
    assert seeded.rows_by_table == {name: 1 if name in ONE_ROW else ROWS for name in leaves(world)}
    assert {name: len(rows) for name, rows in content(world).items()} == seeded.rows_by_table
    assert empty_columns(world) == []


def test_the_same_schema_gives_the_same_rows(world):
    with world.transaction(force_rollback=True):
        seeding.seed(world)
        first = content(world)
    world.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    world.execute(WORLD)
    seeding.seed(world)
    assert content(world) == first


def test_the_caller_s_transaction_decides(world):
    with world.transaction(force_rollback=True):
        assert seeding.seed(world).rows_by_table
    assert not any(content(world).values())


def test_a_second_pass_adds_nothing_but_to_a_table_that_is_named(world):
    seeding.seed(world)
    before = content(world)
    assert seeding.seed(world).rows_by_table == {}
    assert content(world) == before

    names = ["public.parents", "public.checked", "public.ranged", "public.members"]
    seeded = seeding.seed(world, names, rows=2)
    assert seeded.rows_by_table == {
        "public.parents": 2, "public.checked": 2, "public.ranged_2020": 2, "public.ranged_2021": 2, "public.ranged_rest": 2,
    }  # fmt: skip
    assert seeded.refused == {"public.members": 'its unique index "members_pkey" takes none of the rows that were tried'}
    assert world.execute("SELECT count(DISTINCT name) FROM parents").fetchone() == (5,)


def test_what_is_left_out_stays_empty(world):
    world.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    assert "public.alembic_version" not in seeding.seed(world, leave_out=["public.alembic_version"]).rows_by_table
    assert world.execute("SELECT count(*) FROM alembic_version").fetchone() == (0,)


def test_references_lead_to_rows(world):
    seeding.seed(world)
    assert world.execute("SELECT id, parent FROM tree ORDER BY id").fetchall() == [(1, None), (2, 1), (3, 2)]
    assert world.execute("SELECT id, parent FROM strict_tree ORDER BY id").fetchall() == [(1, 1), (2, 1), (3, 2)]
    assert world.execute("SELECT count(*) FROM hen JOIN egg ON egg.id = hen.egg AND egg.hen = hen.id").fetchone() == (3,)
    assert world.execute("SELECT count(*) FROM flow JOIN run ON run.id = flow.last_run").fetchone() == (3,)
    world.execute("INSERT INTO egg (hen) SELECT id FROM hen")  # its sequence goes on behind the seeded rows


def test_values_are_such_that_a_rounding_is_seen(world):
    seeding.seed(world)
    assert world.execute(
        "SELECT count(*) FROM everything WHERE n52 = trunc(n52) OR f8 = trunc(f8) OR ts = ts::date"
    ).fetchone() == (0,)


def test_what_cannot_be_seeded_is_said_without_a_value(database):
    with psycopg.connect(database, autocommit=True) as session:
        session.execute(REFUSING)
        seeded = seeding.seed(session)

        assert seeded.rows_by_table == {"public.may_be_orphan": 3, "public.half": 3}
        assert seeded.refused == {
            "public.far": "it is a foreign table: its rows are in another system",
            "public.impossible": 'its check constraint "never" accepts none of the values that were tried',
            "public.locked": "a trigger or a function refuses them: SQLSTATE P0001",
            "public.orphan": 'the table "public.impossible" that it references has no rows',
            "public.pseudo": 'no value is known for the type aclitem of its column "rights"',
            "public.swallowed": "a trigger or a rule keeps its rows out",
        }
        assert seeded.unfilled == {
            "public.half.never": "its check constraints leave it without a value",
            "public.half.rights": "no value is known for its type aclitem",
            "public.may_be_orphan.parent": 'the table "public.impossible" that it references has no rows',
        }
        assert session.execute("SELECT count(*) FROM locked").fetchone() == (0,)


LOOSE = """
CREATE SEQUENCE menu_id_seq;
CREATE SEQUENCE far_id_seq START 2147000000;
CREATE TABLE menu (id integer PRIMARY KEY, name text, place int CHECK (place < 100) UNIQUE, small smallint UNIQUE);
CREATE TABLE item (id bigint PRIMARY KEY, menu_id int NOT NULL UNIQUE REFERENCES menu);
CREATE TABLE served (id serial PRIMARY KEY);
CREATE TABLE counted (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
"""
FAR = 1_000_000


@pytest.mark.parametrize(
    ("drawn", "begins"),
    [("", (FAR, FAR)), ("SELECT setval('menu_id_seq', 5000)", (FAR + 5000, FAR + 5000)), ("SELECT nextval('far_id_seq')", (0, 2148 * FAR))],
)  # fmt: skip
def test_keys_are_far_from_a_sequence_that_no_column_takes_them_from_by_itself(database18, drawn, begins):
    with psycopg.connect(database18, autocommit=True) as session:
        session.execute(LOOSE + drawn)
        assert seeding.seed(session).refused == {}
        menu, item = begins
        ids = [one + menu for one in (1, 2, 3)]
        assert session.execute("SELECT id, place, small FROM menu ORDER BY id").fetchall() == [
            (one, number, number) for number, one in enumerate(ids, 1)
        ]
        assert session.execute("SELECT id, menu_id FROM item ORDER BY id").fetchall() == [
            (number + item, one) for number, one in enumerate(ids, 1)
        ]
        assert session.execute("SELECT id FROM served UNION ALL SELECT id FROM counted").fetchall() == [(1,), (2,), (3,)] * 2


def test_row_level_security_and_missing_rights_are_said(database18):
    execute(
        database18,
        "CREATE TABLE guarded (id int)",
        "CREATE TABLE forbidden (id int)",
        "ALTER TABLE guarded ENABLE ROW LEVEL SECURITY",
        "CREATE ROLE seeds_guest",
        "GRANT ALL ON guarded TO seeds_guest",
    )
    why = "a right is missing, or row level security keeps the rows out"
    try:
        with psycopg.connect(database18, autocommit=True) as session:
            session.execute("SET ROLE seeds_guest")
            assert seeding.seed(session).refused == {"public.forbidden": why, "public.guarded": why}
    finally:
        execute(database18, "DROP OWNED BY seeds_guest", "DROP ROLE seeds_guest")


def test_new_columns_of_old_rows_are_filled(world):
    seeding.seed(world)
    world.execute(
        "ALTER TABLE parents ADD short varchar(2) CHECK (short IN ('x', 'y')), ADD before bigint REFERENCES parents, ADD mood mood;"
        "ALTER TABLE checked ADD z int CHECK (z BETWEEN 5 AND 7), ADD untouched text"
    )
    columns = [f"public.parents.{name}" for name in ("short", "before", "mood")]
    seeded = seeding.fill(world, [*columns, "public.checked.z"])

    assert (seeded.rows_by_table, seeded.refused, seeded.unfilled) == ({}, {}, {})
    assert world.execute("SELECT id, short, before, mood FROM parents ORDER BY id").fetchall() == [
        (1, "x", None, "calm"),
        (2, "y", 1, 'it\'s "ok"'),
        (3, "x", 2, "odd,one"),
    ]
    assert world.execute("SELECT z, untouched FROM checked ORDER BY id").fetchall() == [(5, None), (6, None), (7, None)]
    seeding.fill(world)
    assert world.execute("SELECT count(untouched) FROM checked").fetchone() == (3,)


def test_a_column_that_cannot_be_filled_is_said(database18):
    with psycopg.connect(database18, autocommit=True) as session:
        session.execute("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b VALUES (1)")
        session.execute("ALTER TABLE b ADD a int REFERENCES a")
        why = "no value is known that its checks and foreign keys allow"
        assert seeding.fill(session).unfilled == {"public.b.a": why}
        seeding.seed(session)
        assert seeding.fill(session).unfilled == {}
        assert session.execute("SELECT id, a FROM b").fetchall() == [(1, 1)]


def test_hundreds_of_tables_take_a_second_or_two(database18):
    tables = [
        f"CREATE TABLE t{number} (id serial PRIMARY KEY, name varchar(40) NOT NULL UNIQUE, state text CHECK (state IN ('a', 'b')), "
        f"at timestamptz DEFAULT now(), price numeric(8,2) CHECK (price > 0), notes jsonb, "
        f"before int NOT NULL REFERENCES t{max(0, number - 1)}, other int REFERENCES t{number // 2})"
        for number in range(400)
    ]
    with psycopg.connect(database18, autocommit=True) as session:
        session.execute(";".join(tables))
        start = time.process_time()  # our part, about half of it: what the wall clock says depends on who else is working
        seeded = seeding.seed(session)
        seconds = time.process_time() - start
    assert len(seeded.rows_by_table) == 400
    print(f"{seconds:.1f} s of our own")
    assert seconds < 3, f"{seconds:.1f} s"
