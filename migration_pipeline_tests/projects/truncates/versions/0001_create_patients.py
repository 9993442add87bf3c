"""Create patients and alerts."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    op.execute("CREATE TABLE patients (id serial PRIMARY KEY, name text NOT NULL, allergy text)")
    op.execute("CREATE TABLE alerts (id serial PRIMARY KEY, message text NOT NULL)")


def downgrade():
    op.execute("DROP TABLE alerts")
    op.execute("DROP TABLE patients")
