"""Reads the schema of a database as a snapshot, whoever holds the connection. It changes nothing and keeps no lock.

Read with the rights of any role. Not read: what belongs to extensions, subscriptions (a restored copy has none), the
database's own settings and privileges, roles, tablespaces, security labels, and options of user mappings (they hold passwords).
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from migration_pipeline.adapters import catalog_other, catalog_programs, catalog_relations
from migration_pipeline.domain import expressions
from migration_pipeline.domain.schema import SchemaSnapshot

#: PostgreSQL 15 gave publications column lists, row filters and schemas.
PUBLICATIONS_HAVE_FILTERS = 150_000

#: Rolling back to it undoes SETTINGS and gives back the locks that pg_get_viewdef takes on every table of a view.
BEGIN = "SAVEPOINT migration_pipeline_catalog"
#: The reading is over.
END = ("ROLLBACK TO SAVEPOINT migration_pipeline_catalog", "RELEASE SAVEPOINT migration_pipeline_catalog")

#: The server's version; and settings that pg_get_expr and its family print by. `pg_temp` is named so that it comes last:
#: unnamed it comes first, and a temporary table called pg_class would be read instead.
SETTINGS = """
SELECT pg_catalog.current_setting('server_version_num')::int,
       pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),
       pg_catalog.set_config('DateStyle', 'ISO, MDY', true),
       pg_catalog.set_config('IntervalStyle', 'postgres', true),
       pg_catalog.set_config('TimeZone', 'UTC', true),
       pg_catalog.set_config('bytea_output', 'hex', true),
       pg_catalog.set_config('extra_float_digits', '1', true),
       pg_catalog.set_config('lc_monetary', 'C', true),
       pg_catalog.set_config('quote_all_identifiers', 'off', true),
       pg_catalog.set_config('jit', 'off', true)
"""

#: Properties that hold SQL, and what makes each a statement that can be parsed.
SQL = {
    "definition": expressions.STATEMENT,
    "default": expressions.EXPRESSION,
    "generated as": expressions.EXPRESSION,
    "using": expressions.EXPRESSION,
    "with check": expressions.EXPRESSION,
    "where": expressions.EXPRESSION,
    "partition key": expressions.PARTITION_KEY,
}


def read(query: Callable[[str], Sequence[Sequence[Any]]]) -> SchemaSnapshot:
    """Return the schema as `query` sees it: one SQL text in, its rows out, none for a statement that returns none.

    It must be called inside a transaction. Five statements, one of which reads everything. The functions that print
    expressions look at the catalog as it is now, not at the transaction's snapshot: under a migration lock that is the same.
    """
    query(BEGIN)
    version = int(query(SETTINGS)[0][0])
    rows = query(statement(version))
    for command in END:
        query(command)
    return snapshot(rows)


def statement(version: int) -> str:
    """Return the one statement that reads everything; its rows are object and properties, the latter as JSON."""
    filters = version >= PUBLICATIONS_HAVE_FILTERS
    parts = (
        *catalog_relations.QUERIES,
        *catalog_programs.QUERIES,
        *catalog_other.QUERIES,
        *(catalog_other.PUBLICATION_QUERIES if filters else catalog_other.PUBLICATION_QUERIES_14),
    )
    return catalog_relations.WITH + "\nUNION ALL\n".join(parts)


def snapshot(rows: Sequence[Sequence[Any]]) -> SchemaSnapshot:
    """Make the expressions canonical, and one entry of all rows about the same object."""
    objects: dict[str, dict[str, str]] = {}
    for name, properties in rows:
        held = objects.setdefault(name, {})
        for key, value in json.loads(properties).items():
            held[key] = canonical(name, key, value)
    return SchemaSnapshot(objects=objects)


def canonical(name: str, key: str, value: str) -> str:
    if key not in SQL:
        return value
    before = expressions.CONSTRAINT if name.startswith("constraint ") else SQL[key]
    return expressions.canonical(value, before)
