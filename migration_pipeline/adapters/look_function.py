"""One question about everything: a temporary function that reads what a transaction has changed, in one round trip.

Its own settings decide how expressions and values read, so that nothing of the project's session is touched.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from migration_pipeline.adapters import catalog, catalog_changes, catalog_other, catalog_programs, catalog_relations
from migration_pipeline.domain.table_rows import ColumnValues, TableRows

Query = Callable[[str], Sequence[Sequence[Any]]]
NAME = "pg_temp.migration_pipeline_look"
VERSION = "SELECT pg_catalog.current_setting('server_version_num')::int"
GROUPS = tuple(catalog_changes.CATALOGS)
ONE = "WHERE c.oid = g.oid AND c.relkind IN"  #: reads the parts of one relation

#: What the texts depend on, as `catalog.SETTINGS` has it; and the plans, which take longer to make than to run.
FUNCTION = """
CREATE OR REPLACE FUNCTION {name}(mp_also oid[], mp_known oid[], mp_signatures text[], mp_deep bool) RETURNS text LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp SET DateStyle = 'ISO, MDY' SET IntervalStyle = 'postgres' SET TimeZone = 'UTC'
  SET bytea_output = 'hex' SET extra_float_digits = '1' SET lc_monetary = 'C' SET quote_all_identifiers = off SET jit = off
  SET plan_cache_mode = force_generic_plan
AS $look$
#variable_conflict use_column
DECLARE
  mp_changed oid[]; mp_told oid[]; mp_wanted oid[]; mp_read oid[]; mp_gone bigint[]; mp_found text[];
  mp_relations json; mp_parts json; mp_others json[]; mp_rows json[]; mp_one record; mp_row json;
BEGIN
  IF mp_also IS NOT NULL THEN
    mp_changed := ARRAY(SELECT q.oid FROM ({changed}) q(oid));
    mp_told := mp_changed;
  END IF;
  IF mp_deep THEN
    mp_told := ARRAY(SELECT q.oid FROM ({told}) q(oid));
  END IF;
  SELECT json_agg(json_build_array(q.oid::bigint, q.name, q.is_table)), array_agg(q.oid),
    array_agg(q.oid) FILTER (WHERE q.is_table AND (mp_also IS NULL OR q.oid = ANY (mp_changed)))
    INTO mp_relations, mp_wanted, mp_read FROM ({relations}) q;
  mp_read := mp_read || mp_also;
  mp_gone := ARRAY({gone});
  mp_found := ARRAY[{signatures}];
  IF mp_wanted IS NOT NULL THEN
    SELECT json_agg(json_build_array(g.oid::bigint, x.object, x.properties)) INTO mp_parts
    FROM unnest(mp_wanted) g(oid), LATERAL ({parts}) x(object, properties);
  END IF;
  mp_others := ARRAY[NULL, NULL, NULL]::json[];
{others}
  FOR mp_one IN SELECT q.* FROM ({read}) q LOOP
    EXECUTE mp_one.query INTO mp_row;
    mp_rows := mp_rows || json_build_array(mp_one.oid::bigint, mp_one.name, mp_one.path, mp_one.columns, mp_row);
  END LOOP;
  RETURN json_build_object('relations', mp_relations, 'gone', mp_gone, 'parts', mp_parts, 'signatures', mp_found,
    'others', mp_others, 'rows', mp_rows);
END $look$
"""
OTHERS = """
  IF mp_found[{number}] IS DISTINCT FROM mp_signatures[{number}] THEN
    mp_others[{number}] := (SELECT coalesce(json_agg(json_build_array(x.object, x.properties)), '[]') FROM ({queries}) x(object, properties));
  END IF;"""  # noqa: E501
#: Tables whose rows are to be read, with the query for it. The columns of the whole row stand in the order of their names.
READ = """
SELECT c.oid, min(quote_ident(n.nspname) || '.' || quote_ident(c.relname)) AS name,
  json_build_array(n.nspname, c.relname) AS path, json_agg(json_build_array(a.attname, a.attnum) ORDER BY
    a.attnum) FILTER (WHERE a.attname IS NOT NULL) AS columns,
  format('SELECT array_to_json(ARRAY[count(*)::text, coalesce(sum(hashtextextended(ROW(%s)::text, 0)), 0)::text%s]) FROM ONLY %s',
    string_agg(quote_ident(a.attname), ', ' ORDER BY a.attname COLLATE "C"),
    string_agg(format(', count(%1$I)::text, coalesce(sum(hashtextextended(%1$I::text COLLATE "C", 0)), 0)::text', a.attname), ''
      ORDER BY a.attnum) FILTER (WHERE a.attname IS NOT NULL),
    min(quote_ident(n.nspname) || '.' || quote_ident(c.relname))) AS query
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.oid = ANY (mp_read) GROUP BY c.oid, n.nspname, c.relname
"""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the function found."""

    relations: Mapping[int, str | None]  #: those that were read, by OID; the name of a table
    gone: Collection[int]  #: of those that were known
    parts: Sequence[Sequence[Any]]  #: relation, object, properties
    signatures: Mapping[str, str]
    others: Mapping[str, Sequence[Sequence[str]] | None]  #: by group; None: it has not changed
    rows: Mapping[str, TableRows]


