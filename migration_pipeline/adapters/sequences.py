"""Sets the sequences of a copy back: PostgreSQL never rolls them back, and a plan that runs there again would get other ids."""

from psycopg import sql

from migration_pipeline.adapters import postgres
from migration_pipeline.domain.connection import Connection

NAMES = """
SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
Places = dict[tuple[str, str], tuple[int, bool]]  #: by name: last_value and is_called


def read(copy: Connection) -> Places:
    with postgres.session(copy, purpose="looks") as opened:
        query = sql.SQL("SELECT last_value, is_called FROM {}")
        return {
            (schema, name): postgres.rows(opened, query.format(sql.Identifier(schema, name)))[0]
            for schema, name in postgres.rows(opened, NAMES)
        }


def set_back(copy: Connection, places: Places) -> None:
    """Set each of them to where it stood, if it is still there."""
    if not places:
        return
    with postgres.session(copy, purpose="sets sequences back") as opened:
        there = set(postgres.rows(opened, NAMES))
        for name, (value, called) in places.items():
            if name in there:
                postgres.execute(
                    opened, "SELECT setval(%s::regclass, %s, %s)", sql.Identifier(*name).as_string(None), value, called
                )
