"""What a sequence does otherwise than one that nothing is said of: https://www.postgresql.org/docs/current/sql-createsequence.html."""

from collections.abc import Mapping

LAST = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}
OPTIONS = {"start": "START WITH", "increment": "INCREMENT BY", "minimum": "MINVALUE", "maximum": "MAXVALUE", "cache": "CACHE"}


def words(properties: Mapping[str, str], *, has_type: bool = True) -> list[str]:
    """Return what a sequence has otherwise than it would have by itself."""
    kind, step = properties.get("type", "bigint"), properties.get("increment", "1")
    last = LAST[kind]
    low, high = ("1", str(last)) if not step.startswith("-") else (str(-last - 1), "-1")
    minimum, maximum = properties.get("minimum", low), properties.get("maximum", high)
    usual = {
        "start": maximum if step.startswith("-") else minimum,
        "increment": "1",
        "minimum": low,
        "maximum": high,
        "cache": "1",
    }
    found = [f"AS {kind}"] if has_type and kind != "bigint" else []
    found += [f"{OPTIONS[key]} {properties[key]}" for key, value in usual.items() if properties.get(key, value) != value]
    return [*found, *(["CYCLE"] if "cycle" in properties else [])]
