"""The statements that make a table again with all that went with it, or a column with its sequence, each after what it needs.

https://www.postgresql.org/docs/current/sql-createtable.html
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property

from migration_pipeline.domain import mending, privileges, sequence_options
from migration_pipeline.domain.mending import Properties, execute
from migration_pipeline.domain.schema import SchemaSnapshot
from migration_pipeline.domain.schema_names import OF_A_TABLE, Name

REFERENCED = re.compile(r' REFERENCES ((?:"(?:[^"]|"")*"|[^\s"(])+)\(')
NOT_VALID = " NOT VALID"
NOT_NULL = "NOT NULL "
FIRES = {"never (disabled)": "DISABLE", "on replicas": "ENABLE REPLICA", "always": "ENABLE ALWAYS"}


class _Grouped:
    """The parts of all tables, each found once."""

    def __init__(self, schema: SchemaSnapshot) -> None:
        #: By kind and table; sequences by the column that owns them.
        self.of: dict[tuple[str, str], list[Name]] = defaultdict(list)
        for text, held in schema.objects.items():
            name = Name.of(text)
            if name.kind in OF_A_TABLE:
                self.of[name.of_what].append(name)
            elif name.kind == "index" and (on := mending.INDEXED.search(held.get("definition", ""))):
                self.of["index", on[1]].append(name)
            elif name.kind == "sequence" and "owned by" in held:
                self.of["sequence", held["owned by"]].append(name)


class Making:
    """Makes objects again that are gone."""

    def __init__(self, schema: SchemaSnapshot, tables: Sequence[str] = ()) -> None:
        """Take the schema of before, and the names of all tables that are made again, in this order."""
        self.schema, self._objects = schema, schema.objects
        self._turns = {name: turn for turn, name in enumerate(tables)}

    def making(self, name: Name, properties: Properties) -> tuple[str, ...]:
        """Return what makes an object again; its values are not in it."""
        match name.kind:
            case "table":
                return tuple(self._table(name, properties))
            case "column":
                made = mending.making(name, self._with_sequence(name), self.schema)
                return (*self._sequences([name]), *made, *self._owned([name]), *self._beside([name, *self._sequences_of(name)]))
            case "materialized view":
                indexes = self._indexes(name)
                return (*mending.making(name, properties, self.schema), *self._made(indexes), *self._beside([name, *indexes]))
            case _:
                return mending.making(name, properties, self.schema)

    @cached_property
    def _grouped(self) -> _Grouped:
        return _Grouped(self.schema)

    @cached_property
    def _tied(self) -> dict[str, list[tuple[str, str]]]:
        """Each table that one of those that are made again needs: that one, and the statement."""
        found = defaultdict(list)
        for table in self._turns:
            for other, statement in self._ties(Name("table", table)):
                found[other].append((table, statement))
        return found

    def _held(self, name: Name) -> Properties:
        return self._objects.get(f"{name.kind} {name.full}", {})

    def _of(self, kind: str, table: Name) -> list[Name]:
        """Return the parts of a table, but for constraints that its columns tell of."""
        return [one for one in self._grouped.of.get((kind, table.full), ()) if not mending.is_plain_not_null(self._held(one))]

    def _indexes(self, table: Name) -> list[Name]:
        """Return the indexes that no constraint makes."""
        found = [one for one in self._of("index", table) if self._held(one).get("valid") != "no"]
        return [one for one in found if f"constraint {table.full}.{one.last}" not in self._objects]

    def _sequences_of(self, column: Name) -> list[Name]:
        return self._of("sequence", column)

    def _table(self, name: Name, properties: Properties) -> Iterator[str]:
        if "of type" in properties:
            return
        places = {f"column {one.full}": self._held(one) for one in self._of("column", name)}
        columns = mending.in_order(name.full, SchemaSnapshot(objects=places))
        constraints = self._of("constraint", name)
        others = [one for kind in ("rule", "trigger", "policy") for one in self._of(kind, name)]
        parts = [*self._indexes(name), *(one for one in others if one.kind == "policy" or "definition" in self._held(one))]
        yield from self._sequences(columns)
        yield execute(self._create(name, properties, columns, constraints))
        yield from self._owned(columns)
        yield from self._made(parts)
        yield from self._links(name)
        for key, (enabled, _) in mending.ROW_SECURITY.items():
            if key in properties:
                yield execute(f"ALTER TABLE {name.short} {enabled} ROW LEVEL SECURITY")
        sequences = [sequence for one in columns for sequence in self._sequences_of(one)]
        yield from self._beside([name, *columns, *sequences, *constraints, *parts])

    def _create(self, name: Name, properties: Properties, columns: Collection[Name], constraints: Collection[Name]) -> str:
        definitions = {one: self._held(one)["definition"] for one in constraints}
        told = [text for text in definitions.values() if text.startswith(NOT_NULL)]
        parts = [f"{one.last} {mending.column(self._column(one, properties, told))}" for one in columns]
        parts += [f"CONSTRAINT {one.last} {text}" for one, text in definitions.items() if not _waits(text)]
        text = f"CREATE {mending.unlogged(properties)}TABLE {name.short} ({', '.join(parts)})"
        text += f" PARTITION BY {properties['partition key']}" if "partition key" in properties else ""
        text += f" USING {properties['access method']}" if "access method" in properties else ""
        return text + (f" WITH ({properties['options']})" if "options" in properties else "")

    def _column(self, name: Name, table: Properties, told: Collection[str]) -> Properties:
        """Leave out what a constraint says too, and an identity that a partition has from its parent."""
        held = dict(self._with_sequence(name))
        if any(f"{text} ".startswith(f"{NOT_NULL}{name.last} ") for text in told):
            held.pop("not null", None)
        if "partition bound" in table:
            held.pop("identity", None)
        return held

    def _with_sequence(self, name: Name) -> Properties:
        """Add to an identity what its sequence has of its own."""
        held = self._held(name)
        if "identity" not in held:
            return held
        for sequence in self._sequences_of(name):
            options = sequence_options.words(self._held(sequence), has_type=False)
            usual = "_".join([*name.parts[-2:], "seq"])
            words = [*([f"SEQUENCE NAME {sequence.full}"] if sequence.parts[-1] != usual else []), *options]
            return {**held, "identity options": f" ({' '.join(words)})"} if words else held
        return held

    def _plain_sequences(self, columns: Collection[Name]) -> list[tuple[Name, Name]]:
        """Return the sequences that no identity makes, each with its column."""
        without = [one for one in columns if "identity" not in self._held(one)]
        return [(sequence, one) for one in without for sequence in self._sequences_of(one)]

    def _sequences(self, columns: Collection[Name]) -> Iterator[str]:
        for sequence, _ in self._plain_sequences(columns):
            yield from mending.making(sequence, self._held(sequence), self.schema)

    def _owned(self, columns: Collection[Name]) -> Iterator[str]:
        for sequence, column in self._plain_sequences(columns):
            yield execute(f"ALTER SEQUENCE {sequence.short} OWNED BY {column.short}")

    def _made(self, parts: Collection[Name]) -> Iterator[str]:
        for one in parts:
            held = self._held(one)
            yield from mending.making(one, held, self.schema)
            if one.kind in {"trigger", "rule"} and held.get("fires") in FIRES:
                yield execute(f"ALTER TABLE {one.short_owner} {FIRES[held['fires']]} {one.kind.upper()} {one.last}")

    def _links(self, table: Name) -> Iterator[str]:
        """Yield what ties a table to another one, as soon as both are there."""
        turn = self._turns.get(table.full, len(self._turns))
        yield from (statement for other, statement in self._ties(table) if self._turns.get(other, -1) <= turn)
        for other, statement in self._tied.get(table.full, ()):
            if self._turns[other] < turn:
                yield statement

    def _ties(self, table: Name) -> Iterator[tuple[str, str]]:
        """Yield the tables that a table needs, each with the statement: its parents, and those that it refers to."""
        held = self._held(table)
        bound = held.get("partition bound")
        for parent in held["parents"].split(", ") if "parents" in held else ():
            short = Name("table", parent).short
            tied = f"{short} ATTACH PARTITION {table.short} {bound}" if bound else f"{table.short} INHERIT {short}"
            yield parent, execute(f"ALTER TABLE {tied}")
        for one in self._of("constraint", table):
            if _waits(self._held(one)["definition"]):
                found = REFERENCED.search(self._held(one)["definition"])
                made = mending.making(one, self._held(one), self.schema)
                yield from ((found[1] if found else "", statement) for statement in made)

    def _beside(self, names: Collection[Name]) -> Iterator[str]:
        """Yield comments and grants."""
        for one in names:
            held = self._held(one)
            if "comment" in held:
                yield from mending.comment(one, held["comment"])
            if "privileges" in held and one.kind in privileges.KINDS:
                for finding in privileges.findings(one, held["privileges"], None, held.get("owner", "")):
                    yield from finding.add


def _waits(definition: str) -> bool:
    """Tell whether a constraint is added when the table is there: it needs another one, or CREATE TABLE would make it valid."""
    return bool(REFERENCED.search(definition)) or definition.endswith(NOT_VALID)
