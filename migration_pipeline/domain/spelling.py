"""SQL written from parsed statements: names quoted where they must be, parts printed by PostgreSQL's own parser library."""

import importlib
import re
from functools import lru_cache
from typing import Any

from migration_pipeline.domain import sql, tokens
from migration_pipeline.domain.sql import Name
from migration_pipeline.domain.tokens import pg, postgast

protobuf: Any = importlib.import_module("google.protobuf.message")  #: publishes no types
PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
LONGEST_NAME = 63  #: bytes (https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS)
FIELDS: dict[str, str] = {
    field.message_type.name: field.name for field in pg.Node.DESCRIPTOR.fields if field.message_type is not None
}
#: What printing raises on a tree that it does not know, or that is over 100 levels deep.
UNPRINTABLE = (postgast.PgQueryError, protobuf.Error, UnicodeError, ValueError)
#: What stands in a text for a part that was not shown; printed it would get quotes.
QUOTED_HIDDEN = f'"{sql.HIDDEN}"'


def quoted(*names: str) -> str:
    """Return names as a list between commas, quoted where PostgreSQL would read them otherwise."""
    return ", ".join(map(_quoted, names))


@lru_cache(maxsize=4096)
def _quoted(name: str) -> str:
    if PLAIN.fullmatch(name):
        found = tokens.scan(name)
        if found and found[0][1].keyword_kind in {pg.NO_KEYWORD, pg.UNRESERVED_KEYWORD}:
            return name
    return '"' + name.replace('"', '""') + '"'


def dotted(name: Name) -> str:
    return f"{quoted(name.schema)}.{quoted(name.name)}" if name.schema else quoted(name.name)


def named(table: str, columns: list[str], label: str) -> str:
    """Return the name of a constraint as PostgreSQL makes them up, cut to the length of a name."""
    start = "_".join([table, *columns]).encode()[: LONGEST_NAME - 1 - len(label)]
    return f"{start.decode(errors='ignore')}_{label}"


def statement(node: sql.Node) -> str:
    """Print a statement."""
    tree = pg.ParseResult()
    getattr(tree.stmts.add().stmt, FIELDS[sql.kind(node)]).CopyFrom(node)
    return str(postgast.deparse(tree)).replace(QUOTED_HIDDEN, sql.HIDDEN)


def alter(node: sql.Node, command: sql.Node) -> str:
    """Print an ALTER TABLE with this one command."""
    alone = changed(node)
    del alone.cmds[:]
    alone.cmds.add().alter_table_cmd.CopyFrom(command)
    return statement(alone)


def changed(node: sql.Node, **fields: Any) -> sql.Node:
    """Return a copy of a node with other values."""
    copy = type(node)()
    copy.CopyFrom(node)
    for name, value in fields.items():
        setattr(copy, name, value)
    return copy


def expression(node: sql.Node) -> str:
    """Print an expression."""
    select = pg.SelectStmt(limit_option=pg.LIMIT_OPTION_DEFAULT, op=pg.SETOP_NONE)
    select.target_list.add().res_target.val.CopyFrom(node)
    return statement(select).removeprefix("SELECT ")


def type_name(node: sql.Node) -> str:
    """Print the name of a type."""
    column = pg.ColumnDef(colname="c", is_local=True)
    column.type_name.CopyFrom(node)
    table = pg.AlterTableStmt(objtype=pg.OBJECT_TABLE)
    table.relation.CopyFrom(pg.RangeVar(relname="t", inh=True, relpersistence="p"))
    command = pg.AlterTableCmd(subtype=pg.AT_AddColumn, behavior=pg.DROP_RESTRICT)
    getattr(command, "def").column_def.CopyFrom(column)
    return alter(table, command).removeprefix("ALTER TABLE t ADD COLUMN c ")


def is_readable(text: str) -> bool:
    """Tell whether PostgreSQL's parser takes a text as it is."""
    try:
        postgast.parse(text)
    except UNPRINTABLE:
        return False
    return True
