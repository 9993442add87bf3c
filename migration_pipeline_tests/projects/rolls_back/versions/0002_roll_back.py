"""Add the ward, roll that back, then add the bed."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.execute("ALTER TABLE patients ADD COLUMN ward text")
    op.get_bind().rollback()
    op.execute("ALTER TABLE patients ADD COLUMN bed text")


def downgrade():
    op.execute("ALTER TABLE patients DROP COLUMN bed")
