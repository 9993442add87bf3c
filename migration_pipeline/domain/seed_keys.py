"""Where synthetic keys begin in a database with a sequence that no column takes its values from by itself.

A program asks such a sequence and writes the key that it got: SQLAlchemy's `Sequence` does. The key of a synthetic row must not
be one that it gives out next.
"""

from dataclasses import replace

from migration_pipeline.domain import seed_nodes, seed_values
from migration_pipeline.domain.seeds import Column, Table

FAR = 1_000_000  #: behind the last value that was given out: so many no revision asks for
ROOM = 100_000  #: for the numbers from there on
WIDE = frozenset({"int4", "int8"})


def far_from(last: int, table: Table) -> Table:
    """Return a table whose keys begin far from `last`, but for those that a foreign key or a check has a word in."""
    bound = {name for link in table.links for name in link.columns}
    bound |= {name for check in table.checks for name in seed_nodes.columns(check)}
    alone = {key[0] for key in table.keys if len(key) == 1} - bound
    columns = tuple(_begun(one, last + FAR) if one.name in alone else one for one in table.columns)
    return table if columns == table.columns else replace(table, columns=columns)


def _begun(column: Column, first: int) -> Column:
    kind = column.kind
    if kind.form != "base" or kind.checks or kind.name not in WIDE or first + ROOM > seed_values.INTEGERS[kind.name]:
        return column
    return replace(column, first=first)
