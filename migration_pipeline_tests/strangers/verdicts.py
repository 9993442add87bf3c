"""`docs/verdicts.md`: each revision of mlflow, prefect and Airflow, the verdict on it, and what it really did to rows.

`python -m migration_pipeline_tests.strangers.verdicts` (`just verdicts`) walks each history from its beginning. Before a revision,
every table and column that is empty gets synthetic rows. A copy of the database is where the pipeline rehearses that one
revision; the database itself is upgraded by Alembic alone, and its rows are read before and after: that is the truth. Names
of projects as arguments walk these only; the page keeps what the last walk of the others said.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta
from pathlib import Path

import psycopg

from migration_pipeline import errors
from migration_pipeline.adapters import attempts, attempts_alone, losses, pending, seeding
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.adapters.transaction import Limits
from migration_pipeline.domain import safety
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.plan import Identity, Plan, Revision
from migration_pipeline.domain.rules import Grade
from migration_pipeline.domain.segments import Segment
from migration_pipeline_tests.conftest import execute, fast_folder, run_server
from migration_pipeline_tests.corpus import truth
from migration_pipeline_tests.strangers import verdicts_python
from migration_pipeline_tests.strangers.stranger import CACHE, Stranger, installed
from migration_pipeline_tests.strangers.verdicts_histories import DOWNS, HISTORIES
from migration_pipeline_tests.strangers.verdicts_step import Step, last_line, names, summed, taken

LIMITS = Limits(lock_timeout=timedelta(seconds=30), transaction=timedelta(minutes=5))
VERSION_TABLE = "public.alembic_version"
AT_ONCE = 2  #: projects


class Clock:
    """Tells what the time was spent on."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.since = time.monotonic()

    def spent(self, what):
        now = time.monotonic()
        self.seconds[what] = round(self.seconds.get(what, 0) + now - self.since, 2)
        self.since = now


class Walk:
    """One walk through one history."""

    def __init__(self, history, server, folder):
        self.history = history
        self.server = server
        self.folder = folder
        self.python = installed(history.name, *history.packages, as_of=history.as_of)
        url = server.url(history.name).replace("postgresql:", f"postgresql+{history.driver}:")
        self.stranger = Stranger(
            name=history.name,
            title=history.title,
            python=self.python,
            url=url,
            folder=folder,
            server=server,
            shows=history.shows,
            **history.parts,
        )
        self.downs = json.loads(self.stranger.run(DOWNS, self.stranger.home / self.stranger.config, self.stranger._versions))
        self.live = Connection.from_url(server.url(history.name))
        self.copy = Connection.from_url(server.url(self.copy_name))
        self.alembic = self.stranger.home / self.stranger.config

    @property
    def name(self):
        return self.history.name

    @property
    def copy_name(self):
        return f"{self.history.name}_before"

    def steps(self):
        """Yield each revision as it was judged and done."""
        if self.history.prepare:
            self.stranger.run(self.history.prepare, self.stranger.url)
        os.environ |= self.environ()
        imported = verdicts_python.ready(
            self.python, self.folder, self.history.imports, self.history.kept_out, self.stranger.operator()
        )
        with imported as self.started, self.upgrading() as upgrade:
            for revision, path in self.stranger.line:
                yield self.step(revision, path, upgrade)

    def environ(self):
        """Return what the application itself reads: the runner has it from the pipeline's environment."""
        return {name: value for name, value in self.stranger.operator().items() if name in self.stranger.environ}

    @contextlib.contextmanager
    def upgrading(self):
        """Yield a function that upgrades the database to a revision with Alembic alone, and returns what it says when it fails."""
        file = self.folder / "steps.py"
        file.write_text(self.history.steps)
        arguments = [self.started, file, self.alembic, self.stranger.url, *self.history.imports]
        with tempfile.TemporaryFile("w+") as said:
            process = subprocess.Popen(
                [*map(str, arguments)],
                cwd=self.stranger.home / self.stranger.called_from,
                env={**self.stranger.operator(), "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_ENABLED": "False"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )

            def upgrade(revision):
                begin = said.seek(0, 2)
                process.stdin.write(f"{revision}\n")
                process.stdin.flush()
                code = process.stdout.readline().strip()
                said.seek(begin)
                return "" if code == "0" else last_line(said.read()) or f"exit code {code}"

            yield upgrade
            process.stdin.close()
            process.wait()
            process.stdout.close()

    def step(self, revision, path, upgrade):
        text = Path(path).read_text()
        one = Step(revision=revision, title=text.lstrip("\"' \n").splitlines()[0].strip("\"'"), file=Path(path).name)
        clock = Clock(one.seconds)
        with psycopg.connect(self.server.url(self.name), autocommit=True) as session:
            one.unseeded = self.seed(session)
            one.mended = self.history.mended.get(revision, "")
            session.execute(one.mended)
            clock.spent("rows")
            before = taken(session)
            one.rows = sum(map(len, before.rows.values()))
        clock.spent("truth")
        self.admin(
            f"DROP DATABASE IF EXISTS {self.copy_name} WITH (FORCE)", f"CREATE DATABASE {self.copy_name} TEMPLATE {self.name}"
        )
        clock.spent("copy")
        self.judge(one, path, text)
        clock.spent("verdict")
        one.failed = upgrade(revision)
        clock.spent("upgrade")
        if one.failed:
            self.without_rows(revision, upgrade)
        else:
            with psycopg.connect(self.server.url(self.name), autocommit=True) as session:
                lost = truth.lost(session, before) if before.tables else truth.Truth((), ())
                one.lost = (*lost.objects, *summed(lost.values))
        clock.spent("truth")
        return one

    def seed(self, session):
        """Fill what is empty, and return what stays so."""
        seeded = seeding.seed(session, leave_out=[VERSION_TABLE])
        filled = seeding.fill(session, leave_out=[VERSION_TABLE])  # a new column may refer to a new table
        return {**seeded.refused, **seeded.unfilled, **filled.unfilled}

    def judge(self, one, path, text):
        """Rehearse one revision on the copy, as the pipeline does; keep the verdict."""
        with psycopg.connect(self.server.url(self.copy_name), autocommit=True) as session:
            heads = tuple(sorted(self.heads(session)))
            plan = Plan(
                identity=Identity(target=self.name, database=self.copy_name, system_identifier="1", oid=1),
                target=one.revision,
                current=heads,
                revisions=(
                    Revision(id=one.revision, down=tuple(self.downs[one.revision]), title=one.title, path=path, checksum=""),
                ),
                version_table="alembic_version",
                version_table_schema="public",
            )
            project = Project(config=self.alembic, python=self.started, live=self.live, driver=self.history.driver)
            try:
                effects = self.rehearsed(one, project, plan, lambda query: session.execute(query).fetchall())
            except errors.MigrationPipelineError as error:
                one.stopped = " ".join(str(error).split("\n  state:")[0].split()) or type(error).__name__
                return
        sources = {one.revision: text}
        columns = pending.columns(self.copy, effects.statements)
        found = safety.predict(effects.statements, version_table=plan.qualified_version_table, sources=sources, columns=columns)
        one.findings = names(finding for finding in found if finding.grade in {Grade.LOSES_DATA, Grade.UNKNOWN})
        one.predicted = bool(one.findings)
        (judged,) = safety.classify(
            annotations={},
            files={one.revision: path},
            statements=effects.statements,
            measured=[effects],
            version_table=plan.qualified_version_table,
            sources=sources,
        ).verdicts
        one.verdict, one.ledger, one.counted = judged.loses_data, judged.ledger, names(judged.counted)

    def rehearsed(self, one, project, plan, count):
        """Return what the rehearsal measured; outside a transaction where PostgreSQL allows nothing else."""
        try:
            ran, _ = attempts.rehearse(
                project, self.copy, Segment(plan=plan), LIMITS, lambda _revision, _statement: None, role=None, is_part=False
            )
        except attempts.Cut as cut:
            one.alone = cut.command
            segment = Segment(plan=plan, alone=cut.command)
            return attempts_alone.rehearse(
                project, self.copy, segment, LIMITS, lambda _revision, _statement: None, role=None
            ).revisions[0]
        return losses.effects(ran.parts, ran.base, count, plan.is_version_table)[0]

    def without_rows(self, revision, upgrade):
        """Go on from the copy, emptied: the revision does not run on these rows."""
        self.admin(
            f"DROP DATABASE {self.name} WITH (FORCE)",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.copy_name}'",
            f"ALTER DATABASE {self.copy_name} RENAME TO {self.name}",
        )
        tables = "SELECT string_agg(oid::regclass::text, ', ') FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
        with psycopg.connect(self.server.url(self.name), autocommit=True) as session:
            (listed,) = session.execute(f"{tables} AND relname <> 'alembic_version'").fetchone()
            session.execute(f"TRUNCATE {listed} CASCADE" if listed else "")
        failed = upgrade(revision)
        assert not failed, f"{self.name} {revision} without rows: {failed}"

    def heads(self, session):
        try:
            return tuple(row[0] for row in session.execute("SELECT version_num FROM public.alembic_version"))
        except psycopg.errors.UndefinedTable:
            return ()

    def admin(self, *statements):
        execute(
            self.server.url(),
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'",
            *statements,
        )


