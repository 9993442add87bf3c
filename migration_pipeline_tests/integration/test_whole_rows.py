"""Rows without a key: never fewer are told as lost than the best pairing of old rows with new ones would leave over."""

import random

import psycopg
import pytest

from migration_pipeline.adapters import whole_rows
from migration_pipeline.adapters.inventory import Thing
from migration_pipeline.adapters.whole_rows import Column
from migration_pipeline_tests.corpus.running import Session

NAMES = ("ward", "Odd %", "note")
COLUMNS = [
    Column(
        number=number,
        name=name,
        before=Thing(kind="column", parent="1", schema="public", name=name, storage="text"),
        is_as_before=True,
    )
    for number, name in enumerate(NAMES, 1)
]


@pytest.fixture(scope="module")
def session(database18_module):
    with psycopg.connect(database18_module) as connection:
        connection.execute(
            'CREATE TEMP TABLE before (c1 text, c2 text, c3 text); CREATE TEMP TABLE now (ward text, "Odd %" text, note text)'
        )
        yield Session(connection)


@pytest.fixture(scope="module")
def database18_module(server18):
    return server18.url()


def lost(session, old, new):
    session.query("TRUNCATE before, now")
    with session.raw.cursor() as cursor:
        cursor.executemany("INSERT INTO before VALUES (%s, %s, %s)", old)
        cursor.executemany("INSERT INTO now VALUES (%s, %s, %s)", new)
    missing, *by_column = whole_rows.lost(session, "pg_temp.before", COLUMNS, "FROM pg_temp.now", cast_back=True)
    return missing, by_column


def holds(new, old):
    return all(was is None or was == value for was, value in zip(old, new, strict=True))


def left_over(old, new):
    """Return how many old rows the best pairing leaves without a new row that holds all their values."""
    taken = {}

    def pairs(number, tried):
        for other, row in enumerate(new):
            if other not in tried and holds(row, old[number]):
                tried.add(other)
                if other not in taken or pairs(taken[other], tried):
                    taken[other] = number
                    return True
        return False

    return sum(not pairs(number, set()) for number in range(len(old)))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([], [("a", "b", "c")], (0, [0, 0, 0])),
        ([("a", None, None)], [("a", "b", None)], (0, [0, 0, 0])),
        ([("a", None, None)] * 3, [("a", "b", None)] * 2, (1, [1, 0, 0])),
        ([("a", "b", None)], [("a", None, "c")], (1, [0, 1, 0])),
        ([("a", "b", None), ("b", "a", None)], [("a", "a", None), ("b", "b", None)], (2, [0, 0, 0])),
        ([("a", None, None), ("a", "b", None)], [("a", "b", "c"), ("a", "x", None)], (0, [0, 0, 0])),
        ([(None, None, None)], [], (1, [0, 0, 0])),
        ([(None, None, None)], [("a", "b", "c")], (0, [0, 0, 0])),
        ([("A", None, None)], [("a", None, None)], (1, [1, 0, 0])),
    ],
)
def test_a_row_is_kept_where_another_one_holds_all_its_values(session, old, new, expected):
    assert lost(session, old, new) == expected


def test_no_lost_row_is_left_out(session):
    chance = random.Random(5)
    exact = 0
    for _ in range(100):
        old = [tuple(chance.choice([None, None, "a", "b"]) for _ in NAMES) for _ in range(chance.randint(0, 6))]
        # new rows are old ones, filled in, changed, left out and added to
        new = [
            tuple(chance.choice([value, value, "a", None]) if chance.random() < 0.5 else value for value in row) for row in old
        ]
        new = [row for row in new if chance.random() < 0.9] + [("a", "b", chance.choice([None, "a"]))] * chance.randint(0, 2)
        missing, _ = lost(session, old, new)
        best = left_over(old, new)
        assert missing >= best, (old, new)
        exact += missing == best

    assert exact >= 80, "a pairing that is seldom the best one raises false alarms"
