"""What a downgrade has not brought back of a schema: the difference of two snapshots as findings, each with its statement.

An object's parts are not told beside it: who drops the left-over table drops its columns.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from migration_pipeline.domain import mending, privileges
from migration_pipeline.domain.downgrades import Finding, Kind
from migration_pipeline.domain.schema import HIDDEN, Difference, SchemaSnapshot, diff, excerpts
from migration_pipeline.domain.schema_names import OF_A_TABLE, Name
from migration_pipeline.domain.table_making import Making

RENAMED = ("constraint ", "index ")
LABEL = re.compile(r"'(?:[^']|'')*'")
#: Properties with hashes in the place of values, and one option of these.
SEALED = HIDDEN | {"sealed options"}
SEAL = re.compile(r"(?:^|, )(.+?)=#([0-9a-f]{16})(?=, |$)")
NO_LABEL_GOES = "make the type anew without it and cast its columns to that: PostgreSQL drops no label"
NOTHING: Mapping[str, Collection[str]] = {}
PLACE = "after"  #: the property of a column that says where it stands
NOT_NULL = "not null"
NULLABLE = ("it is NOT NULL now, and was not", "it is nullable now, and was NOT NULL")
BOUND = "partition bound"  #: the property that a partition has
WHOLE = {"column": ("table", "columns"), "attribute": ("type", "attributes")}
#: What other objects stand on, each after what it stands on itself.
GROUND = ("schema", "extension", "type", "domain", "sequence", "function", "table", "column")


def findings(
    before: SchemaSnapshot, after: SchemaSnapshot, at_the_end: Mapping[str, Collection[str]] = NOTHING
) -> tuple[list[Finding], list[str]]:
    """Return what is wrong, and what is to be known and cannot be otherwise: columns that were added again stand last.

    `at_the_end` names these columns by table.
    """
    before, after = comparable(before), comparable(after)
    found = sorted(diff(before, after), key=_turn)
    new = {one.object for one in found if one.property is None and one.before is None}
    gone = {one.object for one in found if one.property is None and one.after is None}
    told = list(_renamed(before, after, new, gone))
    maker = Making(before, _tables(before, gone))
    for one in found:
        if one.property is None:
            told += _whole(one, maker, after, new, gone)
        elif one.property != PLACE:
            told += _property(one, before, after)
    orders, notes = _orders(found, before, after, at_the_end)
    return [*told, *orders], notes


def _turn(one: Difference) -> int:
    """Return when its statement can be run: what others stand on is made first and dropped last."""
    kind = Name.of(one.object).kind
    place = GROUND.index(kind) + 1 if kind in GROUND else 0
    if one.property is not None:
        return 0
    if one.before is None:
        return len(GROUND) + 2 - place if place else -1
    return place - len(GROUND) - 2 if place else 1


def comparable(schema: SchemaSnapshot) -> SchemaSnapshot:
    """Leave out the constraints that only say NOT NULL: the column says it too, and their names follow a renamed table not."""
    kept = {
        name: held
        for name, held in schema.objects.items()
        if not (name.startswith("constraint ") and mending.is_plain_not_null(held))
    }
    return SchemaSnapshot(objects=kept)


def _renamed(before: SchemaSnapshot, after: SchemaSnapshot, new: set[str], gone: set[str]) -> Iterator[Finding]:
    """Yield the constraints and indexes that have another name and are the same otherwise; take them out of both."""
    names: dict[str, list[str]] = {}
    for text in sorted(new):
        if text.startswith(RENAMED) and not is_part(Name.of(text), after.objects[text], new):
            names.setdefault(_but_for_its_name(Name.of(text), after.objects[text]), []).append(text)
    for text in sorted(gone):  # constraints first: their indexes go with them
        was = Name.of(text)
        if text not in gone or not text.startswith(RENAMED) or is_part(was, before.objects[text], gone):
            continue
        alike = names.get(_but_for_its_name(was, before.objects[text]), ())
        now = next((one for one in alike if one in new), None)  # each of them bears one name alone
        if now is None:
            continue
        yield Finding(
            kind=Kind.CHANGED,
            what=f"{was}: it is called {Name.of(now).last} now",
            add=(mending.renaming(Name.of(now), was),),
        )
        index = f"index {was.full.partition('.')[0]}."
        gone -= {text, index + was.last}
        new -= {now, index + Name.of(now).last}


def _but_for_its_name(name: Name, properties: Mapping[str, str]) -> str:
    definition = properties.get("definition", "")
    if name.kind == "index":
        definition = definition.replace(f" {name.last} ON ", " ON ", 1)
    return json.dumps([name.kind, name.owner, sorted({**properties, "definition": definition}.items())])


def _whole(
    one: Difference, maker: Making, after: SchemaSnapshot, new: Collection[str], gone: Collection[str]
) -> Iterator[Finding]:
    name = Name.of(one.object)
    if one.object not in new and one.object not in gone:
        return  # it has another name
    if one.before is None:
        held = after.objects[one.object]
        if not is_part(name, held, new):
            yield Finding(kind=Kind.RESIDUE, what=f"{name} is left over", add=mending.dropping(name, held, after))
    else:
        held = maker.schema.objects[one.object]
        if not is_part(name, held, gone):
            yield Finding(kind=Kind.LOST, what=f"{name} is gone", add=maker.making(name, held))


def _tables(before: SchemaSnapshot, gone: Collection[str]) -> list[str]:
    """Return the tables that are told to be gone, in the order in which they are."""
    found = [Name.of(text) for text in sorted(gone) if text.startswith("table ")]
    return [one.full for one in found if not is_part(one, before.objects[f"table {one.full}"], gone)]


def is_part(name: Name, properties: Mapping[str, str], others: Collection[str]) -> bool:
    """Tell whether an object comes and goes with another one of these."""
    owners: list[str] = []
    if name.kind in OF_A_TABLE:
        kinds = ("table", "view", "materialized view", "foreign table", "domain", "type")
        owners += [f"{kind} {name.owner}" for kind in kinds]
    if name.kind == "index" and (on := mending.INDEXED.search(properties.get("definition", ""))):
        owners += [f"table {on[1]}", f"constraint {on[1]}.{name.last}", f"materialized view {on[1]}"]
    if name.kind == "sequence" and "owned by" in properties:
        column = Name("column", properties["owned by"])
        owners += [f"column {column.full}", f"table {column.owner}"]
    if name.kind == "publication" and (member := mending.MEMBER.match(name.full)):
        owners += [f"publication {member[1]}", f"{member[2]} {member[3]}"]
    if name.kind not in {"schema", "extension", "database setting"} and "." in name.full:
        owners.append(f"schema {name.full.partition('.')[0]}")
    return any(owner in others for owner in owners)


def _property(one: Difference, before: SchemaSnapshot, after: SchemaSnapshot) -> Iterator[Finding]:
    name, key = Name.of(one.object), one.property or ""
    constraint = f"constraint {_table_of(one)}.{name.last}" if name.kind == "index" else ""
    if before.objects.get(constraint) != after.objects.get(constraint):
        return  # the constraint tells
    if key == "privileges":
        yield from privileges.findings(name, one.before, one.after, before.objects[one.object].get("owner", ""))
        return
    if key in SEALED:
        yield Finding(kind=Kind.CHANGED, what=f"{name}: {_sealed(one.before or '', one.after or '')}")
        return
    if key == "labels":
        yield from _labels(name, one.before or "", one.after or "")
        return
    was, now = excerpts(one.before, one.after)
    yield Finding(
        kind=Kind.CHANGED,
        what=f"{name}: {NULLABLE[one.after is None] if key == NOT_NULL else f'{key} is {now}, was {was}'}",
        add=() if constraint in before.objects else mending.changing(name, key, one.before, one.after, before),
    )


def _sealed(was: str, now: str) -> str:
    """Name the options that are not the same; no hash of what may be a secret is told."""
    before, after = (dict(SEAL.findall(text)) for text in (was, now))
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    were = "not what they were" if len(names) > 1 else "not what it was"
    return f"its {_listed('option', names)} {were}" if names else f"its value is {were}"


def _listed(noun: str, names: Sequence[str]) -> str:
    return f"{noun}{'s' * (len(names) > 1)} {', '.join(names)} {'is' if len(names) == 1 else 'are'}"


def _labels(name: Name, was: str, now: str) -> Iterator[Finding]:
    before, after = LABEL.findall(was), LABEL.findall(now)
    new, gone = [one for one in after if one not in before], [one for one in before if one not in after]
    if new:
        yield Finding(kind=Kind.RESIDUE, what=f"{name}: its {_listed('label', new)} left over", fix=NO_LABEL_GOES)
    if gone:
        yield Finding(kind=Kind.LOST, what=f"{name}: its {_listed('label', gone)} gone")
    if not new and not gone:
        yield Finding(kind=Kind.CHANGED, what=f"{name}: its labels stand in another order: {now}; were {was}")


def _table_of(one: Difference) -> str:
    found = mending.INDEXED.search(one.before or "")
    return found[1] if found else ""


def _orders(
    found: Collection[Difference], before: SchemaSnapshot, after: SchemaSnapshot, at_the_end: Mapping[str, Collection[str]]
) -> tuple[list[Finding], list[str]]:
    """Tell of each table or type whose columns stand in another order; those that came or went are told by themselves."""
    told, notes = [], []
    for kind, table in dict.fromkeys(Name.of(one.object).of_what for one in found if one.property == PLACE):
        was, now = (mending.in_order(table, schema, kind) for schema in (before, after))
        last = at_the_end.get(table, ())
        if _shared(now, was) == _shared(was, now):
            continue
        whole, parts = WHOLE[kind]
        short = Name(whole, table).short
        if _shared(now, was, last) == _shared(was, now, last):
            if BOUND in before.objects.get(f"table {table}", {}):
                continue  # its parent tells
            notes.append(
                f"{short}: {', '.join(last)} stand{'s' * (len(last) == 1)} last now, for PostgreSQL adds a column at the end"
            )
        else:
            order = f"{', '.join(_shared(now, was))}; were {', '.join(one.last for one in was)}"
            told.append(Finding(kind=Kind.CHANGED, what=f"{whole} {short}: its {parts} stand in another order: {order}"))
    return told, notes


def _shared(columns: Collection[Name], others: Collection[Name], left_out: Collection[str] = ()) -> list[str]:
    return [one.last for one in columns if one in others and one.parts[-1] not in left_out]
