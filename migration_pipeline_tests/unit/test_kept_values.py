"""Which assignments overwrite nothing, as their text tells."""

import pytest

from migration_pipeline.domain import finders, sql

FILLS = (
    "UPDATE t SET a = 1 WHERE a IS NULL",
    "UPDATE s.t SET a = 1 WHERE b > 3 AND (t.a IS NULL AND c)",
    "UPDATE t x SET a = y.b FROM y WHERE x.a IS NULL AND y.id = x.id",
    "UPDATE t SET a = coalesce(a, 'x'), b = b",
    "UPDATE t SET (a, b) = (1, 2) WHERE a IS NULL AND b IS NULL",
    "INSERT INTO t AS k VALUES (1) ON CONFLICT (id) DO UPDATE SET a = coalesce(k.a, 'x')",
)
OVERWRITES = {
    "UPDATE t SET a = 1": ["t.a"],
    "UPDATE t SET a = 1, b = 2 WHERE a IS NULL": ["t.b"],
    "UPDATE t SET a = 1 WHERE a IS NULL OR b": ["t.a"],
    "UPDATE t SET a = 1 WHERE NOT a IS NULL": ["t.a"],
    "UPDATE t SET a = 1 WHERE a IS NOT NULL AND b IS NULL": ["t.a"],
    "UPDATE t SET a = 1 WHERE a = ''": ["t.a"],
    "UPDATE t x SET a = y.a FROM y WHERE y.a IS NULL": ["t.a"],
    "UPDATE t SET a = 1 WHERE id IN (SELECT id FROM t WHERE a IS NULL)": ["t.a"],  # others may have written since
    "UPDATE t SET a = coalesce(a, now())": ["t.a"],  # a timestamp goes to the session's time zone and back
    "UPDATE t SET a = coalesce(b, a)": ["t.a"],
    "UPDATE t SET a[1] = a[1]": ["t.a"],
    "UPDATE t SET a.b = 1 WHERE a IS NULL": ["t.a"],
    "INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET a = coalesce(excluded.a, 'x')": ["t.a"],
}


def found(text):
    (piece,) = sql.parse(text).pieces
    node = piece.statement
    find = finders.updates if sql.kind(node) == "UpdateStmt" else finders.overwrites_on_conflict
    return [str(hit) for hit in find(node)]


@pytest.mark.parametrize("text", FILLS)
def test_what_fills_nulls_overwrites_nothing(text):
    assert found(text) == []


@pytest.mark.parametrize("text", OVERWRITES)
def test_what_may_write_over_a_value_is_found(text):
    assert found(text) == OVERWRITES[text]
