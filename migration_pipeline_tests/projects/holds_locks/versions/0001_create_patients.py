"""Create patients, and letters to them."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    op.execute("CREATE TABLE patients (id serial PRIMARY KEY, name text NOT NULL, allergy text)")
    op.execute("CREATE TABLE letters (id serial PRIMARY KEY, patient int, sent date)")
    op.execute("CREATE VIEW unsent AS SELECT id FROM letters WHERE sent IS NULL")


def downgrade():
    op.execute("DROP VIEW unsent")
    op.execute("DROP TABLE letters, patients")
