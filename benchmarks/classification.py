"""What classifying a plan's statements costs beside parsing them alone with PostgreSQL's own grammar.

    python benchmarks/classification.py [--runs 5]

A plan is 1,000 statements of the corpus, each with names of its own: of all of it, where there is a finding in nearly every
statement, or of what no rule finds anything in. Each run is a process of its own:

cold    the first plan that the process sees, its imports aside
unseen  a plan of the same statements under other names after it: no text of it was ever parsed
sent    the same, once the runner has answered for each statement: what a migration classifies was parsed when it was sent
again   that plan once more
bare    postgast.parse of the same texts, which keeps nothing

The milliseconds are of CPU, for machines are noisy. These are no tests.
"""

import argparse
import contextlib
import gc
import itertools
import json
import re
import statistics
import subprocess
import sys
import time

from measure import show

from migration_pipeline.domain import redaction, safety
from migration_pipeline.domain import statements as sent_statements
from migration_pipeline.domain.effects import Statement
from migration_pipeline.domain.tokens import postgast
from migration_pipeline_tests.corpus.cases import STATEMENTS

MANY = 1_000
MOST_MS = 50
WAYS = ("cold", "unseen", "sent", "again", "bare")
TEXTS = tuple(text.strip() for case in STATEMENTS for text in case.sql.split(";\n") if text.strip())
NAME = re.compile(r"\b(patients|visits|codes|archive|invoices|letters|places|events|id|name|status|what|at)\b")


def plan(prefix, texts):
    """Return the statements of a plan; two plans have no text in common."""
    renamed = (NAME.sub(rf"\1_{prefix}{number}", text) for number, text in enumerate(itertools.cycle(texts)))
    return [
        Statement(sql=f"{text} -- {prefix}{number}", revision="1") for number, text in zip(range(MANY), renamed, strict=False)
    ]


def is_quiet(text):
    return not safety.predict([Statement(sql=text, revision="1")], version_table="alembic_version")


def milliseconds(run):
    gc.collect()
    gc.disable()
    started = time.process_time()
    run()
    spent = time.process_time() - started
    gc.enable()
    return spent * 1000


def classify(statements):
    safety.classify(annotations={}, files={"1": "1.py"}, statements=statements, measured=None, version_table="alembic_version")


def answer(statements):
    """Look at each statement as the runner's questions are answered."""
    for one in statements:
        parsed = sent_statements.parse(one.sql, one.has_parameters)
        sent_statements.stop_reason(parsed, rehearsing=True)
        redaction.statement(one.sql, "")


def parse(statements):
    for one in statements:
        with contextlib.suppress(postgast.PgQueryError):
            postgast.parse(one.sql)


def once(texts):
    """Print the milliseconds of each way."""
    first, second, third = (plan(prefix, texts) for prefix in "abc")
    found = {
        "cold": milliseconds(lambda: classify(first)),
        "unseen": milliseconds(lambda: classify(second)),
        "bare": milliseconds(lambda: parse(third)),
    }
    answer(third)
    found["sent"] = milliseconds(lambda: classify(third))
    found["again"] = milliseconds(lambda: classify(third))
    print(json.dumps(found))


def compare(name, texts, runs):
    command = [sys.executable, __file__, "--once"]
    given = json.dumps(texts)
    found = [
        json.loads(subprocess.run(command, check=True, input=given, capture_output=True, text=True).stdout) for _ in range(runs)
    ]
    print(f"{name}: {MANY:,} statements of {len(texts)} texts, {runs} processes, ms of CPU\n")
    lines = [["", "median", "from", "to", "against bare, median"]]
    for way in WAYS:
        spent = [one[way] for one in found]
        ratio = statistics.median(one[way] / one["bare"] for one in found)
        lines.append([way, *(f"{one:.1f}" for one in (statistics.median(spent), min(spent), max(spent))), f"{ratio:.2f}"])
    show(lines)
    for way in ("unseen", "sent", "again"):
        spent = statistics.median(one[way] for one in found)
        print(f"{name}, {way}: {spent:.1f} ms, aim <= {MOST_MS}: {'reached' if spent <= MOST_MS else 'MISSED'}")
    print()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        once(json.load(sys.stdin))
    else:
        compare("the corpus", TEXTS, arguments.runs)
        compare("what no rule finds", tuple(filter(is_quiet, TEXTS)), arguments.runs)
