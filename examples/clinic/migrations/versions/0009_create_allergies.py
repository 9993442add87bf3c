"""Create allergies: a row for each substance, in place of a note.

Revision ID: 0009
Revises: 0008
Create Date: 2022-03-07 09:30:58
"""

# SAFETY: NON_DESTRUCTIVE

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


allergy_severity = postgresql.ENUM("mild", "moderate", "severe", name="allergy_severity")


def upgrade() -> None:
    op.create_table(
        "allergies",
        sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
        sa.Column("patient_id", sa.Integer, sa.ForeignKey("patients.id"), nullable=False),
        sa.Column("substance", sa.String(80), nullable=False),
        sa.Column("severity", allergy_severity, nullable=False),
        sa.Column("status", sa.String(20), server_default="active", nullable=False, comment="active, resolved or refuted"),
        sa.Column("noted_on", sa.Date, nullable=False),
        sa.UniqueConstraint("patient_id", "substance", name="uq_allergies_patient_substance"),
        sa.CheckConstraint("status IN ('active', 'resolved', 'refuted')", name="ck_allergies_status"),
        comment="What a patient must not be given",
    )


def downgrade() -> None:
    op.drop_table("allergies")
    allergy_severity.drop(op.get_bind())  # a type does not go with the last table that uses it
