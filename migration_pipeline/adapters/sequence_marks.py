"""Reads where sequences stand, and finds those that were set back: one query for all of them, then one for each that was found.

Nothing that was drawn comes back with a transaction that is rolled back, nor does what `setval` did: `put_back` mends that.
"""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from psycopg import sql

from migration_pipeline.domain.sequence_positions import SetBack, Stood

Query = Callable[[str], Sequence[Sequence[Any]]]
NAME = "quote_ident(n.nspname) || '.' || quote_ident(c.relname)"
#: NULL: nothing was drawn from it, or this role may not know.
LAST = "CASE WHEN c.relkind = 'S' AND has_sequence_privilege(c.oid, 'USAGE, SELECT') THEN pg_sequence_last_value(c.oid) END"
JOINED = "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_sequence s ON s.seqrelid = c.oid"
#: Sequences that last; one that cycles gives keys out again on purpose.
KEPT = "c.relpersistence <> 't' AND NOT s.seqcycle"
STOOD = (
    f"SELECT q.name, q.last FROM (SELECT {NAME} AS name, {LAST} AS last FROM {JOINED} WHERE {KEPT}) q WHERE q.last IS NOT NULL"
)

#: Columns that take what the sequence `b` gives, as it is: identities, `DEFAULT nextval('...')`, and owners without a default.
SERVED = """
SELECT a.attrelid::regclass::text AS place, quote_ident(a.attname) AS name
FROM pg_attribute a JOIN pg_class r ON r.oid = a.attrelid AND NOT r.relispartition AND r.relkind IN ('r', 'p')
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype)
AND (d.oid IS NULL OR pg_get_expr(d.adbin, d.adrelid) ~ '^nextval[(][^()]*::regclass[)]$') AND (a.attrelid, a.attnum) IN (
  SELECT o.refobjid, o.refobjsubid FROM pg_depend o WHERE o.classid = 'pg_class'::regclass AND o.objid = b.oid
  AND o.refclassid = 'pg_class'::regclass AND o.refobjsubid > 0 AND o.deptype IN ('a', 'i')
  UNION ALL SELECT f.adrelid, f.adnum FROM pg_depend o JOIN pg_attrdef f ON f.oid = o.objid
  WHERE o.classid = 'pg_attrdef'::regclass AND o.refclassid = 'pg_class'::regclass AND o.refobjid = b.oid)
"""
#: Of the sequences in `mp_stood` those that were drawn from or altered, as their locks tell, and stand before where they stood;
#: each with a query for what it gives out next and for the last of the values that it had given out and that is in use.
SET_BACK = f"""
SELECT b.name, b.was, b.step, y.columns, format('SELECT json_build_array(last_value::numeric + CASE WHEN is_called THEN %s ELSE 0 END, %s) FROM %s',
  b.step, coalesce(CASE WHEN b.step > 0 THEN 'greatest(' ELSE 'least(' END || y.last || ')', b.was::text), b.name) AS query
FROM (SELECT c.oid, {NAME} AS name, k.value::bigint AS was, s.seqincrement AS step, {LAST} AS last
  FROM jsonb_each_text(mp_stood) k, {JOINED}
  WHERE c.oid = to_regclass(k.key) AND {KEPT} AND (mp_also IS NULL OR c.oid = ANY (mp_locked)) OFFSET 0) b,
LATERAL (SELECT json_agg(json_build_array(v.place, v.name)) AS columns,
  string_agg(format(CASE WHEN b.step > 0 THEN '(SELECT max(%1$s) FROM %2$s WHERE %1$s <= %3$s)'
    ELSE '(SELECT min(%1$s) FROM %2$s WHERE %1$s >= %3$s)' END, v.name, v.place, b.was), ', ') AS last FROM ({SERVED}) v) y
WHERE has_sequence_privilege(b.oid, 'SELECT') AND CASE WHEN b.last IS NULL THEN true
  WHEN b.step > 0 THEN b.last < b.was ELSE b.last > b.was END
"""  # noqa: E501
#: OFFSET 0: what is asked of a sequence is an error for any other relation, and the planner may ask first.
PUT_BACK = f"""
SELECT setval(q.oid, q.was) FROM (SELECT c.oid, k.value::bigint AS was FROM jsonb_each_text({{reached}}::jsonb) k, {JOINED}
  WHERE c.oid = to_regclass(k.key) AND {KEPT} AND {LAST} IS DISTINCT FROM k.value::bigint OFFSET 0) q
WHERE has_sequence_privilege(q.oid, 'UPDATE')
"""


def stood(query: Query) -> Stood:
    """Return where all sequences stand; `search_path` may be any."""
    return {str(name): int(last) for name, last in query(STOOD)}


def set_back(found: Collection[Sequence[Any]]) -> list[SetBack]:
    """Return those that give out again what is in use."""
    made = [
        SetBack(
            name=name,
            was=was,
            next=after,
            step=step,
            served=(columns[0][0], columns[0][1]) if columns and len(columns) == 1 else None,
            limit=limit,
            is_served=bool(columns),
        )
        for name, was, step, columns, (after, limit) in found
    ]
    return [one for one in made if one.gives_again]


def told(found: Collection[SetBack], reached: Stood) -> list[SetBack]:
    """Say of each whether the upgrade lost the position, and nothing that is left tells it; `reached` is what it led to."""
    return [replace(one, by_upgrade=not one.is_served and one.is_behind(reached.get(one.name))) for one in found]


def put_back(query: Query, reached: Stood) -> None:
    """Let sequences stand where they stood, as far as this role may."""
    query(PUT_BACK.format(reached=sql.Literal(json.dumps(reached)).as_string(None)))
