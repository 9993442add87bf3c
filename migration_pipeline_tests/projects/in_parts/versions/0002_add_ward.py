"""Add the ward."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.execute("ALTER TABLE patients ADD COLUMN ward text")


def downgrade():
    op.execute("ALTER TABLE patients DROP COLUMN ward")
