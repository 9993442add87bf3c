"""What a plan itself made, so that losing it again is no loss. When in doubt an object was there before."""

from enum import Enum

from migration_pipeline.domain import conditions, made, sql
from migration_pipeline.domain.finders import Hit, commands, signature, signature_of
from migration_pipeline.domain.sql import Name
from migration_pipeline.domain.tokens import pg


class Origin(Enum):
    """Where an object came from."""

    BEFORE = "before"
    PERHAPS = "perhaps"  #: IF NOT EXISTS, a block with conditions, a name with a schema on one side only
    PLAN = "plan"


class _Known:
    """Names that were made, each surely or perhaps."""

    def __init__(self) -> None:
        self._alike: dict[str, dict[Name, bool]] = {}  #: by what they are called without a schema

    def add(self, name: Name, *, sure: bool) -> None:
        self._alike.setdefault(name.name, {})[name] = sure

    def pop(self, name: Name) -> bool | None:
        return self._alike.get(name.name, {}).pop(name, None)

    def origin(self, name: Name) -> Origin:
        alike = self._alike.get(name.name, {})
        if name in alike:
            return Origin.PLAN if alike[name] else Origin.PERHAPS
        is_perhaps = any(None in {other.schema, name.schema} for other in alike)
        return Origin.PERHAPS if is_perhaps else Origin.BEFORE

    def doubt(self) -> None:
        self._alike = {name: dict.fromkeys(alike, False) for name, alike in self._alike.items()}


Part = tuple[str, str]  #: the kind of a table's part, and its name


