"""Add a tidy name."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op
from clinic_names.rules import tidy
from sqlalchemy import text

revision = "0002"
down_revision = "0001"


def upgrade():
    op.execute("ALTER TABLE patients ADD COLUMN tidy_name text")
    connection = op.get_bind()
    for number, name in connection.execute(text("SELECT id, name FROM patients")).all():
        connection.execute(text("UPDATE patients SET tidy_name = :tidy WHERE id = :id"), {"tidy": tidy(name), "id": number})


def downgrade():
    op.execute("ALTER TABLE patients DROP COLUMN tidy_name")
