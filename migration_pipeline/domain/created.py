"""What a plan itself made, so that losing it again is no loss. When in doubt an object was there before."""

from collections.abc import Callable, Iterator, Mapping
from enum import Enum

from migration_pipeline.domain import sql
from migration_pipeline.domain.finders import Hit, commands
from migration_pipeline.domain.sql import Name
from migration_pipeline.domain.tokens import pg

SERIALS = frozenset({"serial", "bigserial", "smallserial", "serial4", "serial8", "serial2"})


class Origin(Enum):
    """Where an object came from."""

    BEFORE = "before"
    PERHAPS = "perhaps"  #: IF NOT EXISTS, a block with conditions, a name with a schema on one side only
    PLAN = "plan"


class Created:
    """The objects and columns that the statements so far have made, each surely or perhaps."""

    def __init__(self) -> None:
        self._relations: dict[Name, bool] = {}
        self._columns: dict[tuple[Name, str], bool] = {}
        self._schemas: dict[str, bool] = {}

    def origin(self, hit: Hit) -> Origin:
        if hit.kind == "schema":
            return _origin(self._schemas.get(hit.name.name))
        if hit.name.schema == "pg_temp":
            return Origin.PLAN
        found = _look_up(self._relations, hit.name)
        if found is not Origin.PLAN and hit.name.schema is not None and self._schemas.get(hit.name.schema):
            found = Origin.PLAN
        if found is not Origin.PLAN and hit.column is not None:
            columns = {table: sure for (table, column), sure in self._columns.items() if column == hit.column}
            found = _look_up(columns, hit.name) if columns else found
        return found

    def note(self, node: sql.Node, kind: str, *, surely: bool) -> None:
        """Take in what a statement makes, renames and drops."""
        match kind:
            case "AlterTableStmt":
                self._alter(node, surely=surely)
            case "RenameStmt":
                self._rename(node)
            case "AlterObjectSchemaStmt":
                if node.HasField("relation"):
                    self._move(sql.relation(node.relation), Name(node.newschema, node.relation.relname))
            case "DropStmt":
                self._drop(node)
            case "CreateSchemaStmt":
                self._schemas[node.schemaname] = surely and not node.if_not_exists
            case "VariableSetStmt" if node.name == "search_path":
                self._doubt()
            case "TransactionStmt" if node.kind == pg.TRANS_STMT_ROLLBACK_TO:
                self._doubt()
            case _:
                for name, sure in _made(node, kind):
                    self._relations[name] = surely and sure

    def _alter(self, node: sql.Node, *, surely: bool) -> None:
        table = sql.relation(node.relation)
        for command in commands(node):
            if command.subtype == pg.AT_AddColumn:
                column = getattr(command, "def").column_def
                sure = surely and not command.missing_ok and not node.missing_ok
                self._columns[table, column.colname] = sure
                if _is_serial(column):
                    self._relations[_sequence_of(table, column.colname)] = sure
            elif command.subtype == pg.AT_DropColumn:
                self._columns.pop((table, command.name), None)

    def _rename(self, node: sql.Node) -> None:
        if node.rename_type == pg.OBJECT_COLUMN:
            table = sql.relation(node.relation)
            sure = self._columns.pop((table, node.subname), None)
            self._columns.pop((table, node.newname), None)
            if sure is not None:
                self._columns[table, node.newname] = sure
        elif node.rename_type == pg.OBJECT_SCHEMA:
            sure = self._schemas.pop(node.subname, None)
            if sure is not None:
                self._schemas[node.newname] = sure
        elif node.rename_type == pg.OBJECT_TYPE:
            old = sql.dotted(node.object.list.items)
            self._move(old, Name(old.schema, node.newname))
        elif node.HasField("relation") and not node.subname:
            old = sql.relation(node.relation)
            self._move(old, Name(old.schema, node.newname))

    def _move(self, old: Name, new: Name) -> None:
        sure = self._relations.pop(old, None)
        self._relations.pop(new, None)
        if sure is not None:
            self._relations[new] = sure
        for (table, column), known in list(self._columns.items()):
            if table == old:
                del self._columns[table, column]
                self._columns[new, column] = known

    def _drop(self, node: sql.Node) -> None:
        for item in map(sql.unwrap, node.objects):
            if sql.kind(item) in {"List", "TypeName"}:
                name = sql.dotted(item.items if sql.kind(item) == "List" else item.names)
                self._relations.pop(name, None)
                for key in [key for key in self._columns if key[0] == name]:
                    del self._columns[key]
            elif node.remove_type == pg.OBJECT_SCHEMA:
                self._schemas.pop(item.sval, None)

    def _doubt(self) -> None:
        """After a rollback to a savepoint, or with another search_path, a name may be another object again."""
        self._relations = dict.fromkeys(self._relations, False)
        self._columns = dict.fromkeys(self._columns, False)
        self._schemas = dict.fromkeys(self._schemas, False)


def _origin(sure: bool | None) -> Origin:
    if sure is None:
        return Origin.BEFORE
    return Origin.PLAN if sure else Origin.PERHAPS


def _look_up(known: Mapping[Name, bool], name: Name) -> Origin:
    if name in known:
        return _origin(known[name])
    alike = any(other.name == name.name and None in {other.schema, name.schema} for other in known)
    return Origin.PERHAPS if alike else Origin.BEFORE


def _made(node: sql.Node, kind: str) -> Iterator[tuple[Name, bool]]:
    """Yield the names that a CREATE makes; with IF NOT EXISTS an object of before may be meant."""
    if kind in {"CreateStmt", "CreateForeignTableStmt"}:
        base = node.base_stmt if kind == "CreateForeignTableStmt" else node
        table, sure = sql.relation(base.relation), not base.if_not_exists
        yield table, sure
        for item in base.table_elts:
            if item.HasField("column_def") and _is_serial(item.column_def):
                yield _sequence_of(table, item.column_def.colname), sure
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


def _is_serial(column: sql.Node) -> bool:
    """Tell whether a column brings a sequence with it (https://www.postgresql.org/docs/current/datatype-numeric.html)."""
    identity = any(item.constraint.contype == pg.CONSTR_IDENTITY for item in column.constraints)
    return identity or sql.dotted(column.type_name.names).name in SERIALS


def _sequence_of(table: Name, column: str) -> Name:
    return Name(table.schema, f"{table.name}_{column}_seq")
