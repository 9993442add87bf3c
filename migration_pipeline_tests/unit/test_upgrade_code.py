"""What an upgrade() may do whichever way it goes, from its code; what is not understood is never harmless."""

import textwrap

import pytest

from migration_pipeline.domain import unreached, upgrade_reader
from migration_pipeline.domain.upgrade_code import Helper

HEAD = """\
import datetime
import logging

import sqlalchemy as sa
from alembic import op
from sqlalchemy import inspect
from sqlalchemy.dialects import postgresql

from app import asked, exists

logger = logging.getLogger(__name__)
TABLES = ("a", "b")
DROPS = "DROP TABLE a"
KIND = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
ALIAS = op
MADE = datetime.date.today()


def has(table, column):
    return column in [one["name"] for one in sa.inspect(op.get_bind()).get_columns(table)]


def add(batch, name, kind=None):
    batch.add_column(sa.Column(name, kind or sa.Text(), nullable=True))


def drop(table):
    op.drop_table(table)


def bind():
    return op.get_bind()


def upgrade():
"""
HELPERS = {
    "asked": Helper(b"import sqlalchemy as sa\ndef table(name, conn):\n    return sa.inspect(conn).has_table(name)\n"),
    "exists": Helper(
        b"from alembic import op\nfrom sqlalchemy import inspect\nNOW = None\ndef later():\n    global NOW\n    NOW = 1\n"
        b"def exists(name):\n    return name in names()\ndef names():\n    return inspect(op.get_bind()).get_table_names()\n",
        "exists",
    ),
}


def source(body, head=HEAD):
    return (head + textwrap.indent(textwrap.dedent(body), "    ")).encode()


def calls(body, head=HEAD):
    return upgrade_reader.calls_of(source(body, head), HELPERS)


HARMLESS = {
    "if not sa.inspect(op.get_bind()).has_table('a'): op.create_table('a', sa.Column('id', sa.Integer()))": ("create_table",),
    "i = inspect(bind())\nif 'a' in i.get_table_names():\n  with op.batch_alter_table('a') as b:\n    add(b, 'c')":
        ("add_column",),
    "if not has('a', 'b'):\n  op.add_column('a', sa.Column('b', postgresql.JSONB, server_default=sa.text(\"'{}'::jsonb\")))": ("add_column",),
    "c = op.get_bind()\nif asked.table('a', c): op.create_index(op.f('ix'), 'a', ['b'], postgresql_where=sa.text('b IS NULL'))":
        ("create_index",),
    "for t in TABLES:\n  if exists(t): op.alter_column(t, 'c', nullable=True, existing_type=sa.String(10))": ("alter_column",),
    "try:\n  op.drop_index('ix', table_name='a')\nexcept Exception as e:\n  logger.info('none: %s', e)\n  raise": ("drop_index",),
    "if exists('a'):\n  raise RuntimeError(f'a is there (already)')\nop.create_foreign_key('f', 'a', 'b', ['c'], ['id'])":
        ("create_foreign_key",),
    "op.create_table('a', sa.Column('id', sa.Integer, sa.CheckConstraint('length(id) > 0')), sa.Column('t', server_default=sa.func.now()))":
        ("create_table",),
    "sa.Enum('a', name='k').create(bind(), checkfirst=True)": (),
    "sa.inspect(op.get_bind()).has_table('a')": (),
    "if not has('a', 'b'): op.add_column('a', sa.Column('b', KIND))": ("add_column",),
}  # fmt: skip


@pytest.mark.parametrize("body", HARMLESS)
def test_what_only_makes_what_is_missing_is_understood(body):
    assert calls(body) == HARMLESS[body]


