"""Add wards, and each patient's."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.execute("CREATE TABLE wards (id integer PRIMARY KEY, name text NOT NULL)")
    op.execute("INSERT INTO wards SELECT n, 'ward ' || n FROM generate_series(1, 7) n")
    op.execute("ALTER TABLE patients ADD COLUMN ward_id integer REFERENCES wards DEFAULT 1")


def downgrade():
    op.execute("ALTER TABLE patients DROP COLUMN ward_id")
    op.execute("DROP TABLE wards")
