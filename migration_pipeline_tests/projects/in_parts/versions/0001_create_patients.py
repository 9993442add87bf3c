"""Create patients."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    op.execute("CREATE TYPE severity AS ENUM ('mild')")
    op.execute("CREATE TABLE patients (id serial PRIMARY KEY, name text NOT NULL, allergy text, severity severity)")


def downgrade():
    op.execute("DROP TABLE patients")
    op.execute("DROP TYPE severity")
