"""What a rehearsal measured as lost, in sentences: which of it is data, and what is merely gone with it."""

from collections.abc import Iterator, Sequence

from migration_pipeline.domain import effects

#: Kinds that hold no rows and no values of their own: what they take along is a loss of its own in the ledger.
HOLD_NO_DATA = frozenset({"type", "domain", "enum label", "schema", "extension"})
#: What to do instead, by the kind of what was lost.
KEEP = {"rows": "keep the rows", "values": "write a new column", "large objects": "keep the large objects"}


def data_lost(lost: Sequence[effects.Loss], rows: Sequence[effects.RowChange]) -> tuple[str, ...]:
    """Return a sentence for each loss of data: objects that can hold data even when they were empty, rows, values."""
    told = tuple(_of_loss(loss) for loss in lost if is_data(loss))
    emptied = {loss.name for loss in lost if loss.kind not in {"column", "values"}}
    return told + tuple(_of_rows(rows, emptied))


def is_data(loss: effects.Loss) -> bool:
    return loss.kind not in HOLD_NO_DATA or bool(loss.rows) or bool(loss.values)


def keep(lost: Sequence[effects.Loss]) -> str:
    """Return, as an imperative clause, what would lose nothing."""
    kinds = [loss.kind for loss in lost if is_data(loss)]
    return KEEP.get(kinds[0], f"keep the {kinds[0]}") if kinds else "keep the rows"


def _of_loss(loss: effects.Loss) -> str:  # noqa: PLR0911 - a sentence a kind
    name = short(loss.name)
    if loss.kind == "values":
        return f"{_count(loss.values or 0, 'value')} of {name} {_are(loss.values)} {_how(loss)}"
    if loss.kind == "rows":
        of = "stored in" if loss.how == "refreshed" else "of"
        return f"{_count(loss.rows or 0, 'row')} {of} {name} {_are(loss.rows)} {_how(loss)}"
    if loss.how == "moved back":
        return f"the {loss.kind} {name} is set back: it will give out numbers again"
    if loss.kind == "large objects" and loss.rows is None:
        return "large objects are overwritten"
    if loss.kind == "large objects":
        return f"{_count(loss.rows or 0, 'large object')} {_are(loss.rows)} lost"
    if loss.values:
        return f"{_count(loss.values, 'value')} of {name} {_are(loss.values)} lost"
    if loss.rows and loss.kind != "column":
        return f"{_count(loss.rows, 'row')} of {name} {_are(loss.rows)} lost"
    held = {"column": "; it held no values", "table": "; it held no rows"}.get(loss.kind, "")
    return f"the {loss.kind} {name} is lost{held}"


def _how(loss: effects.Loss) -> str:
    return "overwritten" if loss.how == "overwritten" else "lost"


def _of_rows(rows: Sequence[effects.RowChange], told: set[str]) -> Iterator[str]:
    for change in rows:
        lost = change.deleted if change.lost is None else min(change.deleted, change.lost)
        if change.existed and lost and change.table not in told:
            yield f"{_count(lost, 'row')} of {short(change.table)} {_are(lost)} lost"


def short(name: str) -> str:
    """Return a name without the schema that needs no saying."""
    return name.removeprefix("public.")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _are(number: int | None) -> str:
    return "is" if number == 1 else "are"


def is_same_table(table: str, version_table: str) -> bool:
    """Tell whether a measured, schema-qualified table is the version table, which may be named without its schema."""
    return table == version_table or ("." not in version_table and table.rpartition(".")[2] == version_table)


def is_of(loss: effects.Loss, version_table: str) -> bool:
    """Tell whether lost rows or values are those of the version table."""
    name = loss.name.rpartition(".")[0] if loss.kind == "values" else loss.name
    return is_same_table(loss.name, version_table) or is_same_table(name, version_table)
