"""Every error that this package raises on purpose.

    MigrationPipelineError            exit code 1
    ├── Failure                       1  something broke; the message says which state the database is in
    │   ├── ServerUnreachable
    │   ├── ToolMissing
    │   ├── BackupFailed
    │   ├── VerificationFailed
    │   ├── ProjectFailed             the project's env.py or a revision raised
    │   ├── RehearsalFailed
    │   ├── UpgradeFailed
    │   └── PostCheckFailed
    ├── SettingsError                 2  wrong settings or usage; nothing was started
    ├── Interrupted                   130  Ctrl-C, SIGTERM or a closed terminal ended the run
    └── Refusal                       3  a condition is not met; nothing was changed
        ├── NoRecentBackup
        ├── NotAllowed                a preflight condition on server, role or target
        ├── NoPlan                    several heads, an unknown revision, a missing file
        ├── NotClassified             an annotation is missing or wrong
        ├── LossNotDeclared           annotated NON_DESTRUCTIVE, but data is lost
        ├── LocksTooLong              the rehearsal locked a table for longer than the Target allows
        ├── ProtectionLost            the plan switches off what protects the data of a production Target
        ├── CannotRollBack            a revision that cannot run in our transaction, nor by itself
        ├── NotAtomic                 the plan can end half-way: some of it runs outside a transaction, or is committed first
        ├── Declined
        ├── Stale                     what was confirmed is not what would run
        └── Locked                    another run holds the migration lock

An error has three parts: what happened (one sentence), the evidence (key: value lines) and the one command to run next.
"""

import re
from collections.abc import Mapping

#: What a terminal obeys or no encoding holds: control characters, ends of lines, directions of writing, halves of a character.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Return a text on one line that a terminal only shows: whatever it would obey is written as Python writes it."""
    return UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


class MigrationPipelineError(Exception):
    """The migration pipeline cannot go on."""

    exit_code = 1

    def __init__(
        self,
        what: str | None = None,
        *,
        evidence: Mapping[str, object] | None = None,
        next_step: str | None = None,
    ) -> None:
        self.what = what or (type(self).__doc__ or "").strip().splitlines()[0]
        self.evidence = {key: str(value) for key, value in (evidence or {}).items()}
        self.next_step = next_step
        super().__init__(self.what)

    def __str__(self) -> str:
        lines = [printable(self.what)]
        for key, value in self.evidence.items():
            first, *rest = map(printable, value.splitlines() or [""])
            lines.append(f"  {printable(key)}: {first}")
            lines.extend(f"    {line}" for line in rest)
        if self.next_step:
            lines.append(f"Next: {printable(self.next_step)}")
        return "\n".join(lines)


class Failure(MigrationPipelineError):
    """A step failed."""


class ServerUnreachable(Failure):
    """The PostgreSQL server cannot be reached."""


class ToolMissing(Failure):
    """A PostgreSQL client program of the server's major version is missing."""


class BackupFailed(Failure):
    """The backup was not taken."""


class VerificationFailed(Failure):
    """The backup could not be verified by a restore."""


class ProjectFailed(Failure):
    """The Alembic project raised an error."""


class RehearsalFailed(Failure):
    """The rehearsal failed."""


class UpgradeFailed(Failure):
    """The upgrade failed."""


class PostCheckFailed(Failure):
    """The database is not what the rehearsal said that it would be."""


class SettingsError(MigrationPipelineError):
    """The settings are wrong."""

    exit_code = 2


class Interrupted(MigrationPipelineError):
    """The run was interrupted."""

    exit_code = 130


class Refusal(MigrationPipelineError):
    """The migration is refused; nothing was changed."""

    exit_code = 3


class NoRecentBackup(Refusal):
    """No recent backup found. Create backup before running migration: just backup-db"""


class NotAllowed(Refusal):
    """The database does not meet a condition of a safe migration."""


class NoPlan(Refusal):
    """The pending revisions cannot be put in one order."""


class NotClassified(Refusal):
    """A pending revision carries no valid safety annotation."""


class LossNotDeclared(Refusal):
    """A revision is annotated NON_DESTRUCTIVE, but it loses data."""


class LocksTooLong(Refusal):
    """The plan locks tables for longer than this Target allows; nothing was changed."""


class ProtectionLost(Refusal):
    """The plan takes away what protects the data of a production Target; nothing was changed."""


class CannotRollBack(Refusal):
    """A revision cannot run in one transaction that is rolled back as a whole."""


class NotAtomic(Refusal):
    """The plan cannot be rolled back as a whole; nothing was changed."""


class Declined(Refusal):
    """The migration was not confirmed."""


class Stale(Refusal):
    """What was confirmed is not what would run now."""


class Locked(Refusal):
    """Another run holds the migration lock of this target."""