class Created:
    """What the statements so far have made: relations, functions, schemas, and the parts of tables."""

    def __init__(self) -> None:
        self._relations = _Known()
        self._functions = _Known()
        self._schemas: dict[str, bool] = {}
        self._parts: dict[Part, _Known] = {}
        #: CHECK constraints of this plan → the columns that they prove to be not NULL, once they are validated.
        self._checks: dict[tuple[Name, str], tuple[str, ...]] = {}

    def origin(self, hit: Hit) -> Origin:
        if hit.kind == "schema":
            return _origin(self._schemas.get(hit.name.name))
        if hit.kind == "function":
            return self._functions.origin(hit.name)
        if hit.name.schema == "pg_temp" or (hit.name.schema is not None and self._schemas.get(hit.name.schema)):
            return Origin.PLAN
        found = self._relations.origin(hit.name)
        if found is Origin.PLAN or hit.column is None:
            return found
        kind = "column" if hit.kind == "relation" else hit.kind
        known = self._parts.get((kind, hit.column))
        of_part = known.origin(hit.name) if known else Origin.BEFORE
        return found if of_part is Origin.BEFORE else of_part

    def note(self, node: sql.Node, kind: str, *, surely: bool) -> None:
        """Take in what a statement makes, renames and drops."""
        match kind:
            case "AlterTableStmt":
                self._alter(node, surely=surely)
            case "RenameStmt":
                self._rename(node)
            case "AlterObjectSchemaStmt":
                self._move_into_schema(node)
            case "DropStmt":
                self._drop(node)
            case "CreateSchemaStmt":
                self._schemas[node.schemaname] = surely and not node.if_not_exists
            case "CreateFunctionStmt":
                self._functions.add(signature_of(node), sure=surely and not node.replace)
            case "CreateTrigStmt" | "CreatePolicyStmt" | "RuleStmt":
                self._guard(node, kind, surely=surely)
            case _ if makes_names_doubtful(node, kind):
                self._doubt()
            case _:
                for name, sure in made.names(node, kind):
                    self._relations.add(name, sure=surely and sure)

    def _add(self, kind: str, table: Name, part: str, *, sure: bool) -> None:
        self._parts.setdefault((kind, part), _Known()).add(table, sure=sure)

    def _pop(self, kind: str, table: Name, part: str) -> bool | None:
        known = self._parts.get((kind, part))
        return known.pop(table) if known else None

    def _alter(self, node: sql.Node, *, surely: bool) -> None:
        table = sql.relation(node.relation)
        surely = surely and not node.missing_ok
        for command in commands(node):
            match command.subtype:
                case pg.AT_AddColumn:
                    column = getattr(command, "def").column_def
                    sure = surely and not command.missing_ok
                    self._add("column", table, column.colname, sure=sure)
                    if made.is_serial(column):
                        self._relations.add(made.sequence_of(table, column.colname), sure=sure)
                case pg.AT_DropColumn:
                    self._pop("column", table, command.name)
                    self._pop("proof", table, command.name)
                case pg.AT_AddConstraint:
                    self._constrain(table, getattr(command, "def").constraint, surely=surely)
                case pg.AT_ValidateConstraint:
                    for name in self._checks.get((table, command.name), ()) if surely else ():
                        self._add("proof", table, name, sure=True)
                case pg.AT_DropConstraint:
                    self._pop("constraint", table, command.name)
                    for name in self._checks.pop((table, command.name), ()):
                        self._pop("proof", table, name)

    def _move_into_schema(self, node: sql.Node) -> None:
        """Move an object; a schema that holds something of before is not all the plan's own any more."""
        moved = sql.relation(node.relation) if node.HasField("relation") else None
        if node.newschema in self._schemas and (moved is None or self._relations.origin(moved) is not Origin.PLAN):
            self._schemas[node.newschema] = False
        if moved is not None:
            self._move(moved, Name(node.newschema, moved.name))

    def _constrain(self, table: Name, constraint: sql.Node, *, surely: bool) -> None:
        if constraint.conname:
            self._add("constraint", table, constraint.conname, sure=surely)
        if constraint.contype != pg.CONSTR_CHECK or not constraint.is_enforced or not surely:
            return
        proved = self._checks[table, constraint.conname] = tuple(_not_null(constraint.raw_expr))
        for name in () if constraint.skip_validation else proved:
            self._add("proof", table, name, sure=True)

    def _guard(self, node: sql.Node, kind: str, *, surely: bool) -> None:
        match kind:
            case "CreateTrigStmt":
                self._add("trigger", sql.relation(node.relation), node.trigname, sure=surely and not node.replace)
            case "CreatePolicyStmt":
                self._add("policy", sql.relation(node.table), node.policy_name, sure=surely)
            case "RuleStmt":
                self._add("rule", sql.relation(node.relation), node.rulename, sure=surely and not node.replace)

    def _rename(self, node: sql.Node) -> None:
        if node.rename_type in PARTS:
            kind, table = PARTS[node.rename_type], sql.relation(node.relation)
            sure = self._pop(kind, table, node.subname)
            self._pop(kind, table, node.newname)
            if sure is not None:
                self._add(kind, table, node.newname, sure=sure)
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
        sure = self._relations.pop(old)
        self._relations.pop(new)
        if sure is not None:
            self._relations.add(new, sure=sure)
        for known in self._parts.values():
            sure = known.pop(old)
            if sure is not None:
                known.add(new, sure=sure)

    def _drop(self, node: sql.Node) -> None:
        for item in map(sql.unwrap, node.objects):
            if sql.kind(item) == "ObjectWithArgs":
                self._functions.pop(signature(item.objname, item.objargs))
            elif node.remove_type in PARTS:
                *table, part = item.items
                self._pop(PARTS[node.remove_type], sql.dotted(table), part.string.sval)
            elif sql.kind(item) in {"List", "TypeName"}:
                name = sql.dotted(item.items if sql.kind(item) == "List" else item.names)
                self._relations.pop(name)
                for known in self._parts.values():
                    known.pop(name)
            elif node.remove_type == pg.OBJECT_SCHEMA:
                self._schemas.pop(item.sval, None)

    def _doubt(self) -> None:
        """After a rollback to a savepoint, or with another search_path, a name may be another object again."""
        self._schemas = dict.fromkeys(self._schemas, False)
        self._checks.clear()
        for known in (self._relations, self._functions, *self._parts.values()):
            known.doubt()


#: Object type of a RENAME or DROP → the kind of the part.
PARTS = {
    pg.OBJECT_COLUMN: "column",
    pg.OBJECT_TABCONSTRAINT: "constraint",
    pg.OBJECT_TRIGGER: "trigger",
    pg.OBJECT_POLICY: "policy",
    pg.OBJECT_RULE: "rule",
}


def makes_names_doubtful(node: sql.Node, kind: str) -> bool:
    """Tell whether after a statement a name may be another object: a rollback to a savepoint, another search_path."""
    return (kind == "VariableSetStmt" and node.name == "search_path") or (
        kind == "TransactionStmt" and node.kind == pg.TRANS_STMT_ROLLBACK_TO
    )


def _origin(sure: bool | None) -> Origin:
    if sure is None:
        return Origin.BEFORE
    return Origin.PLAN if sure else Origin.PERHAPS


def _not_null(condition: sql.Node) -> list[str]:
    """Return the columns that a condition says are not NULL."""
    columns = [one for one in conditions.null_tests(condition, pg.IS_NOT_NULL) if sql.kind(one) == "ColumnRef"]
    return [sql.dotted(one.fields).name for one in columns]
