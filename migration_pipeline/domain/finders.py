"""What the rules look for in a parsed statement: which objects one node touches, and how surely. It decides nothing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from migration_pipeline.domain import functions, sql
from migration_pipeline.domain.sql import Name
from migration_pipeline.domain.tokens import pg


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One object that a statement touches."""

    name: Name
    kind: str = "relation"  #: the namespace its name lives in: relation (tables, types, sequences), schema, other
    column: str | None = None
    #: False where only running tells: IF EXISTS, an overwritten value, what CASCADE takes along.
    certain: bool = True

    def __str__(self) -> str:
        return f"{self.name}.{self.column}" if self.column else str(self.name)


Finder = Callable[[sql.Node], Iterator[Hit]]


def _names(node: sql.Node) -> Iterator[Name]:
    """Yield the names that a DROP lists, however the grammar spells them."""
    for item in map(sql.unwrap, node.objects):
        match sql.kind(item):
            case "List":
                yield sql.dotted(item.items)
            case "TypeName":
                yield sql.dotted(item.names)
            case "ObjectWithArgs":
                yield sql.dotted(item.objname)
            case "String":
                yield Name(None, item.sval)


def drops(*object_types: int, kind: str = "relation", certain: bool = True) -> Finder:
    """Find DROP of one kind of object; with IF EXISTS the object may not be there."""

    def find(node: sql.Node) -> Iterator[Hit]:
        if node.remove_type in object_types:
            for name in _names(node):
                yield Hit(name=name, kind=kind, certain=certain and not node.missing_ok)

    return find


def drops_schema(node: sql.Node) -> Iterator[Hit]:
    """Without CASCADE a schema must be empty to go (https://www.postgresql.org/docs/current/sql-dropschema.html)."""
    if node.remove_type == pg.OBJECT_SCHEMA:
        certain = node.behavior == pg.DROP_CASCADE and not node.missing_ok
        for name in _names(node):
            yield Hit(name=name, kind="schema", certain=certain)


#: Kinds whose DROP has a rule of its own.
WITH_OWN_RULE = frozenset(
    {pg.OBJECT_TABLE, pg.OBJECT_MATVIEW, pg.OBJECT_FOREIGN_TABLE, pg.OBJECT_SEQUENCE, pg.OBJECT_SCHEMA, pg.OBJECT_TYPE,
     pg.OBJECT_DOMAIN, pg.OBJECT_EXTENSION}
)  # fmt: skip


def drops_with_cascade(node: sql.Node) -> Iterator[Hit]:
    """Find CASCADE: a dropped collation or function takes the columns that are made with it along."""
    if sql.kind(node) == "DropStmt":
        if node.behavior == pg.DROP_CASCADE and node.remove_type not in WITH_OWN_RULE:
            yield from (Hit(name=name, kind="other", certain=False) for name in _names(node))
        return
    for command in commands(node):
        if command.subtype == pg.AT_DropConstraint and command.behavior == pg.DROP_CASCADE:
            yield Hit(name=sql.relation(node.relation), column=command.name, kind="other", certain=False)


def commands(node: sql.Node) -> Iterator[sql.Node]:
    return (item.alter_table_cmd for item in node.cmds)


def alters(*subtypes: int, certain: bool = True) -> Finder:
    """Find a command of ALTER TABLE; the object is the column or constraint that it names, or the table."""

    def find(node: sql.Node) -> Iterator[Hit]:
        for command in commands(node):
            if command.subtype in subtypes:
                sure = certain and not command.missing_ok
                yield Hit(name=sql.relation(node.relation), column=command.name or None, certain=sure)

    return find


def restarts_identity(node: sql.Node) -> Iterator[Hit]:
    for command in commands(node):
        options = getattr(command, "def").list.items if command.subtype == pg.AT_SetIdentity else ()
        if sql.option(options, "restart"):
            yield Hit(name=sql.relation(node.relation), column=command.name, certain=False)


def restarts_sequence(node: sql.Node) -> Iterator[Hit]:
    if sql.option(node.options, "restart"):
        yield Hit(name=sql.relation(node.sequence), certain=False)


def deletes(node: sql.Node) -> Iterator[Hit]:
    yield Hit(name=sql.relation(node.relation))


def truncates(node: sql.Node) -> Iterator[Hit]:
    for item in node.relations:
        yield Hit(name=sql.relation(item.range_var))


def updates(node: sql.Node) -> Iterator[Hit]:
    for item in node.target_list:
        yield Hit(name=sql.relation(node.relation), column=item.res_target.name, certain=False)


def overwrites_on_conflict(node: sql.Node) -> Iterator[Hit]:
    if node.on_conflict_clause.action == pg.ONCONFLICT_UPDATE:
        for item in node.on_conflict_clause.target_list:
            yield Hit(name=sql.relation(node.relation), column=item.res_target.name, certain=False)


def merges(command_type: int, *, certain: bool) -> Finder:
    def find(node: sql.Node) -> Iterator[Hit]:
        for item in node.merge_when_clauses:
            clause = item.merge_when_clause
            if clause.command_type == command_type:
                columns = [target.res_target.name for target in clause.target_list] or [None]
                yield from (Hit(name=sql.relation(node.relation), column=column, certain=certain) for column in columns)

    return find


def calls(*names: str, certain: bool) -> Finder:
    """Find calls of functions of pg_catalog; the object is the first argument where it is written out."""

    def find(node: sql.Node) -> Iterator[Hit]:
        called = sql.dotted(node.funcname)
        if called.name in names and called.schema in {None, "pg_catalog"}:
            argument = sql.string_of(node.args[0]) if len(node.args) else None
            schema, _, last = (argument or called.name).rpartition(".")
            yield Hit(name=Name(schema or None, last), certain=certain)

    return find


#: Functions that have rules of their own.
JUDGED = frozenset({"setval", "lo_unlink", "lo_put", "lo_truncate", "lo_truncate64", "lowrite"})


def calls_unknown(node: sql.Node) -> Iterator[Hit]:
    called = sql.dotted(node.funcname)
    if not functions.is_harmless(called.schema, called.name) and called.name not in JUDGED:
        yield Hit(name=called, kind="other")


def owned_by(node: sql.Node) -> Iterator[Hit]:
    for item in node.roles:
        yield Hit(name=Name(None, item.role_spec.rolename or "current role"), kind="other")


def sets_replication_role(node: sql.Node) -> Iterator[Hit]:
    if node.name == "session_replication_role" and node.kind == pg.VAR_SET_VALUE:
        yield Hit(name=Name(None, node.name), kind="other")


def drops_protection(node: sql.Node) -> Iterator[Hit]:
    if node.remove_type in {pg.OBJECT_TRIGGER, pg.OBJECT_POLICY, pg.OBJECT_RULE, pg.OBJECT_EVENT_TRIGGER}:
        yield from (Hit(name=name, kind="other") for name in _names(node))


def instead_nothing(node: sql.Node) -> Iterator[Hit]:
    if node.instead and not len(node.actions):
        yield Hit(name=sql.relation(node.relation))
