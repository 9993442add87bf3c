"""One moment of a database, held open: what pg_dump writes and what the manifest records are the same rows.

https://www.postgresql.org/docs/current/functions-admin.html, pg_export_snapshot.
"""

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from migration_pipeline.adapters import catalog, postgres, row_hashes
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.schema import SchemaSnapshot

BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
EXPORT = "SELECT pg_export_snapshot(), clock_timestamp()"

#: Sequences that only ever rise, and have been used.
SEQUENCES = """
SELECT format('%s.%s', s.schemaname, s.sequencename), s.last_value FROM pg_sequences s
WHERE s.last_value IS NOT NULL AND NOT s.cycle AND s.increment_by > 0 AND s.schemaname !~ '^pg_'
ORDER BY 1
"""
LARGE_OBJECTS = "SELECT count(*) FROM pg_largeobject_metadata"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """An exported snapshot: its name lives as long as the session."""

    name: str
    time: datetime
    session: "psycopg.Connection[Any]"


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a database holds in a snapshot."""

    rows: dict[str, int]
    schema: SchemaSnapshot
    heads: tuple[str, ...]
    extensions: dict[str, str]
    roles: tuple[str, ...]
    large_objects: int
    row_hashes: dict[str, str]  #: empty where nobody asked for them


@contextlib.contextmanager
def exported(connection: Connection) -> Iterator[Snapshot]:
    with postgres.session(connection, purpose="backup") as opened:
        postgres.execute(opened, BEGIN)
        name, moment = postgres.one(opened, EXPORT)
        yield Snapshot(name=name, time=moment, session=opened)


def contents(
    opened: "psycopg.Connection[Any]",
    version_table: tuple[str | None, str],
    *,
    hashed: bool = False,
    recorded: Collection[str] = (),
) -> Contents:
    """Read what the manifest records; the session must be inside a transaction."""
    return Contents(
        rows=postgres.count_rows(opened),
        schema=schema_of(opened),
        heads=postgres.version_rows(opened, *version_table),
        extensions=dict(postgres.rows(opened, postgres.EXTENSIONS)),
        roles=tuple(row[0] for row in postgres.rows(opened, postgres.ROLES)),
        large_objects=postgres.one(opened, LARGE_OBJECTS)[0],
        row_hashes=row_hashes.of(opened, recorded) if hashed else {},  # last, for it changes the session's settings
    )


def sequences(opened: "psycopg.Connection[Any]") -> dict[str, int]:
    """Return the last value of each sequence. No snapshot holds them: read before a dump, they are behind the dump's."""
    return dict(postgres.rows(opened, SEQUENCES))


def schema_of(opened: "psycopg.Connection[Any]") -> SchemaSnapshot:
    return catalog.read(lambda query: postgres.catalog_query(opened, query))
