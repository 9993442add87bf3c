"""There are severe allergies."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade():
    op.execute("ALTER TYPE severity ADD VALUE 'severe'")


def downgrade():
    pass
