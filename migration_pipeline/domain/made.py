"""The names that a CREATE makes."""

from collections.abc import Callable, Iterator

from migration_pipeline.domain import sql
from migration_pipeline.domain.sql import Name
from migration_pipeline.domain.tokens import pg

SERIALS = frozenset({"serial", "bigserial", "smallserial", "serial4", "serial8", "serial2"})


def names(node: sql.Node, kind: str) -> Iterator[tuple[Name, bool]]:
    """Yield the names that a CREATE makes; with IF NOT EXISTS an object of before may be meant."""
    if kind in {"CreateStmt", "CreateForeignTableStmt"}:
        base = node.base_stmt if kind == "CreateForeignTableStmt" else node
        table, sure = sql.relation(base.relation), not base.if_not_exists
        yield table, sure
        for item in base.table_elts:
            if item.HasField("column_def") and is_serial(item.column_def):
                yield sequence_of(table, item.column_def.colname), sure
    elif kind == "IndexStmt":
        if node.idxname:
            yield Name(node.relation.schemaname or None, node.idxname), not node.if_not_exists
    elif kind in NAMED and (name := NAMED[kind](node)) is not None:
        yield name, not getattr(node, "if_not_exists", False)


#: Statement type → the name that it makes.
NAMED: dict[str, Callable[[sql.Node], Name | None]] = {
    "CreateTableAsStmt": lambda node: sql.relation(node.into.rel),
    "SelectStmt": lambda node: sql.relation(node.into_clause.rel) if node.HasField("into_clause") else None,
    "CreateSeqStmt": lambda node: sql.relation(node.sequence),
    "CompositeTypeStmt": lambda node: sql.relation(node.typevar),
    "CreateEnumStmt": lambda node: sql.dotted(node.type_name),
    "CreateRangeStmt": lambda node: sql.dotted(node.type_name),
    "CreateDomainStmt": lambda node: sql.dotted(node.domainname),
}


def is_serial(column: sql.Node) -> bool:
    """Tell whether a column brings a sequence with it (https://www.postgresql.org/docs/current/datatype-numeric.html)."""
    identity = any(item.constraint.contype == pg.CONSTR_IDENTITY for item in column.constraints)
    return identity or sql.dotted(column.type_name.names).name in SERIALS


def sequence_of(table: Name, column: str) -> Name:
    return Name(table.schema, f"{table.name}_{column}_seq")
