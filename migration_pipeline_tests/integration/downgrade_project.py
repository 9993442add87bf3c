"""An Alembic project of which nearly every downgrade is wrong, each in its own way."""

import os

from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import execute

HEAD = '''"""{title}

Revision ID: {revision}
"""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {down}


def upgrade():
{upgrade}

def downgrade():
{downgrade}'''

CREATE = """
op.execute("CREATE TABLE notes (id int PRIMARY KEY, body text NOT NULL, author text, state int NOT NULL DEFAULT 3)")
op.execute("ALTER TABLE notes ADD CONSTRAINT ck_notes_body CHECK (length(body) < 1000)")
op.create_index("ix_notes", "notes", ["author", "state"])
op.execute("GRANT SELECT ON notes TO PUBLIC")
"""
#: What each revision does, and how it would be undone; all on one line of revisions.
FAULTS = {
    "Create notes.": (CREATE, 'op.drop_table("notes")'),
    "Raises.": ('op.add_column("notes", sa.Column("a", sa.Integer))', 'op.drop_column("notes", "b")'),
    "Leaves a type.": (
        """op.execute("CREATE TYPE mood AS ENUM ('good', 'bad')")\nop.execute("ALTER TABLE notes ADD COLUMN mood mood")""",
        'op.drop_column("notes", "mood")',
    ),
    "Loses a column.": (
        'op.add_column("notes", sa.Column("c", sa.Integer))',
        'op.drop_column("notes", "c")\nop.drop_column("notes", "body")',
    ),
    "Loses rows.": ('op.add_column("notes", sa.Column("d", sa.Integer))', 'op.execute("DELETE FROM notes")\nop.drop_column("notes", "d")'),
    "Loses a grant.": ('op.execute("REVOKE SELECT ON notes FROM PUBLIC")', "pass"),
    "Changes a default.": (
        'op.alter_column("notes", "state", server_default="5")', 'op.alter_column("notes", "state", server_default="0")',
    ),
    "Turns an index round.": (
        'op.drop_index("ix_notes", "notes")', 'op.create_index("ix_notes", "notes", ["state", "author"])',
    ),
    "Leaves a check not valid.": (
        'op.drop_constraint("ck_notes_body", "notes")',
        'op.execute("ALTER TABLE notes ADD CONSTRAINT ck_notes_body CHECK (length(body) < 1000) NOT VALID")',
    ),
    "Does nothing.": (
        'op.create_table("tags", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))', "pass",
    ),
    "Leaves a label.": ("op.execute(\"ALTER TYPE mood ADD VALUE 'none'\")", "pass"),
    "Refuses.": ('op.create_table("later", sa.Column("id", sa.Integer, primary_key=True))', "raise NotImplementedError"),
    "Refuses and says why.": (
        '# DOWNGRADE: IRREVERSIBLE the table is filled by hand\nop.create_table("hand", sa.Column("id", sa.Integer, primary_key=True))',
        "raise NotImplementedError",
    ),
    "Drops a column as declared.": (
        '# SAFETY: DESTRUCTIVE\nop.drop_column("notes", "author")', 'op.add_column("notes", sa.Column("author", sa.Text))',
    ),
    "Drops a column.": ('op.drop_column("notes", "a")', 'op.add_column("notes", sa.Column("a", sa.Integer))'),
    "Leaves rows.": ('op.execute("INSERT INTO hand SELECT 999")', "pass"),
    "Turns columns round.": (
        '# SAFETY: DESTRUCTIVE\nop.drop_table("tags")',
        'op.create_table("tags", sa.Column("name", sa.Text), sa.Column("id", sa.Integer, primary_key=True))',
    ),
    "Leaves an index that no transaction holds.": (
        'with op.get_context().autocommit_block():\n    op.create_index("ix_state", "notes", ["state"], postgresql_concurrently=True)',
        'with op.get_context().autocommit_block():\n    op.execute("VACUUM notes")',
    ),
    "Fails on rows.": (
        'op.add_column("later", sa.Column("kind", sa.Text, nullable=False))', 'op.drop_column("later", "kind")',
    ),
    "Writes to a table beside it.": (
        'op.create_table("log", sa.Column("id", sa.Integer, primary_key=True))\nop.execute("UPDATE notes SET state = state + 1")',
        'op.drop_table("log")\nop.execute("UPDATE notes SET state = state - 1")',
    ),
}  # fmt: skip


def write(folder, faults):
    """Write a project of one line of revisions below a folder; return it with its `alembic.ini`."""
    project = projects.copy("linear", folder)
    for file in (project / "versions").glob("*.py"):
        file.unlink()
    down = None
    for number, (title, (upgrade, downgrade)) in enumerate(faults.items(), 1):
        revision = f"{number:04}"
        bodies = {
            name: "".join(f"    {line}\n" for line in code.strip().splitlines())
            for name, code in (("upgrade", upgrade), ("downgrade", downgrade))
        }
        text = HEAD.format(title=title, revision=revision, down=repr(down), **bodies)
        (project / "versions" / f"{revision}_step.py").write_text(text)
        down = revision
    return project


def sent(*statements):
    return "\n".join(f"op.execute({statement!r})" for statement in statements)


def adds(column):
    return sent(f"ALTER TABLE notes ADD {column} int"), sent(f"ALTER TABLE notes DROP {column}")


def environment(server):
    """Return what a project's CI has: a scratch server, and no live database."""
    kept = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "GITHUB_WORKSPACE"}}
    return {**kept, "SCRATCH_DATABASE_URL": server.url(), "PG_BIN": str(server.binaries), "DAGSTER_HOME": "/nowhere"}


def scratch_databases(server):
    return execute(server.url(), "SELECT datname FROM pg_database WHERE datname LIKE 'mp_scratch_downgrades_%'")
