"""Which predicted findings still count as lost data, once a rehearsal has measured what the plan really does.

What is not certain is lost when it was measured, and only then. What is certain counts although the rehearsal lost nothing:
on other rows it would. It does not where the rehearsal saw it take something and all of it was there again.
"""

from collections.abc import Sequence

from migration_pipeline.domain import effects, ledger
from migration_pipeline.domain.prediction import Finding
from migration_pipeline.domain.rule import Grade

#: Rules about rows, which may all be there again.
ABOUT_ROWS = frozenset({"L11", "L12", "L13"})
#: The rule about schemas: they hold objects, whose loss is measured.
ABOUT_SCHEMAS = "L06"


def counts(
    finding: Finding,
    lost: Sequence[effects.Loss] | None,
    rows: Sequence[effects.RowChange],
    *,
    unmeasured: Sequence[str],
) -> bool:
    """Tell whether a finding counts; `lost` is None where nothing was rehearsed."""
    was_measured = lost is not None and not unmeasured
    if finding.grade is Grade.UNKNOWN:
        return not was_measured
    if finding.grade is not Grade.LOSES_DATA:
        return False
    if finding.certain:
        return not was_measured or not (_kept_every_row(finding, rows) or _held_nothing(finding, lost or ()))
    return lost is not None and not was_measured


def _kept_every_row(finding: Finding, rows: Sequence[effects.RowChange]) -> bool:
    """Tell whether rows were taken from each of its tables, and every row of before is there again with its values."""
    kept = [change.table for change in rows if change.lost == 0]
    return finding.rule in ABOUT_ROWS and all(any(ledger.is_same_table(one, name) for one in kept) for name in finding.objects)


def _held_nothing(finding: Finding, lost: Sequence[effects.Loss]) -> bool:
    """Tell whether its schemas were there and were dropped: what they held is lost by itself, or they held nothing."""
    dropped = {loss.name for loss in lost if loss.kind == "schema"}
    return finding.rule == ABOUT_SCHEMAS and dropped.issuperset(finding.objects)
