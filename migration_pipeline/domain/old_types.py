"""Type changes that keep every value: the old type is the catalog's, as far as the plan itself has not touched it.

What is not listed here may change values, and stays a finding: char(n) pads, real and double precision print one number in two
ways, a USING does what it says.
"""

from collections.abc import Sequence
from typing import NamedTuple

from migration_pipeline.domain import effects, made, sql
from migration_pipeline.domain.created import makes_names_doubtful
from migration_pipeline.domain.finders import Hit, commands
from migration_pipeline.domain.sql import Name
from migration_pipeline.domain.tokens import pg

#: Each type → those that hold its every value (https://www.postgresql.org/docs/current/datatype-numeric.html).
WIDER = {
    "int2": frozenset({"int4", "int8", "numeric", "float4", "float8"}),
    "int4": frozenset({"int8", "numeric", "float8"}),
    "int8": frozenset({"numeric"}),
    "cidr": frozenset({"inet"}),
}
#: Types that differ in a limit alone, which is lifted without a look at the rows.
TEXTS = frozenset({"varchar", "text"})
LIMITED = frozenset({"varchar", "varbit", "timestamp", "timestamptz", "time", "timetz"})
#: Types that a change to the same one leaves as they are.
OTHERS = frozenset({"bool", "bytea", "date", "float4", "float8", "inet", "json", "jsonb", "uuid", "xml"})
KNOWN = OTHERS | TEXTS | LIMITED | WIDER.keys() | {"numeric"}


class Column(NamedTuple):
    """A column that is there before the plan."""

    schema: str
    table: str
    name: str
    type: str  #: as format_type() prints it; empty where it is not built in


class Type(NamedTuple):
    """A built-in type by the name that the catalog has for it: `varchar`, (50,)."""

    name: str
    limits: tuple[int, ...]
    dimensions: int  #: 0 is no array


def altered(statements: Sequence[effects.Statement]) -> frozenset[str]:
    """Return the names, without schemas, of the tables whose columns the statements give another type."""
    return frozenset(
        node.relation.relname
        for statement in statements
        for node in sql.parse(statement.sql, statement.has_parameters).nodes
        if sql.kind(node) == "AlterTableStmt" and any(one.subtype == pg.AT_AlterColumnType for one in commands(node))
    )


class OldTypes:
    """The types of columns while the statements of a plan are read in order."""

    def __init__(self, columns: Sequence[Column] = ()) -> None:
        self._types: dict[tuple[Name, str], Type] = {}
        for one in columns:
            if found := _of_text(one.type):
                self._types[Name(one.schema, one.table), one.name] = found
                if {other.schema for other in columns if other.table == one.table} == {one.schema}:
                    self._types[Name(None, one.table), one.name] = found  # else the search_path decides which is meant

    def keeps_values(self, hit: Hit) -> bool:
        """Tell whether a change of a column's type keeps every value, whatever the rows are."""
        old, new = self._change(hit)
        return old is not None and new is not None and _holds_all_of(old, new)

    def keeps_files(self, hit: Hit) -> bool:
        """Tell whether PostgreSQL changes a column's type in its catalog alone.

        https://www.postgresql.org/docs/current/sql-altertable.html: "the old type is either binary coercible to the new type".
        """
        old, new = self._change(hit)
        if old is None or new is None or getattr(hit.part, "def").column_def.HasField("coll_clause"):
            return False
        return old == new or (old.dimensions == 0 and _holds_all_of(old, new) and _is_stored_alike(old, new))

    def note(self, node: sql.Node, kind: str, *, surely: bool) -> None:
        """Take in what a statement does to the types, or to the names that they go by."""
        if makes_names_doubtful(node, kind):
            self._types.clear()
        elif kind == "AlterTableStmt":
            for command in commands(node):
                if command.subtype in {pg.AT_AlterColumnType, pg.AT_DropColumn, pg.AT_AddColumn}:
                    self._alter(sql.relation(node.relation), command, surely=surely)
        elif kind == "RenameStmt":
            for name in (node.relation.relname, node.newname):
                self._forget(name)
            if node.rename_type == pg.OBJECT_SCHEMA:
                self._types.clear()
        elif kind == "AlterObjectSchemaStmt":
            self._forget(node.relation.relname)
        else:
            for name, _ in made.names(node, kind):
                self._forget(name.name)

    def _alter(self, table: Name, command: sql.Node, *, surely: bool) -> None:
        """Keep the new type under the name that the statement uses; what other names there are lead to it no more."""
        column = command.name or getattr(command, "def").column_def.colname
        for known in [known for known in self._types if known[0].name == table.name and known[1] == column]:
            del self._types[known]
        if surely and command.subtype == pg.AT_AlterColumnType:
            new = _of_node(getattr(command, "def").column_def.type_name)
            if new is not None:
                self._types[table, column] = new

    def _forget(self, table: str) -> None:
        self._types = {known: one for known, one in self._types.items() if known[0].name != table}

    def _change(self, hit: Hit) -> tuple[Type | None, Type | None]:
        definition = getattr(hit.part, "def").column_def
        if definition.HasField("raw_default"):  # USING
            return None, None
        return self._types.get((hit.name, hit.column or "")), _of_node(definition.type_name)


def _holds_all_of(old: Type, new: Type) -> bool:
    if old == new:
        return True
    if old.dimensions != new.dimensions:
        return False
    if old.name == new.name == "numeric" and old.limits and new.limits:
        (digits, decimals), (new_digits, new_decimals) = _decimals(old), _decimals(new)
        return new_decimals >= decimals and new_digits - new_decimals >= digits - decimals
    if (old.name == new.name and old.name in LIMITED) or {old.name, new.name} <= TEXTS:
        return not new.limits or bool(old.limits and new.limits >= old.limits)
    return not new.limits and (new.name in WIDER.get(old.name, ()) or old.name == new.name == "numeric")


def _is_stored_alike(old: Type, new: Type) -> bool:
    if old.name == new.name == "numeric":
        return not new.limits or bool(old.limits and _decimals(old)[1] == _decimals(new)[1])
    return old.name == new.name or {old.name, new.name} <= TEXTS


def _decimals(numeric: Type) -> tuple[int, int]:
    digits, *decimals = numeric.limits
    return digits, decimals[0] if decimals else 0


def _of_text(printed: str) -> Type | None:
    pieces = sql.parse(f"SELECT NULL::{printed}", has_parameters=False).pieces
    return _of_node(pieces[0].statement.target_list[0].res_target.val.type_cast.type_name) if pieces else None


def _of_node(node: sql.Node) -> Type | None:
    """Return the type that is spelled; None for one that is not built in, or whose limits are no plain numbers."""
    name = sql.dotted(node.names)
    limits = [sql.unwrap(item) for item in node.typmods]
    is_plain = all(sql.kind(one) == "A_Const" and one.WhichOneof("val") == "ival" for one in limits)
    if name.schema not in {None, "pg_catalog"} or name.name not in KNOWN or node.setof or node.pct_type or not is_plain:
        return None
    return Type(name.name, tuple(one.ival.ival for one in limits), len(node.array_bounds))
