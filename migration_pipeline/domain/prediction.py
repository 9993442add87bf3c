"""What the SQL of a plan predicts: every statement read in order, objects that the plan itself made left out.

It fails closed: a statement that no rule knows, a text that cannot be parsed and a call of an unknown function are findings.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial

from migration_pipeline.domain import effects, plpgsql, redaction, rules, safe_form, sql
from migration_pipeline.domain.created import Created, Origin
from migration_pipeline.domain.finders import Hit
from migration_pipeline.domain.later import later, worked_out
from migration_pipeline.domain.looked_at import LookedAt, looked_at
from migration_pipeline.domain.old_types import Column, OldTypes
from migration_pipeline.domain.put_back import PutBack, RolledBack
from migration_pipeline.domain.rule import Grade, Rule, SafeForm
from migration_pipeline.domain.sql import Name


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One hit of a rule."""

    rule: str  #: its code; `rules.BY_CODE` has the rest
    name: str
    grade: Grade
    #: Lost whatever the rows are: a dropped table, a DELETE. False: only running tells.
    certain: bool
    revision: str | None  #: None: sent by `env.py`
    statement: str = later()  #: on one line, literals that are not the revision's own left out
    objects: tuple[str, ...]
    #: How to do the same without the risk: a statement a line, and comments that say when. None: there is no such form.
    safe_form: str | None = later(None)
    #: A guard that the plan drops and makes again under the same name. Whether it is as strict as before, its text does not tell.
    made_again: bool = False

    @property
    def told(self) -> str:
        """What it is, in one line."""
        return f"{self.name}: {', '.join(self.objects)}{', made again later' if self.made_again else ''}"

    @property
    def told_in_full(self) -> str:
        """What it is, and on lines of its own how to do the same without the risk."""
        return f"{self.told}\n{self.safe_form}" if self.safe_form else self.told


def predict(
    statements: Sequence[effects.Statement],
    *,
    version_table: str,
    sources: Mapping[str, str] | None = None,
    columns: Sequence[Column] = (),
) -> tuple[Finding, ...]:
    """Return what the statements of a plan do to data, protection and service, in the order of the plan.

    `sources` holds the text of each revision's file: a literal is shown only when it stands there. `columns` are those of the
    tables whose types the plan changes, as they are before it: a change that is known to keep every value is no finding.
    """
    schema, _, table = version_table.rpartition(".")
    reader = _Reader(Name(schema or None, table), OldTypes(columns))
    found: list[tuple[_Seen, effects.Statement]] = []
    for statement in statements:
        parsed = sql.parse(statement.sql, statement.has_parameters)
        found += [(seen, statement) for seen in reader.read(parsed)]
    stand = [one for one in found if not (_can_be_undone(one[0].rule) and reader.rolled_back.takes(one[0].order))]
    return tuple(_findings(stand, reader.put_back, sources or {}))


#: Rules about what depends on rows, which counts on any; what else runs on a condition, the rehearsal tells for good.
BY_ROWS = frozenset({"L11", "L13"})
#: Rules about changed types → whether a change is known to do no harm.
OF_TYPES = {"L17": OldTypes.keeps_values, "S05": OldTypes.keeps_files}


def _can_be_undone(rule: Rule) -> bool:
    """Tell whether nothing is left of it after a rollback to a savepoint: setval() stays, and who knows of unknown functions."""
    return rule.code != "L19" and rule.grade in {Grade.LOSES_DATA, Grade.LOSES_PROTECTION}


def _findings(
    found: Sequence[tuple["_Seen", effects.Statement]], put_back: PutBack, sources: Mapping[str, str]
) -> Iterator[Finding]:
    for seen, statement in found:
        hits = seen.hits
        if seen.rule.grade is Grade.LOSES_PROTECTION:
            hits = [hit for hit in hits if not put_back.is_undone(hit, since=seen.order)]
        elif seen.rule is rules.BY_CODE["S01"]:
            hits = [hit for hit in hits if not put_back.has_successor(hit, since=seen.order)]
        if hits:
            source = sources.get(statement.revision or "", "")
            is_guard = seen.rule.grade is Grade.LOSES_PROTECTION
            write = seen.rule.safe_form
            yield Finding(
                rule=seen.rule.code,
                name=seen.rule.name,
                grade=seen.rule.grade,
                certain=any(hit.certain for hit in hits),
                revision=statement.revision,
                statement=worked_out(partial(_shown, seen.text, source)),
                objects=tuple(dict.fromkeys(map(str, hits))),
                safe_form=worked_out(partial(_safe_form, _Place(seen.node), write, tuple(hits), seen.text, source))
                if write
                else None,
                made_again=is_guard and all(put_back.is_made_again(hit, since=seen.order) for hit in hits),
            )


