"""Add the ward, with words."""

# SAFETY: NON_DESTRUCTIVE

import sys

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    print("the revision says: adding the ward")
    sys.stdout.flush()
    op.execute("ALTER TABLE patients ADD COLUMN ward text")


def downgrade():
    op.execute("ALTER TABLE patients DROP COLUMN ward")