def create(query: Query) -> None:
    ((version,),) = query(VERSION)
    query(_text(int(version)))


def _text(version: int) -> str:
    beginning = catalog_relations.WITH
    parts = [part for part in catalog_relations.QUERIES if part is not catalog_relations.SCHEMAS]
    with_filters = int(version) >= catalog.PUBLICATIONS_HAVE_FILTERS
    publications = catalog_other.PUBLICATION_QUERIES if with_filters else catalog_other.PUBLICATION_QUERIES_14
    groups: dict[str, tuple[str, ...]] = {
        "types": (catalog_programs.TYPES, catalog_programs.DOMAIN_CONSTRAINTS),
        "functions": (catalog_programs.FUNCTIONS, catalog_programs.AGGREGATES),
    }
    every = (catalog_relations.SCHEMAS, *catalog_programs.QUERIES, *catalog_other.QUERIES, *publications)
    groups["rest"] = tuple(one for one in every if not any(one in group for group in groups.values()))
    others = [
        OTHERS.format(number=number, queries=beginning + "\nUNION ALL\n".join(groups[group]))
        for number, group in enumerate(GROUPS, 1)
    ]
    return FUNCTION.format(
        name=NAME,
        changed=catalog_changes.CHANGED,
        told=catalog_changes.TOLD,
        gone=catalog_changes.GONE,
        relations=catalog_changes.RELATIONS,
        signatures=", ".join(catalog_changes.SIGNATURES),
        parts=beginning.replace("WHERE c.relkind IN", ONE) + "\nUNION ALL\n".join((*parts, catalog_changes.UNCHECKED)),
        others="".join(others),
        read=READ,
    )


def ask(
    query: Query, also: Collection[int] | None, known: Collection[int], signatures: Mapping[str, str], *, deep: bool = False
) -> Answer:
    """Return what has changed. `also` are tables whose rows are to be read though they have not; None: everything is read.

    `deep`: what speaks of a relation that has changed is read too.
    """
    names = "NULL" if also is None else _oids(also)
    marks = f"ARRAY[{', '.join(_literal(signatures.get(group, '')) for group in GROUPS)}]"
    ((text,),) = query(f"SELECT {NAME}({names}, {_oids(known)}, {marks}, {deep})")
    told = json.loads(text)
    return Answer(
        relations={oid: name if is_table else None for oid, name, is_table in told["relations"] or []},
        gone=told["gone"],
        parts=told["parts"] or [],
        signatures=dict(zip(GROUPS, told["signatures"], strict=True)),
        others=dict(zip(GROUPS, told["others"], strict=True)),
        rows={name: _rows(oid, name, path, columns or [], marks) for oid, name, path, columns, marks in told["rows"] or []},
    )


def _rows(oid: int, name: str, path: Sequence[str], columns: Sequence[tuple[str, int]], marks: Sequence[str]) -> TableRows:
    rows, digest, *rest = marks
    pairs = zip(rest[::2], rest[1::2], strict=True)
    held = {
        column: ColumnValues(number=number, values=int(values), digest=mark)
        for (column, number), (values, mark) in zip(columns, pairs, strict=True)
    }
    return TableRows(oid=oid, name=name, path=(path[0], path[1]), rows=int(rows), digest=digest, columns=held)


def _oids(oids: Collection[int]) -> str:
    return f"'{{{','.join(map(str, oids))}}}'::oid[]"


def _literal(text: str) -> str:
    return sql.Literal(text).as_string(None)
