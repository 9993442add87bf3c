"""Create encounters and their kinds.

Revision ID: 0003
Revises: 0002
Create Date: 2021-02-16 10:02:17
"""

# SAFETY: NON_DESTRUCTIVE

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


encounter_kind = postgresql.ENUM("inpatient", "outpatient", "emergency", name="encounter_kind")


def upgrade() -> None:
    op.create_table(
        "encounters",
        sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
        sa.Column("patient_id", sa.Integer, sa.ForeignKey("patients.id"), nullable=False),
        sa.Column("practitioner_id", sa.Integer, sa.ForeignKey("practitioners.id")),
        sa.Column("kind", encounter_kind, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("ended_at IS NULL OR ended_at >= started_at", name="ck_encounters_period"),
    )
    op.create_index("ix_encounters_patient", "encounters", ["patient_id", "started_at"])


def downgrade() -> None:
    op.drop_table("encounters")
    encounter_kind.drop(op.get_bind())  # a type does not go with the last table that uses it
