"""Knows a whole schema as it changes: only what a transaction may have changed is read, the rest is known."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from migration_pipeline.adapters import catalog, large_object_marks, look_function
from migration_pipeline.adapters.look_function import Answer, Query
from migration_pipeline.domain.schema import HIDDEN, SchemaSnapshot
from migration_pipeline.domain.schema_names import Name
from migration_pipeline.domain.sequence_positions import Stood
from migration_pipeline.domain.table_rows import LARGE_OBJECTS, Book, TableRows

#: What nothing else names in its own text.
NOT_SPOKEN_OF = frozenset({"constraint", "index", "trigger", "rule", "policy"})
Rows = frozenset[tuple[str, str]]  #: objects, each with its properties as JSON


@dataclass(frozen=True, kw_only=True)
class SchemaMarks:
    """A schema as the catalog's queries tell it. What two of them have in common need not be understood."""

    relations: Mapping[int, Rows] = field(default_factory=dict)  #: by OID
    tables: Mapping[int, str] = field(default_factory=dict)  #: their names, of those that hold rows themselves
    rowless: Mapping[int, TableRows] = field(default_factory=dict)  #: what has columns and no rows itself
    others: Mapping[str, Rows] = field(default_factory=dict)  #: by group
    signatures: Mapping[str, str] = field(default_factory=dict)  #: of the others

    def apart(self, other: "SchemaMarks") -> tuple[Rows, Rows]:
        """Return what only this one has, and what only the other one has."""
        keys = [key for key in self.relations.keys() | other.relations.keys() if not self._shares(other, key)]
        mine, theirs = (
            frozenset().union(*one.others.values(), *(one.relations.get(key, frozenset()) for key in keys))
            for one in (self, other)
        )
        return mine - theirs, theirs - mine

    def _shares(self, other: "SchemaMarks", key: int) -> bool:
        mine, theirs = self.relations.get(key), other.relations.get(key)
        return mine is theirs or mine == theirs

    def is_like(self, other: "SchemaMarks") -> bool:
        return not any(self.apart(other))

    def snapshots(self, other: "SchemaMarks") -> tuple[SchemaSnapshot, SchemaSnapshot]:
        """Return both as snapshots."""
        return self.snapshot, other.snapshot

    @property
    def snapshot(self) -> SchemaSnapshot:
        held = (*self.others.values(), *self.relations.values())
        return catalog.snapshot([row for rows in held for row in rows])

    def standing(self, rows: Book) -> Book:
        """Return all that has columns, rows or none, to tell their numbers."""
        return {**{held.name: held for held in self.rowless.values()}, **rows}

    def change(self, other: "SchemaMarks") -> tuple[SchemaSnapshot, SchemaSnapshot]:
        """Return the objects that are not the same in both, from each; nothing of what is secret."""
        names = {name for rows in self.apart(other) for name, _ in rows}
        before, after = self.snapshots(other)
        kept = [{name: held for name, held in one.objects.items() if name in names} for one in (before, after)]
        return SchemaSnapshot(objects=kept[0]).without(HIDDEN), SchemaSnapshot(objects=kept[1]).without(HIDDEN)


def read(
    query: Query, base: SchemaMarks | None, also: Collection[int] = (), stood: Stood | None = None
) -> tuple[SchemaMarks, Answer]:
    """Return the schema, and what else was found; `base` is how it was when the transaction began, None: nobody knows.

    `also` are tables whose rows are to be read though this transaction has not written to them, `stood` is where sequences stood.
    """
    known = base or SchemaMarks()
    answer = look_function.ask(query, None if base is None else also, known.relations.keys(), known.signatures, stood=stood)
    others = _others(known, answer)
    if base is not None and not all(_keeps_names(base.others[group], rows) for group, rows in others.items()):
        # what was renamed may stand in the text of any relation, and a label in any row
        answer = look_function.ask(query, None, (), {}, stood=stood)
        return _marks(SchemaMarks(), answer, _others(known, answer)), answer
    marks = _marks(known, answer, others)
    before, after = ([rows for oid in answer.relations if (rows := one.relations.get(oid))] for one in (known, marks))
    if base is not None and not _keeps_names(frozenset().union(*before), frozenset().union(*after)):
        deep = look_function.ask(query, (), known.relations.keys(), {}, deep=True)
        marks = _marks(known, deep, _others(known, deep))
    return marks, answer


def _others(known: SchemaMarks, answer: Answer) -> dict[str, Rows]:
    return {group: known.others[group] if rows is None else _rows(rows) for group, rows in answer.others.items()}


def _marks(known: SchemaMarks, answer: Answer, others: Mapping[str, Rows]) -> SchemaMarks:
    found: dict[int, set[tuple[str, str]]] = {oid: set() for oid in answer.relations}
    for oid, name, held in answer.parts:
        found[oid].add((name, held))
    kept = {oid: rows for oid, rows in known.relations.items() if oid not in answer.gone}
    tables = {oid: name for oid, name in known.tables.items() if oid not in answer.gone}
    rowless = {oid: held for oid, held in known.rowless.items() if oid not in answer.gone}
    return SchemaMarks(
        relations={**kept, **{oid: frozenset(rows) for oid, rows in found.items()}},
        tables={
            **tables,
            large_object_marks.OID: LARGE_OBJECTS,
            **{oid: name for oid, name in answer.relations.items() if name is not None},
        },
        rowless={**rowless, **answer.rowless},
        others=others,
        signatures=answer.signatures,
    )


def _rows(rows: Collection[Collection[str]]) -> Rows:
    return frozenset((name, held) for name, held in rows)


def _keeps_names(before: Rows, after: Rows) -> bool:
    """Tell whether nothing was renamed, and no type is another one: then what relations say of these reads as it did.

    What was dropped cannot stand in the text of a relation that was not changed.
    """
    if before is after:
        return True
    was, now = ({Name.of(name) for name, _ in rows} for rows in (before, after))
    renamed = ({one.kind for one in was - now} & {one.kind for one in now - was}) - NOT_SPOKEN_OF
    altered = {Name.of(name) for name, _ in before - after} & now
    return not renamed and not any(one.kind in {"type", "domain"} for one in altered)
