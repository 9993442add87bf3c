"""Index observations by encounter.

Revision ID: 0008
Revises: 0007
Create Date: 2022-01-17 16:41:26
"""

# SAFETY: NON_DESTRUCTIVE

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_observations_encounter", "observations", ["encounter_id", sa.text("recorded_at DESC")])


def downgrade() -> None:
    op.drop_index("ix_observations_encounter", table_name="observations")
