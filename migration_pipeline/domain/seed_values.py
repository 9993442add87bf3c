"""Which value for which type: texts that PostgreSQL reads as that type, distinct by their number, the same on every day.

Numbers have fractions, moments have microseconds: a change of type that rounds them is seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain, count, islice, product
from math import prod

from migration_pipeline.domain import seed_patterns
from migration_pipeline.domain.seed_checks import alternatives, renamed
from migration_pipeline.domain.seed_conditions import NOW, Condition, holds, measured
from migration_pipeline.domain.seed_samples import DISJOINT, OTHERS, SIMPLE, sample

FIRST_DAY = datetime(2020, 1, 1, 12, 34, 56, 789012, tzinfo=UTC)
FAR_FUTURE = "2999-01-01"
DIGITS = "123456789abcdefghijklmnopqrstuvwxyz0"
INTEGERS = {"int2": 2**15 - 1, "int4": 2**31 - 1, "int8": 2**63 - 1, "oid": 2**31 - 1, "money": 10**9}
FRACTIONS = frozenset({"numeric", "float4", "float8"})
MOMENTS = frozenset({"date", "timestamp", "timestamptz"})
STRINGS = frozenset({"text", "varchar", "bpchar", "citext", "name", "char"})
NAME_BYTES = 63
MOST_TRIED = 3000  #: values of which the fitting ones are taken


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A type as far as its values matter."""

    name: str
    spelled: str  #: as SQL names it, without a domain around it: `character varying(40)`
    form: str = "base"  #: base, enum, array, range, multirange, composite
    size: int | None = None  #: of a string, of bits, of a vector
    digits: tuple[int, int] | None = None  #: precision and scale of a numeric
    labels: tuple[str, ...] = ()
    parts: tuple["Kind", ...] = ()  #: an array's or a range's element, a composite type's fields
    checks: tuple[str, ...] = ()  #: the expressions of its domains
    required: bool = False  #: a domain that is NOT NULL


def values(kind: Kind, word: str, conditions: Sequence[Condition] = (), first: int = 0) -> Iterator[str]:
    """Yield the values of a column named `word` that meet its conditions, from the one with this number on."""
    mine = [one for one in conditions if one.column == word]
    listed = [one.operand for one in mine if one.test == "in"]
    found: Iterator[str] = iter(listed[0]) if listed else _of(kind, word, mine, first)
    fitting = (value for value in islice(found, MOST_TRIED) if all(holds(one, {word: value}) for one in mine))
    return iter(dict.fromkeys(fitting)) if listed else fitting


def is_known(kind: Kind) -> bool:
    """Return whether there is a value at all."""
    return next(_of(kind, "value", [], 0), None) is not None


def others(kind: Kind, word: str) -> Iterator[str]:
    """Yield values of other shapes, to try where a check is not understood."""
    for pattern in OTHERS.get(kind.name, ()):
        yield sample(pattern, 0)
    if kind.name in STRINGS:
        yield from (text for text in (word.upper(), "A1", "abc", "2020-01-01", "a@example.com", "https://example.com", "0", ""))
    if kind.name in INTEGERS or kind.name in FRACTIONS:
        yield from ("0", "-1", "10", "100", "1000", "2020")
    if kind.form == "array":
        yield from ("{}",)


def _of(kind: Kind, word: str, conditions: Sequence[Condition], first: int) -> Iterator[str]:
    match kind.form:
        case "enum":
            return iter(kind.labels)
        case "array":
            return _arrays(kind, word, conditions, first)
        case "range" | "multirange":
            shape = "{{{}}}" if kind.form == "multirange" else "{}"
            return (shape.format(one) for one in _ranges(kind.parts[0], first))
        case "composite":
            columns = zip(*(values(part, word, demanded(part, word), first) for part in kind.parts), strict=False)
            return (f"({','.join(map(_quoted, fields))})" for fields in columns)
        case _:
            return _base(kind, word, conditions, first)


