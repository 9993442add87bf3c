"""Fail wherever the database is no scratch database."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op
from sqlalchemy import text

revision = "0002"
down_revision = "0001"

SCRATCH_PREFIX = "mp_scratch"


def upgrade():
    op.execute("ALTER TABLE patients ADD COLUMN ward text")
    name = op.get_bind().execute(text("SELECT current_database()")).scalar()
    if not name.startswith(SCRATCH_PREFIX):
        raise RuntimeError("deliberate: this is no scratch database")


def downgrade():
    op.execute("ALTER TABLE patients DROP COLUMN ward")
