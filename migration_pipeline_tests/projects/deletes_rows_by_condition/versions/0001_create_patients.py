"""Create patients and letters."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    op.execute("CREATE TABLE patients (id serial PRIMARY KEY, name text NOT NULL, allergy text)")
    op.execute("CREATE TABLE letters (id serial PRIMARY KEY, sent_on date NOT NULL)")


def downgrade():
    op.execute("DROP TABLE letters")
    op.execute("DROP TABLE patients")
