"""Which table of before a statement changes the values of, and in which columns, as far as its text tells."""

from dataclasses import dataclass

from migration_pipeline.domain import functions, sql
from migration_pipeline.domain.sql import Name, Node, Parsed
from migration_pipeline.domain.tokens import pg

#: Commands of ALTER TABLE that leave every value as it is; some of them write the whole table anew.
KEEP_VALUES = frozenset(
    {pg.AT_AddColumn, pg.AT_SetNotNull, pg.AT_DropNotNull, pg.AT_ColumnDefault, pg.AT_AddConstraint, pg.AT_DropConstraint}
)


@dataclass(frozen=True, kw_only=True)
class Change:
    """What one statement changes."""

    table: Name
    #: Columns by name, those aside that are computed from them. None: any, for the text does not tell.
    columns: frozenset[str] | None


def of(parsed: Parsed) -> Change | None:
    """Return the one table whose values a text changes; None: there is none, or more may be."""
    if len(parsed.pieces) != 1:
        return None
    (piece,) = parsed.pieces
    node = piece.statement
    match sql.kind(node):
        case "UpdateStmt":
            columns = frozenset(item.res_target.name for item in node.target_list)
            return Change(table=sql.relation(node.relation), columns=columns if _is_plain(piece) else None)
        case "InsertStmt" if node.on_conflict_clause.action == pg.ONCONFLICT_UPDATE:
            return Change(table=sql.relation(node.relation), columns=None)
        case "MergeStmt":
            return Change(table=sql.relation(node.relation), columns=None)
        case "AlterTableStmt" if node.objtype == pg.OBJECT_TABLE:
            return _of_alter(node, piece)
        case _:
            return None


def _of_alter(node: Node, piece: sql.Piece) -> Change | None:
    commands = [item.alter_table_cmd for item in node.cmds]
    altered = frozenset(one.name for one in commands if one.subtype == pg.AT_AlterColumnType)
    others = [one for one in commands if one.subtype != pg.AT_AlterColumnType]
    if any(one.subtype not in KEEP_VALUES for one in others):
        return None
    if not altered and all(one.subtype != pg.AT_AddColumn for one in others):
        return None
    return Change(table=sql.relation(node.relation), columns=altered if _is_plain(piece) else None)


def _is_plain(piece: sql.Piece) -> bool:
    """Tell whether nothing in it could change another row or column: known functions only, and no default of a column's."""
    first, *others = piece.nodes
    for node in others:
        match sql.kind(node):
            case "SelectStmt":
                continue
            case "FuncCall":
                name = sql.dotted(node.funcname)
                if not functions.is_reading(name.schema, name.name):
                    return False
            case _:
                return False
    return sql.kind(first) != "UpdateStmt" or not any(_takes_default(item.res_target.val) for item in first.target_list)


def _takes_default(value: Node) -> bool:
    return sql.kind(sql.unwrap(value)) == "SetToDefault" or value.HasField("multi_assign_ref")
