"""One question about everything: a temporary function that reads what a transaction has changed, in one round trip.

Its own settings decide how expressions and values read, so that nothing of the project's session is touched.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from migration_pipeline.adapters import (
    catalog,
    catalog_beside,
    catalog_changes,
    catalog_other,
    catalog_programs,
    catalog_relations,
    large_object_marks,
    sequence_marks,
    table_marks,
)
from migration_pipeline.domain.sequence_positions import SetBack, Stood
from migration_pipeline.domain.table_rows import ColumnValues, TableRows

Query = Callable[[str], Sequence[Sequence[Any]]]
NAME = "pg_temp.migration_pipeline_look"
VERSION = "SELECT pg_catalog.current_setting('server_version_num')::int"
GROUPS = tuple(catalog_changes.CATALOGS)
ONE = "WHERE c.oid = g.oid AND c.relkind IN"  #: reads the parts of one relation

#: Plans are made once, mostly while there is little in the catalog, and would read all of it each time when there is much.
FUNCTION = """
CREATE OR REPLACE FUNCTION {name}(mp_also oid[], mp_known oid[], mp_signatures text[], mp_deep bool, mp_stood jsonb)
  RETURNS text LANGUAGE plpgsql {settings} SET enable_seqscan = off
AS $look$
#variable_conflict use_column
DECLARE
  mp_changed oid[]; mp_told oid[]; mp_wanted oid[]; mp_read oid[]; mp_gone bigint[]; mp_found text[];
  mp_locked oid[]; mp_altered oid[]; mp_objects oid[]; mp_large bool;
  mp_relations json; mp_parts json; mp_others json[]; mp_rows json[]; mp_back json[]; mp_one record; mp_row json;
BEGIN
  {locks};
  IF mp_also IS NOT NULL THEN
    mp_changed := ARRAY(SELECT q.oid FROM ({changed}) q(oid));
    mp_told := mp_changed;
  END IF;
  IF mp_deep THEN
    mp_told := ARRAY(SELECT q.oid FROM ({told}) q(oid));
  END IF;
  SELECT json_agg(json_build_array(q.oid::bigint, q.name, q.is_table, q.numbers)), array_agg(q.oid),
    array_agg(q.oid) FILTER (WHERE q.is_table AND (mp_also IS NULL OR q.oid = ANY (mp_changed)))
    INTO mp_relations, mp_wanted, mp_read FROM ({relations}) q;
  mp_read := array_remove(mp_read || mp_also, '{large_oid}');
  mp_gone := ARRAY({gone});
  mp_found := ARRAY[{signatures}];
  IF mp_wanted IS NOT NULL THEN
    SELECT json_agg(json_build_array(g.oid::bigint, x.object, x.properties)) INTO mp_parts
    FROM unnest(mp_wanted) g(oid), LATERAL ({parts}) x(object, properties);
  END IF;
  mp_others := ARRAY[NULL, NULL, NULL]::json[];
{others}
  mp_rows := {rows}(mp_read);
{large}
  IF mp_stood IS NOT NULL THEN
    FOR mp_one IN SELECT q.* FROM ({set_back}) q LOOP
      EXECUTE mp_one.query INTO mp_row;
      mp_back := mp_back || json_build_array(mp_one.name, mp_one.was, mp_one.step, mp_one.columns, mp_row);
    END LOOP;
  END IF;
  RETURN json_build_object('relations', mp_relations, 'gone', mp_gone, 'parts', mp_parts, 'signatures', mp_found,
    'others', mp_others, 'rows', mp_rows, 'back', mp_back);
END $look$
"""
OTHERS = """
  IF mp_found[{number}] IS DISTINCT FROM mp_signatures[{number}] THEN
    mp_others[{number}] := (SELECT coalesce(json_agg(json_build_array(x.object, x.properties)), '[]') FROM ({queries}) x(object, properties));
  END IF;"""  # noqa: E501


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the function found."""

    relations: Mapping[int, str | None]  #: those that were read, by OID; the name of a table
    rowless: Mapping[int, TableRows]  #: of these, by OID, what has columns and no rows itself
    gone: Collection[int]  #: of those that were known
    parts: Sequence[Sequence[Any]]  #: relation, object, properties
    signatures: Mapping[str, str]
    others: Mapping[str, Sequence[Sequence[str]] | None]  #: by group; None: it has not changed
    rows: Mapping[str, TableRows]
    set_back: Sequence[SetBack]


def create(query: Query) -> None:
    table_marks.create(query)
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
    every = (catalog_relations.SCHEMAS, *catalog_programs.QUERIES, *catalog_other.QUERIES, *publications, *catalog_beside.QUERIES)
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
        signatures=", ".join(catalog_changes.signatures(without="" if with_filters else "pg_publication_namespace")),
        parts=beginning.replace("WHERE c.relkind IN", ONE) + "\nUNION ALL\n".join((*parts, catalog_changes.UNCHECKED)),
        others="".join(others),
        rows=table_marks.NAME,
        settings=table_marks.SETTINGS,
        locks=catalog_changes.LOCKS.strip(),
        large=large_object_marks.READ,
        large_oid=large_object_marks.OID,
        set_back=sequence_marks.SET_BACK,
    )


def ask(
    query: Query,
    also: Collection[int] | None,
    known: Collection[int],
    signatures: Mapping[str, str],
    *,
    deep: bool = False,
    stood: Stood | None = None,
) -> Answer:
    """Return what has changed. `also` are tables whose rows are to be read though they have not; None: everything is read.

    `deep`: what speaks of a relation that has changed is read too. `stood`: sequences are looked for that stand before that.
    """
    names = "NULL" if also is None else _oids(also)
    marks = f"ARRAY[{', '.join(_literal(signatures.get(group, '')) for group in GROUPS)}]"
    places = f"{_literal(json.dumps(stood))}::jsonb" if stood else "NULL"
    ((text,),) = query(f"SELECT {NAME}({names}, {_oids(known)}, {marks}, {deep}, {places})")
    told = json.loads(text)
    return Answer(
        relations={oid: name if is_table else None for oid, name, is_table, _ in told["relations"] or []},
        rowless={oid: _rowless(oid, name, numbers) for oid, name, _, numbers in told["relations"] or [] if numbers is not None},
        gone=told["gone"],
        parts=told["parts"] or [],
        signatures=dict(zip(GROUPS, told["signatures"], strict=True)),
        others=dict(zip(GROUPS, told["others"], strict=True)),
        rows={one.name: one for one in map(table_marks.made, told["rows"] or [])},
        set_back=sequence_marks.set_back(told["back"] or []),
    )


def _rowless(oid: int, name: str, numbers: Mapping[str, int]) -> TableRows:
    columns = {column: ColumnValues(number=number, values=0, digest="") for column, number in numbers.items()}
    return TableRows(oid=oid, name=name, path=("", name), rows=0, digest="", columns=columns)


def _oids(oids: Collection[int]) -> str:
    return f"'{{{','.join(map(str, oids))}}}'::oid[]"


def _literal(text: str) -> str:
    return sql.Literal(text).as_string(None)
