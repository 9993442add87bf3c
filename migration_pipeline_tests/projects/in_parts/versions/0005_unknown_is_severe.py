"""An allergy that nobody has graded is severe."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade():
    op.execute("UPDATE patients SET severity = 'severe' WHERE severity IS NULL AND allergy IS NOT NULL")


def downgrade():
    pass
