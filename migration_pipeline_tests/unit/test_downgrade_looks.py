"""What two looks say of sequences, of the order of attributes, of settings, of what was emptied and of locks; no server."""

import pytest

from migration_pipeline.domain import downgrade_schema, filled_values, sequence_positions, table_rows
from migration_pipeline.domain.downgrade_verdict import File, Raised, Seen, in_words, judge
from migration_pipeline.domain.schema import SchemaSnapshot
from migration_pipeline.domain.sequence_positions import SetBack
from migration_pipeline.domain.table_rows import LARGE_OBJECTS, ColumnValues, Loss, RowLoss, TableRows


def lines(before, after, stands_last=downgrade_schema.NOTHING):
    found, notes = downgrade_schema.findings(SchemaSnapshot(objects=before), SchemaSnapshot(objects=after), stands_last)
    return [line for one in found for line in one.lines] + notes


@pytest.mark.parametrize(
    ("goes_on_with", "step", "limit", "is_back"),
    [(3, 1, 3, True), (4, 1, 3, False), (-3, -1, -3, True), (-4, -1, -3, False), (1, 1, None, False)],
)
def test_a_sequence_is_set_back_where_a_key_in_use_comes_again(goes_on_with, step, limit, is_back):
    one = SetBack(name="public.s", was=5, next=goes_on_with, step=step, served=None, limit=limit)
    assert one.gives_again == is_back


def test_a_sequence_of_a_column_goes_on_behind_its_last_key():
    one = SetBack(name="x.it's", was=5, next=1, step=1, served=("x.t", '"Id"'), limit=5)
    assert sequence_positions.finding(one).lines == [
        "lost: sequence x.it's is set back: it gives out 1 next, and had given out 5 before",
        "  add to downgrade(): op.execute('SELECT setval(\\'x.it\\'\\'s\\', max(\"Id\")) FROM x.t')",
    ]


def of_type(*names):
    places = {name: ({"after": before} if before else {}) for before, name in zip((None, *names), names, strict=False)}
    return {"type public.a": {}, **{f"attribute public.a.{name}": {"type": "text", **held} for name, held in places.items()}}


def test_attributes_of_a_type_stand_in_their_order_as_columns_do():
    assert lines(of_type("x", "y", "z"), of_type("x", "z", "y")) == [
        "changed: type a: its attributes stand in another order: x, z, y; were x, y, z"
    ]
    assert lines(of_type("x", "y", "z"), of_type("x", "z", "y"), {"public.a": ["y"]}) == [
        "a: y stands last now, for PostgreSQL adds a column at the end"
    ]


def test_no_hash_of_a_secret_is_told():
    was = {"server s": {"sealed options": "a, b=#0123456789abcdef, host=#0123456789abcdef"}}
    now = {"server s": {"sealed options": "a, b=#0123456789abcdef, host=#1123456789abcdef, port=#0123456789abcdef"}}
    assert lines(was, now) == ["changed: server s: its options host, port are not what they were"]
    was, now = ({"database setting app.key": {"hidden value": value}} for value in ("c4ca4238", "c81e728d"))
    assert lines(was, now) == ["changed: database setting app.key: its value is not what it was"]


def test_several_things_are_told_in_the_plural():
    one, more = ({"type public.mood": {"labels": labels}} for labels in ("'a'", "'a', 'b', 'it''s'"))
    assert lines(one, more)[0] == "residue: type mood: its labels 'b', 'it''s' are left over"
    assert lines(more, one) == ["lost: type mood: its labels 'b', 'it''s' are gone"]
    assert lines(of_type("x", "y", "z"), of_type("z", "x", "y"), {"public.a": ["x", "y"]}) == [
        "a: x, y stand last now, for PostgreSQL adds a column at the end"
    ]


def test_one_constraint_is_the_new_name_of_one_alone():
    key = {"definition": "FOREIGN KEY (d_name) REFERENCES public.d(name)"}
    was = {"table public.m": {}, "constraint public.m.fkey": key, "constraint public.m.fkey1": key}
    renamed = [
        "changed: constraint m.fkey: it is called fk_m_d_name now",
        '  add to downgrade(): op.execute("ALTER TABLE m RENAME CONSTRAINT fk_m_d_name TO fkey")',
    ]
    gone = [
        "lost: constraint m.fkey1 is gone",
        '  add to downgrade(): op.execute("ALTER TABLE m ADD CONSTRAINT fkey1 FOREIGN KEY (d_name) REFERENCES public.d(name)")',
    ]
    assert lines(was, {"table public.m": {}, "constraint public.m.fk_m_d_name": key}) == renamed + gone
    two = {"table public.m": {}, "constraint public.m.fk_m_d_name": key, "constraint public.m.other": key}
    assert lines(was, two) == [*renamed, *(line.replace("fkey", "fkey1").replace("fk_m_d_name", "other") for line in renamed)]


def test_a_setting_that_is_left_over_is_reset_and_no_schema_of_its_name_hides_it():
    left = {"database setting app.key": {"hidden value": "c4ca"}, "schema app": {}}
    sql = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET app.key', current_database()); END $$"
    assert f'  add to downgrade(): op.execute("{sql}")' in lines({}, left)


def test_what_a_publication_holds_comes_and_goes_with_either():
    members = {"publication p table public.t": {}, "publication p schema x": {}}
    assert lines(
        {"table public.t": {}, "schema x": {}}, {"table public.t": {}, "schema x": {}, "publication p": {}, **members}
    ) == [
        "residue: publication p is left over",
        '  add to downgrade(): op.execute("DROP PUBLICATION p")',
    ]
    without = {"publication p": {}, "publication p schema x": {}, "schema x": {}}
    assert lines({"publication p": {}, "table public.t": {}, "schema x": {}, **members}, without) == [
        "lost: table t is gone",
        '  add to downgrade(): op.execute("CREATE TABLE t ()")',
    ]


