"""What the rules of a risk for the service look for: renames, and what holds a lock while it reads or writes a whole table."""

from collections.abc import Callable, Iterator

from migration_pipeline.domain import functions, sql
from migration_pipeline.domain.finders import PLAIN_COLUMN, Finder, Hit, names, of_commands
from migration_pipeline.domain.finders_protection import constraints_of
from migration_pipeline.domain.made import is_serial
from migration_pipeline.domain.sql import Name
from migration_pipeline.domain.tokens import pg

#: Functions that may return something else for each row, so that a default of them is written into each row
#: (https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES).
VOLATILE = frozenset(
    """array_sample array_shuffle clock_timestamp currval gen_random_bytes gen_random_uuid gen_salt lastval nextval random
    random_normal setseed timeofday uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4 uuidv4 uuidv7""".split()  # noqa: SIM905
)
RELATIONS = frozenset({pg.OBJECT_TABLE, pg.OBJECT_VIEW, pg.OBJECT_MATVIEW, pg.OBJECT_FOREIGN_TABLE})
ACCESS_EXCLUSIVE = 8  #: the mode's number (src/include/storage/lockdefs.h)
ADDS_CONSTRAINT = "C"  #: command of ALTER DOMAIN
STORED = "s"  #: kind of a generated column
NULLABLE, VOLATILELY, PERHAPS = False, True, None

Constraint = sql.Node


def renames_relation(node: sql.Node) -> Iterator[Hit]:
    if node.rename_type in RELATIONS:
        yield Hit(name=sql.relation(node.relation), certain=not node.missing_ok)
    elif node.rename_type == pg.OBJECT_SCHEMA:
        yield Hit(name=Name(None, node.subname), kind="schema")


def moves_relation(node: sql.Node) -> Iterator[Hit]:
    if node.object_type in RELATIONS:
        yield Hit(name=sql.relation(node.relation), certain=not node.missing_ok)


def renames_column(node: sql.Node) -> Iterator[Hit]:
    if node.rename_type == pg.OBJECT_COLUMN:
        yield Hit(name=sql.relation(node.relation), column=node.subname, certain=not node.missing_ok)


@of_commands(pg.AT_AddColumn, PLAIN_COLUMN)
def adds_column_that_rewrites(node: sql.Node, command: sql.Node) -> Iterator[Hit]:
    column = getattr(command, "def").column_def
    default = _of(column, pg.CONSTR_DEFAULT)
    is_volatile = VOLATILELY if is_serial(column) else volatility(default.raw_expr) if default is not None else NULLABLE
    if is_volatile is not NULLABLE:
        yield _at(node, command, column.colname, certain=bool(is_volatile))


def volatility(expression: sql.Node) -> bool | None:
    """Tell whether an expression is volatile; None where it calls a function that nobody here knows."""
    called = [sql.dotted(node.funcname) for node in _calls(expression)]
    if any(name.name in VOLATILE for name in called):
        return VOLATILELY
    return NULLABLE if all(functions.is_reading(name.schema, name.name) for name in called) else PERHAPS


def _calls(root: sql.Node) -> Iterator[sql.Node]:
    stack = [root]
    while stack:
        node = sql.unwrap(stack.pop())
        if sql.kind(node) == "FuncCall":
            yield node
        for field, value in node.ListFields():
            if field.message_type is not None:
                stack.extend([value] if hasattr(value, "ListFields") else value)


@of_commands(pg.AT_AddColumn)
def adds_stored_column(node: sql.Node, command: sql.Node) -> Iterator[Hit]:
    column = getattr(command, "def").column_def
    generated = _of(column, pg.CONSTR_GENERATED)
    if generated is not None and generated.generated_kind == STORED:
        yield _at(node, command, column.colname)


@of_commands(pg.AT_AddColumn)
def adds_required_column(node: sql.Node, command: sql.Node) -> Iterator[Hit]:
    """Find a new column that has no value for the rows that are there."""
    column = getattr(command, "def").column_def
    kinds = {item.constraint.contype for item in column.constraints}
    if kinds & REQUIRED and not kinds & VALUED and not is_serial(column):
        yield _at(node, command, column.colname)


REQUIRED = frozenset({pg.CONSTR_NOTNULL, pg.CONSTR_PRIMARY})
VALUED = frozenset({pg.CONSTR_DEFAULT, pg.CONSTR_GENERATED, pg.CONSTR_IDENTITY})


@of_commands(pg.AT_AlterColumnType)
def changes_type(node: sql.Node, command: sql.Node) -> Iterator[Hit]:
    yield _at(node, command, command.name, certain=False)


