"""`docs/rules.md`: every rule, from the rules themselves. `python -m migration_pipeline_tests.rules_page` (`just rules`) writes it."""

from pathlib import Path

from migration_pipeline.domain import rules, safety
from migration_pipeline.domain.effects import Statement
from migration_pipeline.domain.rule import Grade

PAGE = Path(__file__).parents[1] / "docs" / "rules.md"
SQUAWK = "https://squawkhq.com/docs/"
GRADES = {
    Grade.LOSES_DATA: "Objects, rows or values are gone. A revision that does one of these is DESTRUCTIVE, and an operator is asked.",
    Grade.LOSES_PROTECTION: "What kept the data right, or away from those who may not see it, is gone. It makes no revision DESTRUCTIVE.",
    Grade.RISKS_SERVICE: "The application that runs beside the migration waits or fails. It makes no revision DESTRUCTIVE.",
    Grade.UNKNOWN: "No rule understands it. It counts as lost data until a rehearsal has measured everything.",
}
INTRODUCTION = """\
# Rules

What the pipeline predicts from the SQL of a plan, {count} rules in {grades} grades. Each statement is read by PostgreSQL's own parser, the
bodies of DO blocks too. What the plan itself made can be lost again: no finding. Where only running tells, a rehearsal does.
The examples are tests: the rule sees something in the bad one, and no rule sees anything in the good one.

A plan is one transaction, and a lock in it lasts to its end. So the safe form of a statement leaves what reads a whole table to a later
migration, and what cannot run in a transaction to one of its own. The forms are written in the names of the statement.
{contents}
"""


def text():
    """Return the page."""
    groups = {grade: [rule for rule in rules.RULES if rule.grade is grade] for grade in GRADES}
    contents = "".join(f"\n- [{grade.capitalize()}](#{_anchor(grade)}): {len(found)} rules" for grade, found in groups.items())
    parts = [INTRODUCTION.format(count=len(rules.RULES), grades=len(GRADES), contents=contents)]
    for grade, found in groups.items():
        parts.append(f"## {grade.capitalize()}\n\n{GRADES[grade]}\n")
        parts += [_section(rule) for rule in found]
    return "\n".join(parts)


def _anchor(grade):
    return grade.replace(" ", "-")


def _section(rule):
    lines = [f"### {rule.code} {rule.name}", "", f"- sees: {rule.sees}", f"- effect: {rule.effect}", f"- instead: {rule.instead}"]
    if rule.squawk:
        lines.append(f"- squawk: [{rule.squawk}]({SQUAWK}{rule.squawk})")
    form = safe_form(rule)
    shown = ["-- bad", f"{rule.bad};", "-- good", f"{rule.good};", *(["-- the safe form of the bad one", form] if form else [])]
    return "\n".join([*lines, "", "```sql", *shown, "```", ""])


def safe_form(rule):
    """Return the safe form of a rule's bad example, or None."""
    statement = Statement(sql=rule.bad, revision="r")
    found = safety.predict([statement], version_table="alembic_version", sources={"r": f"op.execute('''{rule.bad}''')"})
    return next(one.safe_form for one in found if one.rule == rule.code)


if __name__ == "__main__":
    PAGE.write_text(text())
