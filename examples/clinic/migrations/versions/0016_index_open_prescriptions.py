"""Index the prescriptions that are open.

Revision ID: 0016
Revises: 0015
Create Date: 2023-10-09 10:51:29
"""

# SAFETY: NON_DESTRUCTIVE

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_prescriptions_open",
        "prescriptions",
        ["patient_id", "started_on"],
        postgresql_where=sa.text("status IN ('active', 'on-hold')"),
    )


def downgrade() -> None:
    op.drop_index("ix_prescriptions_open", table_name="prescriptions")
