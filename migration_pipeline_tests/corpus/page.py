"""`docs/classification.md`: the confusion tables of the corpus, and each case that a witness gets wrong.

`python -m migration_pipeline_tests.corpus.page` (`just classification`) runs all of it, on both servers, and writes the page.
It needs the program `squawk` (PyPI: squawk-cli).
"""

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from migration_pipeline_tests.conftest import MAJORS, run_server
from migration_pipeline_tests.corpus import cases, known, real_way, running, squawk

PAGE = Path(__file__).parents[2] / "docs" / "classification.md"
COLUMNS = ("", "lost, said so", "lost, missed", "kept, false alarm", "kept, said so", "precision", "recall", "alarms in 14 kept")
HEAD = f"|{'|'.join(f' {name} ' if name else ' ' for name in COLUMNS)}|\n|{' --- |' * len(COLUMNS)}\n"
PREDICTED, MEASURED, LEDGER = "predicted alone", "predicted and measured", "measured alone: the ledger"
INTRODUCTION = """\
# What the classification finds, and what it misses

{cases} plans of one revision each, {statements} in SQL and {revisions} in Alembic's Python, over one database that holds something of
every kind that can be lost ([the corpus](../migration_pipeline_tests/corpus)). No verdict is written by hand: each plan runs on a real
server, every stored value is read before and after it, and it is rolled back. A plan loses data when a value, a row, bytes of
a large object or the place of a sequence that were there are there no more, or a table, column, materialized view,
foreign table or sequence is gone, also an empty one: it could have held data. What a materialized view stores counts too. Objects
are told apart by OID and column number, so what is dropped and made again is lost. Types, domains, schemas and extensions hold
nothing of their own: what goes with them counts.

- **Predicted alone** reads the statements, as `just plan` does. Whatever may lose data counts, and what no rule understands.
- **Predicted and measured** is the verdict of a migration: after the rehearsal, doubts are decided by what was measured; what is
  certain to lose rows on other rows counts although it lost none here. What the rehearsal refuses to run counts as found.
- **Measured alone** is the ledger without the prediction.
- **squawk** ({squawk}) reads the same statements: its rules about data that are on by default ({rules}), the same with those that one can
  switch on ({more}), and any default rule at all, which is not what these rules are for, but what one sees.

`just classification` writes this page anew; `just test` checks its numbers.
"""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One case on one server."""

    case: cases.Case
    major: int
    truth: bool
    values: bool  #: whether values were lost, and not only an object that held none
    said: dict[str, bool]  #: by witness
    how: dict[str, str]  #: what a witness says


def line(label, results, said: Callable[[Result], bool]):
    """Return a row of the table of one server."""
    tally = Counter((one.truth, said(one)) for one in results)
    found, missed, alarms, kept = (tally[key] for key in ((True, True), (True, False), (False, True), (False, False)))
    precision, recall = (f"{found / max(1, found + other):.3f}" for other in (alarms, missed))
    in_fourteen = 14 * alarms / max(1, alarms + kept)
    return f"| {label} | {found} | {missed} | {alarms} | {kept} | {precision} | {recall} | {in_fourteen:.1f} |"


def results_of(world, folder):
    """Run all cases on one server, through all witnesses."""
    results, texts = [], {}
    for case in cases.on(world.major):
        lost, sent = world.truth(case)
        predicted = world.predicted(sent)
        measured = real_way.measured(world, case, folder / case.name) if case.upgrade else world.measured(case)
        texts[case.name] = squawk.text_of(case, sent)
        results.append(
            Result(
                case=case,
                major=world.major,
                truth=lost.is_loss,
                values=bool(lost.values),
                said={
                    PREDICTED: predicted.loses_data,
                    MEASURED: measured.loses_data,
                    LEDGER: bool(measured.ledger) or bool(measured.stopped),
                },
                how={
                    PREDICTED: ", ".join(predicted.findings),
                    MEASURED: measured.stopped or "; ".join((*measured.ledger, *measured.findings)),
                },
            )
        )
    (folder / "squawk").mkdir()
    raised = squawk.rules_raised(texts, folder / "squawk", world.major)
    for one in results:
        rules = raised[one.case.name]
        one.said.update({label: says(rules) for label, says in SQUAWK.items()})
    return results


SQUAWK = {
    "squawk, rules about data": squawk.loses_data,
    "squawk, with those switched on": squawk.may_lose_data,
    "squawk, any rule": squawk.any_rule,
}


def sizes(results):
    """Say of how many cases the table of one server is made."""
    lost = [one for one in results if one.truth]
    values = sum(one.values for one in lost)
    return (
        f"{len(results)} cases: {len(lost)} lose data, {values} of them values, "
        f"{len(lost) - values} only objects that held none; {len(results) - len(lost)} lose nothing."
    )


def tables(by_major):
    for major, results in by_major.items():
        yield f"\n## PostgreSQL {major}\n\n{sizes(results)}\n\n{HEAD}"
        for label in (PREDICTED, MEASURED, LEDGER, *SQUAWK):
            yield line(label, results, lambda one, label=label: one.said[label]) + "\n"


def errors(by_major):
    everything = [one for results in by_major.values() for one in results]
    for label, reasons in ((PREDICTED, known.PREDICTED_MISSES), (MEASURED, known.MEASURED)):
        for title, truth in (("missed", True), ("false alarms", False)):
            wrong = [one for one in everything if one.truth is truth and one.said[label] is not truth]
            names = dict.fromkeys(one.case.name for one in wrong)
            yield f"\n## {label[0].upper()}{label[1:]}: {title} ({len(names)})\n\n"
            yield "| case | PostgreSQL | what it is | it says | why |\n| --- | --- | --- | --- | --- |\n" if names else "None.\n"
            for name in names:
                these = [one for one in wrong if one.case.name == name]
                majors = ", ".join(str(one.major) for one in these)
                yield _row(
                    f"`{name}`",
                    majors,
                    _shown(these[0].case),
                    these[0].how[label] or "nothing",
                    reasons.get(name) or _decided(these[0]),
                )
    for label in SQUAWK:
        for title, truth in (("missed", True), ("false alarms", False)):
            wrong = [one for one in everything if one.truth is truth and one.said[label] is not truth]
            names = dict.fromkeys(one.case.name for one in wrong)
            yield f"\n## {label[0].upper()}{label[1:]}: {title} ({len(names)})\n\n{', '.join(names) or 'None'}.\n"


def _decided(one):
    """Say who puts a prediction right, or why nobody does."""
    return "the rehearsal decides it" if one.said[MEASURED] is one.truth else known.MEASURED.get(one.case.name, "")


def _shown(case):
    return f"{case.why}<br>`{' '.join(case.text.split())}`"


def _row(*cells):
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def run(major):
    """Run all cases on a server of this major."""
    for server in run_server(major):
        world = running.World(server)
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            results = results_of(world, Path(folder))
        world.close()
        print(f"PostgreSQL {major}: {len(results)} cases in {time.monotonic() - started:.0f} s")
    return results


def render(by_major):
    """Return the page."""
    text = INTRODUCTION.format(
        cases=len(cases.CASES),
        statements=len(cases.STATEMENTS),
        revisions=len(cases.REVISIONS),
        squawk=squawk.version(),
        rules=", ".join(sorted(squawk.DATA_RULES)),
        more=", ".join(squawk.OPTIONAL_DATA_RULES),
    )
    return text + "".join(tables(by_major)) + "".join(errors(by_major))


def write():
    if not squawk.program():
        sys.exit("squawk is missing: uv tool install squawk-cli")
    PAGE.write_text(render({major: run(major) for major in MAJORS}))


if __name__ == "__main__":
    write()
