"""Create patients and the switch of this scenario."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    op.execute("CREATE TABLE patients (id serial PRIMARY KEY, name text NOT NULL, allergy text)")
    op.execute("CREATE TABLE canary_mode (mode text NOT NULL)")


def downgrade():
    op.execute("DROP TABLE canary_mode")
    op.execute("DROP TABLE patients")
