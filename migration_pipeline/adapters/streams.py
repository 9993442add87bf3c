"""What happens to a dump on its way into a file and back: compressed, encrypted, hashed, each in the one pass."""

import hashlib
import io
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyrage
import zstandard

from migration_pipeline import errors
from migration_pipeline.domain.backups import AGE

CHUNK = 1 << 20
NO_KEY = "No matching keys found"  # as age says it
LEVEL = 1  # zstd: 3 is slower and, on a dump, no smaller


def write(source: BinaryIO, into: BinaryIO, *, compress: bool, recipients: Sequence[str]) -> tuple[int, str]:
    """Write a stream to a file; return the bytes that are there now and their SHA-256."""
    out = _Hashed(into)
    reader: Any = source
    if compress:  # pg_dump's own zstd has no checksum of the content, and no wheel's pg_dump has zstd
        reader = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).stream_reader(source, read_size=CHUNK, closefd=False)
    if recipients:
        keys = [pyrage.x25519.Recipient.from_str(one) for one in recipients]
        try:
            pyrage.encrypt_io(io.BufferedReader(reader, CHUNK), cast("BinaryIO", out), keys)
        except pyrage.EncryptError:  # it tells a full disk in words of its own
            raise out.failed or errors.BackupFailed("The dump cannot be encrypted; no backup was made.") from None
    else:
        shutil.copyfileobj(reader, out, CHUNK)
    return out.bytes, out.hexdigest


def copy(path: Path, out: BinaryIO, *, identity_file: Path | None, seen: Callable[[int], None] = lambda _: None) -> None:
    """Copy what a stored file holds, decrypted and decompressed as its name says. Raise VerificationFailed, SettingsError."""
    with path.open("rb") as file:
        source = cast("BinaryIO", Counted(file, seen))
        writer: Any = out
        if path.name.removesuffix(AGE).endswith(".zst"):
            writer = zstandard.ZstdDecompressor().stream_writer(out, closefd=False)
        try:
            if path.name.endswith(AGE):
                pyrage.decrypt_io(source, writer, identities(identity_file))
            else:
                shutil.copyfileobj(source, writer, CHUNK)
            writer.flush()
        except (pyrage.DecryptError, zstandard.ZstdError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # what age cannot decrypt is one without a number
                raise
            raise _unreadable(path, identity_file, error) from None


def _unreadable(path: Path, identity_file: Path | None, error: Exception) -> errors.MigrationPipelineError:
    if NO_KEY in str(error):  # nothing is proved against the backup
        return errors.SettingsError(
            "The backup is encrypted to other keys than the one there is to read it with.",
            evidence={"file": path.name, "identity file": identity_file},
            next_step="name a file with the right key in backup_identity_file, then run the same command again",
        )
    return errors.VerificationFailed(f'"{path.name}" cannot be decrypted or decompressed.')


def text_of(path: Path, *, identity_file: Path | None) -> str:
    """Return what a small stored file holds."""
    held = io.BytesIO()
    copy(path, held, identity_file=identity_file)
    return held.getvalue().decode()


def identities(file: Path | None) -> list[Any]:
    """Return the private keys of an identity file of age. Raise SettingsError."""
    try:
        lines = file.read_text("utf-8").splitlines() if file else []
        found = [pyrage.x25519.Identity.from_str(line.strip()) for line in lines if line.strip() and not line.startswith("#")]
    except (OSError, ValueError, pyrage.IdentityError):
        found = []
    if not found:
        raise errors.SettingsError(
            "The backup is encrypted, and there is no key to read it with.",
            evidence={"identity file": file or "none is named"},
            next_step="name a file of age identities that can be read in backup_identity_file",
        )
    return found


class _Hashed:
    """A file that knows the SHA-256 of what was written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.bytes = 0
        self.failed: OSError | None = None

    def write(self, part: bytes) -> int:
        self._digest.update(part)
        view = memoryview(part)
        try:
            while view:  # a disk that is nearly full takes a part, and says so by the number alone
                view = view[self._file.write(view) :]
        except OSError as error:
            self.failed = error
            raise
        self.bytes += len(part)
        return len(part)

    def flush(self) -> None:
        self._file.flush()

    @property
    def hexdigest(self) -> str:
        return self._digest.hexdigest()


class Counted(io.RawIOBase):
    """A file that says how much of it has been read."""

    def __init__(self, file: BinaryIO, seen: Callable[[int], None]) -> None:
        super().__init__()
        self._file = file
        self._seen = seen
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        part = self._file.readinto(room)  # type: ignore[attr-defined]
        return self._tell(part)

    def read(self, size: int = -1) -> bytes:
        part = self._file.read(size)
        self._tell(len(part))
        return part

    def _tell(self, part: int) -> int:
        self._read += part
        self._seen(self._read)
        return part