@of_commands(pg.AT_SetNotNull, pg.AT_AddConstraint)
def sets_not_null(node: sql.Node, command: sql.Node) -> Iterator[Hit]:
    """Whether a CHECK of before proves it already only the catalog tells."""
    column = command.name
    if command.subtype == pg.AT_AddConstraint:
        constraint = getattr(command, "def").constraint
        if constraint.contype != pg.CONSTR_NOTNULL or constraint.skip_validation:
            return
        column = constraint.keys[0].string.sval
    yield Hit(name=sql.relation(node.relation), kind="proof", column=column, certain=False, part=command)


def adds_constraint(wanted: Callable[[Constraint], bool]) -> Finder:
    @of_commands(pg.AT_AddConstraint, pg.AT_AddColumn)
    def find(node: sql.Node, command: sql.Node) -> Iterator[Hit]:
        column, found = constraints_of(command)
        for constraint in found:
            if wanted(constraint):
                yield _at(node, command, constraint.conname or column or None)

    return find


def is_checked_at_once(contype: int) -> Callable[[Constraint], bool]:
    return lambda one: one.contype == contype and one.is_enforced and not one.skip_validation


def is_key(one: Constraint) -> bool:
    return one.contype in {pg.CONSTR_PRIMARY, pg.CONSTR_UNIQUE} and not one.indexname


def is_exclusion(one: Constraint) -> bool:
    return bool(one.contype == pg.CONSTR_EXCLUSION)


def constrains_domain(node: sql.Node) -> Iterator[Hit]:
    if node.subtype == ADDS_CONSTRAINT and is_checked_at_once(pg.CONSTR_CHECK)(getattr(node, "def").constraint):
        yield Hit(name=sql.dotted(node.type_name))


def builds_index(node: sql.Node) -> Iterator[Hit]:
    if not node.concurrent:
        yield Hit(name=sql.relation(node.relation), kind="table", column=node.idxname or None, certain=not node.if_not_exists)


def drops_index(node: sql.Node) -> Iterator[Hit]:
    if node.remove_type == pg.OBJECT_INDEX and not node.concurrent:
        yield from (Hit(name=name, certain=not node.missing_ok) for name in names(node))


def rebuilds_index(node: sql.Node) -> Iterator[Hit]:
    if sql.option(node.params, "concurrently") is None:
        has_relation = node.HasField("relation")
        name = sql.relation(node.relation) if has_relation else Name(None, node.name or "every table")
        yield Hit(name=name, kind="relation" if has_relation else "other")


def clusters(node: sql.Node) -> Iterator[Hit]:
    has_relation = node.HasField("relation")
    yield Hit(name=sql.relation(node.relation)) if has_relation else Hit(name=Name(None, "every table"), kind="other")


def vacuums_fully(node: sql.Node) -> Iterator[Hit]:
    if node.is_vacuumcmd and sql.option(node.options, "full") is not None:
        yield from (Hit(name=sql.relation(item.vacuum_relation.relation)) for item in node.rels)
        if not len(node.rels):
            yield Hit(name=Name(None, "every table"), kind="other")


def locks_out(node: sql.Node) -> Iterator[Hit]:
    if node.mode == ACCESS_EXCLUSIVE:
        yield from (Hit(name=sql.relation(item.range_var)) for item in node.relations)


@of_commands(pg.AT_SetTableSpace, pg.AT_SetLogged, pg.AT_SetUnLogged, pg.AT_SetAccessMethod)
def moves_storage(node: sql.Node, command: sql.Node) -> Iterator[Hit]:
    yield _at(node, command, None)


def moves_all(node: sql.Node) -> Iterator[Hit]:
    yield Hit(name=Name(None, f"everything in {node.orig_tablespacename}"), kind="other")


@of_commands(pg.AT_AttachPartition)
def attaches(_: sql.Node, command: sql.Node) -> Iterator[Hit]:
    partition = getattr(command, "def").partition_cmd.name
    yield Hit(name=sql.relation(partition), kind="table", certain=False, part=command)


@of_commands(pg.AT_DetachPartition)
def detaches_under_lock(node: sql.Node, command: sql.Node) -> Iterator[Hit]:
    if not getattr(command, "def").partition_cmd.concurrent:
        yield _at(node, command, None)


def refreshes(node: sql.Node) -> Iterator[Hit]:
    if not node.concurrent:
        yield Hit(name=sql.relation(node.relation))


def _of(column: sql.Node, contype: int) -> Constraint | None:
    return next((item.constraint for item in column.constraints if item.constraint.contype == contype), None)


def _at(node: sql.Node, command: sql.Node, column: str | None, *, certain: bool = True) -> Hit:
    sure = certain and not command.missing_ok and not node.missing_ok
    return Hit(name=sql.relation(node.relation), kind="table", column=column, certain=sure, part=command)
