"""Add the bed."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0002b"
down_revision = "0001"


def upgrade():
    op.execute("ALTER TABLE patients ADD COLUMN bed text")


def downgrade():
    op.execute("ALTER TABLE patients DROP COLUMN bed")
