"""What a database holds, as a plan's measurement sees it: its objects, its row counters, where its sequences stand.

Objects are told apart by OID and column number, not by name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from migration_pipeline.adapters.alembic_project import Session
from migration_pipeline.adapters.transaction import quoted

#: Everything that has a place for data: one row an object, its kind, id and name, and what identifies its storage.
STATE = """
SELECT kind, id, parent, schema, name, storage FROM (
  SELECT CASE c.relkind WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence' ELSE 'table' END
         AS kind, c.oid::text AS id, coalesce(d.refobjid::text, '') AS parent, n.nspname::text AS schema, c.relname::text AS name,
         coalesce(pg_relation_filenode(c.oid)::text, '') AS storage
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_depend d ON c.relkind = 'S' AND d.classid = 'pg_class'::regclass AND d.objid = c.oid
    AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
  WHERE c.relkind IN ('r', 'p', 'm', 'f', 'S')
  UNION ALL
  SELECT 'column', a.attrelid || '.' || a.attnum, a.attrelid::text, n.nspname, a.attname, format_type(a.atttypid, a.atttypmod)
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'm')
  UNION ALL
  SELECT CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END, t.oid::text, '', n.nspname, t.typname, ''
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
  WHERE t.typtype IN ('e', 'd', 'r') OR (t.typtype = 'c' AND c.relkind = 'c')
  UNION ALL
  SELECT 'enum label', e.oid::text, e.enumtypid::text, n.nspname, t.typname || '.' || e.enumlabel, ''
  FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid JOIN pg_namespace n ON n.oid = t.typnamespace
  UNION ALL
  SELECT 'schema', oid::text, '', nspname, '', '' FROM pg_namespace
  UNION ALL
  SELECT 'large object', oid::text, '', 'large objects', oid::text, '' FROM pg_largeobject_metadata
) AS object
WHERE schema !~ '^pg_' AND schema <> 'information_schema'
"""

#: Rows that this session inserted, updated and deleted so far, cascades and triggers included; pages of large objects too.
COUNTERS = """
SELECT relid::text, schemaname::text, relname::text, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_xact_all_tables
WHERE n_tup_ins + n_tup_upd + n_tup_del > 0
  AND (schemaname !~ '^pg_' AND schemaname <> 'information_schema' OR relid = 'pg_catalog.pg_largeobject'::regclass)
"""
LARGE_OBJECTS, LARGE_OBJECTS_OID = "pg_catalog.pg_largeobject", "2613"

#: A writing subtransaction that is rolled back moves this on, and others' commits do; what it counted stays counted.
OVER = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text"

#: Whether a function of the database's own may undo what it did itself: by an EXCEPTION clause, or in another language.
MAY_CATCH = """
SELECT EXISTS (
  SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
  WHERE p.oid >= 16384 AND (l.lanname NOT IN ('internal', 'sql', 'plpgsql') OR p.prosrc ~* 'exception[^;]*when')
    AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e'))
"""

#: Where a sequence stands; one that was set back with is_called = false gives out its last value again.
SEQUENCE = """
SELECT {key}, (last_value - CASE WHEN is_called THEN 0 ELSE sign(seqincrement)::bigint END) * sign(seqincrement)::bigint
FROM {name}, pg_sequence WHERE seqrelid = {key}
"""

STORED = frozenset({"table", "column", "materialized view", "foreign table", "sequence"})
WITH_ROWS = frozenset({"table", "materialized view"})


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One object of the catalog, as STATE reads it."""

    kind: str
    parent: str
    schema: str
    name: str
    storage: str


def sequences_query(things: Mapping[str, Thing], keys: Iterable[str]) -> str:
    return " UNION ALL ".join(SEQUENCE.format(key=key, name=quoted(things[key].schema, things[key].name)) for key in keys)


def state(session: Session) -> dict[str, Thing]:
    """Return the catalog by id. An OID is unique in its own catalog only: what is no relation or column says its kind too."""
    return {
        key if kind in STORED else f"{kind} {key}": Thing(kind=kind, parent=parent, schema=schema, name=name, storage=storage)
        for kind, key, parent, schema, name, storage in session.query(STATE)
    }


def counters(session: Session, base: Mapping[str, Thing], names: dict[str, str]) -> dict[str, tuple[int, int, int]]:
    """Return the row counters by OID, and put into `names` what each table is called: before the plan, if it was there."""
    found = {}
    for relid, schema, table, inserted, updated, deleted in session.query(COUNTERS):
        was = base.get(relid)
        names[relid] = f"{was.schema}.{was.name}" if was else f"{schema}.{table}"
        found[relid] = (inserted, updated, deleted)
    return found
