"""Add the ward, and leave that in a prepared transaction."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.execute("ALTER TABLE patients ADD COLUMN ward text")
    op.execute("PREPARE TRANSACTION 'clinic_half_way'")


def downgrade():
    op.execute("ALTER TABLE patients DROP COLUMN ward")
