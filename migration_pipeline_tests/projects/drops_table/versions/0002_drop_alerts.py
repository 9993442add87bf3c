"""Drop alerts."""

# SAFETY: DESTRUCTIVE

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.execute("DROP TABLE alerts")


def downgrade():
    op.execute("CREATE TABLE alerts (id serial PRIMARY KEY, message text NOT NULL)")