def book(oid=1, name="public.t", rows=3, **columns):
    made = {column: ColumnValues(*mark) for column, mark in columns.items()}
    return {name: TableRows(oid=oid, name=name, path=("public", "t"), rows=rows, digest="x", columns=made)}


def test_a_table_is_the_same_by_its_oid_and_a_column_by_its_number():
    before = book(a=(1, 3, "p"), b=(2, 3, "q"))
    assert table_rows.emptied(before, book(a=(1, 3, "p"), b=(2, 0, "0"))) == {"public.t": ["b"]}
    assert table_rows.emptied(before, book(name="public.u", a=(1, 3, "p"), c=(2, 0, "0"))) == {"public.u": ["c"]}
    assert table_rows.emptied(before, book(a=(1, 3, "p"), b=(3, 0, "0"))) == {}
    assert table_rows.emptied(before, book(oid=2, rows=0, a=(1, 0, "0"), b=(2, 0, "0"))) == {}
    assert table_rows.emptied(before, book(rows=0, a=(1, 0, "0"), b=(2, 0, "0"))) == {"public.t": ["a", "b"]}


@pytest.mark.parametrize(
    ("before", "now", "is_filled"),
    [
        ([(1, 7), (2, None)], [(2, 8), (1, 7)], True),
        ([(1, 7), (2, None)], [(2, 7), (1, 8)], False),  # the value stands in another row
        ([(1, 7), (2, None)], [(1, 8), (2, 8)], False),
        ([(1, None), (2, None)], [(1, None), (2, 8)], True),
        ([(1, 7), (2, None)], [(1, None), (2, 7)], False),
        ([(None, 7), (None, 7)], [(None, 7), (1, 7)], False),  # the first column is not the one that is filled
        ([(1, None), (1, 7), (1, None)], [(1, 7), (1, 8), (1, 7)], True),  # a row makes way for another one
        ([(1, None), (1, 7), (1, 7)], [(1, 7), (1, 8), (1, 9)], False),
        ([(1, 7)], [(1, 7), (1, 8)], False),
    ],
)
def test_nulls_alone_are_filled_where_each_value_stands_where_it_stood(before, now, is_filled):
    assert filled_values.is_filled(before, now, {1}) is is_filled


def small(number, *rows):
    columns = {
        name: ColumnValues(place + 1, sum(row[place] is not None for row in rows), str(sum(row[place] or 0 for row in rows)))
        for place, name in enumerate("ab")
    }
    known = {"each": rows if number else None, "rows": len(rows), "digest": str(sorted(map(str, rows)))}
    return {"public.t": TableRows(oid=1, name="public.t", path=("public", "t"), columns=columns, **known)}


def told_of(before, now, upgraded):
    return [
        (one.loss, one.column, one.number, one.by_upgrade, one.is_kept)
        for one in table_rows.compare(before, now, upgraded, {}, upgraded)
    ]


def test_a_column_of_which_nothing_was_overwritten_is_filled_and_nobody_says_so_who_does_not_know_the_rows():
    before, filled, other = small(1, (1, 7), (2, None)), small(1, (1, 7), (2, 8)), small(1, (1, 9), (2, 8))
    assert told_of(before, filled, filled) == [(Loss.FILLED, "b", 1, True, False)]
    assert told_of(before, filled, before) == [(Loss.FILLED, "b", 1, False, False)]
    assert told_of(before, other, other) == [(Loss.CHANGED, "b", 1, True, True)]
    assert told_of(small(0, (1, 7), (2, None)), filled, filled) == [(Loss.CHANGED, "b", 1, True, True)]
    swapped = small(1, (1, None), (2, 7))
    assert told_of(before, swapped, swapped) == [(Loss.MIXED, "", 0, True, False)]


def test_what_the_upgrade_has_made_alike_it_has_lost():
    before, alike, apart = small(1, (1, 7), (2, 8)), small(1, (1, 9), (2, 9)), small(1, (1, 9), (2, 5))
    assert told_of(before, alike, alike) == [(Loss.CHANGED, "b", 0, True, False)]
    assert told_of(before, apart, apart) == [(Loss.CHANGED, "b", 0, True, True)]
    assert told_of(before, alike, apart) == [(Loss.CHANGED, "b", 0, False, True)]  # so has the downgrade


def test_large_objects_are_no_rows_of_a_table():
    lost, more = (RowLoss(table=LARGE_OBJECTS, loss=loss, number=number) for loss, number in ((Loss.ROWS, 1), (Loss.MORE, 2)))
    assert [in_words(lost), in_words(more)] == ["1 large object is lost", "2 large objects are left over"]


def test_who_waits_for_a_lock_on_a_scratch_database_waits_for_itself():
    waited = Raised(kind="OperationalError", told="55P03 canceling statement due to lock timeout", by_server=True)
    file = File(revision="a1", title="Locks.", shown="a1.py", source=b"def downgrade():\n    pass\n", declared=None)
    says = "55P03 canceling statement due to lock timeout"
    hint = "  it waits for what another connection of its own holds, for nobody else is there: let op.get_bind() do all of it"
    for seen, result in ((Seen(downgrade=waited), "raises"), (Seen(upgrade=waited), "upgrade fails")):
        assert [line for one in judge(seen, file).findings for line in one.lines] == [f"{result}: {says}", hint]
