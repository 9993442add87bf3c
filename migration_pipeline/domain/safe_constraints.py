"""The safe form of a new constraint or column: at once what needs no look at the rows, the rest beside the service."""

from collections.abc import Collection

from migration_pipeline.domain import finders_service as service
from migration_pipeline.domain import sql
from migration_pipeline.domain.finders import Hit
from migration_pipeline.domain.finders_protection import constraints_of
from migration_pipeline.domain.made import is_serial
from migration_pipeline.domain.rule import Step
from migration_pipeline.domain.safe_forms import ALONE, BATCHES, LATER, NOW, Steps
from migration_pipeline.domain.spelling import alter, changed, dotted, expression, named, quoted
from migration_pipeline.domain.sql import Name
from migration_pipeline.domain.tokens import pg

FILLED = "once every row has a value, in a later migration"
INTEGERS = {"serial": "int4", "serial4": "int4", "bigserial": "int8", "serial8": "int8", "smallserial": "int2", "serial2": "int2"}
QUOTE = "'"
LABELS = {pg.CONSTR_FOREIGN: "fkey", pg.CONSTR_CHECK: "check", pg.CONSTR_UNIQUE: "key", pg.CONSTR_PRIMARY: "pkey"}
#: What stays in the definition of a column whose default is the same for each row.
CONSTANT = frozenset({pg.CONSTR_DEFAULT, pg.CONSTR_NOTNULL})


def set_not_null(node: sql.Node, hit: Hit) -> Steps:
    del node
    yield from _prove(hit.name, hit.column or "", first=NOW, then=LATER)


def _prove(table: Name, column: str, *, first: str, then: str) -> Steps:
    """SET NOT NULL reads no row where a CHECK proves it."""
    spelled, name = dotted(table), quoted(named(table.name, [column], "set"))
    yield Step(first, f"ALTER TABLE {spelled} ADD CONSTRAINT {name} CHECK ({quoted(column)} IS NOT NULL) NOT VALID")
    yield Step(then, f"ALTER TABLE {spelled} VALIDATE CONSTRAINT {name}")
    yield Step(then, f"ALTER TABLE {spelled} ALTER COLUMN {quoted(column)} SET NOT NULL")
    yield Step(then, f"ALTER TABLE {spelled} DROP CONSTRAINT {name}")


def add_constraint(node: sql.Node, hit: Hit) -> Steps:
    """Split what a command adds: at once what needs no look at the rows, the rest when it can be done beside the service."""
    column, constraints = constraints_of(hit.part)
    if column:
        yield from add_column(node, hit)
        return
    for constraint in constraints:
        yield from _constrain(node, hit, constraint, column="", when=NOW)


def add_column(node: sql.Node, hit: Hit) -> Steps:
    """Add the column alone, fill it, and only then ask of its rows what it was declared with."""
    bare = changed(hit.part)
    column = getattr(bare, "def").column_def
    constraints = [changed(item.constraint) for item in column.constraints]
    kinds = {one.contype for one in constraints}
    counts = is_serial(column)
    default = next((one for one in constraints if one.contype == pg.CONSTR_DEFAULT), None)
    is_constant = default is not None and not counts and service.volatility(default.raw_expr) is service.NULLABLE
    must_have = not is_constant and (counts or bool(kinds & service.REQUIRED))
    _strip(column, {pg.CONSTR_GENERATED} | (CONSTANT if is_constant else set()))
    yield Step(NOW, alter(node, bare))
    if not is_constant:
        yield from _fill(hit.name, column.colname, default, counts=counts, must_have=must_have)
    if must_have:
        yield from _prove(hit.name, column.colname, first=FILLED, then=f"{LATER} again")
    for constraint in constraints:
        if constraint.contype in LABELS:
            yield from _constrain(node, hit, constraint, column=column.colname, when=LATER if must_have else NOW)


def _strip(column: sql.Node, kept: Collection[int]) -> None:
    """Leave a column's name, its type and the constraints of these kinds."""
    constraints = [changed(item.constraint) for item in column.constraints if item.constraint.contype in kept]
    del column.constraints[:]
    for one in constraints:
        column.constraints.add().constraint.CopyFrom(one)
    if spelled := INTEGERS.get(sql.dotted(column.type_name.names).name):
        del column.type_name.names[:]
        for part in ("pg_catalog", spelled):
            column.type_name.names.add().string.sval = part