def walked(history, server, folder):
    """Walk one history; tell each revision, and return them with the seconds that it took."""
    start = time.monotonic()
    own = folder / history.name
    own.mkdir()
    walk = Walk(history, server, own)
    steps = []
    for step in walk.steps():
        steps.append(step)
        said = f"stopped {step.stopped}" if step.verdict is None else f"predicted {step.predicted}, verdict {step.verdict}"
        print(
            f"{time.monotonic() - start:6.1f} {history.name} {step.revision} lost {bool(step.lost)} {said} {step.failed} {step.seconds}",
            flush=True,
        )
    return steps, walk.stranger.story.versions, time.monotonic() - start


def run(chosen):
    """Walk histories on one server; return by project its steps, versions and seconds."""
    folder = Path(tempfile.mkdtemp(prefix="mp-verdicts-", dir=fast_folder()))
    waiting = {}
    for server in run_server(18):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            waiting = {one.name: pool.submit(walked, one, server, folder) for one in chosen}
            wait(waiting.values())  # and the server is stopped, whatever came of it
    shutil.rmtree(folder)
    return {name: one.result() for name, one in waiting.items()}


def main(asked):
    from migration_pipeline_tests.strangers import verdicts_page

    for name, (steps, versions, seconds) in run([one for one in HISTORIES if not asked or one.name in asked]).items():
        kept = {"versions": versions, "seconds": seconds, "steps": [vars(step) for step in steps]}
        saved(name).write_text(json.dumps(kept, indent=1))
    if all(saved(one.name).exists() for one in HISTORIES):
        verdicts_page.write({one.name: read(one.name) for one in HISTORIES})


def saved(name):
    """Return where the results of a walk are kept: one project may be walked again without the others."""
    return CACHE / f"verdicts_{name}.json"


def read(name):
    kept = json.loads(saved(name).read_text())
    return [Step(**one) for one in kept["steps"]], kept["versions"], kept["seconds"]


if __name__ == "__main__":
    main(sys.argv[1:])
