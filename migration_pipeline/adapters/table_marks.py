"""Reads digests of the rows that were written on a session of our own, as `look_function` does on the runner's: no value."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from psycopg import sql

from migration_pipeline.domain.table_rows import ColumnValues, TableRows

Query = Callable[[str], Sequence[Sequence[Any]]]
DIGEST = "coalesce(sum(hashtextextended({}, 0)), 0)::text"

#: Tables that this transaction has written to.
WRITTEN = """
SELECT c.oid::bigint, quote_ident(n.nspname) || '.' || quote_ident(c.relname), n.nspname::text, c.relname::text,
  (SELECT coalesce(json_agg(json_build_array(a.attname, a.attnum) ORDER BY a.attnum), '[]')
   FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND c.oid IN (SELECT l.relation FROM pg_locks l WHERE l.pid = pg_backend_pid()
  AND l.locktype = 'relation' AND l.mode <> 'AccessShareLock')
"""


def written(query: Query) -> dict[str, TableRows]:
    """Return the tables that rows were written to, with the digests of their rows; `catalog.SETTINGS` must hold."""
    chosen = [
        (TableRows(oid=int(oid), name=name, path=(schema, table), rows=0, digest="", columns={}), json.loads(columns))
        for oid, name, schema, table, columns in query(WRITTEN)
    ]
    if not chosen:
        return {}
    text = "\nUNION ALL\n".join(_statement(place, one, columns) for place, (one, columns) in enumerate(chosen))
    found = {}
    for place, marks in query(text):
        one, columns = chosen[int(place)]
        found[one.name] = _filled(one, columns, iter(json.loads(marks)))
    return found


def _statement(place: int, one: TableRows, columns: Sequence[tuple[str, int]]) -> str:
    names = {name: _quoted(name) for name, _ in columns}
    marks = ["count(*)::text", DIGEST.format(f"ROW({', '.join(names[name] for name in sorted(names))})::text")]
    for name, _ in columns:
        marks += [f"count({names[name]})::text", DIGEST.format(f'({names[name]}::text COLLATE "C")')]
    return f"SELECT {place}, array_to_json(ARRAY[{', '.join(marks)}])::text FROM ONLY {_quoted(*one.path)}"


def _filled(one: TableRows, columns: Sequence[tuple[str, int]], marks: Iterator[str]) -> TableRows:
    rows, digest = int(next(marks)), next(marks)
    held: Mapping[str, ColumnValues] = {
        name: ColumnValues(number=number, values=int(next(marks)), digest=next(marks)) for name, number in columns
    }
    return TableRows(oid=one.oid, name=one.name, path=one.path, rows=rows, digest=digest, columns=held)


def _quoted(*parts: str) -> str:
    return sql.Identifier(*parts).as_string(None)