DOUBTFUL = (
    "if exists('a'): op.drop_table('a')",
    "if exists('a'): drop('a')",
    "op.drop_column('a', 'b')",
    "op.get_bind().execute(sa.text('DELETE FROM a'))",
    "bind().exec_driver_sql('DELETE FROM a')",
    "op.execute('SELECT 1')",
    "o = op\no.drop_table('a')",
    "ALIAS.drop_table('a')",
    "print(MADE)",
    "getattr(op, 'drop_table')('a')",
    "[op.drop_table][0]('a')",
    "any(op.drop_table(t) for t in TABLES)",
    "sorted(TABLES, key=op.drop_table)",
    "sorted(TABLES, key=lambda t: op.drop_table(t))",
    "list(map(drop, TABLES))",
    "f = drop\nf('a')",
    "d = sa.inspect(op.get_bind())\nd = op\nd.get_columns('a')",
    "op.create_table = op.drop_table",
    "def op_(): op.drop_table('a')\nop_()",
    "import app\napp.run()",
    "asked.gone('a')",
    "asked()",
    "with bind().begin(): op.create_index('i', 'a', ['b'])",
    "with op.batch_alter_table('a', recreate='always') as b: add(b, 'c')",
    "with op.batch_alter_table('a') as b: b.drop_column('c')",
    "with op.batch_alter_table('a') as b: b.alter_column('c', type_=sa.Integer())",
    "op.alter_column('a', 'b', new_column_name='c')",
    "op.alter_column('a', 'b', existing_server_default=sa.Identity(), server_default=None)",
    "i = sa.Identity()\nop.alter_column('a', 'b', existing_server_default=i, server_default=None)",
    "op.alter_column('a', 'b', **{'type_': sa.Integer()})",
    "op.add_column('a', sa.Column('b', sa.Text, server_default=sa.text('wipe()')))",
    "op.add_column('a', sa.Column('b', sa.Text, server_default=sa.text(DROPS)))",
    "op.add_column('a', sa.Column('b', sa.Text, server_default=sa.text(f'{DROPS}')))",
    "op.add_column('a', sa.Column('b', sa.Text, server_default=sa.text('0, DROP COLUMN c')))",
    "op.add_column('a', sa.Column('b', sa.Text, server_default=sa.func.wipe()))",
    "op.add_column('a', sa.Column('b', sa.Text, sa.Computed('wipe()')))",
    "w = 'wip' + 'e()'\nop.create_check_constraint('c', 'a', w)",
    "op.create_check_constraint('c', 'a', condition='wipe(b)')",
    "op.create_check_constraint('c', 'a', 'mine.lower(b)')",
    "op.create_check_constraint('c', 'a', 'wipe/**/(b)')",
    "op.create_index('i', 'a', ['b'], postgresql_where=sa.text('wipe(b)'))",
    "op.create_table('a', *[sa.Column('id', sa.Integer)])",
    "sa.MetaData().drop_all(bind())",
    "sa.Table('a', sa.MetaData()).drop(bind())",
    "sa.create_engine('postgresql://h/d')",
    "sa.orm.Session(bind()).add(1)",
    "sa.event.listen(1, 'before_create', drop)",
    "exec(DROPS)",
    "TABLES = op\nTABLES.drop_table('a')",
    "raise op.drop_table('a')",
    "raise RuntimeError() from op.drop_table('a')",
    "try: pass\nexcept op.drop_table('a'): pass",
    "try: pass\nfinally: drop('a')",
    "while exists('a'): pass\nelse: drop('a')",
    "x = exists('a') and drop('a')",
    "print(f'{drop(1)}')",
    "datetime.date.today()",
    "yield",
    "drop.x['a']()",
    "match 1:\n  case 1: op.drop_table('a')",
    "class A:\n  op.drop_table('a')",
    "op.add_column('a', sa.Column('b', sa.Text, server_default=sa.text(**{'text': 'wipe' + '()'})))",
    "op.add_column('a', sa.Column('b', sa.Text, server_default=sa.func.app.text('x')))",
    "op.add_column('a', sa.Column('b', sa.Text, server_default=sa.text('app . now()')))",
    "op.create_table('a', sa.Column('b', sa.Text), prefixes=TABLES)",
    "op.create_index('i', 'a', ['b'], postgresql_with={'fillfactor': TABLES})",
    "try: pass\nexcept (op.drop_table('a'), ValueError): pass",
)


