"""List what each patient takes now.

Revision ID: 0015
Revises: 0014
Create Date: 2023-08-28 15:07:12
"""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE VIEW current_prescriptions AS
        SELECT prescriptions.id, patients.hospital_number, patients.full_name,
               medications.name AS medication, prescriptions.dose_mg, prescriptions.started_on
        FROM prescriptions
        JOIN patients ON patients.id = prescriptions.patient_id
        JOIN medications ON medications.id = prescriptions.medication_id
        WHERE prescriptions.status IN ('active', 'on-hold')
    """)


def downgrade() -> None:
    op.execute("DROP VIEW current_prescriptions")
