"""Drop the allergy note and the alerts that 0017 retired.

Revision ID: 0020
Revises: 0019
Create Date: 2025-04-14 13:57:01

The downgrade brings the table and the column back empty: only a backup has what they held.
"""

# SAFETY: DESTRUCTIVE

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("patients", "allergy_note")
    op.drop_table("legacy_alerts")


def downgrade() -> None:
    op.create_table(
        "legacy_alerts",
        sa.Column("id", sa.Integer, sa.Identity(), nullable=False),
        sa.Column("patient_id", sa.Integer, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_legacy_alerts"),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name="fk_legacy_alerts_patient", ondelete="CASCADE"),
        comment="No longer shown; to be dropped",
    )
    op.add_column("patients", sa.Column("allergy_note", sa.Text, comment="Superseded by the table allergies; to be dropped"))
