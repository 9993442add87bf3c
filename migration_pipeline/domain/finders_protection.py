"""What the rules of lost protection look for. A guard is what keeps data right or away from those who may not see it."""

from collections.abc import Iterator

from migration_pipeline.domain import sql
from migration_pipeline.domain.finders import Finder, Hit, names, of_commands, signature, signature_of
from migration_pipeline.domain.sql import Name
from migration_pipeline.domain.tokens import pg

REPLICATION_ROLE = "session_replication_role"
#: What `DROP` removes of a table → the kind of a Hit.
GUARDS = {pg.OBJECT_TRIGGER: "trigger", pg.OBJECT_POLICY: "policy", pg.OBJECT_RULE: "rule"}
#: How PostgreSQL marks what happens to the rows that refer to a deleted row (src/include/nodes/parsenodes.h).
CASCADE, SET_NULL, SET_DEFAULT = "c", "n", "d"
OFF, ONLY_IN_REPLICAS = "D", "R"  #: states of an event trigger
DROPS_NOT_NULL, DROPS_CONSTRAINT = "N", "X"  #: commands of ALTER DOMAIN
#: What PUBLIC may do from the start (https://www.postgresql.org/docs/current/ddl-priv.html): granted again unless it was revoked.
BY_DEFAULT = frozenset(
    {pg.OBJECT_FUNCTION, pg.OBJECT_PROCEDURE, pg.OBJECT_ROUTINE, pg.OBJECT_LANGUAGE, pg.OBJECT_TYPE, pg.OBJECT_DOMAIN}
)
#: Attributes that let a role past every check of a database or of a table.
POWERS = frozenset({"superuser", "bypassrls", "createrole", "isreplication"})
#: Predefined roles that read or write every table, or the server's files and programs.
POWERFUL = frozenset(
    {"pg_read_all_data", "pg_write_all_data", "pg_maintain", "pg_read_server_files", "pg_write_server_files",
     "pg_execute_server_program"}
)  # fmt: skip
#: Options of a view that make the rights of who asks count.
VIEW_GUARDS = frozenset({"security_invoker", "security_barrier"})


def drops_guard(node: sql.Node) -> Iterator[Hit]:
    if node.remove_type == pg.OBJECT_EVENT_TRIGGER:
        yield from (Hit(name=name, kind="other") for name in names(node))
    elif node.remove_type in GUARDS:
        for item in node.objects:
            *table, guard = item.list.items
            yield Hit(name=sql.dotted(table), kind=GUARDS[node.remove_type], column=guard.string.sval)


def switches_guard_off(*subtypes: int, kind: str) -> Finder:
    """Find a command of ALTER TABLE that names a guard of the table, or none for all of them."""

    @of_commands(*subtypes)
    def find(node: sql.Node, command: sql.Node) -> Iterator[Hit]:
        name, of_one = sql.relation(node.relation), bool(command.name)
        yield Hit(name=name, kind=kind if of_one else "table", column=command.name or None, part=command)

    return find


def sets_replication_role(node: sql.Node) -> Iterator[Hit]:
    if node.name == REPLICATION_ROLE and node.kind == pg.VAR_SET_VALUE and _value_of(node.args) != "origin":
        yield Hit(name=Name(None, node.name), kind="other")


def calls_for_replication_role(node: sql.Node) -> Iterator[Hit]:
    is_set = sql.dotted(node.funcname) in {(None, "set_config"), ("pg_catalog", "set_config")}
    if is_set and _value_of(node.args) == REPLICATION_ROLE and _value_of(node.args[1:]) != "origin":
        yield Hit(name=Name(None, REPLICATION_ROLE), kind="other")


def _value_of(args: sql.Node) -> str:
    return (sql.string_of(args[0]) or "").lower() if len(args) else ""


def drops_constraint_of_domain(node: sql.Node) -> Iterator[Hit]:
    if node.subtype == DROPS_CONSTRAINT:
        yield Hit(name=sql.dotted(node.type_name), kind="table", column=node.name, certain=not node.missing_ok)


def drops_not_null_of_domain(node: sql.Node) -> Iterator[Hit]:
    if node.subtype == DROPS_NOT_NULL:
        yield Hit(name=sql.dotted(node.type_name))


def instead_nothing(node: sql.Node) -> Iterator[Hit]:
    if node.instead and not len(node.actions):
        yield Hit(name=sql.relation(node.relation))


@of_commands(pg.AT_AddConstraint, pg.AT_AddColumn)
def cascades(node: sql.Node, command: sql.Node) -> Iterator[Hit]:
    """Find a new foreign key with which a DELETE elsewhere removes or empties rows here."""
    column, found = constraints_of(command)
    for constraint in found:
        if constraint.contype == pg.CONSTR_FOREIGN and constraint.fk_del_action in {CASCADE, SET_NULL, SET_DEFAULT}:
            keys = [item.string.sval for item in constraint.fk_attrs] or [column]
            yield from (Hit(name=sql.relation(node.relation), kind="table", column=key, part=command) for key in keys)


def constraints_of(command: sql.Node) -> tuple[str, list[sql.Node]]:
    """Return the column that a command of ALTER TABLE adds, if it does, and the constraints that it adds."""
    definition = getattr(command, "def")
    if command.subtype == pg.AT_AddConstraint:
        return "", [definition.constraint]
    if command.subtype == pg.AT_AddColumn:
        return definition.column_def.colname, [item.constraint for item in definition.column_def.constraints]
    return "", []


