"""What stays open between the steps of one run on one Target: the migration lock, the restored copy, the way to the store."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import psycopg
import pydantic

from migration_pipeline import errors
from migration_pipeline.adapters import belongings, binaries, dump, locks, postgres, roles, scratch
from migration_pipeline.adapters.locks import AdvisoryLock
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.adapters.storage import FolderStore
from migration_pipeline.adapters.transaction import Limits
from migration_pipeline.domain.backups import Backup, Migration
from migration_pipeline.domain.confirmation import Confirmation
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.plan import Identity, Plan
from migration_pipeline.settings import Target

migrations = pydantic.TypeAdapter(Migration)


class Progress(Protocol):
    """Told how far a long piece of work is; `total` is None where nobody knows."""

    def __call__(self, what: str, done: int, total: int | None) -> None: ...


def in_silence(what: str, done: int, total: int | None) -> None:  # noqa: ARG001
    return None


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(kw_only=True)
class Workplace:
    """One run's belongings. Close it, and nothing of it is left: no lock, no scratch database."""

    target: Target
    run_id: str
    clock: Callable[[], datetime] = utc_now
    progress: Progress = in_silence
    _open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _copy: tuple[str, Connection] | None = None
    _rehearses: str | None = None
    _lock: AdvisoryLock | None = None

    @property
    def live(self) -> Connection:
        return self.target.connection

    @property
    def store(self) -> FolderStore:
        return FolderStore(Path(self.target.backup_location), self.target.name)

    @property
    def scratch_server(self) -> Connection:
        return self.target.scratch or self.target.connection

    @property
    def project(self) -> Project:
        return Project(
            config=self.target.alembic_config,
            python=self.target.project_python,
            live=self.target.connection,
            driver=self.target.connection.driver,
            target=self.target.name,
        )

    @property
    def limits(self) -> Limits:
        return Limits(lock_timeout=self.target.lock_timeout, transaction=self.target.transaction_limit)

    @property
    def rehearses(self) -> str | None:
        """The role to rehearse as, where the restored copy is reached under another name than the live database."""
        return self._rehearses

    def identity(self, server: postgres.Server) -> Identity:
        return Identity(
            target=self.target.name,
            database=server.database,
            system_identifier=server.system_identifier,
            oid=server.database_oid,
        )

    def server_time(self) -> datetime:
        """Return the live server's clock, with which a backup's snapshot was stamped."""
        with postgres.session(self.live, purpose="looks") as opened:
            return postgres.now(opened)

    def show_revision(self, revision: str) -> None:
        self.progress(f"revision {revision}", 0, None)

    def programs(self, major: int) -> Path:
        return binaries.find(major, self.target.pg_bin)

    def hold_lock(self) -> None:
        """Take the migration lock, or make sure that it is still ours. Raise Locked, ServerUnreachable, Stale."""
        if self._lock is None:
            self._lock = self._new_lock()
            self._open.callback(self._lock.release)
            locks.acquire(self._lock, wait=self.target.migration_lock_wait)
        if not self._lock.is_held():  # somebody else may have come between: what was checked under it counts no more
            self.server_time()
            raise errors.Stale("The migration lock was lost: its connection was cut.", next_step="just migrate")

    def restored(self, backup: Backup) -> tuple[Connection, float]:
        """Return a scratch database that holds the backup, and the seconds that the restore took (0: it was there already)."""
        if self._copy is not None and self._copy[0] == backup.id:
            return self._copy[1], 0.0
        if not self.store.is_intact(backup):
            raise errors.VerificationFailed(
                f'The dump of backup "{backup.id}" is not what its manifest says.',
                evidence={"dump": backup.location},
                next_step="just backup-db",
            )
        with postgres.session(self.live, purpose="looks") as opened:
            major = postgres.server(opened).major
        needed = roles.needed(self.live)
        roles.provide(self.scratch_server, self.target.maintenance_database, needed, backup.manifest.roles)
        copy = self._open.enter_context(
            scratch.database(self.scratch_server, self.live, self.target.name, self.target.maintenance_database)
        )
        if "schema public" not in backup.manifest.schema.objects:
            scratch.drop_public_schema(copy)
        started = time.monotonic()
        with self.store.dump(backup.id).open("rb") as source:
            total = backup.manifest.bytes
            dump.restore(copy, self.programs(major), source, progress=lambda done: self.progress("restore", done, total))
        seconds = time.monotonic() - started
        scratch.cut_subscriptions(copy)
        scratch.cut_foreign_servers(copy)
        self._copy = (backup.id, copy)
        self._rehearses = roles.for_rehearsal(copy, needed)
        return copy, seconds

    def remember(self, plan: Plan, heads: tuple[str, ...], backup: Backup, consent: Confirmation) -> None:
        """Keep a record of a committed migration beside the backup that returns from it."""
        record = Migration(
            at=self.clock(),
            identity=plan.identity,
            plan_fingerprint=plan.fingerprint,
            heads_before=plan.current,
            heads_after=heads,
            revisions=tuple(revision.id for revision in plan.revisions),
            backup_id=backup.id,
            confirmed=consent.how,
        )
        self.store.keep(record.name, migrations.dump_json(record, indent=1))

    def history_notes(self, plan: Plan) -> Iterator[str]:
        """Yield what an operator should know of the past: a revision that no run of ours applied."""
        texts = self.store.records("migration_*.json")
        records = [record for record in map(_migration, texts) if record is not None]
        if len(records) < len(texts):
            yield f"{len(texts) - len(records)} of {len(texts)} records of earlier migrations in {self.store.folder} are damaged"
        ours = [record for record in records if record.identity == plan.identity]
        at = ", ".join(plan.current)
        if at and not ours:
            yield f"the database is at {at}; no run of this pipeline has migrated it before"
        elif ours and ours[-1].heads_after != plan.current:
            left = ", ".join(ours[-1].heads_after)
            yield f"the database is at {at or 'no revision'}, and the last run of this pipeline left it at {left}"

    def sweep_if_nobody_runs(self) -> None:
        """Sweep where no migration follows; a run that is under way, or what cannot be swept now, keeps nobody waiting."""
        with contextlib.suppress(errors.MigrationPipelineError, psycopg.Error):
            lock = self._new_lock()
            if lock.try_acquire():
                try:
                    self.sweep()
                finally:
                    lock.release()

    def _new_lock(self) -> AdvisoryLock:
        maintenance = self.live.replace(database=self.target.maintenance_database)
        return AdvisoryLock(maintenance, f"database {self.live.database}", f"{self.target.name} run {self.run_id[:8]}")

    def sweep(self) -> list[str]:
        """Remove what dead runs left: scratch databases and partial files. Only under the migration lock."""
        self.store.sweep()
        belongings.sweep()
        return scratch.sweep(self.scratch_server, self.target.maintenance_database)

    def close(self) -> None:
        self._open.close()
        self._copy = None


def _migration(text: bytes) -> Migration | None:
    """Return a record of a migration, or None for what is none."""
    try:
        return migrations.validate_json(text)
    except ValueError:
        return None
