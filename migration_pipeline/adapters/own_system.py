"""A backup system of the operator's own, as three commands: `list`, `create` and `restore_to`. See docs/own-backup-system.md.

A restored copy lives as long as its `restore_to` runs, which ends when its standard input does: when we close it, or die.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import pydantic

from migration_pipeline import errors
from migration_pipeline.adapters import belongings, client, own_commands, postgres, readings
from migration_pipeline.adapters.own_commands import Kind, Order, Running
from migration_pipeline.adapters.readings import Moment
from migration_pipeline.domain import backups
from migration_pipeline.domain.backups import Commands
from migration_pipeline.domain.bounds import Bounds
from migration_pipeline.domain.connection import Connection, WrongUrl

LIST_LIMIT = timedelta(minutes=2)
#: The clocks of the server and of the backup system's machine may differ, and pgBackRest cuts its seconds off.
CLOCKS_DIFFER_BY = timedelta(minutes=1)

#: An advisory lock that we hold in the live database is seen from there, and from no other database of any server.
HOLD = "SELECT pg_advisory_lock(%s), (SELECT system_identifier FROM pg_control_system())"
#: Asked before anything is done to a copy: the transaction after its last one tells the moment that it was restored to.
SEES = """
WITH held AS (SELECT database FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
              AND (classid::bigint << 32 | objid::bigint) = %s::bigint)
SELECT EXISTS (SELECT FROM held WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())),
       EXISTS (SELECT FROM held), pg_is_in_recovery(),
       (SELECT system_identifier FROM pg_control_system()), pg_snapshot_xmax(pg_current_snapshot())::text::bigint
"""

LIST = Kind(verb="list", error=errors.Failure, so="its backups are not known")
CREATE = Kind(verb="create", error=errors.BackupFailed, so="no backup was recorded")
RESTORE_TO = Kind(verb="restore_to", error=errors.VerificationFailed, so="the backup was not restored")


@dataclass(frozen=True, kw_only=True)
class Found:
    """One backup, as its system names it."""

    id: Annotated[str, pydantic.Field(pattern=r"^[!-~]{1,200}$")]
    time: pydantic.AwareDatetime  #: the instant that it restores to
    bytes: Annotated[int, pydantic.Field(ge=0, le=backups.MOST_BYTES)]


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A backup that was taken between two readings of the live database."""

    found: Found
    before: Moment  #: its time is the backup's for every question of age: nothing that was written earlier is missing
    after: Moment
    bounds: Bounds

    @property
    def transactions(self) -> tuple[int, int]:
        """Between which transactions a physical copy of it ends: `restored` holds the copy against them."""
        return self.before.past, self.after.following


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What `restore_to` prints."""

    database_url: str


_found = pydantic.TypeAdapter(Found)
_all_found = pydantic.TypeAdapter(list[Found])
_answer = pydantic.TypeAdapter(Answer)


class OwnSystem:
    """The backup system of one Target."""

    def __init__(self, commands: Commands, live: Connection, scratch: Connection | None) -> None:
        self._commands = commands
        self._live = live
        self._scratch = scratch  #: the server to restore to; None: the command knows where

    def list(self) -> "list[Found]":
        """Return the backups that the system has, newest first. Raise Failure."""
        environ = _environment(MIGRATION_DATABASE=self._live.database)
        with self._started(Order(kind=LIST, command=self._commands.list, environ=environ, limit=LIST_LIMIT)) as running:
            found = running.understood(_all_found, running.output())
            if len({one.id for one in found}) < len(found):
                raise running.failure("named two backups alike")
        return sorted(found, key=lambda one: one.time, reverse=True)

    def create(self) -> Found:
        """Take a backup now. The command reaches the live database through libpq's environment. Raise BackupFailed."""
        with _reaching(self._live, MIGRATION_DATABASE=self._live.database) as environ:
            order = Order(kind=CREATE, command=self._commands.create, environ=environ, limit=self._commands.limit)
            with self._started(order) as running:
                return running.understood(_found, running.output())

    def take(self, version_table: tuple[str | None, str]) -> Taken:
        """Take a backup, and record between which numbers of rows it lies. Raise BackupFailed."""
        before = readings.before(self._live, version_table)
        found = self.create()
        after = readings.after(self._live, version_table, before)
        if not before.time - CLOCKS_DIFFER_BY <= found.time <= after.time + CLOCKS_DIFFER_BY:
            raise errors.BackupFailed(
                f'Backup "{found.id}" is of a time at which it was not taken; no backup was recorded.',
                evidence={"its time": found.time, "begun": before.time, "ended": after.time},
                next_step="set the clocks; or mend the command create: it must print the backup that it took",
            )
        if found.id not in {one.id for one in self.list()}:
            raise errors.BackupFailed(
                f'Backup "{found.id}" was taken, and the command list does not know it; no backup was recorded.',
                next_step="mend the command list: it must print every backup that can be restored",
            )
        return Taken(found=found, before=before, after=after, bounds=readings.enclose(before, after))

    @contextlib.contextmanager
    def restored(self, backup_id: str, transactions: tuple[int, int] | None = None) -> Iterator[Connection]:
        """Yield a database that holds the backup; it is gone when the block is left. Raise VerificationFailed, Failure."""
        with contextlib.ExitStack() as stack:
            room = _room_in(stack.enter_context(belongings.private_folder()))
            given = {
                "MIGRATION_BACKUP_ID": backup_id,
                "MIGRATION_DATABASE": self._live.database,
                "MIGRATION_SCRATCH_FOLDER": str(room),
            }
            environ = _environment(**given)
            if self._scratch is not None:
                environ = stack.enter_context(_reaching(self._scratch, **given))
            order = Order(
                kind=RESTORE_TO,
                command=self._commands.restore_to,
                environ=environ,
                limit=self._commands.limit,
                stops_within=self._commands.stop_limit,
            )
            running = stack.enter_context(self._started(order))
            copy = _connection(running)
            self._examine(copy, order.program, transactions)
            yield copy

    def _started(self, order: Order) -> "contextlib.AbstractContextManager[Running]":
        return own_commands.started(order, secret=self._live.password)

    def _examine(self, copy: Connection, program: str, transactions: tuple[int, int] | None) -> None:
        """Raise Failure unless the copy is another database than the live one, can be written, and is of the right moment.

        A physical copy has the live server's own identifier, and a server has many names: only a lock tells them apart.
        """
        key = secrets.randbits(63)
        with postgres.session(self._live, purpose="looks") as ours:
            _, cluster = postgres.one(ours, HOLD, key)
            try:
                with postgres.session(copy, purpose="looks") as theirs:
                    is_live, is_beside, is_standby, cluster_of_copy, past = postgres.one(theirs, SEES, key)
            except errors.ServerUnreachable as error:
                raise errors.VerificationFailed(
                    "The backup system's command restore_to named a database that cannot be reached.",
                    evidence={"program": program, **error.evidence},
                    next_step="mend the command restore_to: it must answer when its copy can be reached",
                ) from None
        what = "the live database" if is_live else "a standby, which cannot be written"
        if is_live or is_standby:
            raise errors.Failure(
                f"The backup system's command restore_to named {what}; nothing was done to it.",
                evidence={"program": program, "database": copy.where},
                next_step="mend the command restore_to: it must name a copy of the backup, and nothing else may use that",
            )
        if transactions and cluster_of_copy == cluster and not is_beside:  # what was restored beside it is no physical copy
            _check_moment(past, transactions)


