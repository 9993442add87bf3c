"""The statements that a downgrade lacks, as its author would write them: `op.drop_column(...)`, or SQL in `op.execute(...)`.

What cannot be derived from the two schemas is not guessed.
"""

import re
from collections.abc import Callable, Mapping

from migration_pipeline.domain import sequence_options
from migration_pipeline.domain.schema import SchemaSnapshot
from migration_pipeline.domain.schema_names import OF_A_TABLE, Name

#: What SQLAlchemy takes for a parameter's name in a text.
PARAMETER = re.compile(r"(?<![:\w\\]):(?=\w+(?![:\w]))")
BACKSLASH = r"\\:"
Properties = Mapping[str, str]
INDEXED = re.compile(r" ON (?:ONLY )?(.+?) USING ")
#: A table or a schema in a publication.
MEMBER = re.compile(r'("(?:[^"]|"")*"|\S+) (table|schema) (.+)$')
PUBLISHED = {"table": "TABLE", "schema": "TABLES IN SCHEMA"}
BY_NAME = frozenset(
    {"view", "materialized view", "foreign table", "sequence", "type", "domain", "function", "procedure", "aggregate", "schema",
     "extension", "collation", "conversion", "statistics", "server", "publication", "event trigger", "language",
     "foreign data wrapper", "text search configuration", "text search dictionary"}
)  # fmt: skip
COMMENTED = BY_NAME | {"table", "column", "index"}


def literal(text: str) -> str:
    """Return a text as Python source."""
    return repr(text) if re.search(r'["\\\n]', text) else f'"{text}"'


def execute(sql: str) -> str:
    return f"op.execute({literal(PARAMETER.sub(BACKSLASH, sql))})"


def _call(function: str, name: Name, *arguments: str, **more: str) -> str:
    schema = name.parts[0]
    keywords = {**more, **({"schema": schema} if schema != "public" else {})}
    return (
        f"op.{function}({', '.join([*map(literal, arguments), *(f'{key}={literal(value)}' for key, value in keywords.items())])})"
    )


def dropping(name: Name, properties: Properties, schema: SchemaSnapshot) -> tuple[str, ...]:
    """Return what drops an object that is left over."""
    of_domain = name.kind == "constraint" and f"domain {name.owner}" in schema.objects
    if name.kind in DROPPED_BY_ALEMBIC and not of_domain:
        return (DROPPED_BY_ALEMBIC[name.kind](name, properties),)
    sql = DROPS.get("domain constraint" if of_domain else name.kind)
    if name.kind == "publication":
        return (execute(_out_of_publication(name)),)
    if name.kind == "database setting":
        return () if ROLE in name.full else (execute(RESET.format(name.full)),)
    if sql is None:
        return (execute(f"DROP {name.kind.upper()} {name.short}"),) if name.kind in BY_NAME else ()
    return (execute(sql.format(kind=name.kind.upper(), last=name.last, owner=name.short_owner)),)


def _out_of_publication(name: Name) -> str:
    found = MEMBER.match(name.full)
    if not found:
        return f"DROP PUBLICATION {name.full}"
    what = Name("table", found[3]).short if found[2] == "table" else found[3]
    return f"ALTER PUBLICATION {found[1]} DROP {PUBLISHED[found[2]]} {what}"


def _into_publication(name: Name, properties: Properties, _schema: SchemaSnapshot) -> str:
    found = MEMBER.match(name.full)
    if not found:
        return ""
    columns = f" ({properties['columns']})" if "columns" in properties else ""
    where = f" WHERE ({properties['where']})" if "where" in properties else ""
    what = Name("table", found[3]).short if found[2] == "table" else found[3]
    return f"ALTER PUBLICATION {found[1]} ADD {PUBLISHED[found[2]]} {what}{columns}{where}"


def _drop_index(name: Name, properties: Properties) -> str:
    table = INDEXED.search(properties.get("definition", ""))
    return _call("drop_index", name, name.parts[-1], **({"table_name": Name("table", table[1]).parts[-1]} if table else {}))


