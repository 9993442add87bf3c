"""What a database's catalog says about the rows that its tables may hold, in one round trip."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql

from migration_pipeline.domain import seed_keys
from migration_pipeline.domain.seed_values import Kind
from migration_pipeline.domain.seeds import Column, Link, Table

#: One JSON document: tables with their columns, checks, keys and foreign keys, and every type that these columns are made of.
#: "loose" are the last values of the sequences that no column takes its values from by itself.
#: A foreign key of a partition is that of the partitioned table; the copies that the server keeps are left out by conparentid.
CATALOG = """
WITH RECURSIVE family(oid) AS (
  SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname || '.' || c.relname = ANY (%(tables)s::text[]) OR %(tables)s::text[] IS NULL AND c.relkind IN ('r', 'p', 'f')
  UNION
  SELECT near.oid FROM family CROSS JOIN LATERAL (
    SELECT inhparent FROM pg_inherits WHERE inhrelid = family.oid UNION ALL
    SELECT inhrelid FROM pg_inherits WHERE inhparent = family.oid
  ) near(oid)
), parents AS (
  SELECT confrelid AS oid FROM pg_constraint WHERE contype = 'f' AND conrelid IN (SELECT oid FROM family)
), wanted AS (
  SELECT oid FROM family UNION SELECT oid FROM parents UNION SELECT pg_partition_root(oid) FROM parents
), held AS (
  SELECT c.oid, n.nspname, c.relname, c.relkind, c.relispartition, coalesce(pg_partition_root(c.oid), c.oid)::oid AS root,
    c.relkind <> 'f' AND row_security_active(c.oid) AS guarded,
    CASE WHEN c.relispartition THEN pg_get_partition_constraintdef(c.oid) END AS bounds,
    EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') AS extended
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND c.oid IN (SELECT oid FROM wanted)
), columns AS (
  SELECT a.*, pg_get_expr(d.adbin, d.adrelid) AS value FROM held h JOIN pg_attribute a ON a.attrelid = h.oid
  LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum) WHERE a.attnum > 0 AND NOT a.attisdropped
), used(oid) AS (
  SELECT atttypid FROM columns
  UNION
  SELECT part FROM used JOIN pg_type t USING (oid)
  CROSS JOIN LATERAL (
    SELECT t.typelem WHERE t.typcategory = 'A' UNION ALL SELECT t.typbasetype UNION ALL
    SELECT rngsubtype FROM pg_range WHERE t.oid IN (rngtypid, rngmultitypid) UNION ALL
    SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
  ) made(part) WHERE part <> 0
), named AS (SELECT attrelid, attnum, attname FROM pg_attribute WHERE attrelid IN (SELECT oid FROM held))
SELECT json_build_object(
  'tables', (SELECT json_agg(to_json(held) ORDER BY nspname, relname) FROM held),
  'columns', (SELECT json_agg(json_build_array(attrelid::bigint, attname, atttypid::bigint, atttypmod, attnotnull,
      attgenerated <> '' OR attidentity <> '' OR coalesce(starts_with(value, 'nextval('), false)) ORDER BY attrelid, attnum)
    FROM columns),
  'sequences', (SELECT json_agg(json_build_array(refobjid::bigint, attname, objid::regclass::text)) FROM pg_depend
      JOIN named ON (attrelid, attnum) = (refobjid, refobjsubid) JOIN pg_class s ON s.oid = objid AND s.relkind = 'S'
      WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND deptype IN ('a', 'i')),
  'loose', (SELECT json_agg(CASE WHEN has_sequence_privilege(s.oid, 'SELECT') THEN pg_sequence_last_value(s.oid) END)
      FROM pg_class s WHERE s.relkind = 'S' AND NOT EXISTS (SELECT FROM pg_depend d
        WHERE (d.classid, d.objid) = ('pg_class'::regclass, s.oid) AND d.deptype IN ('i', 'e')
        OR (d.refclassid, d.refobjid, d.classid) = ('pg_class'::regclass, s.oid, 'pg_attrdef'::regclass))),
  'checks', (SELECT json_agg(json_build_array(conrelid::bigint, pg_get_expr(conbin, conrelid)) ORDER BY conname)
      FROM pg_constraint WHERE contype = 'c' AND conrelid IN (SELECT oid FROM held)),
  'keys', (SELECT json_agg(json_build_array(indrelid::bigint, ARRAY(SELECT attname FROM named
        WHERE attrelid = indrelid AND attnum = ANY (indkey::int2[])), 0 = ANY (indkey::int2[])) ORDER BY indexrelid)
      FROM pg_index WHERE indisunique AND indrelid IN (SELECT oid FROM held)),
  'links', (SELECT json_agg(json_build_array(h.oid::bigint, c.confrelid::bigint,
        (SELECT json_agg(attname ORDER BY place) FROM unnest(c.conkey) WITH ORDINALITY u(attnum, place)
         JOIN pg_attribute a USING (attnum) WHERE a.attrelid = c.conrelid),
        (SELECT json_agg(attname ORDER BY place) FROM unnest(c.confkey) WITH ORDINALITY u(attnum, place)
         JOIN pg_attribute a USING (attnum) WHERE a.attrelid = c.confrelid)) ORDER BY c.conname)
      FROM held h JOIN pg_constraint c ON c.contype = 'f' AND c.conparentid = 0 AND (c.conrelid = h.oid
        OR h.relispartition AND c.conrelid IN (SELECT relid FROM pg_partition_ancestors(h.oid)))),
  'types', (SELECT json_agg(json_build_array(t.oid::bigint, t.typname, format_type(t.oid, NULL), t.typtype, t.typcategory,
        t.typelem::bigint, t.typbasetype::bigint, t.typtypmod, t.typnotnull, coalesce(
          (SELECT rngsubtype::bigint FROM pg_range WHERE t.oid IN (rngtypid, rngmultitypid)), 0),
        ARRAY(SELECT enumlabel FROM pg_enum WHERE enumtypid = t.oid ORDER BY enumsortorder),
        (SELECT json_agg(json_build_array(atttypid::bigint, atttypmod) ORDER BY attnum) FROM pg_attribute
         WHERE attrelid = t.typrelid AND t.typtype = 'c' AND attnum > 0 AND NOT attisdropped),
        ARRAY(SELECT pg_get_expr(conbin, 0) FROM pg_constraint WHERE contypid = t.oid AND contype = 'c' ORDER BY conname)))
      FROM used JOIN pg_type t USING (oid))
)
"""

STRINGS, BITS, NUMERIC = {"varchar", "bpchar"}, {"bit", "varbit"}, "numeric"
HEADER = 4  #: bytes that a modifier of a type counts before what it says
SIGN = 1 << 10  #: of a numeric's scale, which has eleven bits


@dataclass(frozen=True, kw_only=True)
class Held:
    """One relation of the catalog."""

    oid: int
    path: tuple[str, str]
    kind: str  #: relkind: r, p, f
    root: int  #: the partitioned table at the top, or the table itself
    guarded: bool  #: row level security holds for us
    extended: bool  #: it belongs to an extension
    table: Table

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def quoted(self) -> sql.Identifier:
        return sql.Identifier(*self.path)


def read(connection: "psycopg.Connection[Any]", tables: Collection[str] | None = None) -> dict[int, Held]:
    """Return every table by its OID; or those named (`schema.table`), with what they refer to and their partitions."""
    row = connection.execute(CATALOG, {"tables": None if tables is None else list(tables)}).fetchone()
    found: dict[str, list[Any]] = {name: rows or [] for name, rows in (row[0] if row else {}).items()}
    types = {one[0]: one for one in found["types"]}
    names = {int(one["oid"]): f"{one['nspname']}.{one['relname']}" for one in found["tables"]}
    columns: dict[int, list[Column]] = {}
    generated: dict[int, set[str]] = {}
    for oid, name, type_oid, modifier, required, is_left_out in found["columns"]:
        made = kind(types, type_oid, modifier)
        if is_left_out:
            generated.setdefault(oid, set()).add(name)
        else:
            columns.setdefault(oid, []).append(Column(name=name, kind=made, required=required or made.required))
    sequences = {(oid, name): sequence for oid, name, sequence in found["sequences"]}
    links, checks, keys = _by_table(found["links"]), _by_table(found["checks"]), _by_table(found["keys"])
    loose = [last or 0 for last in found["loose"]]
    held = {}
    for one in found["tables"]:
        oid = int(one["oid"])
        table = Table(
            oid=oid,
            name=names[oid],
            columns=tuple(columns.get(oid, ())),
            checks=(*(check for (check,) in checks.get(oid, ())), *([one["bounds"]] if one["bounds"] else [])),
            keys=tuple(tuple(unique) for unique, has_expression in keys.get(oid, ()) if unique and not has_expression),
            links=tuple(
                Link(columns=tuple(mine), parent=parent, parent_columns=tuple(theirs))
                for parent, mine, theirs in links.get(oid, ())
            ),
            sequences={name: sequences[oid, name] for name in generated.get(oid, ()) if (oid, name) in sequences},
        )
        held[oid] = Held(
            oid=oid,
            path=(one["nspname"], one["relname"]),
            kind=one["relkind"],
            root=int(one["root"]),
            guarded=one["guarded"],
            extended=one["extended"],
            table=seed_keys.far_from(max(loose), table) if loose else table,
        )
    return {oid: _routed(one, held) for oid, one in held.items()}


def _by_table(rows: list[Any]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for oid, *rest in rows:
        found.setdefault(oid, []).append(rest)
    return found


def _routed(one: Held, held: Mapping[int, Held]) -> Held:
    """Let the partitioned table fill what it fills by itself: rows go in through it, so that its defaults hold."""
    if one.root == one.oid:
        return one
    names = {column.name for column in held[one.root].table.columns}
    columns = tuple(column for column in one.table.columns if column.name in names)
    return replace(one, table=replace(one.table, columns=columns))


def kind(types: Mapping[int, Any], oid: int, modifier: int) -> Kind:
    """Return a type as far as its values matter, with what its domains ask."""
    _, name, spelled, typtype, category, element, base, base_modifier, required, subtype, labels, fields, checks = types[oid]
    if typtype == "d":
        inner = kind(types, base, base_modifier)
        return replace(inner, checks=(*inner.checks, *checks), required=inner.required or required)
    if typtype == "e":
        return Kind(name=name, spelled=spelled, form="enum", labels=tuple(labels))
    if category == "A" and element:
        return Kind(name=name, spelled=spelled, form="array", parts=(kind(types, element, modifier),))
    if typtype in {"r", "m"}:
        return Kind(
            name=name, spelled=spelled, form="range" if typtype == "r" else "multirange", parts=(kind(types, subtype, -1),)
        )
    if typtype == "c":
        return Kind(
            name=name, spelled=spelled, form="composite", parts=tuple(kind(types, part, size) for part, size in fields or ())
        )
    size, digits = _limits(name, modifier)
    return Kind(name=name, spelled=spelled, size=size, digits=digits)


def _limits(name: str, modifier: int) -> tuple[int | None, tuple[int, int] | None]:
    """Return what a type's modifier says: a size, or a numeric's precision and scale."""
    if modifier < 0:
        return None, None
    if name in STRINGS:
        return modifier - HEADER, None
    if name == NUMERIC:
        scale = (modifier - HEADER) & (2 * SIGN - 1)
        return None, ((modifier - HEADER) >> 16, (scale ^ SIGN) - SIGN)
    return modifier, None


def filled(connection: "psycopg.Connection[Any]", tables: Sequence[Held]) -> set[int]:
    """Return which of the tables hold rows of their own; one that we may not read counts as empty."""
    arms = [sql.SQL("SELECT {}::bigint WHERE EXISTS (SELECT FROM ONLY {})").format(one.oid, one.quoted) for one in tables]
    if not arms:
        return set()
    try:
        with connection.transaction():
            return {row[0] for row in connection.execute(sql.SQL(" UNION ALL ").join(arms))}
    except psycopg.errors.InsufficientPrivilege:
        return {oid for one in tables for oid in filled(connection, [one])} if len(tables) > 1 else set()
