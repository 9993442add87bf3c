"""Which table a statement changes the values of, and in which columns."""

import pytest

from migration_pipeline.domain import changes
from migration_pipeline.domain.sql import parse

TOLD = {
    "UPDATE t SET a = 1, b = upper(c) WHERE d = 2": ("t", {"a", "b"}),
    "UPDATE ward.t SET a = x.a FROM x WHERE x.id = t.id": ("ward.t", {"a"}),
    "UPDATE t SET a.street = 'x', b[1] = 2": ("t", {"a", "b"}),
    "UPDATE t SET a = (SELECT max(b) FROM u)": ("t", {"a"}),
    "UPDATE t SET (a, b) = (SELECT 1, 2)": ("t", None),
    "UPDATE t SET a = DEFAULT": ("t", None),
    "UPDATE t SET a = blank(1)": ("t", None),
    "UPDATE t SET a = 1 WHERE blank(id) > 0": ("t", None),
    "WITH x AS (DELETE FROM t RETURNING id) UPDATE t SET a = 1": ("t", None),
    "WITH x AS (UPDATE t SET b = 1 RETURNING id) UPDATE t SET a = 1 FROM x": ("t", None),
    "INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET a = excluded.a": ("t", None),
    "MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN UPDATE SET a = u.a": ("t", None),
    "ALTER TABLE t ALTER a TYPE int": ("t", {"a"}),
    "ALTER TABLE t ALTER a TYPE int USING a::int, ALTER b TYPE text, ADD c int": ("t", {"a", "b"}),
    "ALTER TABLE t ALTER a TYPE int USING blank(a)": ("t", None),
    "ALTER TABLE t ADD COLUMN a uuid DEFAULT gen_random_uuid()": ("t", set()),
    "ALTER TABLE t ADD COLUMN a int DEFAULT blank(1)": ("t", None),
}


@pytest.mark.parametrize("text", TOLD)
def test_what_a_statement_changes_is_told(text):
    table, columns = TOLD[text]
    change = changes.of(parse(text))

    assert (str(change.table), change.columns) == (table, columns)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
        "DELETE FROM t",
        "TRUNCATE t",
        "DO $$ BEGIN UPDATE t SET a = 1; END $$",
        "UPDATE t SET a = 1; UPDATE u SET a = 1",
        "ALTER TABLE t DROP COLUMN a",
        "ALTER TABLE t ALTER a SET NOT NULL",
        "ALTER TABLE t ALTER a TYPE int, ALTER b SET EXPRESSION AS (1)",
        "no sql",
    ],
)
def test_what_its_text_does_not_tell_is_not_told(text):
    assert changes.of(parse(text)) is None
