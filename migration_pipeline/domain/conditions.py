"""What a condition says of columns in each row that fulfils it."""

from collections.abc import Iterator

from migration_pipeline.domain import sql
from migration_pipeline.domain.tokens import pg


def null_tests(condition: sql.Node, kind: int) -> Iterator[sql.Node]:
    """Yield what IS NULL, or IS NOT NULL, wherever the condition holds."""
    condition = sql.unwrap(condition)
    if sql.kind(condition) == "BoolExpr" and condition.boolop == pg.AND_EXPR:
        for item in condition.args:
            yield from null_tests(item, kind)
    elif sql.kind(condition) == "NullTest" and condition.nulltesttype == kind:
        yield sql.unwrap(condition.arg)
