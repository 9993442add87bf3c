"""A hash over the rows of each table, the same in whatever order they lie: what a restore must bring back, value for value.

`hash_record_extended` is two times faster than a hash of the row's text, and knows the built-in types alone by their values: an
enum's label hashes to its OID, which a restore changes. https://www.postgresql.org/docs/current/functions-textsearch.html has
neither; they are in `pg_proc`, and partitioning by hash is built on them.
"""

from collections.abc import Collection
from typing import Any

import psycopg
from psycopg import sql

from migration_pipeline import errors
from migration_pipeline.adapters import postgres

#: Types whose hash depends on the value alone, wherever it lies.
STABLE = """
int2 int4 int8 text varchar bool uuid date timestamp timestamptz time timetz numeric bytea jsonb float4 float8 inet cidr
macaddr macaddr8 char name
""".split()  # noqa: SIM905 - a table

#: Tables as `postgres.TABLES` has them, and whether every column of theirs is of such a type, or an array of one.
TABLES = """
SELECT n.nspname::text, c.relname::text,
       coalesce(bool_and(t.typname = ANY (%s) AND t.typnamespace = 'pg_catalog'::regnamespace AND NOT EXISTS (
         SELECT FROM pg_collation k WHERE k.oid = a.attcollation AND NOT k.collisdeterministic)), true)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_type own ON own.oid = a.atttypid
LEFT JOIN pg_type t ON t.oid = CASE WHEN own.typcategory = 'A' THEN own.typelem ELSE own.oid END
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (
  SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
GROUP BY 1, 2 ORDER BY 1, 2
"""
#: A text form depends on these; a dump writes values under the same.
SETTINGS = """
SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL IntervalStyle = 'postgres';
SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'; SET LOCAL lc_monetary = 'C'; SET LOCAL search_path = ''
"""
BY_RECORD = "SELECT coalesce(sum(hash_record_extended((t.*), 0)), 0)::text FROM ONLY {} AS t"
BY_TEXT = "SELECT coalesce(sum(hashtextextended((t.*)::text, 0)), 0)::text FROM ONLY {} AS t"

BY_PAGE = "large objects, by page"
#: Page by page where we may read the catalog itself, whole where we may not: an object is up to 4 TB, a value 1 GB.
PAGES = "SELECT coalesce(sum(hash_record_extended(ROW(loid::int8, pageno, data), 0)), 0)::text FROM pg_largeobject"
WHOLE = "SELECT coalesce(sum(hash_record_extended(ROW(oid::int8, lo_get(oid)), 0)), 0)::text FROM pg_largeobject_metadata"
MAY_READ_PAGES = "SELECT has_table_privilege('pg_catalog.pg_largeobject', 'SELECT')"


def of(opened: "psycopg.Connection[Any]", recorded: Collection[str] = ()) -> dict[str, str]:
    """Return the hash of each table, by name; the session must be inside a transaction.

    Large objects are read in the way that was recorded. Raise NotAllowed where our role may not.
    """
    opened.execute(SETTINGS)
    found = {}
    for schema, table, is_stable in postgres.rows(opened, TABLES, STABLE):
        query = sql.SQL(BY_RECORD if is_stable else BY_TEXT).format(sql.Identifier(schema, table))
        found[f"{schema}.{table}"] = str(postgres.rows(opened, query)[0][0])
    (may_read_pages,) = postgres.one(opened, MAY_READ_PAGES)
    by_page = BY_PAGE in recorded if recorded else may_read_pages
    if by_page and not may_read_pages:
        raise errors.NotAllowed(
            "The backup's large objects cannot be compared: our role may not read them page by page, as they were hashed.",
            next_step="GRANT SELECT ON pg_largeobject to the role on the scratch server, or name a superuser there",
        )
    found[BY_PAGE if by_page else "large objects, whole"] = str(postgres.one(opened, PAGES if by_page else WHOLE)[0])
    return found