@lru_cache(maxsize=4096)
def _shown(text: str, source: str) -> str:
    return redaction.one_line(redaction.statement(text, source))


@dataclass(frozen=True)
class _Place:
    """A node of a statement; the statement's text and the hits tell already which."""

    node: sql.Node = field(compare=False)


@lru_cache(maxsize=4096)
def _safe_form(place: _Place, write: SafeForm, hits: tuple[Hit, ...], text: str, source: str) -> str | None:
    return safe_form.written(write, place.node, hits, text=text, source=source)


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What a rule sees in one node of a statement."""

    rule: Rule
    text: str
    hits: list[Hit]
    node: sql.Node = None
    order: int = 0  #: 0: what it is about stays, whatever is rolled back


Found = Iterator[_Seen]


class _Reader:
    """Reads the texts of a plan in order, and what their DO blocks run."""

    def __init__(self, version_table: Name, types: OldTypes) -> None:
        self.created = Created()
        self.types = types
        self.put_back = PutBack()
        self.rolled_back = RolledBack()
        self.version_table = version_table
        self._prepared: dict[str, sql.Piece] = {}

    def read(self, parsed: sql.Parsed, *, doubtful: bool = False, in_block: bool = False) -> Found:
        """Read a text; a doubtful one runs on a condition, or may be undone."""
        if parsed.tree is None:
            yield _Seen(rule=rules.UNPARSABLE, text=parsed.sql, hits=[_note("the text cannot be parsed")])
        for piece in parsed.pieces:
            is_prepared = sql.kind(piece.statement) == "PrepareStmt"
            if is_prepared:
                self._prepared[piece.statement.name] = piece
            nodes = looked_at(piece)
            for one in nodes[:1] if is_prepared else nodes:
                yield from self._node(one, piece.text, doubtful=doubtful, in_block=in_block)

    def _node(self, one: LookedAt, text: str, *, doubtful: bool, in_block: bool) -> Found:
        node, kind, strange = one.node, one.kind, one.strange
        self.put_back.note(node, kind, surely=not in_block)
        if kind == "DoStmt":
            yield from self._block(node, text)
        for rule, found in one.found:
            hits = [kept for hit in found if (kept := self._kept(hit, rule, doubtful=doubtful)) is not None]
            if hits:
                yield _Seen(rule=rule, text=text, hits=hits, node=node, order=self.put_back.order)
        if kind == "ExecuteStmt" and node.name in self._prepared:
            yield from self._executed(node, doubtful=doubtful, in_block=in_block)
        elif strange:
            yield _Seen(rule=rules.STRANGE, text=text, hits=[_note(strange)])
        if not in_block:
            self.rolled_back.note(node, kind, self.put_back.order)
        self.created.note(node, kind, surely=not in_block)
        self.types.note(node, kind, surely=not in_block)

    def _executed(self, execute: sql.Node, *, doubtful: bool, in_block: bool) -> Found:
        """Read a prepared statement where it is executed: it runs there, and as often."""
        prepared = self._prepared[execute.name]
        for one in looked_at(prepared)[1:]:
            yield from self._node(one, prepared.text, doubtful=doubtful, in_block=in_block)

    def _block(self, node: sql.Node, text: str) -> Found:
        block = plpgsql.body(node)
        if block.opaque:
            yield _Seen(rule=rules.OPAQUE, text=text, hits=[_note(sentence) for sentence in block.opaque])
        for inner in block.statements:
            if inner.tree is not None:  # the others are in `opaque`
                yield from self.read(inner, doubtful=inner in block.doubtful, in_block=True)
        for built in block.built:
            if built.tree is not None:
                yield from self.read(built, doubtful=built in block.doubtful, in_block=True)

    def _kept(self, hit: Hit, rule: Rule, *, doubtful: bool) -> Hit | None:
        """Return the hit as far as it stands: nothing that the plan made is lost by losing it."""
        if hit.kind == "other":
            return hit
        if rule.is_dml and self._is_version_table(hit.name):
            return None
        if rule.code in OF_TYPES and OF_TYPES[rule.code](self.types, hit):
            return None
        if doubtful and rule.code not in BY_ROWS:
            hit = replace(hit, certain=False)
        match self.created.origin(hit):
            case Origin.PLAN:
                return None
            case Origin.PERHAPS:
                return replace(hit, certain=False)
            case _:
                return hit

    def _is_version_table(self, name: Name) -> bool:
        same_schema = name.schema == self.version_table.schema or None in {name.schema, self.version_table.schema}
        return name.name == self.version_table.name and same_schema


def _note(sentence: str) -> Hit:
    return Hit(name=Name(None, sentence), kind="other")
