"""Takes one revision up, down and up again on a scratch database, and looks at schema and rows before each transaction ends.

A downgrade that is found wrong is rolled back: the next revision begins from where this one's upgrade led, and one fault is one
finding. What ran without a transaction cannot be rolled back; the database is spoiled then, and another one takes its place.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from migration_pipeline.adapters import postgres, schema_marks, seeding, sequence_marks, table_marks
from migration_pipeline.adapters.check_steps import Step, Steps, raised
from migration_pipeline.adapters.failed_run import RunFailed
from migration_pipeline.adapters.schema_marks import SchemaMarks
from migration_pipeline.domain import table_rows
from migration_pipeline.domain.downgrade_verdict import File, Raised, Seen, is_bad
from migration_pipeline.domain.schema import SchemaSnapshot
from migration_pipeline.domain.sequence_positions import SetBack, Stood
from migration_pipeline.domain.table_rows import Book, TableRows

Spared = dict[str, Collection[str] | None]  #: columns of tables that the seeding has changed; None: the whole table


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is there at one moment."""

    schema: SchemaMarks
    tables: Collection[str]
    rows: Book  #: of the tables that were read
    set_back: Sequence[SetBack] = ()


@dataclass(kw_only=True)
class Examination:
    """A scratch database, and what is known of it."""

    steps: Steps
    own: "psycopg.Connection[Any]"
    seeds: bool = True  #: whether tables that hold nothing are given synthetic rows
    is_spoiled: bool = False
    schema: SchemaMarks = field(init=False)
    upgrade: tuple[SchemaMarks, SchemaMarks] | None = None  #: before the last checked upgrade, and after it
    rows: dict[str, TableRows] = field(default_factory=dict)

    def begin(self, *, seeds: bool = True) -> None:
        """Look at all that is there, and give rows to what has none."""
        table_marks.create(self._ask)
        self._take(self._look(None))
        if seeds:
            self._seed(set(self.rows), Seen())

    def change(self) -> tuple[SchemaSnapshot, SchemaSnapshot]:
        """Return the schema before and after the last checked upgrade, without what is the same in both."""
        if self.upgrade is None:
            return SchemaSnapshot(objects={}), SchemaSnapshot(objects={})
        before, after = self.upgrade
        return before.change(after)

    def beside(self) -> tuple[SchemaSnapshot, SchemaSnapshot]:
        """Return the schema as it was left, and as it is in the transaction that is open."""
        return self.schema.snapshots(self._look(()).schema)

    def bring_up(self, step: Step) -> RunFailed | None:
        """Run an upgrade that is not checked."""
        error = self.steps.run(step.id)
        ended = self.steps.end(commit=error is None)
        return error or ended

    def check(self, step: Step, file: File, *, on_rows: Raised | None = None) -> Seen:
        """Take a revision up, down and up again; the database stays upgraded, unless it is spoiled or the upgrade failed.

        `on_rows` is what the upgrade raised on rows: the second one, with rows there, would raise it too.
        """
        start = time.monotonic()
        seen = Seen(on_rows=on_rows)
        rows = self.rows
        self._check(step, file, seen)
        self.is_spoiled |= self.steps.over is not None
        if not self.is_spoiled and seen.on_rows is None:
            self._seed(table_rows.emptied(rows, self.rows), Seen())
        seen.seconds = time.monotonic() - start
        return seen

    def _check(self, step: Step, file: File, seen: Seen) -> None:
        schema, rows, stood = self.schema, dict(self.rows), sequence_marks.stood(self._ask)
        touched, error = self._up(step)
        seen.outside = self.steps.is_alone
        if error:
            seen.upgrade = raised(error, step)
            return
        upgraded_schema, upgraded = self.schema, dict(self.rows)
        self.upgrade = (schema, upgraded_schema)
        # Values that the upgrade's own code cannot read its downgrade cannot either.
        is_unreadable = seen.on_rows is not None and not seen.on_rows.by_server
        spared = {} if is_unreadable else self._seed(touched, seen, rows)
        reached = sequence_marks.stood(self._ask)
        error, looked = self._run(step, down=True, also={*touched, *spared}, stood=stood)
        seen.outside |= self.steps.is_alone
        if error or looked is None:
            seen.downgrade = raised(error, step)
            self._put_back(reached)
            return
        seen.stands_last = _stands_last(schema.standing(rows), upgraded_schema.standing(upgraded), looked)
        seen.set_back = sequence_marks.told(looked.set_back, reached)
        self._compare(seen, schema, rows, looked, upgraded, spared)
        if is_bad(seen, file) or (seen.on_rows and not seen.outside):
            self._roll_back()
        elif seen.outside:
            self._again(step, seen, looked, upgraded_schema)
            return
        elif not self._is_same_again(step, upgraded_schema):
            self._in_two(step, seen, upgraded_schema)
            return
        self._put_back(reached)

    def _is_same_again(self, step: Step, upgraded: SchemaMarks) -> bool:
        """Upgrade again in the downgrade's transaction, and roll back both: rows and all stay as the first upgrade left them.

        Return whether it led to where the first upgrade did. Where it did not, one transaction for both may be the reason.
        """
        error = self.steps.go_on(step.id)
        is_same = error is None and self._look(()).schema.is_like(upgraded)
        self.steps.end(commit=False)
        return is_same

    def _in_two(self, step: Step, seen: Seen, upgraded: SchemaMarks) -> None:
        """Downgrade once more, and upgrade again in a transaction of its own."""
        if self.steps.over:
            seen.again = raised(self.steps.over, step)
            return
        error, looked = self._run(step, down=True, also=())
        if error or looked is None:
            seen.downgrade = raised(error, step)
        else:
            self._again(step, seen, looked, upgraded)

    def _again(self, step: Step, seen: Seen, looked: Look, upgraded: SchemaMarks) -> None:
        """Commit the downgrade, and upgrade again in a transaction of its own."""
        error = self._commit()
        if error:
            seen.downgrade = raised(error, step)
            return
        self._take(looked)
        touched, error = self._up(step)
        if error:
            seen.again = raised(error, step)
            self.is_spoiled = True
            return
        if not self.schema.is_like(upgraded):
            seen.upgraded_again = upgraded.snapshots(self.schema)
        self._seed(touched, Seen())

    def _compare(self, seen: Seen, schema: SchemaMarks, rows: Book, looked: Look, upgraded: Book, spared: Spared) -> None:
        now = {name: looked.rows.get(name, rows[name]) for name in rows if name in looked.tables}
        if not looked.schema.is_like(schema):
            seen.left = schema.snapshots(looked.schema)
        seen.losses = table_rows.compare(rows, now, upgraded, spared, self.rows)

    def _up(self, step: Step) -> tuple[set[str], RunFailed | None]:
        """Run and commit an upgrade; return the tables that it has written to."""
        error, looked = self._run(step, down=False, also=())
        error = error or self._commit()
        if error or looked is None:
            return set(), error
        touched = {name for name, held in looked.rows.items() if not self.steps.is_alone or held != self.rows.get(name)}
        self._take(looked)
        return touched, None

    def _run(
        self, step: Step, *, down: bool, also: Collection[str], stood: Stood | None = None
    ) -> tuple[RunFailed | None, Look | None]:
        error = self.steps.run(step.id, down=down)
        if error:
            self.is_spoiled |= self.steps.is_alone
            self.steps.end(commit=False)
            return error, None
        if not self.steps.is_alone:
            return None, self._look(also, stood)
        error = self.steps.end(commit=True)
        if error:
            self.is_spoiled = True
            return error, None
        return None, self._look(None, stood)  # there is no transaction whose locks would tell

    def _commit(self) -> RunFailed | None:
        return None if self.steps.is_alone else self.steps.end(commit=True)

    def _roll_back(self) -> None:
        """Undo a step that was looked at; what has committed itself by then stays."""
        if self.steps.is_alone:
            self.is_spoiled = True
        else:
            self.steps.end(commit=False)

    def _look(self, also: Collection[str] | None, stood: Stood | None = None) -> Look:
        """Look from inside the step's transaction; None: at everything, for there is no transaction that would tell."""
        base = None if also is None else self.schema
        oids = [self.rows[name].oid for name in also or () if name in self.rows]
        schema, answer = schema_marks.read(self.steps.query, base, oids, stood)
        rows = {name: one for name, one in answer.rows.items() if one.plain != self.steps.version_table}
        return Look(schema=schema, tables=set(schema.tables.values()), rows=rows, set_back=answer.set_back)

    def _put_back(self, reached: Stood) -> None:
        """Let sequences stand where they stood before what was rolled back: no transaction does that."""
        if not (self.is_spoiled or self.steps.over):
            sequence_marks.put_back(self._ask, reached)

    def _take(self, looked: Look) -> None:
        self.schema = looked.schema
        self.rows = {name: held for name, held in {**self.rows, **looked.rows}.items() if name in looked.tables}

    def _seed(self, touched: Collection[str], seen: Seen, before: Book | None = None) -> Spared:
        """Give rows to tables and values to columns that hold none; return what else of `before` this has changed."""
        held = [one for name, one in self.rows.items() if name in touched]
        emptied = table_rows.emptied(before or {}, self.rows)
        tables = [one.plain for one in held if not one.rows and one.name not in emptied]
        columns = {
            one.plain: [name for name, column in one.columns.items() if not (column.values or name in emptied.get(one.name, ()))]
            for one in held
            if one.rows
        }
        wanted = [f"{table}.{name}" for table, names in columns.items() for name in names]
        if not self.seeds or not (tables or wanted):
            return {}
        with self.own.transaction():
            if tables:
                seeded = seeding.seed(self.own, tables)
                seen.without_rows, seen.unfilled = seeded.refused, dict(seeded.unfilled)
            if wanted:
                others = [one.plain for one in self.rows.values() if not columns.get(one.plain)]
                filled = seeding.fill(self.own, wanted, leave_out=[*others, self.steps.version_table])
                seen.unfilled = {**seen.unfilled, **filled.unfilled}
            now = table_marks.written(self._ask)
        spared = {name: table_rows.changed(self.rows[name], held) for name, held in now.items() if name in (before or {})}
        self.rows.update(now)
        return spared

    def _ask(self, text: str) -> Sequence[Sequence[Any]]:
        return postgres.catalog_query(self.own, text)


def _stands_last(before: Book, upgraded: Book, looked: Look) -> dict[str, list[str]]:
    """Return the columns that were added again, by table or type."""
    now = looked.schema.standing({**{name: held for name, held in before.items() if name in looked.tables}, **looked.rows})
    again = {name: table_rows.added_again(held, upgraded.get(name), now.get(name)) for name, held in before.items()}
    return {name: columns for name, columns in again.items() if columns}