DROPPED_BY_ALEMBIC: dict[str, Callable[[Name, Properties], str]] = {
    "table": lambda name, _: _call("drop_table", name, name.parts[-1]),
    "column": lambda name, _: _call("drop_column", name, *name.parts[-2:]),
    "constraint": lambda name, _: _call("drop_constraint", name, name.parts[-1], name.parts[-2]),
    "index": _drop_index,
}
ROLE = " of role "
RESET = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET {}', current_database()); END $$"
DROPS = {
    "domain constraint": "ALTER DOMAIN {owner} DROP CONSTRAINT {last}",
    "attribute": "ALTER TYPE {owner} DROP ATTRIBUTE {last}",
    **dict.fromkeys(("trigger", "policy", "rule"), "DROP {kind} {last} ON {owner}"),
}


def making(name: Name, properties: Properties, schema: SchemaSnapshot) -> tuple[str, ...]:
    """Return what makes an object again that is gone; its values are not in it."""
    maker = MAKERS.get(name.kind)
    sql = maker(name, properties, schema) if maker else ""
    return (execute(sql),) if sql else ()


def column(properties: Properties) -> str:
    """Return what stands behind a column's name."""
    parts = [properties.get("type", "")]
    if "collation" in properties:
        parts.append(f"COLLATE {properties['collation']}")
    if "generated as" in properties:
        parts.append(f"GENERATED ALWAYS AS ({properties['generated as']}) {properties['generated'].upper()}")
    if "identity" in properties:
        parts.append(f"GENERATED {properties['identity'].upper()} AS IDENTITY{properties.get('identity options', '')}")
    if "default" in properties:
        parts.append(f"DEFAULT {properties['default']}")
    if "not null" in properties:
        parts.append("NOT NULL")
    return " ".join(parts)


def unlogged(properties: Properties) -> str:
    return "UNLOGGED " if properties.get("persistence") == "unlogged" else ""


def _policy(name: Name, properties: Properties, _schema: SchemaSnapshot) -> str:
    parts = [f"CREATE POLICY {name.last} ON {name.short_owner}"]
    parts += ["AS RESTRICTIVE"] if properties.get("permissive") == "no" else []
    parts += [f"FOR {properties['command']}"] if "command" in properties else []
    parts += [f"TO {properties['roles']}"] if properties.get("roles", "PUBLIC") != "PUBLIC" else []
    parts += [f"USING ({properties['using']})"] if "using" in properties else []
    parts += [f"WITH CHECK ({properties['with check']})"] if "with check" in properties else []
    return " ".join(parts)


def _constraint(name: Name, properties: Properties, schema: SchemaSnapshot) -> str:
    kind = "DOMAIN" if f"domain {name.owner}" in schema.objects else "TABLE"
    return f"ALTER {kind} {name.short_owner} ADD CONSTRAINT {name.last} {properties['definition']}"


def _defined(name: Name, properties: Properties, _schema: SchemaSnapshot) -> str:
    text = properties.get("definition", "").strip().rstrip(";")
    return f"CREATE {name.kind.upper()} {name.short} AS {text}" if name.kind.endswith("view") else text


def _type(name: Name, properties: Properties, _schema: SchemaSnapshot) -> str:
    return f"CREATE TYPE {name.short} AS ENUM ({properties['labels']})" if "labels" in properties else ""


MAKERS: dict[str, Callable[[Name, Properties, SchemaSnapshot], str]] = {
    "column": lambda name, held, _: f"ALTER TABLE {name.short_owner} ADD COLUMN {name.last} {column(held)}",
    "constraint": _constraint,
    "policy": _policy,
    "publication": _into_publication,
    "type": _type,
    "domain": lambda name, held, _: f"CREATE DOMAIN {name.short} AS {column(held)}",
    "sequence": lambda name, held, _: " ".join([f"CREATE {unlogged(held)}SEQUENCE {name.short}", *sequence_options.words(held)]),
    "schema": lambda name, _, __: f"CREATE SCHEMA {name.short}",
    "extension": lambda name, _, __: f"CREATE EXTENSION {name.short}",
    **dict.fromkeys(("index", "view", "materialized view", "function", "procedure", "trigger", "rule", "statistics"), _defined),
}


