"""Create observations.

Revision ID: 0007
Revises: 0006
Create Date: 2021-11-29 13:08:44
"""

# SAFETY: NON_DESTRUCTIVE

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "observations",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("encounter_id", sa.Integer, sa.ForeignKey("encounters.id", ondelete="CASCADE"), nullable=False),
        sa.Column("kind", sa.String(30), nullable=False),
        sa.Column("value", sa.Numeric(10, 2), nullable=False),
        sa.Column("unit", sa.String(12), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("observations")
