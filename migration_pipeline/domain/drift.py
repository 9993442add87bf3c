"""What the project's models have otherwise than the migrated database, in words."""

from collections.abc import Iterator, Mapping, Sequence

from migration_pipeline.domain.schema import SchemaSnapshot
from migration_pipeline.domain.schema_names import Name

Checks = dict[str, dict[str, str]]


def of_alembic(one: Sequence[str]) -> str:
    """Say one difference that Alembic's comparison found: its operation, the object, and what it is in both."""
    operation, about, was, now = one
    verb, _, what = operation.partition("_")
    what = what.replace("_", " ").replace("fk", "foreign key")
    match verb:
        case "add":
            return f"the models have the {what} {about}, the database has not"
        case "remove":
            return f"the database has the {what} {about}, the models have not"
        case _:
            return f"{about}: its {what} is {was} in the database, and {now} in the models"


def of_schemas(database: SchemaSnapshot, models: SchemaSnapshot, version_table: str) -> Iterator[str]:
    """Say what Alembic does not compare: labels of enums, and checks of the tables that both have."""
    for name, held in sorted(models.objects.items()):
        there = database.objects.get(name)
        if "labels" in held and there is not None and there.get("labels") != held["labels"]:
            yield f"{Name.of(name)}: its labels are {there.get('labels')} in the database, and {held['labels']} in the models"
    ours, theirs = (_checks(schema.objects) for schema in (database, models))
    tables = {name.partition(" ")[2] for name in database.objects.keys() & models.objects.keys() if name.startswith("table ")}
    for table in sorted(tables - {version_table}):
        yield from _of_table(Name("table", table).short, ours.get(table, {}), theirs.get(table, {}))


def _of_table(table: str, database: Mapping[str, str], models: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(database.keys() | models.keys()):
        was, now = database.get(name), models.get(name)
        if was is None and now not in database.values():
            yield f"the models have the check {name} of {table}, the database has not"
        elif now is None and was not in models.values():
            yield f"the database has the check {name} of {table}, the models have not"
        elif was is not None and now is not None and was != now:
            yield f"{table}: the check {name} is {was} in the database, and {now} in the models"


def _checks(objects: Mapping[str, Mapping[str, str]]) -> Checks:
    found: Checks = {}
    for text, held in objects.items():
        if text.startswith("constraint ") and held.get("definition", "").startswith("CHECK "):
            name = Name.of(text)
            found.setdefault(name.owner, {})[name.last] = held["definition"]
    return found