def _fill(table: Name, column: str, default: sql.Node | None, *, counts: bool, must_have: bool) -> Steps:
    spelled, name = dotted(table), quoted(column)
    if counts:
        yield from _count(table, column)
    elif default is not None:
        yield Step(NOW, f"ALTER TABLE {spelled} ALTER COLUMN {name} SET DEFAULT {expression(default.raw_expr)}")
    if counts or default is not None:
        yield Step(BATCHES, f"UPDATE {spelled} SET {name} = DEFAULT WHERE {name} IS NULL")
    elif must_have:
        unknown = f"{BATCHES}; {sql.HIDDEN} stands for the value"
        yield Step(unknown, f"UPDATE {spelled} SET {name} = {sql.HIDDEN} WHERE {name} IS NULL")


def _count(table: Name, column: str) -> Steps:
    sequence = dotted(Name(table.schema, named(table.name, [column], "seq")))
    default = f"nextval('{sequence.replace(QUOTE, QUOTE * 2)}')"
    yield Step(NOW, f"CREATE SEQUENCE {sequence} OWNED BY {dotted(table)}.{quoted(column)}")
    yield Step(NOW, f"ALTER TABLE {dotted(table)} ALTER COLUMN {quoted(column)} SET DEFAULT {default}", literal=sequence)


def _constrain(node: sql.Node, hit: Hit, constraint: sql.Node, *, column: str, when: str) -> Steps:
    """Add a constraint of a table, or of a column as one of its table."""
    command = pg.AlterTableCmd(subtype=pg.AT_AddConstraint, behavior=pg.DROP_RESTRICT)
    added = getattr(command, "def").constraint
    added.CopyFrom(constraint)
    if constraint.contype == pg.CONSTR_FOREIGN and not len(added.fk_attrs):
        added.fk_attrs.add().string.sval = column
    if constraint.contype in {pg.CONSTR_UNIQUE, pg.CONSTR_PRIMARY} and not len(added.keys):
        added.keys.add().string.sval = column
    added.conname = constraint.conname or _default_name(hit.name.name, added, column)
    if constraint.contype in {pg.CONSTR_UNIQUE, pg.CONSTR_PRIMARY}:
        yield from _key(node, hit.name, command)
        return
    added.skip_validation, added.initially_valid = True, False
    yield Step(when, alter(node, command))
    yield Step(LATER, f"ALTER TABLE {dotted(hit.name)} VALIDATE CONSTRAINT {quoted(added.conname)}")


def _key(node: sql.Node, table: Name, command: sql.Node) -> Steps:
    added = getattr(command, "def").constraint
    if len(added.options) or added.without_overlaps:
        return
    columns, including = ([item.string.sval for item in items] for items in (added.keys, added.including))
    index = f"CREATE UNIQUE INDEX CONCURRENTLY {quoted(added.conname)} ON {dotted(table)} ({quoted(*columns)})"
    index += f" INCLUDE ({quoted(*including)})" if including else ""
    index += " NULLS NOT DISTINCT" if added.nulls_not_distinct else ""
    yield Step(ALONE, index + (f" TABLESPACE {quoted(added.indexspace)}" if added.indexspace else ""))
    del added.keys[:]
    del added.including[:]
    added.indexname, added.nulls_not_distinct, added.indexspace = added.conname, False, ""
    is_primary = added.contype == pg.CONSTR_PRIMARY
    yield Step("once its columns are NOT NULL, in a later migration" if is_primary else LATER, alter(node, command))


def _default_name(table: str, constraint: sql.Node, column: str) -> str:
    """Return the name that PostgreSQL would choose, where that name is free."""
    columns = [item.string.sval for item in (*constraint.fk_attrs, *constraint.keys)]
    if constraint.contype == pg.CONSTR_CHECK:
        columns = [column] if column else []
    return named(table, [] if constraint.contype == pg.CONSTR_PRIMARY else columns, LABELS[constraint.contype])
