"""Make names unique."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.execute("CREATE UNIQUE INDEX patients_name ON patients (name)")


def downgrade():
    op.execute("DROP INDEX patients_name")
