"""What is known of one revision: what it lost, and what the pipeline said."""

from dataclasses import dataclass, field

from migration_pipeline_tests.corpus import truth


@dataclass(kw_only=True)
class Step:
    """What is known of one revision."""

    revision: str
    title: str
    file: str
    lost: tuple = ()  #: in truth
    predicted: bool | None = None  #: None: no verdict, for it was not rehearsed
    verdict: bool | None = None
    findings: tuple = ()  #: names of the rules that predict a loss
    counted: tuple = ()  #: those of them that count after the rehearsal
    ledger: tuple = ()
    stopped: str = ""  #: why it was not rehearsed
    mended: str = ""  #: SQL that made the rows such that it runs
    alone: str = ""  #: the statement for which it runs outside a transaction
    failed: str = ""  #: why Alembic alone could not run it on the seeded rows
    rows: int = 0
    seconds: dict = field(default_factory=dict)  #: by what they were spent on
    unseeded: dict = field(default_factory=dict)

    @property
    def is_loss(self):
        return bool(self.lost)


def taken(session):
    """Return what a database stores; truth's own query wants at least one table."""
    (held,) = session.execute("SELECT count(*) FROM pg_stat_user_tables WHERE relname <> 'alembic_version'").fetchone()
    return truth.take(session) if held else truth.Snapshot({}, {}, {}, {}, {})


def names(findings):
    return tuple(dict.fromkeys(f"{one.name}: {', '.join(one.objects)}" for one in findings))


def summed(values):
    """Return how many rows of each table lost something, sequences and large objects as they are."""
    tally = {}
    for text in values:
        table, row, _ = text.partition(" row ")
        tally[table if row else text] = tally.get(table if row else text, 0) + bool(row)
    return tuple(f"{number} rows of {name}" if number else name for name, number in tally.items())


def last_line(text):
    """Return the exception at the end of a traceback."""
    lines = [line for line in text.splitlines() if line and not line.startswith((" ", "(Background", "Traceback"))]
    found = [line for line in lines if ": " in line and line.split(":")[0].replace(".", "").replace("_", "").isalnum()]
    return (found or lines or [""])[-1]
