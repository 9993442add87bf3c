"""Which value for which column, without a server: types, checks, patterns, the order of tables."""

from itertools import islice

import pytest

from migration_pipeline.domain import seed_checks, seed_order, seed_patterns, seed_values, seeds
from migration_pipeline.domain.seed_conditions import NOW, Condition, holds
from migration_pipeline.domain.seed_values import Kind
from migration_pipeline.domain.seeds import Column, Link, NoRows, Table

INT, TEXT = Kind(name="int4", spelled="integer"), Kind(name="text", spelled="text")


def first(kind, number=3, conditions=(), start=0):
    return list(islice(seed_values.values(kind, "c", conditions, start), number))


def asked(*conditions):
    return tuple(Condition("c", test, operand) for test, operand in conditions)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (INT, ["1", "2", "3"]),
        (TEXT, ["c_1", "c_2", "c_3"]),
        (Kind(name="varchar", spelled="character varying", size=2), ["c1", "c2", "c3"]),
        (Kind(name="varchar", spelled="character varying", size=1), ["1", "2", "3"]),
        (Kind(name="numeric", spelled="numeric", digits=(5, 2)), ["1.25", "2.25", "3.25"]),
        (Kind(name="numeric", spelled="numeric", digits=(2, 2)), ["0.01", "0.02", "0.03"]),
        (Kind(name="numeric", spelled="numeric", digits=(3, 0)), ["1", "2", "3"]),
        (Kind(name="bool", spelled="boolean"), ["true", "false"]),
        (Kind(name="date", spelled="date"), ["2020-01-01", "2020-01-02", "2020-01-03"]),
        (Kind(name="bit", spelled="bit", size=3), ["001", "010", "011"]),
        (Kind(name="mood", spelled="mood", form="enum", labels=("calm", "odd")), ["calm", "odd"]),
        (Kind(name="_int4", spelled="integer[]", form="array", parts=(INT,)), ['{"1","2"}', '{"2","3"}', '{"3","4"}']),
        (Kind(name="int4range", spelled="int4range", form="range", parts=(INT,)), ["[10,15)", "[20,25)", "[30,35)"]),
        (Kind(name="pair", spelled="pair", form="composite", parts=(INT, TEXT)), ['("1","c_1")', '("2","c_2")', '("3","c_3")']),
        (Kind(name="unheard_of", spelled="unheard_of"), []),
    ],
    ids=lambda one: one.spelled if isinstance(one, Kind) else None,
)
def test_a_type_has_values(kind, expected):
    assert first(kind) == expected
    assert seed_values.is_known(kind) is bool(expected)


@pytest.mark.parametrize(
    ("kind", "conditions", "expected"),
    [
        (INT, [(">=", "5")], ["5", "6", "7"]),
        (INT, [(">", "5"), ("<", "8")], ["6", "7"]),
        (INT, [("<", "0")], ["-1", "-2", "-3"]),
        (INT, [("not in", ("2",))], ["1", "3", "4"]),
        (Kind(name="float8", spelled="double precision"), [(">=", "0"), ("<=", "1")], ["0.5", "0.666667", "0.75"]),
        (TEXT, [("length", ("<=", 3))], ["c_1", "c_2", "c_3"]),
        (TEXT, [("length", ("=", 6))], ["c____1", "c____2", "c____3"]),
        (TEXT, [("in", ("a", "b"))], ["a", "b"]),
        (TEXT, [("in", ("a", "b")), ("not in", ("a",))], ["b"]),
        (TEXT, [("like", r"^[A-Z]{2}-\d$")], ["AA-0", "BA-0", "CA-0"]),
        (Kind(name="date", spelled="date"), [("<", "2000-01-01")], ["1999-12-31", "1999-12-30", "1999-12-29"]),
        (Kind(name="date", spelled="date"), [("<=", NOW)], ["2020-01-01", "2020-01-02", "2020-01-03"]),
        (Kind(name="date", spelled="date"), [(">", NOW)], ["2999-01-02", "2999-01-03", "2999-01-04"]),
    ],
)
def test_a_value_meets_its_conditions(kind, conditions, expected):
    assert first(kind, 3, asked(*conditions))[: len(expected)] == expected


def test_later_numbers_give_other_values():
    for kind in (INT, TEXT, Kind(name="uuid", spelled="uuid"), Kind(name="timestamptz", spelled="timestamp with time zone")):
        assert not {*first(kind)} & {*first(kind, start=1000)}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"^\d{5}$", ["00000", "10000", "20000"]),
        ("^(a|b)+$", ["aaa", "baa", "aba"]),
        (r"^[[:alpha:]_]+@x\.org$", ["aaa@x.org", "baa@x.org", "caa@x.org"]),
        ("^[^a]$", ["b", "c", "d"]),
        ("x", ["x"]),
        ("^(?!a)a$", []),
        ("(", []),
    ],
)
def test_a_pattern_has_strings(pattern, expected):
    assert list(islice(seed_patterns.strings(pattern), 3)) == expected


