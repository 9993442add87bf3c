"""Create practitioners.

Revision ID: 0002
Revises: 0001
Create Date: 2021-02-08 14:31:05
"""

# SAFETY: NON_DESTRUCTIVE

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "practitioners",
        sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
        sa.Column("staff_number", sa.String(10), nullable=False, unique=True),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("speciality", sa.String(40), nullable=False),
        sa.Column("active", sa.Boolean, server_default=sa.true(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("practitioners")
