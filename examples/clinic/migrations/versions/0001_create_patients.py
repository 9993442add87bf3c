"""Create patients.

Revision ID: 0001
Revises:
Create Date: 2021-02-08 09:12:40
"""

# SAFETY: NON_DESTRUCTIVE

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "patients",
        sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
        sa.Column("hospital_number", sa.String(12), nullable=False),
        sa.Column("family_name", sa.String(60), nullable=False),
        sa.Column("given_name", sa.String(60), nullable=False),
        sa.Column("date_of_birth", sa.Date, nullable=False),
        sa.Column("allergy_note", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("phone", sa.String(20)),
        sa.Column("email", sa.String(120)),
        sa.UniqueConstraint("hospital_number", name="uq_patients_hospital_number"),
        sa.CheckConstraint("date_of_birth >= DATE '1880-01-01'", name="ck_patients_date_of_birth"),
    )


def downgrade() -> None:
    op.drop_table("patients")
