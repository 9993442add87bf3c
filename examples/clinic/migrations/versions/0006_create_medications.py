"""Create medications and prescriptions.

Revision ID: 0006
Revises: 0005
Create Date: 2021-09-13 08:55:09
"""

# SAFETY: NON_DESTRUCTIVE

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "medications",
        sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
        sa.Column("code", sa.String(10), nullable=False, unique=True),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("form", sa.String(20), nullable=False),
    )
    op.create_table(
        "prescriptions",
        sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
        sa.Column("patient_id", sa.Integer, sa.ForeignKey("patients.id"), nullable=False),
        sa.Column("medication_id", sa.Integer, sa.ForeignKey("medications.id"), nullable=False),
        sa.Column("practitioner_id", sa.Integer, sa.ForeignKey("practitioners.id"), nullable=False),
        sa.Column("dose_mg", sa.Numeric(8, 2), nullable=False),
        sa.Column("status", sa.String(20), server_default="draft", nullable=False),
        sa.Column("prescribed_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("status IN ('draft', 'active', 'on-hold', 'stopped', 'completed')", name="ck_prescriptions_status"),
        sa.CheckConstraint("dose_mg > 0", name="ck_prescriptions_dose"),
    )


def downgrade() -> None:
    op.drop_table("prescriptions")
    op.drop_table("medications")
