"""Runs a case: for truth, and through the pipeline's own measurement. Every run is rolled back.

The measured run is the rehearsal's (`Execution`, `Measurement`, `losses`) on a connection of ours: what it leaves out is the
process that the runner is, 0.6 s a run. `real_way.py` goes through that too.
"""

import contextlib
import itertools
from dataclasses import dataclass
from datetime import timedelta

import psycopg
import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from migration_pipeline.adapters import losses, pending
from migration_pipeline.adapters.alembic_project import QueryFailed, Stop
from migration_pipeline.adapters.execution import Execution, Ran
from migration_pipeline.adapters.transaction import Limits
from migration_pipeline.domain import safety
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.effects import Statement
from migration_pipeline.domain.plan import Identity, Plan, Revision
from migration_pipeline.domain.rules import Grade
from migration_pipeline_tests.corpus import truth
from migration_pipeline_tests.corpus.cases import CASES, SCHEMA

LIMITS = Limits(lock_timeout=timedelta(seconds=5), transaction=timedelta(minutes=1))
PLAN = Plan(
    identity=Identity(target="corpus", database="corpus", system_identifier="1", oid=1),
    target="head",
    current=("start",),
    revisions=(Revision(id="case", down=("start",), title="case", path="case.py", checksum=""),),
    version_table="alembic_version",
    version_table_schema="public",
)
ROLES = ("corpus_intern", "corpus_guest")
numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What the pipeline says about a case."""

    loses_data: bool
    ledger: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()  #: names of rules that count
    stopped: str | None = None  #: why the rehearsal would not run it: then nobody migrates with it


class World:
    """A database with the corpus's schema."""

    def __init__(self, server):
        self.server = server
        self.name = f"corpus_{next(numbers)}"
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {self.name} TEMPLATE template0")
            admin.execute(f"ALTER DATABASE {self.name} SET jit = off")
        self.url = server.url(self.name)
        with psycopg.connect(self.url, autocommit=True) as opened:
            opened.execute(SCHEMA.read_text())
            self.major = opened.info.server_version // 10000
        self.engine = sa.create_engine(self.url.replace("postgresql:", "postgresql+psycopg:"))
        self.reader = psycopg.connect(self.url, autocommit=True)
        self.before = truth.take(self.reader)

    def close(self):
        self.reader.close()
        self.engine.dispose()
        with psycopg.connect(self.server.url(), autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {self.name} WITH (FORCE)")
            for role in ROLES:
                admin.execute(f"DROP ROLE IF EXISTS {role}")

    @contextlib.contextmanager
    def connection(self, *, fresh):
        """A session, rolled back, and the sequences set to where they were. A fresh one where it counts: counters are a session's."""
        with self.engine.connect() as connection:
            connection.begin()  # a batch commits a transaction that it began itself
            try:
                yield connection
            finally:
                connection.rollback()
                if fresh:
                    connection.invalidate()
                else:
                    connection.exec_driver_sql("DEALLOCATE ALL")
        truth.restore_sequences(self.reader, self.before)

    def truth(self, case):
        """Return what a case really loses, and the statements that it sends."""
        sent = []
        with self.connection(fresh=False) as connection:
            raw = connection.connection.driver_connection
            _listen(connection, lambda sql, has_parameters: sent.append(_statement(sql, has_parameters)))
            _upgrade(connection, case)
            raw.execute("SET CONSTRAINTS ALL IMMEDIATE")
            raw.execute("RESET search_path")
            return truth.lost(raw, self.before), tuple(sent)

    def predicted(self, sent):
        """Return what the pipeline says without a rehearsal: what may lose data counts, and what no rule understands."""
        columns = pending.columns(Connection.from_url(self.url), sent)
        found = safety.predict(sent, version_table=PLAN.qualified_version_table, columns=columns)
        counted = [one.name for one in found if one.grade in {Grade.LOSES_DATA, Grade.UNKNOWN}]
        return Judged(loses_data=bool(counted), findings=tuple(dict.fromkeys(counted)))

    def measured(self, case):
        """Return what the pipeline says after a rehearsal."""
        try:
            first = self._rehearse(case, None)
            altered = first.altered_tables(PLAN.is_version_table)
            ran = first if altered <= first.compared else self._rehearse(case, altered)
        except Stop as stop:
            return Judged(loses_data=True, stopped=stop.reason)
        for before, now in zip(first.parts, ran.parts, strict=True):
            now.take_from(before)
        effects = losses.effects(ran.parts, ran.base, lambda query: self.reader.execute(query).fetchall(), PLAN.is_version_table)
        return verdict(case, effects[0])

    def _rehearse(self, case, watched) -> Ran:
        run = Execution(
            plan=PLAN,
            limits=LIMITS,
            server_version=self.major * 10000,
            rehearsing=True,
            sources={"case": case.module},
            copies_early=watched is None,
            watched_tables=watched or frozenset(),
        )
        with self.connection(fresh=True) as connection:
            session = Session(connection.connection.driver_connection)
            run.connected(session)
            run.begin(session, ("start",), ("case",))
            run.revision(session, "case")
            _listen(
                connection,
                lambda sql, has_parameters: run.statement(session, sql, has_parameters=has_parameters, revision="case", own=True),
            )
            _upgrade(connection, case)
            session.query("UPDATE public.alembic_version SET version_num = 'case'")
            run.applied(session, "case")
            run.finish(session)
        return run.ran


class Session:
    """The connection as the pipeline asks it its own questions."""

    def __init__(self, raw):
        self.raw = raw

    def query(self, sql):
        try:
            cursor = self.raw.execute(sql)
        except psycopg.Error as error:
            raise QueryFailed(error.sqlstate, str(error), type(error).__name__) from None
        return [list(row) for row in cursor.fetchall()] if cursor.description else []


def verdict(case, measured):
    """Return the verdict of the three witnesses, for a revision that declares nothing."""
    report = safety.classify(
        annotations={},
        files={measured.revision: "case.py"},
        statements=measured.statements,
        measured=[measured],
        version_table=PLAN.qualified_version_table,
        sources={measured.revision: case.module},
    )
    (one,) = report.verdicts
    return Judged(
        loses_data=one.loses_data, ledger=one.ledger, findings=tuple(dict.fromkeys(finding.name for finding in one.counted))
    )


def _statement(sql, has_parameters):
    return Statement(sql=sql, has_parameters=has_parameters, revision="case")


def _listen(connection, told):
    """Tell each statement before it is sent; send in its place what the answer is."""

    def before(_connection, _cursor, sql, parameters, context, _many):
        instead = told(sql, not context.no_parameters)
        if instead is None:
            return sql, parameters
        context.execution_options = {**context.execution_options, "no_parameters": True}
        context.__dict__["no_parameters"] = True
        return instead, ()

    sa.event.listen(connection, "before_cursor_execute", before, retval=True)


def _upgrade(connection, case):
    with Operations.context(MigrationContext.configure(connection)):
        case.run()


def by_name(name):
    (case,) = (one for one in CASES if one.name == name)
    return case