def changing(name: Name, key: str, was: str | None, now: str | None, schema: SchemaSnapshot) -> tuple[str, ...]:
    """Return what gives an object back a property; `schema` is the one before."""
    if key == "comment":
        return comment(name, was)
    if key == "definition":
        return _definition(name, was, now, schema)
    if name.kind == "column":
        return _column(name, key, was)
    sql = ""
    if key == "owner" and name.kind in BY_NAME | {"table"}:
        sql = f"ALTER {name.kind.upper()} {name.short} OWNER TO {was}"
    elif key in ROW_SECURITY and name.kind == "table":
        sql = f"ALTER TABLE {name.short} {ROW_SECURITY[key][was is None]} ROW LEVEL SECURITY"
    return (execute(sql),) if sql else ()


ROW_SECURITY = {"row security": ("ENABLE", "DISABLE"), "row security of the owner": ("FORCE", "NO FORCE")}


def _definition(name: Name, was: str | None, now: str | None, schema: SchemaSnapshot) -> tuple[str, ...]:
    if name.kind == "constraint" and now == f"{was} NOT VALID":
        return (execute(f"ALTER TABLE {name.short_owner} VALIDATE CONSTRAINT {name.last}"),)
    made = making(name, schema.objects[f"{name.kind} {name.full}"], schema)
    if name.kind in {"function", "procedure"} or not made:  # CREATE OR REPLACE
        return made
    return (*dropping(name, {"definition": was or ""}, schema), *made)


def renaming(now: Name, was: Name) -> str:
    """Return what gives a constraint or an index its old name back."""
    if now.kind == "constraint":
        return execute(f"ALTER TABLE {now.short_owner} RENAME CONSTRAINT {now.last} TO {was.last}")
    return execute(f"ALTER INDEX {now.short} RENAME TO {was.last}")


def _column(name: Name, key: str, was: str | None) -> tuple[str, ...]:
    change = {
        "default": f"SET DEFAULT {was}" if was is not None else "DROP DEFAULT",
        "not null": "SET NOT NULL" if was else "DROP NOT NULL",
        "type": f"TYPE {was}",
    }.get(key)
    return (execute(f"ALTER TABLE {name.short_owner} ALTER COLUMN {name.last} {change}"),) if change else ()


def comment(name: Name, was: str | None) -> tuple[str, ...]:
    text = "NULL" if was is None else "'" + was.replace("'", "''") + "'"
    if name.kind in COMMENTED:
        return (execute(f"COMMENT ON {name.kind.upper()} {name.short} IS {text}"),)
    if name.kind in OF_A_TABLE - {"column", "attribute"}:
        return (execute(f"COMMENT ON {name.kind.upper()} {name.last} ON {name.short_owner} IS {text}"),)
    return ()


def in_order(table: str, schema: SchemaSnapshot, kind: str = "column") -> list[Name]:
    """Return the columns of a table, or the attributes of a type, as they stand."""
    of_table = [Name.of(text) for text in schema.objects if text.startswith(f"{kind} {table}.")]
    behind: dict[str | None, list[Name]] = {}
    for one in of_table:
        if one.owner == table:
            behind.setdefault(schema.objects[f"{kind} {one.full}"].get("after"), []).append(one)
    found = behind.get(None, [])
    for one in found:
        found += behind.get(one.last, [])
    return found


def is_plain_not_null(properties: Properties) -> bool:
    """Tell whether a constraint says what its column says too: since PostgreSQL 18 NOT NULL has a name."""
    return (
        properties.get("definition", "").startswith("NOT NULL ")
        and properties.keys() == {"definition"}
        and not re.search(r" (NOT VALID|NO INHERIT)$", properties["definition"])
    )
