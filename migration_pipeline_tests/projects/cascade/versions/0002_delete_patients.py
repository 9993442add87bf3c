"""Delete patients without an allergy."""

# SAFETY: DESTRUCTIVE

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.execute("DELETE FROM patients WHERE allergy IS NULL")


def downgrade():
    pass  # the rows are gone
