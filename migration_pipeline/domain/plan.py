"""What will run on which database: the pending revisions in order. Making a plan changes nothing."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from migration_pipeline import errors


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which database it is. A copy of a volume shares all but the Target's name."""

    target: str
    database: str
    #: `pg_control_system().system_identifier`: one number for each cluster that `initdb` made
    system_identifier: str
    #: `pg_database.oid`: a database that was dropped and made again under its old name has another one
    oid: int


@dataclass(frozen=True, kw_only=True)
class Revision:
    """One pending revision, and the file that it was read from."""

    id: str
    down: tuple[str, ...]
    title: str
    path: str
    checksum: str  #: SHA-256 of the file's bytes


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The ordered pending revisions, from the current heads to the target."""

    identity: Identity
    target: str  #: as it was asked for: "head", a revision id, "+1"
    current: tuple[str, ...]  #: the rows of the version table; empty before the first revision
    revisions: tuple[Revision, ...]
    version_table: str
    version_table_schema: str | None = None
    folders: tuple[str, ...] = ()  #: where the project's env.py and revisions lie, with what these read: SQL, helpers
    folders_checksum: str = ""  #: SHA-256 of every file in them
    #: Whether CONCURRENTLY is left out of what is sent, so that one transaction holds it; tables are locked for as long then.
    without_concurrently: bool = False

    @property
    def fingerprint(self) -> str:
        """A hash of what would run, from where, on which database: a confirmation binds to it."""
        revisions = [[revision.id, revision.checksum] for revision in self.revisions]
        meaning = [asdict(self.identity), self.current, revisions, self.folders_checksum, self.without_concurrently]
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()

    @property
    def is_empty(self) -> bool:
        return not self.revisions

    @property
    def heads(self) -> tuple[str, ...]:
        """The rows that the version table holds after the plan: the current ones, less those that it builds on."""
        applied = set(self.current) | {revision.id for revision in self.revisions}
        built_on = {down for revision in self.revisions for down in revision.down}
        return tuple(sorted(applied - built_on))

    @property
    def route(self) -> str:
        """From where to where, in words."""
        return f"{', '.join(self.current) or 'an empty database'} to {', '.join(self.heads)}"

    @property
    def qualified_version_table(self) -> str:
        return f"{self.version_table_schema}.{self.version_table}" if self.version_table_schema else self.version_table

    def is_version_table(self, name: str) -> bool:
        """Return whether a schema-qualified name is that of Alembic's own table."""
        schema, _, table = name.rpartition(".")
        return table == self.version_table and self.version_table_schema in (None, schema)

    def part(self, start: int, end: int) -> "Plan":
        """Return the revisions from `start` up to `end` as a plan of their own; those before are applied when it begins."""
        before = replace(self, revisions=self.revisions[:start])
        return replace(self, current=before.heads if start else self.current, revisions=self.revisions[start:end])

    def applied(self, heads: tuple[str, ...]) -> int | None:
        """Return how many of its revisions are applied where these are the heads; None: heads that it does not come by."""
        return next((count for count in range(len(self.revisions) + 1) if self.part(count, count).current == heads), None)

    def named(self, revision: str) -> Revision:
        return next(one for one in self.revisions if one.id == revision)


def make(facts: Mapping[str, Any], identity: Identity, checksums: Mapping[str, str], target: str, folders_checksum: str) -> Plan:
    """Make a plan of what the project's own Alembic said is pending. Raise NoPlan with the command that helps."""
    if facts["unknown"]:
        raise errors.NoPlan(
            f'The database is at revision "{facts["unknown"][0]}", which this project does not have.',
            evidence={"database": identity.database, "the project's heads": ", ".join(facts["heads"]) or "none"},
            next_step="check out the code that made this revision, then: just plan",
        )
    if twice := sorted({head for head in facts["heads"] if facts["heads"].count(head) > 1}):
        raise errors.NoPlan(
            f'Two files have the revision "{twice[0]}".',
            next_step="give one of them another revision and down_revision, then: just plan",
        )
    if facts["error"] and target == "head" and len(facts["heads"]) > 1:
        raise errors.NoPlan(
            f"The project has {len(facts['heads'])} heads: there is no one way up.",
            evidence={"heads": ", ".join(facts["heads"])},
            next_step=f"alembic merge -m 'merge heads' {' '.join(facts['heads'])}, or just migrate <revision>",
        )
    if facts["error"]:
        raise errors.NoPlan(
            f'There is no way from the current revision to "{target}".',
            evidence={"alembic": facts["error"], "current": ", ".join(facts["current"]) or "none"},
            next_step="alembic history, then: just plan <revision>",
        )
    revisions = tuple(
        Revision(
            id=one["id"],
            down=tuple(one["down"]),
            title=(one["title"] or [""])[0],
            path=one["path"],
            checksum=checksums[one["path"]],
        )
        for one in facts["revisions"]
    )
    return Plan(
        identity=identity,
        target=target,
        current=tuple(facts["current"]),
        revisions=revisions,
        version_table=facts["version_table"],
        version_table_schema=facts["version_table_schema"],
        folders=tuple(facts["folders"]),
        folders_checksum=folders_checksum,
    )
