"""The records of migrations, kept beside the backups that return from them: one each, from before its upgrade begins."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

import pydantic

from migration_pipeline.adapters.storage import BackupStore
from migration_pipeline.domain.backups import APPLIED, Migration, Outcome
from migration_pipeline.domain.plan import Plan

PATTERN = "migration_*.json"
_migrations = pydantic.TypeAdapter(Migration)


@dataclass(frozen=True)
class History:
    """The migrations of one Target."""

    store: BackupStore

    def begin(self, plan: Plan, backup_id: str, confirmed: str, at: datetime, *, accepted: tuple[str, ...] = ()) -> Migration:
        """Record a migration before its upgrade; one that cannot be recorded must not begin. Raise BackupFailed."""
        begun = Migration(
            at=at,
            outcome=Outcome.BEGUN,
            identity=plan.identity,
            plan_fingerprint=plan.fingerprint,
            heads_before=plan.current,
            heads_after=plan.heads,
            revisions=tuple(revision.id for revision in plan.revisions),
            backup_id=backup_id,
            confirmed=confirmed,
            accepted=accepted,
        )
        self._keep(begun)
        return begun

    def end(
        self, begun: Migration, outcome: Outcome, *, at: datetime, heads: tuple[str, ...], applied: int | None = None
    ) -> None:
        """Record what became of it; `applied`: of its revisions, where that is not all. Raise BackupFailed."""
        revisions = begun.revisions[:applied] if applied else begun.revisions
        self._keep(replace(begun, outcome=outcome, finished=at, heads_after=heads, revisions=revisions))

    def all(self) -> tuple[list[Migration], int]:
        """Return the migrations, oldest first, and how many records cannot be read."""
        texts = self.store.records(PATTERN)
        found = [record for record in map(_migration, texts) if record is not None]
        return found, len(texts) - len(found)

    def notes(self, plan: Plan) -> Iterator[str]:
        """Yield what an operator should know of the past: a revision that no run of ours applied."""
        records, damaged = self.all()
        if damaged:
            yield f"{damaged} of {damaged + len(records)} records of earlier migrations in {self.store.where} are damaged"
        ours = [one for one in records if one.identity == plan.identity and one.outcome in APPLIED]
        at = ", ".join(plan.current)
        last = next((one for one in reversed(records) if one.identity == plan.identity), None)
        if last is not None and last.outcome is Outcome.BEGUN and at and last.heads_before != plan.current:
            yield (
                f"the last migration was cut off after {last.at:%Y-%m-%d %H:%M} UTC on its way to {', '.join(last.heads_after)}; "
                f"the database is at {at}, and its backup is {last.backup_id}"
            )
            return
        if at and not ours:
            yield f"the database is at {at}; no run of this pipeline has migrated it before"
        elif ours and ours[-1].heads_after != plan.current:
            left = ", ".join(ours[-1].heads_after)
            yield f"the database is at {at or 'no revision'}, and the last run of this pipeline left it at {left}"

    def _keep(self, migration: Migration) -> None:
        self.store.keep(migration.name, _migrations.dump_json(migration, indent=1))


def _migration(text: bytes) -> Migration | None:
    """Return a record of a migration, or None for what is none."""
    try:
        return _migrations.validate_json(text)
    except ValueError:
        return None
