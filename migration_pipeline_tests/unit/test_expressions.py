"""Expressions as PostgreSQL prints them: equal where only a restore lies between them, different where their meaning is."""

import pytest

from migration_pipeline.domain import expressions
from migration_pipeline.domain.expressions import CONSTRAINT, EXPRESSION, PARTITION_KEY, STATEMENT, canonical

# (what it is, before the restore, after it), as PostgreSQL 15 and 18 print both
RESTORED = [
    (
        CONSTRAINT,
        "CHECK (((status)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])))",
        "CHECK (((status)::text = ANY (ARRAY[('a'::character varying)::text, ('b'::character varying)::text])))",
    ),
    (
        STATEMENT,
        "CREATE INDEX i ON public.t USING btree (a) WHERE ((s)::text <> ALL ((ARRAY['a'::character varying])::text[]))",
        "CREATE INDEX i ON public.t USING btree (a) WHERE ((s)::text <> ALL (ARRAY[('a'::character varying)::text]))",
    ),
    (
        EXPRESSION,
        "(n = ANY ((ARRAY[(1)::numeric, 2.5])::double precision[]))",
        "(n = ANY (ARRAY[((1)::numeric)::double precision, (2.5)::double precision]))",
    ),
    (
        EXPRESSION,
        "(ARRAY[ARRAY[n], (ARRAY[1])::numeric[]] IS NULL)",
        "(ARRAY[ARRAY[n], ARRAY[(1)::numeric]] IS NULL)",
    ),
    (EXPRESSION, "((ARRAY[a, b])::numeric[] = c)", "(ARRAY[(a)::numeric[], (b)::numeric[]] = c)"),
    (EXPRESSION, "((ARRAY[ARRAY[1, 2]])::text[] = c)", "(ARRAY[ARRAY[(1)::text, (2)::text]] = c)"),
    (EXPRESSION, "(- 1)", "'-1'::integer"),
    (EXPRESSION, "(x > (- 3000000000))", "(x > '-3000000000'::bigint)"),
    (EXPRESSION, "(- 1.50)", "'-1.50'::numeric"),
    (EXPRESSION, "(- 99999999999999999999)", "'-99999999999999999999'::numeric"),
    (EXPRESSION, "(((a >= 1) AND (a <= 2)) AND b)", "((a >= 1) AND (a <= 2) AND b)"),
    (EXPRESSION, "(((a = b) OR (a = c)) OR (a = 'x'::text))", "((a = b) OR (a = c) OR (a = 'x'::text))"),
    (PARTITION_KEY, "LIST ((((a >= 1) AND (a <= 2)) AND b))", "LIST (((a >= 1) AND (a <= 2) AND b))"),
    (
        STATEMENT,
        "CREATE RULE r AS ON INSERT TO public.t DO  SELECT 'a'::text AS x UNION  SELECT 'b'::text;",
        "CREATE RULE r AS ON INSERT TO public.t DO  SELECT 'a'::text AS x UNION  SELECT 'b'::text AS text;",
    ),
    (
        STATEMENT,
        "CREATE OR REPLACE FUNCTION public.f()\n RETURNS SETOF record\n LANGUAGE sql\nBEGIN ATOMIC\n SELECT 'x'::text;\nEND\n",
        "CREATE OR REPLACE FUNCTION public.f()\n RETURNS SETOF record\n LANGUAGE sql\nBEGIN ATOMIC\n SELECT 'x'::text AS text;\nEND\n",
    ),
    (
        STATEMENT,
        " SELECT a FROM t WHERE (EXISTS ( SELECT 'q'::text FROM u))",
        " SELECT a FROM t WHERE (EXISTS ( SELECT 'q'::text AS text FROM u))",
    ),
]

