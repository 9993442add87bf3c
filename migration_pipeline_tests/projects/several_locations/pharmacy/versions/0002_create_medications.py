"""Create medications."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.execute("CREATE TABLE medications (id serial PRIMARY KEY, name text NOT NULL)")


def downgrade():
    op.execute("DROP TABLE medications")
