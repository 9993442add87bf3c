"""Where sequences stand: one that a downgrade has set back gives out keys a second time. Forward all of them go anyhow."""

from collections.abc import Mapping
from dataclasses import dataclass

from migration_pipeline.domain.downgrades import Finding, Kind
from migration_pipeline.domain.mending import execute
from migration_pipeline.domain.schema_names import Name

Stood = Mapping[str, int]  #: the last value that each gave out, by its name; the others gave out none
MEND = "let it go on behind the last value that it gave out: SELECT setval(...)"


@dataclass(frozen=True, kw_only=True)
class SetBack:
    """A sequence that stands before where it stood."""

    name: str
    was: int  #: the last value that it had given out
    next: int  #: what it gives out now
    step: int
    served: tuple[str, str] | None  #: table and column that hold what it gives out, as SQL has them; None: nobody knows
    limit: int | None  #: the last one in use of the values that it had given out; where nobody knows, the last of all
    is_served: bool = False  #: it is known which columns hold what it gives out: their values tell where it stood
    by_upgrade: bool = False  #: the upgrade lost where it stood, and nothing tells it

    @property
    def gives_again(self) -> bool:
        """Tell whether a key that is in use comes again: one that stands behind the last key in use does no harm."""
        return self.limit is not None and (self.next <= self.limit if self.step > 0 else self.next >= self.limit)

    def is_behind(self, last: int | None) -> bool:
        """Tell whether a position is before the one where it stood; None: nothing was given out, or it is gone."""
        return last is None or (last < self.was if self.step > 0 else last > self.was)


def finding(one: SetBack) -> Finding:
    name = Name("sequence", one.name)
    what = f"{name} is set back: it gives out {one.next} next, and had given out {one.was} before"
    if one.served is None:
        return Finding(kind=Kind.LOST, what=what, fix=MEND)
    table, column = one.served
    last = f"{'max' if one.step > 0 else 'min'}({column})"
    regclass = name.short.replace("'", "''")
    sql = f"SELECT setval('{regclass}', {last}) FROM {Name('table', table).short}"
    return Finding(kind=Kind.LOST, what=what, add=(execute(sql),))
