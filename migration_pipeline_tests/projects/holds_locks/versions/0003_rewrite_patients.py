"""Rewrite patients, and work on."""

# SAFETY: NON_DESTRUCTIVE

import contextlib

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    connection = op.get_bind()
    with contextlib.suppress(sa.exc.DBAPIError), connection.begin_nested():
        op.execute("DROP VIEW unsent")
        op.execute("SELECT 1 / 0")
    op.execute("ALTER TABLE patients ALTER COLUMN id TYPE bigint")
    op.execute("SELECT pg_sleep(0.5)")
    for name in ("ann", "bob", "eve"):
        connection.execute(sa.text("INSERT INTO patients (name) VALUES (:name)"), {"name": name})


def downgrade():
    op.execute("ALTER TABLE patients ALTER COLUMN id TYPE int")
