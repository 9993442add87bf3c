"""Move telephone numbers and addresses from patients to a table of their own.

Revision ID: 0004
Revises: 0003
Create Date: 2021-05-03 11:47:52
"""

# Every value is copied first, but no measurement can see that: two columns with data go.
# SAFETY: DESTRUCTIVE

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "patient_contacts",
        sa.Column("patient_id", sa.Integer, sa.ForeignKey("patients.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("phone", sa.String(20)),
        sa.Column("email", sa.String(120)),
    )
    op.execute(
        "INSERT INTO patient_contacts (patient_id, phone, email) "
        "SELECT id, phone, email FROM patients WHERE phone IS NOT NULL OR email IS NOT NULL"
    )
    op.drop_column("patients", "phone")
    op.drop_column("patients", "email")


def downgrade() -> None:
    op.add_column("patients", sa.Column("phone", sa.String(20)))
    op.add_column("patients", sa.Column("email", sa.String(120)))
    op.execute(
        "UPDATE patients SET phone = patient_contacts.phone, email = patient_contacts.email "
        "FROM patient_contacts WHERE patient_contacts.patient_id = patients.id"
    )
    op.drop_table("patient_contacts")
