"""What a case really loses, read from the rows themselves: it shares no line with the ledger that it judges.

Everything stored is read before and after, objects told apart by OID and columns by number. A value that was there and is
not, a row, where a sequence had counted to, bytes of a large object: lost values. A table, column, materialized view,
foreign table or sequence that is not there any more: a lost object, also where it held nothing, for it could have.
A type, domain, label, schema or extension holds no values of its own: what it takes along is counted.
"""

from collections import Counter
from dataclasses import dataclass

import psycopg

RELATIONS = """
SELECT c.oid, c.relkind, n.nspname, c.relname, c.relispopulated,
  coalesce((SELECT i.inhparent FROM pg_inherits i WHERE i.inhrelid = c.oid AND c.relispartition), c.oid),
  ARRAY(SELECT unnest(x.indkey)::int FROM pg_index x WHERE x.indrelid = c.oid AND x.indisprimary)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'f', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND (n.nspname, c.relname) <> ('public', 'alembic_version')
"""
COLUMNS = """
SELECT a.attrelid, a.attnum, a.attname, a.attgenerated, format_type(a.atttypid, a.atttypmod), a.atttypid, t.typtype,
  ARRAY(SELECT (s.attnum, quote_ident(s.attname))::text FROM pg_attribute s
        WHERE s.attrelid = t.typrelid AND s.attnum > 0 AND NOT s.attisdropped)
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_class c ON c.oid = a.attrelid
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'm', 'f') AND c.relnamespace IN (
  SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
"""
LABELS = "SELECT enumtypid, enumlabel, oid FROM pg_enum"
SEQUENCE = "SELECT seqrelid, last_value, is_called, seqincrement FROM {name}, pg_sequence WHERE seqrelid = {oid}"
LARGE_OBJECTS = "SELECT oid, lo_get(oid) FROM pg_largeobject_metadata"


@dataclass(frozen=True)
class Column:
    """One column, or one field of a composite one."""

    number: tuple[int, ...]
    expression: str
    type: str  #: what it is cast back to; "" for a field
    enum: int  #: the OID of an enum type, or 0


@dataclass(frozen=True)
class Table:
    """One relation with storage: a partition belongs to the family of its root."""

    kind: str
    name: str
    family: int
    key: tuple[tuple[int, ...], ...]
    columns: dict[tuple[int, ...], Column]
    numbers: frozenset[int]  #: of the columns that can store something


@dataclass(frozen=True)
class Sequence:
    """Where a sequence stands."""

    name: str
    last: int
    is_called: bool
    increment: int

    @property
    def following(self):
        return self.last + self.increment if self.is_called else self.last


@dataclass(frozen=True)
class Snapshot:
    """Everything that the database stores."""

    tables: dict[int, Table]
    rows: dict[int, list[dict[tuple[int, ...], str | None]]]
    labels: dict[tuple[int, str], int]
    sequences: dict[int, "Sequence"]
    large_objects: dict[int, bytes]


@dataclass(frozen=True)
class Truth:
    """What is lost, in words."""

    values: tuple[str, ...]
    objects: tuple[str, ...]

    @property
    def is_loss(self):
        return bool(self.values or self.objects)


def take(connection):
    """Read everything that is stored."""
    labels = {(kind, label): oid for kind, label, oid in connection.execute(LABELS)}
    tables = _tables(connection)
    held = {oid: table for oid, table in tables.items() if table.kind in "rm" and table.columns}
    rows = {oid: [] for oid in held}
    for oid, values in connection.execute(" UNION ALL ".join(_select(oid, table) for oid, table in held.items())):
        rows[oid].append(_row(held[oid], values, labels))
    named = {oid: table.name for oid, table in tables.items() if table.kind == "S"}
    texts = [SEQUENCE.format(oid=oid, name=name) for oid, name in named.items()]
    found = connection.execute(" UNION ALL ".join(texts)).fetchall() if texts else []
    sequences = {oid: Sequence(named[oid], *facts) for oid, *facts in found}
    return Snapshot(tables, rows, labels, sequences, dict(connection.execute(LARGE_OBJECTS).fetchall()))


def _tables(connection):
    columns = {}
    for relation, number, name, generated, kind, type_oid, typtype, fields in connection.execute(COLUMNS):
        if generated == "v":
            continue
        quoted = psycopg.sql.Identifier(name).as_string(None)
        held = columns.setdefault(relation, {})
        if typtype == "c" and fields:
            for field in fields:
                sub, _, part = field[1:-1].partition(",")
                part = part[1:-1].replace('""', '"') if part.startswith('"') else part
                held[number, int(sub)] = Column((number, int(sub)), f"({quoted}).{part}", "", 0)
        else:
            held[number,] = Column((number,), quoted, kind, type_oid if typtype == "e" else 0)
    return {
        oid: Table(
            kind="m-" if kind == "m" and not populated else kind,
            name=psycopg.sql.Identifier(schema, name).as_string(None),
            family=family,
            key=tuple((number,) for number in key),
            columns=columns.get(oid, {}),
            numbers=frozenset(number for number, *_ in columns.get(oid, {})),
        )
        for oid, kind, schema, name, populated, family, key in connection.execute(RELATIONS).fetchall()
    }