@pytest.mark.parametrize("body", DOUBTFUL)
def test_whatever_else_may_do_anything(body):
    assert calls(f"sa.inspect(op.get_bind()).has_table('a')\n{body}") is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from alembic import op\n", "from app import op\n"),
        ("from alembic import op\n", "from alembic import op\nfrom app import *\n"),
        ("from alembic import op\n", "from alembic import op\nsetattr(op, 'create_table', op.drop_table)\n"),
        ("from alembic import op\n", "from alembic import op\nop.create_table = op.drop_table\n"),
        ("from alembic import op\n", "from alembic import op\nif TABLES: import app as op\n"),
        ("from alembic import op\n", "from alembic import op\n(op.create_table, _) = (op.drop_table, 1)\n"),
        ("from alembic import op\n", "from alembic import op\nop.__dict__.update(create_table=op.drop_table)\n"),
        ("from alembic import op\n", "from alembic import op\n_ = sa.event.listen(sa.Table, 'after_create', print)\n"),
        ("def upgrade():", "@sa.event.listens_for(sa.Table, 'after_create')\ndef purge(*_): pass\n\ndef upgrade():"),
        ("def upgrade():", "if TABLES:\n    asked()\n\ndef upgrade():"),
        ("def upgrade():", "def upgrade(op=print):"),
        ("def upgrade():", "def upgrade(print=op.drop_table):"),
        ("def upgrade():", "@asked\ndef upgrade():"),
        ("def upgrade():", "async def upgrade():"),
        ("def upgrade():", "def upgrade():\n    pass\n\n\ndef upgrade():"),
        ("def upgrade():", "upgrade = drop\ndef upgrade():"),
    ],
)
def test_a_file_whose_names_may_mean_something_else_is_not_understood(before, after):
    body = "if not exists('a'): op.create_table('a', sa.Column('id', sa.Integer()))"
    assert calls(body) == ("create_table",)
    assert HEAD.count(before) == 1
    assert calls(body, HEAD.replace(before, after)) is None


def test_what_is_no_python_that_we_read_is_not_understood():
    assert upgrade_reader.calls_of(b"def upgrade(:", {}) is None
    assert upgrade_reader.calls_of(b"", {}) is None


# --- what did not run


def doubt(body, *ran):
    """Return the doubt where these lines of the body ran."""
    return unreached.doubt(source(body), [HEAD.count("\n") + line for line in ran], HELPERS)


@pytest.mark.parametrize(
    ("body", "ran", "call"),
    [
        ("if datetime.now() == 1:\n  return\nop.execute('DROP TABLE a')", (1, 2), "op.execute"),
        ("if datetime.now() == 1:\n  return\nop.execute('DROP TABLE a')", (1, 3), None),
        ("if TABLES:\n  pass\nelse:\n  bind().execute(\n    sa.text('DELETE FROM a'))", (1, 2), "bind().execute"),
        ("if TABLES:\n  pass\nelse:\n  drop('a')", (1, 2), "drop"),
        ("TABLES or op.drop_table('a')", (1,), "op.drop_table"),
        ("op.drop_table('a') if 0 else None", (1,), "op.drop_table"),
        ("for t in []:\n  op.drop_table(t)", (1,), "op.drop_table"),
        ("try:\n  op.f('a')\nexcept Exception:\n  op.execute('x')", (1, 2), "op.execute"),
        ("if TABLES:\n  return\nlogger.info('x')\nprint(1)\nop.add_column('a', sa.Column('b', sa.Text))", (1, 2), None),
        ("if op.get_bind().dialect.name == 'sqlite':\n  op.drop_table('a')", (1,), None),
        ("d = op.get_context().dialect.name\nif d != 'postgresql':\n  op.drop_table('a')\nelse:\n  pass", (1, 2, 5), None),
        ("d = op.get_bind().dialect.name\nif d == 'oracle':\n  drop('a')\nd = op.get_bind().dialect.name", (1, 2, 4), None),
        ("d = op.get_bind().dialect.name\nif d == 'oracle':\n  drop('a')\nd = 'oracle'", (1, 2, 4), "drop"),
        ("if op.get_bind().engine.name != 'mysql':\n  return\ndrop('a')", (1, 2), None),
        ("if op.get_bind().dialect.name in ('mysql', 'sqlite') and TABLES:\n  drop('a')", (1,), None),
        ("if not (op.get_bind().dialect.name == 'postgresql' and TABLES):\n  drop('a')", (1,), "drop"),
        ("if context.is_offline_mode():\n  drop('a')", (1,), None),
        ("op.drop_table('a')", (), "op.drop_table"),
        ("match TABLES:\n  case 1:\n    op.execute('DELETE FROM a')", (1, 2), "op.execute"),
        ("if op.get_bind().dialect.name not in (PG, 'cockroachdb'):\n  return\nif TABLES:\n  drop('a')", (1, 3), "drop"),
        ("def run():\n  if TABLES:\n    op.execute('x')\nclass A:\n  def run(self):\n    pass\nrun()", (1, 2, 4, 5, 7), "op.execute"),
        ("name = os.environ.get('NAME') or 'public'", (1,), None),
        ("names = [re.sub('x', 'y', one) for one in TABLES]", (1,), None),
    ],
)  # fmt: skip
def test_a_call_that_did_not_run_and_may_lose_data_is_a_doubt(body, ran, call):
    assert doubt(body, *ran) == call
