"""Empty alerts."""

# SAFETY: DESTRUCTIVE

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.execute("TRUNCATE alerts")


def downgrade():
    pass  # the rows are gone