def _base(kind: Kind, word: str, conditions: Sequence[Condition], first: int) -> Iterator[str]:  # noqa: PLR0911 - a way out a kind
    if kind.name == "bool":
        return iter(("true", "false"))
    if kind.name in INTEGERS or kind.name in FRACTIONS:
        return (_number(one, kind) for one in _numbers(kind, conditions, first))
    if kind.name in MOMENTS:
        return _moments(kind, conditions, first)
    if kind.name in STRINGS:
        return _strings(kind, word, conditions, first)
    if kind.name in {"bit", "varbit"}:
        size = kind.size or 8
        return (format(number % 2**size, f"0{size}b") for number in count(first + 1))
    if kind.name in {"vector", "halfvec"}:
        return (f"[{','.join([str(number)] * (kind.size or 3))}]" for number in count(first + 1))
    if kind.name in SIMPLE:
        return (sample(SIMPLE[kind.name], number) for number in count(first))
    return iter(())


def _numbers(kind: Kind, conditions: Sequence[Condition], first: int) -> Iterator[Decimal]:
    """Yield numbers from 1 on; from the lowest that is allowed; below the highest; and between the two."""
    step = Decimal(1)
    largest = Decimal(INTEGERS.get(kind.name, 10**9))
    fraction = Decimal(0)
    if kind.name in FRACTIONS:
        fraction = Decimal("0.25")
    if kind.digits:
        precision, scale = kind.digits
        largest = Decimal(10) ** (precision - scale) - Decimal(10) ** -scale
        step = Decimal(10) ** -scale if precision <= scale else Decimal(10) ** max(0, -scale)
        fraction = Decimal("0.25") if scale > 1 else Decimal("0.5") if scale == 1 else Decimal(0)
        fraction = fraction if precision > scale else Decimal(0)
    low, high = _bounds(conditions)
    low, high = Decimal(low or 0), min(Decimal(high) if high is not None else largest, largest)
    begins = any(one.test == ">=" and _operand(one) == low for one in conditions) and low > 0
    usual = (low.__floor__() * (low > 0) + number * step + fraction for number in count(first + (not begins)))
    yield from (one for one in islice(usual, MOST_TRIED // 3) if one <= high)
    if kind.name not in FRACTIONS:
        yield from (low + number for number in range(first, MOST_TRIED // 3) if low + number <= high)
        yield from (high - number for number in range(first, MOST_TRIED // 3))
        return
    low = min(low, high - 1) if _bounds(conditions)[0] is None else low
    yield from (low + (high - low) * (number + 1) / (number + 2) for number in range(first, first + MOST_TRIED // 3))
    yield from (low, high)


def _bounds(conditions: Sequence[Condition]) -> tuple[Decimal | None, Decimal | None]:
    numbers = [(one.test, number) for one in conditions if isinstance(number := _operand(one), Decimal)]
    lows = [number for test, number in numbers if test in {">", ">="}]
    highs = [number for test, number in numbers if test in {"<", "<="}]
    return max(lows, default=None), min(highs, default=None)


def _operand(condition: Condition) -> Decimal | datetime | None:
    return measured(condition.operand) if isinstance(condition.operand, str) else None


def _number(number: Decimal, kind: Kind) -> str:
    if kind.digits:
        number = number.quantize(Decimal(10) ** -max(0, kind.digits[1]))
    elif kind.name in FRACTIONS:
        number = round(number, 6)
    return str(int(number)) if number == int(number) else f"{number.normalize():f}"


def _moments(kind: Kind, conditions: Sequence[Condition], first: int) -> Iterator[str]:
    lows = [one for one in conditions if one.test in {">", ">="}]
    anchors = [measured(FAR_FUTURE if one.operand == NOW else str(one.operand)) for one in lows]
    highs = [one.operand for one in conditions if one.test in {"<", "<="}]
    start = max([FIRST_DAY, *(one for one in anchors if isinstance(one, datetime))])
    steps = [timedelta(days=1), timedelta(minutes=1)]
    ends = [one for one in map(measured, map(str, highs)) if isinstance(one, datetime)]
    forward = (start + step * number for step in steps for number in range(first + bool(anchors), first + MOST_TRIED // 4))
    backward = (end - step * number for end in ends for step in steps for number in range(first + 1, first + MOST_TRIED // 4))
    form = {"date": "%Y-%m-%d", "timestamp": "%Y-%m-%d %H:%M:%S.%f"}.get(kind.name, "%Y-%m-%d %H:%M:%S.%f+00")
    return (one.strftime(form) for one in chain(forward, backward))


def _strings(kind: Kind, word: str, conditions: Sequence[Condition], first: int) -> Iterator[str]:
    patterns = [one.operand for one in conditions if one.test == "like"]
    if patterns:
        return islice(seed_patterns.strings(patterns[0]), first % (seed_patterns.MOST // 2), None)
    shortest, longest = _lengths(conditions)
    sizes = [kind.size, longest, {"name": NAME_BYTES, "char": 1}.get(kind.name)]
    longest = min((one for one in sizes if one is not None), default=None)
    numbers = [one for one in conditions if one.test in COMPARING and isinstance(_operand(one), Decimal)]
    if numbers:  # a text that is compared as a number
        return (str(int(one)) for one in _numbers(Kind(name="int4", spelled="integer"), numbers, first))
    return (_string(word, number, shortest, longest) for number in count(first))


COMPARING = frozenset({"<", "<=", ">", ">="})


def _lengths(conditions: Sequence[Condition]) -> tuple[int, int | None]:
    lengths = [one.operand for one in conditions if one.test == "length"]
    shortest = [number + (operator == ">") for operator, number in lengths if operator in {">", ">=", "="}]
    longest = [number - (operator == "<") for operator, number in lengths if operator in {"<", "<=", "="}]
    return max(shortest, default=0), min(longest, default=None)


def _string(word: str, number: int, shortest: int, longest: int | None) -> str:
    """Return `word_1`, cut from the middle or filled there, so that its number stays."""
    end = str(number + 1)
    room = longest if longest is not None else max(shortest, len(word) + 1 + len(end))
    if len(end) > room:
        end = DIGITS[number % len(DIGITS)]
    return f"{word}_".ljust(max(0, shortest - len(end)), "_")[: max(0, room - len(end))] + end if room else ""


def _arrays(kind: Kind, word: str, conditions: Sequence[Condition], first: int) -> Iterator[str]:
    """Yield arrays of two elements, or of as many as a check on their length asks for."""
    shortest, longest = _lengths(conditions)
    size = min(max(2, shortest), longest if longest is not None else max(2, shortest))
    (element,) = kind.parts
    for number in count(first):
        chosen = list(islice(values(element, word, demanded(element, word), number), size))
        if not chosen and size:
            return
        yield f"{{{','.join(map(_quoted, islice(_again(chosen), size)))}}}"


def demanded(kind: Kind, word: str) -> tuple[Condition, ...]:
    """Return what a type's domains ask of a value, the first of several alternatives."""
    return tuple(one for check in kind.checks for one in renamed(alternatives(check), word)[0])


def _again(chosen: list[str]) -> Iterator[str]:
    return chain.from_iterable(chosen for _ in count())


def _ranges(element: Kind, first: int) -> Iterator[str]:
    """Yield ranges that do not touch: exclusion constraints often forbid it."""
    if element.name in MOMENTS:
        form = "%Y-%m-%d" if element.name == "date" else "%Y-%m-%d %H:%M:%S"
        days = (FIRST_DAY + timedelta(days=number * DISJOINT) for number in count(first))
        return (f'["{day.strftime(form)}","{(day + timedelta(days=5)).strftime(form)}")' for day in days)
    if element.name in INTEGERS or element.name in FRACTIONS:
        return (f"[{number * DISJOINT},{number * DISJOINT + 5})" for number in count(first + 1))
    return (f"[{_quoted(low)},{_quoted(low)}]" for low in values(element, "value", (), first))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def combinations(choices: Sequence[Sequence[str | None]], most: int) -> list[tuple[str | None, ...]]:
    """Return combinations of columns' values, of each column so many that there are no more than `most`."""
    each = max((len(one) for one in choices), default=0)
    while each > 1 and prod(min(each, len(one)) for one in choices) > most:
        each -= 1
    return list(product(*(one[:each] for one in choices)))
