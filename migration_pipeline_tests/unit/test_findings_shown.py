"""How findings of protection and service are shown: in the terminal, and in Dagster."""

import io

from rich.console import Console

from migration_pipeline.cli import drawing
from migration_pipeline.defs import metadata
from migration_pipeline.domain import safety
from migration_pipeline.domain.annotations import Annotation, Declared
from migration_pipeline.domain.effects import Statement

INDEX = "CREATE INDEX by_ward ON patients (ward)"
POLICY = ("DROP POLICY own ON patients", "CREATE POLICY own ON patients USING (ward = 1)")


def report(*texts):
    return safety.classify(
        annotations={"a1b2c3": Annotation(declared=Declared.NON_DESTRUCTIVE)},
        files={"a1b2c3": "a1b2c3.py"},
        statements=[Statement(sql=text, revision="a1b2c3") for text in texts],
        measured=None,
        version_table="alembic_version",
        sources={"a1b2c3": " ".join(texts)},
    )


def drawn(*texts):
    line, below = drawing.found(report(*texts))
    console = Console(file=io.StringIO(), width=160)
    for one in below:
        console.print(one, soft_wrap=True)
    return line, console.file.getvalue()


def test_a_safe_form_stands_below_its_finding_in_the_terminal():
    assert drawn(INDEX, *POLICY) == (
        "no data is lost",
        (
            "    a1b2c3 guard dropped: patients.own, made again later\n"
            "    a1b2c3 index built under a lock: patients.by_ward\n"
            "        -- in a migration of its own, outside a transaction:\n"
            "        CREATE INDEX CONCURRENTLY by_ward ON patients (ward);\n"
        ),
    )


def test_many_findings_are_drawn_in_ten_and_the_same_one_once():
    many = [f"LOCK TABLE t{number}" for number in range(1500)]
    shown = drawn(*many, *many)[1].splitlines()
    assert len(shown) == 3 * 10 + 1
    assert shown[-1] == "    and 1,490 more: `just plan` shows them all"


def test_a_plan_without_findings_draws_nothing_more():
    assert drawn("CREATE TABLE a (x int)") == ("no data is lost", "")


def test_dagster_shows_the_statement_and_its_safe_form():
    shown = metadata.of(report(INDEX, *POLICY))
    assert shown["protection"].md_str == (
        "- **a1b2c3** guard dropped: patients.own, made again later\n  ```sql\n  DROP POLICY own ON patients\n  ```"
    )
    assert shown["service"].md_str == (
        "- **a1b2c3** index built under a lock: patients.by\\_ward\n"
        "  ```sql\n"
        "  CREATE INDEX by_ward ON patients (ward)\n"
        "  -- the safe form:\n"
        "  -- in a migration of its own, outside a transaction:\n"
        "  CREATE INDEX CONCURRENTLY by_ward ON patients (ward);\n"
        "  ```"
    )
    many = metadata.of(report(*(f"LOCK TABLE t{number}" for number in range(1500))))["service"].md_str
    assert many.endswith("LOCK TABLE t99 IN EXCLUSIVE MODE;\n  ```\n- and 1,400 more")
    nothing = metadata.of(report("CREATE TABLE a (x int)"))
    assert (nothing["protection"].md_str, nothing["service"].md_str) == ("none is lost", "no risk is known")
