"""Give each prescription a day on which it starts.

Revision ID: 0014
Revises: 0013
Create Date: 2023-05-08 13:33:50

Until now the day of prescribing was the first day, so that is what existing rows get.
"""

# SAFETY: NON_DESTRUCTIVE

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("prescriptions", sa.Column("started_on", sa.Date))
    op.execute("UPDATE prescriptions SET started_on = (prescribed_at AT TIME ZONE 'UTC')::date")
    op.alter_column("prescriptions", "started_on", existing_type=sa.Date, nullable=False)


def downgrade() -> None:
    op.drop_column("prescriptions", "started_on")
