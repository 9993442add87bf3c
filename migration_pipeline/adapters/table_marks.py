"""Reads digests of rows by a temporary function, the same on the runner's session and on our own: no value.

Its settings decide how values read, as `catalog.SETTINGS` has it; and the plans, which take longer to make than to run. Rows that
a policy hides from this role are an error: they do not count as gone.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from migration_pipeline.domain.table_rows import ColumnValues, TableRows

Query = Callable[[str], Sequence[Sequence[Any]]]
NAME = "pg_temp.migration_pipeline_rows"
SETTINGS = """
  SET search_path = pg_catalog, pg_temp SET DateStyle = 'ISO, MDY' SET IntervalStyle = 'postgres' SET TimeZone = 'UTC'
  SET bytea_output = 'hex' SET extra_float_digits = '1' SET lc_monetary = 'C' SET quote_all_identifiers = off SET jit = off
  SET row_security = off SET plan_cache_mode = force_generic_plan"""
EACH = 100  #: rows of a table, the most of which each value has a hash of its own
#: Tables whose rows are to be read, with the query for it. The columns of the whole row stand in the order of their names.
TABLES = f"""
SELECT c.oid, min(quote_ident(n.nspname) || '.' || quote_ident(c.relname)) AS name,
  json_build_array(n.nspname, c.relname) AS path, json_agg(json_build_array(a.attname, a.attnum) ORDER BY
    a.attnum) FILTER (WHERE a.attname IS NOT NULL) AS columns,
  format('SELECT array_to_json(ARRAY[count(*)::text, coalesce(sum(hashtextextended(ROW(%1$s)::text, 0)), 0)::text%2$s]),
      CASE WHEN count(*) <= {EACH} THEN (SELECT json_agg(ARRAY[%4$s]::bigint[]) FROM ONLY %3$s) END FROM ONLY %3$s',
    string_agg(quote_ident(a.attname), ', ' ORDER BY a.attname COLLATE "C"),
    string_agg(format(', count(%1$I)::text, coalesce(sum(hashtextextended(%1$I::text COLLATE "C", 0)), 0)::text', a.attname), ''
      ORDER BY a.attnum) FILTER (WHERE a.attname IS NOT NULL),
    min(quote_ident(n.nspname) || '.' || quote_ident(c.relname)),
    string_agg(format('hashtextextended(%1$I::text COLLATE "C", 0)', a.attname), ', ' ORDER BY a.attnum)
      FILTER (WHERE a.attname IS NOT NULL)) AS query
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.oid = ANY (mp_read) GROUP BY c.oid, n.nspname, c.relname
"""
FUNCTION = f"""
CREATE OR REPLACE FUNCTION {NAME}(mp_read oid[]) RETURNS json[] LANGUAGE plpgsql {SETTINGS} SET enable_seqscan = off
AS $rows$
#variable_conflict use_column
DECLARE mp_rows json[]; mp_one record; mp_row json; mp_each json;
BEGIN
  FOR mp_one IN SELECT q.* FROM ({TABLES}) q LOOP
    EXECUTE mp_one.query INTO mp_row, mp_each;
    mp_rows := mp_rows || json_build_array(mp_one.oid::bigint, mp_one.name, mp_one.path, mp_one.columns, mp_row, mp_each);
  END LOOP;
  RETURN mp_rows;
END $rows$
"""
#: Tables that this transaction has written to.
WRITTEN = f"""
SELECT pg_catalog.array_to_json({NAME}(ARRAY(
  SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND NOT pg_catalog.starts_with(n.nspname, 'pg_') AND c.oid IN (
    SELECT l.relation FROM pg_catalog.pg_locks l WHERE l.pid = pg_catalog.pg_backend_pid()
    AND l.locktype = 'relation' AND l.mode <> 'AccessShareLock'))))::text
"""


def create(query: Query) -> None:
    query(FUNCTION)


def written(query: Query) -> dict[str, TableRows]:
    """Return the tables that rows were written to, with the digests of their rows."""
    ((text,),) = query(WRITTEN)
    return {one.name: one for one in map(made, json.loads(text or "null") or [])}


def made(found: Sequence[Any]) -> TableRows:
    """Make of one element of the function's result what is known of a table."""
    oid, name, path, columns, (rows, digest, *rest), *each = found
    pairs = zip(rest[::2], rest[1::2], strict=True)
    held = {
        column: ColumnValues(number=number, values=int(values), digest=mark)
        for (column, number), (values, mark) in zip(columns or [], pairs, strict=True)
    }
    hashes = None if int(rows) > EACH or not each else tuple(tuple(row) for row in each[0] or ())
    return TableRows(oid=oid, name=name, path=(path[0], path[1]), rows=int(rows), digest=digest, columns=held, each=hashes)