def _select(oid, table):
    """Return the query of one relation's own rows, each value as a text."""
    chosen = ", ".join(f"{column.expression}::text" for column in table.columns.values())
    return f"(SELECT {oid}, ARRAY[{chosen}] FROM {_only(table)})"


def _only(table):
    return f"ONLY {table.name}" if table.kind == "r" else table.name


def _row(table, values, labels):
    """Return the values by column; a label by its OID, for it may be renamed."""
    return {
        column.number: str(labels.get((column.enum, value), value)) if column.enum and value is not None else value
        for column, value in zip(table.columns.values(), values, strict=True)
    }


def lost(connection, before):
    """Compare what is stored now with what was."""
    now = take(connection)
    values, objects = [], []
    for oid, table in before.tables.items():
        if oid not in now.tables:
            objects.append(table.name)
        else:
            gone = sorted(table.numbers - now.tables[oid].numbers)
            objects += [f"{table.name} column {number}" for number in gone]
    for family in {table.family for table in before.tables.values() if table.kind in "rm"}:
        values += _values_lost(connection, family, before, now)
    for oid, was in before.sequences.items():
        if oid not in now.sequences and was.is_called:
            values.append(f"sequence {was.name}: {was.following} is gone")
        elif oid in now.sequences and (now.sequences[oid].following - was.following) * was.increment < 0:
            values.append(f"sequence {was.name}: {was.following} is {now.sequences[oid].following}")
    for oid, data in before.large_objects.items():
        if not now.large_objects.get(oid, b"").startswith(data):
            values.append(f"large object {oid}")
    return Truth(tuple(values), tuple(objects))


def _values_lost(connection, family, before, now):
    """Compare the rows of one table, or of one partitioned table with all its partitions: a row may move between these."""
    members = [oid for oid, table in before.tables.items() if table.family == family and oid in before.rows]
    members_now = {oid for oid, table in now.tables.items() if table.family == family or oid in members} & now.rows.keys()
    old_rows = [row for oid in members for row in before.rows[oid]]
    first = before.tables[members[0]] if members else None
    if not old_rows or first is None:
        return
    new_rows = [row for oid in members_now for row in _readable(connection, first, before, now, oid)]
    for row in _unmatched(old_rows, new_rows, first):
        yield f"{first.name} row {row}"


def _readable(connection, first, before, now, oid):
    """Return the rows of a relation now, each value with what it reads like: as it is, and cast back to its old type."""
    table = now.tables[oid]
    backs = {}
    for number, column in first.columns.items():
        new = table.columns.get(number)
        if new is None:
            continue
        if column.enum and new.enum != column.enum:  # a label is a text in another type
            names = {value: str(before.labels[kind, value]) for kind, value in before.labels if kind == column.enum}
            backs[number] = [names.get(value) for value in _column(connection, table, f"{new.expression}::text")]
        elif column.type and new.type != column.type:
            backs[number] = _cast_back(connection, table, new, column)
    for position, row in enumerate(now.rows[oid]):
        yield {number: {value, backs[number][position]} if number in backs else {value} for number, value in row.items()}


def _cast_back(connection, table, new, old):
    try:
        with connection.transaction():
            return _column(connection, table, f"({new.expression}::{old.type})::text")
    except psycopg.Error:  # it cannot be cast back: it must read the same
        return _column(connection, table, f"{new.expression}::text")


def _column(connection, table, expression):
    return [value for (value,) in connection.execute(f"SELECT {expression} FROM {_only(table)}").fetchall()]


def _unmatched(old_rows, new_rows, table):
    """Yield the old rows, as far as they held something, that no new row holds all values of: by key, or any row."""
    by_key = {}
    if table.key:
        for row in new_rows:
            for value in row.get(table.key[0], ()):
                by_key.setdefault(value, []).append(row)
    free = Counter({id(row): 1 for row in new_rows})
    # the fullest rows choose first, so that a row with NULLs leaves them what only they fit
    for old in sorted(old_rows, key=lambda row: -sum(value is not None for value in row.values())):
        candidates = by_key.get(old[table.key[0]], ()) if table.key else new_rows
        fits = [new for new in candidates if free[id(new)] and all(v is None or v in new.get(n, ()) for n, v in old.items())]
        if fits:
            best = min(fits, key=lambda new: sum(old[n] is None and v != {None} for n, v in new.items() if n in old))
            free[id(best)] -= 1
        elif any(value is not None for value in old.values()):
            yield old


def restore_sequences(connection, before):
    """Set the sequences to where they were: what was rolled back did not move them."""
    for one in before.sequences.values():
        connection.execute("SELECT setval(%s, %s, %s)", [one.name, one.last, one.is_called])
