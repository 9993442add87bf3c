"""Delete the letters sent before 2020."""

# SAFETY: DESTRUCTIVE

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.execute("DELETE FROM letters WHERE sent_on < DATE '2020-01-01'")


def downgrade():
    pass  # the rows are gone
