"""The safe form of a statement that risks the service, in the statement's own names.

A lock that this plan takes lasts to the plan's end, so what reads a whole table is left to a later migration, where it needs a
weaker lock; what cannot run in a transaction gets a migration of its own; rows are written in batches.
"""

from collections.abc import Iterator

from migration_pipeline.domain import finders_service as service
from migration_pipeline.domain import sql
from migration_pipeline.domain.finders import Hit
from migration_pipeline.domain.rule import Step
from migration_pipeline.domain.spelling import alter, changed, dotted, expression, named, quoted, statement, type_name
from migration_pipeline.domain.sql import Name
from migration_pipeline.domain.tokens import pg

NOW = ""
BATCHES = "in batches"
LATER = "in a later migration"
ALONE = "in a migration of its own, outside a transaction"
UNUSED = "once nothing uses the old name"
MOVED = "once the application writes both, in batches"
UNIQUE_INDEX = "in a migration of its own; a unique index over whole rows must be there"

Steps = Iterator[Step]


def rename_relation(node: sql.Node, hit: Hit) -> Steps:
    """Leave a view under the old name: it reads and writes the table as before."""
    if hit.kind == "schema":
        return
    is_move = sql.kind(node) == "AlterObjectSchemaStmt"
    new = Name(node.newschema, hit.name.name) if is_move else Name(hit.name.schema, node.newname)
    yield Step(NOW, statement(node))
    yield Step(NOW, f"CREATE VIEW {dotted(hit.name)} AS SELECT * FROM {dotted(new)}")
    yield Step(UNUSED, f"DROP VIEW {dotted(hit.name)}")


def rename_column(node: sql.Node, hit: Hit) -> Steps:
    table, old, new = dotted(hit.name), quoted(node.subname), quoted(node.newname)
    yield Step(f"{sql.HIDDEN} stands for the type of {old}", f"ALTER TABLE {table} ADD COLUMN {new} {sql.HIDDEN}")
    yield Step(MOVED, f"UPDATE {table} SET {new} = {old} WHERE {new} IS DISTINCT FROM {old}")
    yield Step(UNUSED, f"ALTER TABLE {table} DROP COLUMN {old}")


def change_type(node: sql.Node, hit: Hit) -> Steps:
    del node
    definition = getattr(hit.part, "def").column_def
    table, old, new = dotted(hit.name), quoted(hit.part.name), quoted(f"{hit.part.name}_new")
    wanted = type_name(definition.type_name)
    value = expression(definition.raw_default) if definition.HasField("raw_default") else f"{old}::{wanted}"
    yield Step(NOW, f"ALTER TABLE {table} ADD COLUMN {new} {wanted}")
    yield Step(MOVED, f"UPDATE {table} SET {new} = {value} WHERE {new} IS DISTINCT FROM {value}")
    yield Step(UNUSED, f"ALTER TABLE {table} DROP COLUMN {old}")


def add_stored_column(node: sql.Node, hit: Hit) -> Steps:
    command = changed(hit.part)
    for item in getattr(command, "def").column_def.constraints:
        if item.constraint.contype == pg.CONSTR_GENERATED:
            item.constraint.generated_kind = "v"
    yield Step("computed when it is read, from PostgreSQL 18 on", alter(node, command))


def constrain_domain(node: sql.Node, hit: Hit) -> Steps:
    added = changed(node)
    constraint = getattr(added, "def").constraint
    constraint.conname = constraint.conname or named(hit.name.name, [], "check")
    constraint.skip_validation, constraint.initially_valid = True, False
    yield Step(NOW, statement(added))
    yield Step(LATER, f"ALTER DOMAIN {dotted(hit.name)} VALIDATE CONSTRAINT {quoted(constraint.conname)}")


def build_index(node: sql.Node, _: Hit) -> Steps:
    method = "" if node.access_method == "btree" else node.access_method  # the parser writes the default in
    yield Step(ALONE, statement(changed(node, concurrent=True, access_method=method)))


def drop_index(node: sql.Node, hit: Hit) -> Steps:
    if node.behavior != pg.DROP_CASCADE:
        yield Step(ALONE, f"DROP INDEX CONCURRENTLY {'IF EXISTS ' if node.missing_ok else ''}{dotted(hit.name)}")


def rebuild_index(node: sql.Node, _: Hit) -> Steps:
    if node.kind != pg.REINDEX_OBJECT_SYSTEM:
        online = changed(node)
        online.params.add().def_elem.defname = "concurrently"
        yield Step(ALONE, statement(online))


def lock_writes_out(node: sql.Node, _: Hit) -> Steps:
    yield Step("reads go on", statement(changed(node, mode=service.ACCESS_EXCLUSIVE - 1)))


def attach(node: sql.Node, hit: Hit) -> Steps:
    partition, name = dotted(hit.name), quoted(named(hit.name.name, [], "bound"))
    bound = f"{sql.HIDDEN} stands for the bound, as a condition on the partition key"
    yield Step(bound, f"ALTER TABLE {partition} ADD CONSTRAINT {name} CHECK ({sql.HIDDEN}) NOT VALID")
    yield Step(LATER, f"ALTER TABLE {partition} VALIDATE CONSTRAINT {name}")
    yield Step(f"{LATER} again", alter(node, hit.part))
    yield Step(f"{LATER} again", f"ALTER TABLE {partition} DROP CONSTRAINT {name}")


def detach(node: sql.Node, hit: Hit) -> Steps:
    command = changed(hit.part)
    getattr(command, "def").partition_cmd.concurrent = True
    yield Step(ALONE, alter(node, command))


def refresh(node: sql.Node, _: Hit) -> Steps:
    if not node.skip_data:
        yield Step(UNIQUE_INDEX, statement(changed(node, concurrent=True)))
