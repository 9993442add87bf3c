"""What a column of a synthetic row must be, and whether a value is that."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from migration_pipeline.domain import seed_patterns

NOW = "now"  #: what a moment is compared with where no constant stands
COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda one, other: bool(one == other),
    "<>": lambda one, other: bool(one != other),
    "<": lambda one, other: bool(one < other),
    "<=": lambda one, other: bool(one <= other),
    ">": lambda one, other: bool(one > other),
    ">=": lambda one, other: bool(one >= other),
}


@dataclass(frozen=True)
class Condition:
    """One thing that a column must be.

    `test` is "in" and "not in" (a tuple), "null" and "not null", "like" and "ilike" (a regular expression), an operator with
    a constant, "length" with an operator and a number, "column" with an operator and the other column.
    """

    column: str
    test: str
    operand: Any = None


Row = Mapping[str, str | None]


def holds(condition: Condition, row: Row) -> bool:  # noqa: PLR0911 - a way out a test
    """Return whether a row meets a condition, as far as one can tell; a NULL passes what is not about NULL, as in SQL."""
    value = row.get(condition.column)
    if condition.test in {"null", "not null"}:
        return condition.column not in row or (value is None) == (condition.test == "null")
    if value is None:
        return True
    match condition.test:
        case "in":
            return value in condition.operand
        case "not in":
            return value not in condition.operand
        case "like" | "ilike":
            return seed_patterns.matches(condition.operand, value)
        case "length":
            operator, number = condition.operand
            return value[:1] in "{[" or COMPARED[operator](len(value), number)
        case "column":
            operator, other = condition.operand
            return row.get(other) is None or _compare(operator, value, row[other] or "")
        case operator:
            return condition.operand == NOW or _compare(operator, value, condition.operand)


def measured(text: str) -> Decimal | datetime | None:
    """Return what a text is as a number or as a moment."""
    with suppress(InvalidOperation):
        number = Decimal(text)
        return number if number.is_finite() else None
    with suppress(ValueError):
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def _compare(operator: str, value: str, other: str) -> bool:
    if value == other:
        return operator in {"=", "<=", ">="}
    one, two = measured(value), measured(other)
    if one is not None and type(one) is type(two):
        return COMPARED[operator](one, two)
    return operator not in {"=", "<", "<=", ">", ">="} or (operator != "=" and COMPARED[operator](value, other))
