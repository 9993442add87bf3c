"""Drop the allergy."""

# SAFETY: DESTRUCTVE

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.execute("ALTER TABLE patients DROP COLUMN allergy")


def downgrade():
    op.execute("ALTER TABLE patients ADD COLUMN allergy text")
