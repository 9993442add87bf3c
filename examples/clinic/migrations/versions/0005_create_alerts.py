"""Create alerts: free text that is shown when a record is opened.

Revision ID: 0005
Revises: 0004
Create Date: 2021-06-21 15:20:33
"""

# SAFETY: NON_DESTRUCTIVE

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.Integer, sa.Identity(), nullable=False),
        sa.Column("patient_id", sa.Integer, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name="fk_alerts_patient", ondelete="CASCADE"),
    )


def downgrade() -> None:
    op.drop_table("alerts")