@of_commands(pg.AT_DetachPartition, pg.AT_DropInherit)
def detaches(node: sql.Node, command: sql.Node) -> Iterator[Hit]:
    is_partition = command.subtype == pg.AT_DetachPartition
    yield Hit(name=sql.relation(getattr(command, "def").partition_cmd.name if is_partition else node.relation), kind="table")


@of_commands(pg.AT_AlterConstraint)
def stops_enforcing(node: sql.Node, command: sql.Node) -> Iterator[Hit]:
    changed = getattr(command, "def").atalter_constraint
    if changed.alter_enforceability and not changed.is_enforced:
        yield Hit(name=sql.relation(node.relation), kind="constraint", column=changed.conname)


def grants_to_everyone(node: sql.Node) -> Iterator[Hit]:
    if node.is_grant and any(item.role_spec.roletype == pg.ROLESPEC_PUBLIC for item in node.grantees):
        yield from _granted(node, certain=node.objtype not in BY_DEFAULT)


def grants_to_pass_on(node: sql.Node) -> Iterator[Hit]:
    if node.is_grant and node.grant_option:
        yield from _granted(node, certain=True)


def _granted(node: sql.Node, *, certain: bool) -> Iterator[Hit]:
    """Yield what rights are granted on. Rights on what will be made later are rights on objects that do not exist yet."""
    if node.targtype == pg.ACL_TARGET_DEFAULTS:
        yield Hit(name=Name(None, "what is made from now on"), kind="other", certain=certain)
        return
    for item in map(sql.unwrap, node.objects):
        match sql.kind(item):
            case "RangeVar":
                yield Hit(name=sql.relation(item), kind="table", certain=certain)
            case "ObjectWithArgs":
                yield Hit(name=signature(item.objname, item.objargs), kind="function", certain=certain)
            case "String":
                in_schema = node.targtype == pg.ACL_TARGET_ALL_IN_SCHEMA or node.objtype == pg.OBJECT_SCHEMA
                yield Hit(name=Name(None, item.sval), kind="schema" if in_schema else "other", certain=certain)
            case "List":
                yield Hit(name=sql.dotted(item.items), certain=certain)
            case "TypeName":
                yield Hit(name=sql.dotted(item.names), certain=certain)


def lets_pass_on_membership(node: sql.Node) -> Iterator[Hit]:
    option = sql.option(node.opt, "admin")
    if node.is_grant and option is not None and option.arg.boolean.boolval:
        yield from (Hit(name=Name(None, item.access_priv.priv_name), kind="other") for item in node.granted_roles)


def grants_powerful_role(node: sql.Node) -> Iterator[Hit]:
    if node.is_grant and any(item.access_priv.priv_name in POWERFUL for item in node.granted_roles):
        yield from (Hit(name=Name(None, item.role_spec.rolename or "PUBLIC"), kind="other") for item in node.grantee_roles)


def gives_power(node: sql.Node) -> Iterator[Hit]:
    for item in node.options:
        if item.def_elem.defname in POWERS and item.def_elem.arg.boolean.boolval:
            role = node.role if isinstance(node.role, str) else node.role.rolename or "current role"
            yield Hit(name=Name(None, role), kind="other")


def changes_policy(node: sql.Node) -> Iterator[Hit]:
    yield Hit(name=sql.relation(node.table), kind="policy", column=node.policy_name, certain=False)


def lets_everything_through(node: sql.Node) -> Iterator[Hit]:
    """Permissive policies are joined with OR: one that is always true makes the others moot."""
    if node.permissive and (_is_true(node.qual) or _is_true(node.with_check)):
        yield Hit(name=sql.relation(node.table), kind="table", column=node.policy_name)


def _is_true(node: sql.Node) -> bool:
    value = sql.unwrap(node)
    while sql.kind(value) == "TypeCast":
        value = sql.unwrap(value.arg)
    return sql.kind(value) == "A_Const" and bool(value.boolval.boolval)


def switches_event_trigger_off(node: sql.Node) -> Iterator[Hit]:
    if node.tgenabled in {OFF, ONLY_IN_REPLICAS}:
        yield Hit(name=Name(None, node.trigname), kind="other")


def alters_to_run_as_owner(node: sql.Node) -> Iterator[Hit]:
    if _is_security_definer(node.actions):
        yield Hit(name=signature(node.func.objname, node.func.objargs), kind="function")


def replaces_to_run_as_owner(node: sql.Node) -> Iterator[Hit]:
    if node.replace and _is_security_definer(node.options):
        yield Hit(name=signature_of(node), kind="function", certain=False)


def _is_security_definer(options: sql.Node) -> bool:
    option = sql.option(options, "security")
    return option is not None and bool(option.arg.boolean.boolval)


@of_commands(pg.AT_SetRelOptions, pg.AT_ResetRelOptions)
def unguards_view(node: sql.Node, command: sql.Node) -> Iterator[Hit]:
    options = [item.def_elem for item in getattr(command, "def").list.items if item.def_elem.defname in VIEW_GUARDS]
    if any(command.subtype == pg.AT_ResetRelOptions or _is_off(option) for option in options):
        yield Hit(name=sql.relation(node.relation))


def _is_off(option: sql.Node) -> bool:
    value = sql.unwrap(option.arg) if option.HasField("arg") else None
    return value is not None and str(getattr(value, "sval", "")).lower() in {"false", "off", "no", "0"}


def removes_label(node: sql.Node) -> Iterator[Hit]:
    if not node.label:
        item = sql.unwrap(node.object)
        name = sql.dotted(item.items) if sql.kind(item) == "List" else Name(None, getattr(item, "sval", "") or "object")
        yield Hit(name=name, kind="other")
