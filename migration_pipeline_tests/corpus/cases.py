"""The cases of the corpus: statements from `statements/*.sql`, revisions from `revisions.py`. None has a verdict: truth is executed."""

import inspect
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alembic import op

from migration_pipeline_tests.corpus import revisions

HERE = Path(__file__).parent
SCHEMA = HERE / "schema.sql"
#: `-- @ name: why it is here`, then its SQL; `[17]` after the name: from that major on.
HEADER = re.compile(r"^-- @ (\w+)(?: \[(\d+)\])?: (.+)\n", re.MULTILINE)
FIRST_MAJOR = 15


@dataclass(frozen=True, kw_only=True)
class Case:
    """One plan of one revision: a text of SQL, or an `upgrade()`."""

    name: str
    why: str
    since: int = FIRST_MAJOR  #: the server major that has its syntax
    sql: str = ""
    upgrade: Callable[[], None] | None = None

    def run(self):
        """Do it, where Alembic's `op` leads to a connection. SQL is sent as it is: one text, no placeholders."""
        if self.upgrade:
            self.upgrade()
        else:
            op.get_bind().exec_driver_sql(self.sql, execution_options={"no_parameters": True})

    @property
    def text(self):
        """The case as it is read on the page."""
        if self.upgrade is None:
            return self.sql
        lines = textwrap.dedent(inspect.getsource(self.upgrade)).splitlines()[2:]
        return textwrap.dedent("\n".join(lines)).strip()

    @property
    def module(self):
        """The file of a revision that is this case; for SQL too."""
        head = '"""{}"""\n\nimport sqlalchemy as sa\nfrom alembic import op\nfrom sqlalchemy.dialects import postgresql\n\n'
        body = (
            self.text
            if self.upgrade
            else f"op.get_bind().exec_driver_sql({self.sql!r}, execution_options={{'no_parameters': True}})"
        )
        return (
            head.format(self.why)
            + 'revision = "case"\ndown_revision = "start"\n\n\ndef upgrade():\n'
            + textwrap.indent(body, "    ")
            + "\n"
        )


def of_statements():
    for path in sorted((HERE / "statements").glob("*.sql")):
        _, *parts = HEADER.split(path.read_text())
        for name, since, why, sql in zip(*(parts[n::4] for n in range(4)), strict=True):
            yield Case(name=name, why=why, since=int(since or FIRST_MAJOR), sql=sql.strip())


def of_revisions():
    for name, function in vars(revisions).items():
        if name.startswith("op_"):
            yield Case(name=name, why=function.__doc__, upgrade=function)


STATEMENTS = tuple(of_statements())
REVISIONS = tuple(of_revisions())
CASES = (*STATEMENTS, *REVISIONS)


def on(major):
    """Return the cases that a server of this major can run."""
    return [case for case in CASES if case.since <= major]