def test_patterns_of_like_and_similar_to():
    assert list(islice(seed_patterns.strings(seed_patterns.of_like(r"a\%_%")), 2)) == ["a%aaaa", "a%baaa"]
    assert next(seed_patterns.strings(seed_patterns.of_similar("(x|y)%"))) == "xaaa"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("((c)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))", [[("c", "in", ("a", "b"))]]),
        ("(c <> ALL (ARRAY[1, 2]))", [[("c", "not in", ("1", "2"))]]),
        ("((c = 1) OR (c = 2))", [[("c", "in", ("1", "2"))]]),
        ("((c > (0)::numeric) AND (c < '-1'::integer))", [[("c", ">", "0"), ("c", "<", "-1")]]),
        ("(NOT (c > 3))", [[("c", "<=", "3")]]),
        ("(5 > c)", [[("c", "<", "5")]]),
        ("(char_length((c)::text) <= 5)", [[("c", "length", ("<=", 5))]]),
        ("(c ~ '^a'::text)", [[("c", "like", "^a")]]),
        ("(c ~~ 'a%'::text)", [[("c", "like", "^a.*$")]]),
        ("(starts_with(c, 'a'::text))", [[("c", "like", "^a.*$")]]),
        ("(c < d)", [[("c", "column", ("<", "d"))]]),
        ("(c IS NOT NULL)", [[("c", "not null", None)]]),
        (
            "((c IS NULL) = (d IS NULL))",
            [[("c", "null", None), ("d", "null", None)], [("c", "not null", None), ("d", "not null", None)]],
        ),
        ("((c IS NULL) OR (d > 1))", [[("c", "null", None)], [("d", ">", "1")]]),
        (
            "(num_nonnulls(c, d) = 1)",
            [[("c", "not null", None), ("d", "null", None)], [("c", "null", None), ("d", "not null", None)]],
        ),
        ("c", [[("c", "in", ("true",))]]),
        ("(c IS NOT TRUE)", [[("c", "in", ("false",))]]),
        ("(at <= CURRENT_DATE)", [[("at", "<=", NOW)]]),
        ("(lower(c) = c)", [[]]),
        ("((c % 2) = 0)", [[]]),
        ("not sql at all (", [[]]),
    ],
)
def test_a_check_is_read(expression, expected):
    found = [[(one.column, one.test, one.operand) for one in alternative] for alternative in seed_checks.alternatives(expression)]
    assert sorted(map(str, found)) == sorted(map(str, expected))


def test_null_passes_what_is_not_about_null():
    assert holds(Condition("c", ">", "5"), {"c": None})
    assert not holds(Condition("c", "not null"), {"c": None})
    assert holds(Condition("c", "column", ("<", "d")), {"c": "2", "d": "10"})


def table(oid, *links, columns=("id",), **parts):
    """Return a table of integers; a link is a parent, in a tuple where it may be NULL."""
    named = [(f"p{at}", link) for at, link in enumerate(links)]
    made = [Column(name=name, kind=INT, required=True) for name in columns]
    made += [Column(name=name, kind=INT, required=not isinstance(link, tuple)) for name, link in named]
    keys = tuple(
        Link(columns=(name,), parent=link[0] if isinstance(link, tuple) else link, parent_columns=("id",)) for name, link in named
    )
    return Table(oid=oid, name=f"t{oid}", columns=tuple(made), links=keys, **parts)


def ordered(*tables, roots=None):
    return [[one.oid for one in batch] for batch in seed_order.batches(tables, roots or {})]


def test_parents_come_first():
    assert ordered(table(1, 3), table(2, 1), table(3)) == [[3], [1], [2]]


def test_a_link_that_may_be_null_breaks_a_circle():
    assert ordered(table(1, (2,)), table(2, 1)) == [[1], [2]]


def test_what_needs_each_other_is_one_batch():
    assert ordered(table(1, 2), table(2, 3), table(3, 1), table(4, 1)) == [[1, 2, 3], [4]]


def test_a_partition_stands_for_its_table():
    assert ordered(table(1, 9), table(2), roots={2: 9}) == [[2], [1]]


def test_rows_are_distinct_where_they_must_be():
    one = table(1, 8, 9, columns=(), keys=(("p0", "p1"),))
    parents = {one.links[0]: [("1",), ("2",)], one.links[1]: [("1",), ("2",)]}
    rows = [(row["p0"], row["p1"]) for row in seeds.rows(one, parents, 5)]
    assert sorted(rows) == [("1", "1"), ("1", "2"), ("2", "1"), ("2", "2")]


def test_links_that_share_a_column_agree():
    kinds = [Column(name=name, kind=INT, required=True) for name in ("tenant", "a", "b")]
    links = (
        Link(columns=("tenant", "a"), parent=8, parent_columns=("t", "id")),
        Link(columns=("tenant", "b"), parent=9, parent_columns=("t", "id")),
    )
    one = Table(oid=1, name="t1", columns=tuple(kinds), links=links)
    parents = {links[0]: [("1", "11"), ("2", "12")], links[1]: [("2", "22"), ("3", "23")]}
    assert seeds.rows(one, parents, 1) == [{"tenant": "2", "a": "12", "b": "22"}]


def test_without_parents_there_is_no_row_or_no_reference():
    required, nullable = table(1, 8), table(1, (8,))
    with pytest.raises(NoRows, match="a table that it references has no rows"):
        seeds.rows(required, {}, 3)
    assert seeds.rows(nullable, {}, 1) == [{"id": "1", "p0": None}]


def test_checks_that_leave_nothing_are_said():
    with pytest.raises(NoRows, match="no value is known that its types and check constraints allow"):
        seeds.rows(table(1, checks=("(id > 5)", "(id < 3)")), {}, 3)