def _check_moment(past: int, transactions: tuple[int, int]) -> None:
    first, last = transactions
    if not first <= past <= last:
        raise errors.VerificationFailed(
            f"The copy is of {'an earlier' if past < first else 'a later'} moment than the backup.",
            evidence={"its next transaction": f"{past:,}, right: {first:,} to {last:,}"},
            next_step="mend the command restore_to: it must restore to the backup's own end (pgBackRest: --type=immediate)",
        )


def _connection(running: Running) -> Connection:
    try:
        return Connection.from_url(running.understood(_answer, running.line()).database_url)
    except WrongUrl as wrong:
        problems = {key or "database_url": clause for key, clause in wrong.problems}
        raise running.failure("printed a URL that cannot be used", problems) from None


def _environment(**more: str) -> dict[str, str]:
    """Return our environment without what leads to a database."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG") and "://" not in value}
    return {**kept, **_of_pgbackrest(), "LC_ALL": "C", **more}


def _reaching(connection: Connection, **more: str) -> "contextlib.AbstractContextManager[dict[str, str]]":
    return client.environment(connection, **_of_pgbackrest(), **more)


def _of_pgbackrest() -> dict[str, str]:
    """Return pgBackRest's own variables, which begin as libpq's do."""
    return {name: value for name, value in os.environ.items() if name.startswith("PGBACKREST_")}


def _room_in(folder: Path) -> Path:
    """Make the folder that a restore may fill. Where we are root, the server runs as somebody else, who has to reach it."""
    if os.geteuid() == 0:
        folder.chmod(0o711)
    room = folder / "scratch"
    room.mkdir(mode=0o700)
    return room
