"""One moment of a database, held open: what pg_dump writes and what the manifest records are the same rows.

https://www.postgresql.org/docs/current/functions-admin.html, pg_export_snapshot.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from migration_pipeline.adapters import catalog, postgres
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.schema import SchemaSnapshot

BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
EXPORT = "SELECT pg_export_snapshot(), clock_timestamp()"


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


@contextlib.contextmanager
def exported(connection: Connection) -> Iterator[Snapshot]:
    with postgres.session(connection, purpose="backup") as opened:
        postgres.execute(opened, BEGIN)
        name, moment = postgres.one(opened, EXPORT)
        yield Snapshot(name=name, time=moment, session=opened)


def contents(opened: "psycopg.Connection[Any]", version_table: tuple[str | None, str]) -> Contents:
    """Read what the manifest records; the session must be inside a transaction."""
    return Contents(
        rows=postgres.count_rows(opened),
        schema=schema_of(opened),
        heads=postgres.version_rows(opened, *version_table),
        extensions=dict(postgres.rows(opened, postgres.EXTENSIONS)),
        roles=tuple(row[0] for row in postgres.rows(opened, postgres.ROLES)),
    )


def schema_of(opened: "psycopg.Connection[Any]") -> SchemaSnapshot:
    return catalog.read(lambda query: postgres.catalog_query(opened, query))
