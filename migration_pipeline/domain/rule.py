"""What a rule is: one thing that is looked for in the SQL of a plan."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum
from typing import NamedTuple

from migration_pipeline.domain import sql
from migration_pipeline.domain.finders import Finder, Hit


class Step(NamedTuple):
    """One statement of a safe form, and when it is sent: "" is here and now."""

    when: str
    sql: str
    literal: str = ""  #: a name that the form itself puts between quotes: no value of a row


#: Writes the safe form of a hit in a statement. Nothing where there is none for it.
SafeForm = Callable[[sql.Node, Hit], Iterator[Step]]


class Grade(StrEnum):
    """What a finding is about."""

    LOSES_DATA = "loses data"  #: objects, rows or values are gone: the only grade that the prompt is about
    LOSES_PROTECTION = "loses protection"  #: triggers, policies, constraints: what kept the data right
    RISKS_SERVICE = "risks the service"  #: locks, rewrites, renames
    UNKNOWN = "unknown"  #: no rule understands it; it counts as lost data until everything was measured


@dataclass(frozen=True)
class Rule:
    """One thing that is looked for."""

    code: str  #: never used for another rule
    name: str
    sees: str  #: the condition, in PostgreSQL's words
    effect: str  #: what is lost, a clause about the objects: "its rows are gone"
    instead: str  #: the way out, an imperative clause: "keep the table"
    _: KW_ONLY
    grade: Grade
    bad: str  #: SQL in which the rule finds something
    good: str  #: SQL of the same purpose in which it finds nothing
    #: Node type of PostgreSQL's parser → what finds the objects in it. Empty: found while reading, not in one node.
    finds: Mapping[str, Finder]
    #: Rows of the Alembic version table are Alembic's own business, not data.
    is_dml: bool = False
    #: The safe form of a statement, in its own names.
    safe_form: SafeForm | None = field(default=None, compare=False)
    squawk: str = ""  #: what squawk calls it (https://squawkhq.com/docs/rules), "" where it has no such rule
