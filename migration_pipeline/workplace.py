"""What stays open between the steps of one run on one Target: the migration lock, the restored copy, the way to the store."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Protocol

import psycopg

from migration_pipeline import errors
from migration_pipeline.adapters import belongings, binaries, locks, postgres, restore, roles, scratch, stores
from migration_pipeline.adapters.dump import Dump
from migration_pipeline.adapters.history import History
from migration_pipeline.adapters.locks import AdvisoryLock
from migration_pipeline.adapters.own_system import OwnSystem
from migration_pipeline.adapters.restore import Restore
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.adapters.storage import ROOM, BackupStore, NewBackup
from migration_pipeline.adapters.transaction import Limits
from migration_pipeline.domain.backups import Backup, DatabaseFacts, Layout
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.plan import Identity
from migration_pipeline.settings import Target


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
    _database_sql: dict[str, str] = field(default_factory=dict)

    @property
    def live(self) -> Connection:
        return self.target.connection

    @cached_property
    def store(self) -> BackupStore:
        policy = self.target.backups
        return stores.of(self.target.name, policy.location, policy.copies, kms_key=policy.kms_key)

    @property
    def history(self) -> History:
        return History(self.store)

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

    def show_revision(self, revision: str, _statement: int) -> None:
        self.progress(f"revision {revision}", 0, None)

    def programs(self, major: int) -> Path:
        return binaries.find(major, self.target.pg_bin)

    @property
    def admin(self) -> Connection:
        """The maintenance database of the live server: there the migration lock is held, and names are swapped."""
        return self.live.replace(database=self.target.maintenance_database)

    def hold_lock(self) -> None:
        """Take the migration lock, or make sure that it is still ours. Raise Locked, ServerUnreachable, Stale."""
        if self._lock is None:
            lock = self._new_lock()
            self._open.callback(lock.release)
            locks.acquire(lock, wait=self.target.migration_lock_wait)
            self._lock = lock
        if not self._lock.is_held():  # somebody else may have come between: what was checked under it counts no more
            self.server_time()
            raise errors.Stale("The migration lock was lost: its connection was cut.", next_step="run the same command again")

    def restored(self, backup: Backup) -> tuple[Connection, float]:
        """Return a scratch database that holds the backup, and the seconds that the restore took (0: it was there already)."""
        if self._copy is not None and self._copy[0] == backup.id:
            return self._copy[1], 0.0
        if backup.manifest.layout is Layout.OWN_SYSTEM:
            return self._restored_by_own_system(backup)
        with self.store.fetched(backup) as folder:
            with postgres.session(self.live, purpose="looks") as opened:
                major = postgres.server(opened).major
            maintenance = self.target.maintenance_database
            self._check_scratch(backup)
            needed = roles.needed(self.live)
            roles.provide(self.scratch_server, maintenance, needed, backup.manifest.roles)
            copy = self._open.enter_context(scratch.database(self.scratch_server, self.live, self.target.name, maintenance))
            seconds = self.restore(backup, folder, copy, major)
        self._take_copy(backup, copy, needed)
        return copy, seconds

    def forget_copy(self) -> None:
        """Restore anew when a copy is asked for again: something may have been committed on this one."""
        self._copy = None

    def keep_copy(self, backup: Backup, copy: Connection) -> None:
        """Give this copy to whoever asks for one of the backup: it is as it was restored."""
        self._copy = (backup.id, copy)

    def _restored_by_own_system(self, backup: Backup) -> tuple[Connection, float]:
        started = time.monotonic()
        manifest = backup.manifest
        copy = self._open.enter_context(self.own_system().restored(manifest.kept_as, manifest.transactions))
        scratch.cut_subscriptions(copy)
        self._take_copy(backup, copy, roles.needed(self.live))
        return copy, time.monotonic() - started

    def _take_copy(self, backup: Backup, copy: Connection, needed: roles.Needed) -> None:
        scratch.cut_foreign_servers(copy)
        self._copy = (backup.id, copy)
        self._rehearses = roles.for_rehearsal(copy, needed)

    def own_system(self) -> OwnSystem:
        """Return the Target's own backup system. Raise SettingsError where the settings name none."""
        commands = self.target.backups.system
        if commands is None:
            raise errors.SettingsError(
                "The backup is kept by a backup system that the settings do not name.",
                next_step=f"name it in [targets.{self.target.name}.backup_system]; docs/own-backup-system.md",
            )
        return OwnSystem(commands, self.live, self.target.scratch)

    def is_intact(self, backup: Backup) -> bool:
        """Return whether a backup is still what its manifest says, by the strongest proof that needs no transfer."""
        if backup.manifest.layout is Layout.OWN_SYSTEM:
            return backup.manifest.kept_as in {one.id for one in self.own_system().list()}
        return self.store.is_intact(backup)

    def room_for_a_dump(self) -> int:
        """Return the bytes that the next dump may need: those of the last one, and half as many more. 0: there is none."""
        ours = [one for one in self.store.entries()[0] if one.identity.target == self.target.name]
        return int(ours[0].bytes * ROOM) if ours else 0

    def dump(self, snapshot: str, major: int, new: NewBackup) -> Dump:
        return Dump(
            connection=self.live,
            programs=self.programs(major),
            snapshot=snapshot,
            form=self.target.backups.form,
            folder=new.folder,
            backup_id=new.id,
            progress=lambda done: self.progress("dump", done, None),
        )

    def _check_scratch(self, backup: Backup) -> None:
        admin = self.scratch_server.replace(database=self.target.maintenance_database)
        with postgres.session(admin, purpose="looks") as opened:
            scratch.check(opened, admin, backup.manifest)
            major = postgres.server(opened).major
        if backup.manifest.major > major:  # the backup is good all the same
            raise errors.NotAllowed(
                f"The backup is of PostgreSQL {backup.manifest.major}, and the scratch server is {major}: it cannot take it.",
                evidence={"scratch server": admin.where},
                next_step="name a server of the same major version in SCRATCH_DATABASE_URL",
            )

    def beside(self, facts: DatabaseFacts, database_sql: str) -> tuple[str, list[str]]:
        """Return the name of an empty database beside the live one, and what it could not be given; it is gone with the run."""
        name, notes = self._open.enter_context(scratch.beside(self.admin, self.live.database, facts))
        self._database_sql[name] = database_sql
        return name, notes

    def database_sql(self, beside: str) -> str:
        """Return what gives such a database its owner, rights and settings; never stored, for it may hold secrets."""
        if beside not in self._database_sql:
            raise errors.Stale("The restored database went with the run that made it.", next_step="just restore-db")
        return self._database_sql[beside]

    def restore(
        self,
        backup: Backup,
        folder: Path,
        into: Connection,
        major: int,
        *,
        keeps_subscriptions: bool = False,
        file: Path | None = None,
    ) -> float:
        """Restore a backup whose files are in a folder into an empty database; return the seconds. Raise VerificationFailed."""
        if "schema public" not in backup.manifest.schema.objects:
            scratch.drop_public_schema(into)
        started = time.monotonic()
        restore.run(
            Restore(
                manifest=backup.manifest,
                folder=folder,
                programs=self.programs(major),
                into=into,
                identity_file=self.target.backups.identity_file,
                jobs=self.target.backups.form.jobs,
                progress=self.progress,
                unverified=file,
            )
        )
        seconds = time.monotonic() - started
        scratch.cut_subscriptions(into, keep=keeps_subscriptions)
        return seconds

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
        return AdvisoryLock(self.admin, f"database {self.live.database}", f"{self.target.name} run {self.run_id[:8]}")

    def sweep(self) -> list[str]:
        """Remove what dead runs left: scratch databases and partial files. Only under the migration lock."""
        self.store.sweep()
        belongings.sweep()
        servers = [self.live, *([self.target.scratch] if self.target.scratch else [])]
        never = (self.live.database,)
        return [one for server in servers for one in scratch.sweep(server, self.target.maintenance_database, never=never)]

    def close(self) -> None:
        self._open.close()
        self._copy = None
