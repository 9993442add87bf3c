"""Index letters, and work on."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.execute("CREATE INDEX letters_sent ON letters (sent)")
    op.execute("SELECT pg_sleep(0.3)")
    op.execute("CREATE TABLE wards (id int PRIMARY KEY)")
    op.execute("ALTER TABLE wards ADD COLUMN name text")


def downgrade():
    op.execute("DROP TABLE wards")
    op.execute("DROP INDEX letters_sent")
