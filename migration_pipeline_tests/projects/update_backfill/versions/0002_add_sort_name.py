"""Add a name to sort by."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.execute("ALTER TABLE patients ADD COLUMN sort_name text")
    op.execute("UPDATE patients SET sort_name = lower(name)")
    op.execute("ALTER TABLE patients ALTER COLUMN sort_name SET NOT NULL")


def downgrade():
    op.execute("ALTER TABLE patients DROP COLUMN sort_name")
