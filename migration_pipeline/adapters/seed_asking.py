"""Asks the server which values the checks of a table accept, where their expressions are not understood."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import psycopg
from psycopg import sql

from migration_pipeline.domain import seed_checks, seed_conditions, seed_nodes, seed_values
from migration_pipeline.domain.seed_values import Kind
from migration_pipeline.domain.seeds import Column, Key, Link, Slots, Table

USUAL = 6  #: values of a column that are tried beside the constants of the checks
MOST = 2000  #: combinations in one question
Connection = psycopg.Connection[Any]


def accepted(connection: Connection, table: Table, parents: Mapping[Link, Sequence[Key]], first: int) -> Slots:
    """Return for the columns that checks speak of the combinations that pass all of them; none where there is no check."""
    choices = {one.name: _choices(connection, table, one, parents, first) for one in table.columns}
    found: dict[tuple[str, ...], Sequence[Key]] = {}
    for names, checks in _groups(table):
        combinations = seed_values.combinations([choices[name] for name in names], MOST)
        columns = [column for name in names if (column := table.column(name))]
        passed = _passing(connection, columns, combinations, checks)
        if passed:
            found[names] = sorted(passed, key=lambda key: sum(value is None for value in key))
    return found


def _groups(table: Table) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Yield columns with the checks that bind them together; a domain's own check has made its choice before."""
    groups: list[tuple[set[str], list[str]]] = []
    for check in table.checks:
        names = {name for name in seed_nodes.columns(check) if table.column(name)}
        touching = [group for group in groups if group[0] & names]
        groups = [group for group in groups if group not in touching]
        groups.append((names.union(*(one[0] for one in touching)), [*(each for one in touching for each in one[1]), check]))
    groups += [({one.name}, []) for one in table.columns if one.kind.checks and not any(one.name in group[0] for group in groups)]
    for names, checks in groups:
        if names:
            yield tuple(sorted(names)), checks


def _choices(
    connection: Connection, table: Table, column: Column, parents: Mapping[Link, Sequence[Key]], first: int
) -> list[str | None]:
    linked = [link for link in table.links if column.name in link.columns and parents.get(link)]
    if linked:
        place = linked[0].columns.index(column.name)
        return list(dict.fromkeys(key[place] for key in parents[linked[0]]))
    checks = [*(check for check in table.checks if column.name in seed_nodes.columns(check)), *column.kind.checks]
    constants = [one for check in checks for one in _near(seed_nodes.constants(check)) if _fits(column.kind, one)]
    alternatives = [(), *(one for check in checks for one in seed_checks.alternatives(check))]
    alternatives += [
        one for check in column.kind.checks for one in seed_checks.renamed(seed_checks.alternatives(check), column.name)
    ]
    usual = chain(
        *(islice(seed_values.values(column.kind, column.name, one, first), USUAL) for one in dict.fromkeys(alternatives))
    )
    found = list(dict.fromkeys([*usual, *constants, *seed_values.others(column.kind, column.name)]))
    if column.kind.checks:
        renamed = Column(name="value", kind=column.kind)
        found = [str(value) for (value,) in _passing(connection, [renamed], [(one,) for one in found], column.kind.checks)]
    return [*found, *([] if column.required else [None])]


def _near(constants: Sequence[str]) -> Iterator[str]:
    for one in constants:
        yield one
        if one.lstrip("-").isdigit():
            yield from (str(int(one) + 1), str(int(one) - 1), "x" * min(abs(int(one)), 100))


def _fits(kind: Kind, text: str) -> bool:
    """Return whether a constant can be a value of the type: one that cannot would end the question."""
    number = seed_conditions.measured(text)
    if kind.form == "enum":
        return text in kind.labels
    if kind.name in seed_values.INTEGERS:
        return text.lstrip("-").isdigit() and abs(int(text)) <= seed_values.INTEGERS[kind.name]
    if kind.name in seed_values.FRACTIONS:
        return number is not None and not hasattr(number, "year")
    if kind.name in seed_values.MOMENTS:
        return hasattr(number, "year")
    return kind.name in seed_values.STRINGS and (kind.size is None or len(text) <= kind.size)


def _passing(connection: Connection, columns: Sequence[Column], combinations: Sequence[Key], checks: Sequence[str]) -> list[Key]:
    """Return the combinations for which every check is not false, as a table's check has it."""
    if not combinations or not checks:
        return list(combinations)
    numbered = [sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Literal, (at, *key)))) for at, key in enumerate(combinations)]
    casts = [sql.SQL("NULL::{}").format(sql.SQL(one.kind.spelled)) for one in columns]  # the first row says the types
    question = sql.SQL(
        "SELECT row_number FROM (VALUES (-1, {}), {}) AS asked(row_number, {}) WHERE row_number >= 0 AND {}"
    ).format(
        sql.SQL(", ").join(casts),
        sql.SQL(", ").join(numbered),
        sql.SQL(", ").join(sql.Identifier(one.name) for one in columns),
        sql.SQL(" AND ").join(sql.SQL("({}) IS NOT FALSE").format(sql.SQL(check)) for check in checks),
    )
    try:
        with connection.transaction():
            return [combinations[at] for (at,) in connection.execute(question + sql.SQL(" ORDER BY 1")).fetchall()]
    except psycopg.Error:
        return []