DIFFERENT = [
    (EXPRESSION, "'1'::text", "'1'::integer"),
    (EXPRESSION, "'a'::text", "'b'::text"),
    (EXPRESSION, "'a'::character varying(5)", "'a'::character varying(6)"),
    (EXPRESSION, "(- 1)", "1"),
    (EXPRESSION, "'-1'::integer", "'-1'::bigint"),
    (EXPRESSION, "(x = ANY (ARRAY[1, 2]))", "(x = ANY (ARRAY[1, 2, 3]))"),
    (EXPRESSION, "(x = ANY (ARRAY[1, 2]))", "(x = ANY (ARRAY[2, 1]))"),
    (EXPRESSION, "(x = ANY ((ARRAY[1, 2])::bigint[]))", "(x = ANY ((ARRAY[1, 2])::numeric[]))"),
    (EXPRESSION, "(x = ANY (ARRAY[1]))", "(x <> ALL (ARRAY[1]))"),
    (EXPRESSION, "((ARRAY['a'::text])::character(1)[] = x)", "((ARRAY['a'::text])::character(2)[] = x)"),
    (EXPRESSION, "(a AND b AND (c OR d OR e))", "((a AND b AND c) OR d OR e)"),
    (EXPRESSION, "((a - b) - (- 1))", "(a - (b - (- 1)))"),
    (EXPRESSION, "(a AND b AND NOT c)", "(a AND NOT b AND c)"),
    (STATEMENT, " SELECT 'a'::text AS x UNION SELECT 'b'::text", " SELECT 'a'::text AS y UNION SELECT 'b'::text"),
    (STATEMENT, " SELECT a FROM ( SELECT 1 AS a) s", " SELECT a FROM ( SELECT 1 AS a, 2 AS b) s"),
    (CONSTRAINT, "CHECK (((a > 1) AND b AND c))", "CHECK (((a > 1) AND b AND c)) NOT VALID"),
]


@pytest.mark.parametrize(("before", "live", "restored"), RESTORED)
def test_a_restore_does_not_change_the_canonical_text(before, live, restored):
    assert canonical(live, before) == canonical(restored, before)


@pytest.mark.parametrize(("before", "one", "other"), DIFFERENT)
def test_another_meaning_has_another_canonical_text(before, one, other):
    assert canonical(one, before) != canonical(other, before)


@pytest.mark.parametrize(("before", "live", "restored"), RESTORED)
def test_the_canonical_text_is_sql_that_a_person_can_read(before, live, restored):
    text = canonical(live, before)
    assert not text.startswith("version:")
    assert canonical(text, before) == text


def test_a_text_that_no_restore_changes_stays_as_it_is():
    for text in ("nextval('public.s'::regclass)", "'a'::character varying", "((a > 1) AND b)", "now()"):
        assert canonical(text, EXPRESSION) == text


def test_a_function_body_is_never_touched():
    text = "CREATE OR REPLACE FUNCTION public.f()\n RETURNS void\n LANGUAGE sql\nAS $function$ SELECT  (- 1)  AND a AND b $function$\n"
    assert canonical(text) == text


def test_white_space_in_a_body_counts_where_the_header_is_parsed():
    text = "CREATE OR REPLACE FUNCTION public.f(a integer DEFAULT '-1'::integer)\n RETURNS void\n LANGUAGE sql\nAS $function${}$function$\n"
    assert canonical(text.format("SELECT 1")) != canonical(text.format("SELECT  1"))


@pytest.mark.parametrize("text", ["", "ARRAY[", "SELECT SELECT", "a AND b AND c)", "CYCLE TO 'Y'::text (- 1)", "INSERT '\ud800'"])
def test_a_text_that_is_not_sql_is_its_own_canonical_form(text):
    assert canonical(text, EXPRESSION) == text


@pytest.mark.parametrize(
    "nested",
    [
        lambda inner: " || ".join(["a"] * 500 + [inner]),
        lambda inner: "COALESCE(a, " * 300 + inner + ")" * 300,
        lambda inner: "CASE WHEN a THEN b ELSE " * 200 + inner + " END" * 200,
    ],
)
def test_depth_is_no_limit(nested):
    live = nested("(x = ANY ((ARRAY['a'::character varying])::text[]))")
    restored = nested("(x = ANY (ARRAY[('a'::character varying)::text]))")
    assert canonical(live, EXPRESSION) == canonical(restored, EXPRESSION) != live


def test_what_the_deparser_cannot_write_is_kept_as_a_tree():
    """libpg_query 18 prints XMLEXISTS without the parentheses that its own grammar wants."""
    live = "(XMLEXISTS(('//a'::text) PASSING (x)) AND a AND (s = ANY ((ARRAY['a'::character varying])::text[])))"
    restored = "(XMLEXISTS(('//a'::text) PASSING (x)) AND a AND (s = ANY (ARRAY[('a'::character varying)::text])))"
    assert canonical(live, EXPRESSION) == canonical(restored, EXPRESSION)
    assert canonical(live, EXPRESSION) != canonical(live.replace("//a", "//b"), EXPRESSION)


def test_a_deparser_that_loses_something_is_noticed(monkeypatch):
    monkeypatch.setattr(expressions.postgast, "deparse", lambda tree: "SELECT 1")
    assert canonical("(one = ANY (ARRAY[1]))", EXPRESSION) != canonical("(two = ANY (ARRAY[1]))", EXPRESSION)
