"""Roles that the revisions of a check make: they belong to the server, and the next database of the check would meet them.

On a throw-away server whatever came since is the check's own. On a given one somebody else may make roles meanwhile: there a
role is dropped only if it was not there before, a file that the check ran makes roles and has its name, and nothing depends on
it any more: a file that only grants to it has not made it.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from migration_pipeline import errors
from migration_pipeline.adapters import postgres, roles
from migration_pipeline.domain import redaction
from migration_pipeline.domain.connection import Connection

#: What belongs to the server, but for databases; tablespaces are told and left alone, for there are files in them.
THERE = """
SELECT 'ROLE', rolname::text, quote_ident(rolname) FROM pg_roles WHERE rolname !~ '^pg_'
UNION ALL SELECT 'TABLESPACE', spcname::text, quote_ident(spcname) FROM pg_tablespace ORDER BY 1, 2
"""


#: What a file that makes a role holds.
MAKES = re.compile(r"\bCREATE\s+(?:ROLE|GROUP|USER(?!\s+MAPPING))\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class _Thing:
    kind: str
    name: str
    quoted: str


@dataclass(kw_only=True)
class MadeRoles:
    """A scratch server's roles, and what has come since the check began."""

    server: Connection
    is_throwaway: bool
    known: frozenset[tuple[str, str]]  #: kind and name
    is_shared: bool = False  #: by checks side by side: whoever began them drops the roles, when all have ended
    left: tuple[str, ...] = ()  #: what could not be dropped, each with the statements that do it
    _files: set[Path] = field(default_factory=set)

    def may_come_from(self, files: Iterable[Path]) -> None:
        """Remember what has been run on the server."""
        self._files.update(files)

    @property
    def are_expected(self) -> bool:
        """Tell whether a file that was run makes roles, as far as its text tells."""
        return bool(self._making())

    def made(self) -> list[str]:
        """Return the names of the roles that the check has made, as far as that can be told."""
        with postgres.session(self.server, purpose="looks") as opened:
            return [one.name for one in self._own(self._since(opened))]

    def drop(self) -> None:
        """Drop the check's own roles, once its databases are gone. What stays is told in `left`."""
        with (
            contextlib.suppress(errors.MigrationPipelineError),
            postgres.session(self.server, purpose="drops roles") as opened,
        ):
            roles.become_login(opened)
            self._drop(opened)
            self.left = tuple(_told(one) for one in self._since(opened)) if not self.is_throwaway else ()

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Let an error say what was left."""
        try:
            yield
        except errors.MigrationPipelineError as error:
            error.evidence |= {"left on the scratch server": "\n".join(self.left)} if self.left else {}
            raise

    def _drop(self, opened: "psycopg.Connection[Any]") -> None:
        """Drop them in as many rounds as something goes: one may have granted another."""
        wanted, before = self._own(self._since(opened)), 0
        while wanted and len(wanted) != before:
            before = len(wanted)
            for one in wanted:
                with contextlib.suppress(psycopg.Error):  # something depends on it
                    if self.is_throwaway:
                        opened.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(one.name)))
                    opened.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(one.name)))
            wanted = self._own(self._since(opened))

    def _since(self, opened: "psycopg.Connection[Any]") -> list[_Thing]:
        there = [_Thing(kind=kind, name=name, quoted=quoted) for kind, name, quoted in postgres.rows(opened, THERE)]
        return [one for one in there if (one.kind, one.name) not in self.known]

    def _own(self, since: list[_Thing]) -> list[_Thing]:
        found = [one for one in since if one.kind == "ROLE"]
        if self.is_throwaway or not found:
            return found
        making = self._making()
        return [one for one in found if any(redaction.is_word_of(one.name, source) for source in making)]

    def _making(self) -> list[str]:
        sources = (file.read_text("utf-8", "replace") for file in sorted(self._files) if file.is_file())
        return [source for source in sources if MAKES.search(source)]


def before(server: Connection, *, is_throwaway: bool) -> MadeRoles:
    """Look at what a server has before a check."""
    with postgres.session(server, purpose="looks") as opened:
        known = frozenset((kind, name) for kind, name, _ in postgres.rows(opened, THERE))
    return MadeRoles(server=server, is_throwaway=is_throwaway, known=known)


def _told(one: _Thing) -> str:
    command = f"DROP OWNED BY {one.quoted}; DROP ROLE {one.quoted}" if one.kind == "ROLE" else f"DROP TABLESPACE {one.quoted}"
    return f"{one.kind.lower()} {one.name} came while the check ran, and is left on the server; if the check made it: {command}"
