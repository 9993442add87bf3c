"""What the rules look for in a parsed statement: which objects one node touches, and how surely. It decides nothing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from migration_pipeline.domain import functions, kept_values, sql
from migration_pipeline.domain.sql import Name
from migration_pipeline.domain.tokens import pg


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One object that a statement touches."""

    name: Name
    #: The namespace its name lives in: relation (tables, types, sequences, and what `column` names in them), table (`column`
    #: only tells which part is meant), schema, function, a guard of a table (constraint, trigger, policy, rule), proof (that
    #: a column is not null), other.
    kind: str = "relation"
    column: str | None = None  #: or the constraint, trigger, ... of a table
    #: False where only running tells: IF EXISTS, an overwritten value, what CASCADE takes along.
    certain: bool = True
    #: Where in the statement it was found: the command of an ALTER TABLE, the item of a list.
    part: sql.Node = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.name}.{self.column}" if self.column else str(self.name)


Finder = Callable[[sql.Node], Iterator[Hit]]
#: Finds objects in one command of an ALTER TABLE, the second node.
CommandFinder = Callable[[sql.Node, sql.Node], Iterator[Hit]]


@dataclass(frozen=True)
class OfCommands:
    """A finder for some commands of ALTER TABLE. Only those rules are asked that know a command of the statement."""

    subtypes: frozenset[int]
    find: CommandFinder

    def __call__(self, node: sql.Node) -> Iterator[Hit]:
        for command in commands(node):
            if subtype_of(command) in self.subtypes:
                yield from self.find(node, command)


#: ADD COLUMN without constraint or default, the most frequent command and of interest to hardly any rule.
PLAIN_COLUMN = -1


def subtype_of(command: sql.Node) -> int:
    if command.subtype == pg.AT_AddColumn and not len(getattr(command, "def").column_def.constraints):
        return PLAIN_COLUMN
    return int(command.subtype)


def of_commands(*subtypes: int) -> Callable[[CommandFinder], OfCommands]:
    return lambda find: OfCommands(frozenset(subtypes), find)


def names(node: sql.Node) -> Iterator[Name]:
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
            for name in names(node):
                yield Hit(name=name, kind=kind, certain=certain and not node.missing_ok)

    return find


def drops_schema(node: sql.Node) -> Iterator[Hit]:
    """Without CASCADE a schema must be empty to go (https://www.postgresql.org/docs/current/sql-dropschema.html)."""
    if node.remove_type == pg.OBJECT_SCHEMA:
        certain = node.behavior == pg.DROP_CASCADE and not node.missing_ok
        for name in names(node):
            yield Hit(name=name, kind="schema", certain=certain)


#: Kinds whose DROP has a rule of its own.
WITH_OWN_RULE = frozenset(
    {pg.OBJECT_TABLE, pg.OBJECT_MATVIEW, pg.OBJECT_FOREIGN_TABLE, pg.OBJECT_SEQUENCE, pg.OBJECT_SCHEMA, pg.OBJECT_TYPE,
     pg.OBJECT_DOMAIN, pg.OBJECT_EXTENSION}
)  # fmt: skip


def drops_with_cascade(node: sql.Node) -> Iterator[Hit]:
    """Find CASCADE: a dropped collation or function takes the columns that are made with it along."""
    if node.behavior == pg.DROP_CASCADE and node.remove_type not in WITH_OWN_RULE:
        yield from (Hit(name=name, kind="other", certain=False) for name in names(node))


@of_commands(pg.AT_DropConstraint)
def drops_constraint_with_cascade(node: sql.Node, command: sql.Node) -> Iterator[Hit]:
    if command.behavior == pg.DROP_CASCADE:
        yield Hit(name=sql.relation(node.relation), column=command.name, kind="other", certain=False)


def commands(node: sql.Node) -> Iterator[sql.Node]:
    return (item.alter_table_cmd for item in node.cmds)


def alters(*subtypes: int, kind: str = "relation", certain: bool = True) -> Finder:
    """Find a command of ALTER TABLE; the object is the column or constraint that it names, or the table."""

    @of_commands(*subtypes)
    def find(node: sql.Node, command: sql.Node) -> Iterator[Hit]:
        sure = certain and not command.missing_ok and not node.missing_ok
        yield Hit(name=sql.relation(node.relation), kind=kind, column=command.name or None, certain=sure, part=command)

    return find


@of_commands(pg.AT_SetIdentity)
def restarts_identity(node: sql.Node, command: sql.Node) -> Iterator[Hit]:
    if sql.option(getattr(command, "def").list.items, "restart"):
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
        if not kept_values.is_kept(item.res_target, node.relation, node.where_clause):
            yield Hit(name=sql.relation(node.relation), column=item.res_target.name, certain=False)


def overwrites_on_conflict(node: sql.Node) -> Iterator[Hit]:
    if node.on_conflict_clause.action == pg.ONCONFLICT_UPDATE:
        for item in node.on_conflict_clause.target_list:
            if not kept_values.is_kept(item.res_target, node.relation):
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


def unlinks(node: sql.Node) -> Iterator[Hit]:
    """Find lo_unlink(): of objects that rows name, or of one that is written out, which may be the plan's own."""
    argument = sql.unwrap(node.args[0]) if len(node.args) else node
    while sql.kind(argument) == "TypeCast":
        argument = sql.unwrap(argument.arg)
    yield from calls("lo_unlink", certain=sql.kind(argument) != "A_Const")(node)


def refreshes(node: sql.Node) -> Iterator[Hit]:
    yield Hit(name=sql.relation(node.relation), certain=False)


#: Functions that have rules of their own.
JUDGED = frozenset({"setval", "lo_unlink", "lo_put", "lo_truncate", "lo_truncate64", "lowrite"})


def calls_unknown(node: sql.Node) -> Iterator[Hit]:
    called = sql.dotted(node.funcname)
    if not functions.is_harmless(called.schema, called.name) and called.name not in JUDGED:
        yield Hit(name=called, kind="other")


def owned_by(node: sql.Node) -> Iterator[Hit]:
    for item in node.roles:
        yield Hit(name=Name(None, item.role_spec.rolename or "current role"), kind="other")


def signature(name: sql.Node, types: sql.Node) -> Name:
    """Return a function's name with the types of its arguments: functions of one name are many."""
    called = sql.dotted(name)
    words = (sql.dotted(item.type_name.names).name for item in types)
    return Name(called.schema, f"{called.name}({', '.join(words)})")


def signature_of(node: sql.Node) -> Name:
    """Return the signature of the function that a CREATE FUNCTION makes."""
    modes = {pg.FUNC_PARAM_OUT, pg.FUNC_PARAM_TABLE}
    parameters = [item.function_parameter for item in node.parameters if item.function_parameter.mode not in modes]
    called = sql.dotted(node.funcname)
    words = (sql.dotted(one.arg_type.names).name for one in parameters)
    return Name(called.schema, f"{called.name}({', '.join(words)})")
