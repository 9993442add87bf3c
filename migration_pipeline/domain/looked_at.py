"""What every rule finds in the nodes of a statement by itself, whatever the plan did before: looked for once a text."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from migration_pipeline.domain import finders, rules, sql, understood
from migration_pipeline.domain.finders import Hit, OfCommands
from migration_pipeline.domain.rule import Rule


class LookedAt(NamedTuple):
    """A node, and what every rule finds in it by itself, whatever the plan did before."""

    node: sql.Node
    kind: str
    found: tuple[tuple[Rule, tuple[Hit, ...]], ...]
    strange: str


@lru_cache(maxsize=4096)
def looked_at(piece: sql.Piece) -> tuple[LookedAt, ...]:
    return tuple(
        LookedAt(
            node,
            kind := sql.kind(node),
            tuple((rule, hits) for rule, found in _found_in(node, kind) if (hits := tuple(found))),
            understood.strange(node, kind),
        )
        for node in piece.nodes
    )


RULES_BY_NODE = {
    kind: tuple((rule, rule.finds[kind]) for rule in rules.RULES if kind in rule.finds)
    for kind in {kind for rule in rules.RULES for kind in rule.finds}
}


def _found_in(node: sql.Node, kind: str) -> Iterator[tuple[Rule, Iterable[Hit]]]:
    """Yield the rules that know a kind of statement, with what each finds. The commands of an ALTER TABLE are read once."""
    if kind != "AlterTableStmt":
        yield from ((rule, find(node)) for rule, find in RULES_BY_NODE.get(kind, ()))
        return
    listed = [(finders.subtype_of(command), command) for command in finders.commands(node)]
    for rule, find in _rules_for_commands(frozenset(subtype for subtype, _ in listed)):
        hits = [hit for subtype, command in listed if subtype in find.subtypes for hit in find.find(node, command)]
        if hits:
            yield rule, hits


@lru_cache(maxsize=4096)
def _rules_for_commands(subtypes: frozenset[int]) -> tuple[tuple[Rule, OfCommands], ...]:
    known = RULES_BY_NODE["AlterTableStmt"]
    return tuple((rule, find) for rule, find in known if isinstance(find, OfCommands) and find.subtypes & subtypes)
