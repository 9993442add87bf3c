"""Index names."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    op.execute("CREATE INDEX patients_name ON patients (name)")


def downgrade():
    op.execute("DROP INDEX patients_name")
