"""Writes docs/verdicts.md: the verdicts on every revision of real projects beside what they really did."""

import re
from pathlib import Path

from migration_pipeline_tests.strangers.verdicts_known import KNOWN

PAGE = Path(__file__).parents[2] / "docs" / "verdicts.md"
HEAD = """# Verdicts on projects that nobody here wrote

Written by `just verdicts`: every revision of three applications as they are on PyPI, on PostgreSQL 18, each judged by the pipeline and
then done by Alembic alone, with rows in every table.

- **Rows.** Before each revision, every table that is empty and every column that holds nothing gets synthetic rows (three a table:
  `adapters/seeding.py`); what has rows keeps them, so that a revision meets what earlier ones made of them.
- **Truth.** Alembic runs the revision for real, in the project's own interpreter and through its own `env.py`, without the pipeline. Every
  stored value is read before and after it, objects told apart by OID and columns by number, rows by primary key
  (`corpus/truth.py`: it shares no line with the ledger). A row, a value that was not NULL, the place of a sequence that are there no more, a
  table, column or sequence that is gone: the revision is destructive.
- **Predicted alone** reads the statements that the revision sends and the types of the columns that they meet, without their rows: what may lose
  data counts, and what no rule understands.
- **Predicted and measured** is the verdict of a migration: the same after the rehearsal of that one revision on a copy.
"""
COLUMNS = ("revisions", "destructive in truth", "caught", "missed", "false alarms", "recall", "precision")
WITNESSES = (("predicted alone", "predicted"), ("predicted and measured", "verdict"))


def write(results):
    parts = [HEAD, table(results), *(section(name, *parts) for name, parts in results.items())]
    PAGE.write_text("\n".join(parts))


def judged(steps):
    """Return the revisions that have both a verdict and a truth."""
    return [one for one in steps if one.verdict is not None and not one.failed]


def table(results):
    head = f"| project | witness | {' | '.join(COLUMNS)} |\n" + "| --- " * (len(COLUMNS) + 2) + "|"
    everything = [one for steps, *_ in results.values() for one in steps]
    rows = [line(name, steps, *witness) for name, (steps, *_) in results.items() for witness in WITNESSES]
    rows += [line("**all**", everything, *witness) for witness in WITNESSES]
    unjudged = len(everything) - len(judged(everything))
    said = f"{len(everything)} revisions; {len(judged(everything))} have a verdict and a truth, and {unjudged} have not: they are listed below."
    return f"{said}\n\n{head}\n" + "\n".join(rows) + "\n"


def line(name, steps, label, witness):
    found = judged(steps)
    caught, missed, alarms = tally(found, witness)
    recall = f"{caught / (caught + missed):.3f}" if caught + missed else "–"
    precision = f"{caught / (caught + alarms):.3f}" if caught + alarms else "–"
    return f"| {name} | {label} | {len(found)} | {caught + missed} | {caught} | {missed} | {alarms} | {recall} | {precision} |"


def tally(found, witness):
    pairs = [(one.is_loss, getattr(one, witness)) for one in found]
    return [pairs.count(pair) for pair in ((True, True), (True, False), (False, True))]


def section(name, steps, versions, seconds):
    told = ", ".join(f"{package} {version}" for package, version in versions.items())
    parts = [f"## {name}", f"{told}. {len(steps)} revisions in {seconds:.0f} s."]
    for label, witness in WITNESSES:
        for title, truth in (("missed", True), ("false alarms", False)):
            wrong = [one for one in judged(steps) if one.is_loss is truth and getattr(one, witness) is not truth]
            parts.append(f"### {name}, {label}: {title} ({len(wrong)})")
            parts.append(rows_of(name, wrong, witness) if wrong else "None.")
    caught = [one for one in judged(steps) if one.is_loss and one.verdict]
    parts += [f"### {name}, caught ({len(caught)})", rows_of(name, caught, "verdict") if caught else "None."]
    for title, chosen, shown in (
        ("outside a transaction", [one for one in steps if one.alone], lambda one: f"`{one.alone}`"),
        ("refused, or failed, in the rehearsal", [one for one in steps if one.verdict is None], refusal),
        ("not run on these rows by Alembic either", [one for one in steps if one.failed], lambda one: cut(one.failed)),
    ):
        listed = [
            f"- `{one.revision}` ({one.file}): {shown(one)} {KNOWN.get((name, one.revision, 'not run'), '')}".rstrip()
            for one in chosen
        ]
        parts += [f"### {name}, {title} ({len(chosen)})", "\n".join(listed) or "None."]
    mended = [f"- `{one.revision}`: `{one.mended}`" for one in steps if one.mended]
    parts += [f"### {name}, rows made to fit a revision ({len(mended)})", "\n".join(mended) or "None."]
    unseeded = {}
    for one in steps:
        for what, why in one.unseeded.items():
            unseeded.setdefault((what, why), []).append(one.revision)
    listed = [f"- `{what}`: {why} (before {len(held)} revisions)" for (what, why), held in unseeded.items()]
    parts += [
        f"### {name}, without rows or values ({len(unseeded)})",
        "\n".join(listed) or "None was refused.",
    ]
    return "\n\n".join(parts) + "\n"


def refusal(one):
    said = re.sub(r"file: \S*/", "file: ", one.stopped).split(" Next:")[0]
    return f"{cut(said)} Really lost: {'unknown' if one.failed else several(one.lost).replace('<br>', '; ')}."


def rows_of(name, steps, witness):
    head = "| revision | really lost | predicted | measured | why |\n| --- | --- | --- | --- | --- |"
    return "\n".join([head, *(row_of(name, one, witness) for one in steps)])


def row_of(name, one, witness):
    why = KNOWN.get((name, one.revision, witness)) or KNOWN.get((name, one.revision)) or decided(one, witness)
    cells = (f"`{one.revision}` {one.file}", several(one.lost), several(one.findings), several(one.ledger), why)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def decided(one, witness):
    """Say who puts a prediction right."""
    if witness == "predicted" and one.verdict is one.is_loss:
        return "the rehearsal decides it"
    return "" if one.verdict is one.is_loss else "**not looked at yet**"


def several(texts, most=4):
    shown = [cut(text.replace('"', ""), 90) for text in texts[:most]]
    return "<br>".join(shown + [f"and {len(texts) - most} more"] * (len(texts) > most)) or "nothing"


def cut(text, most=200):
    return text if len(text) <= most else text[: most - 1] + "…"
