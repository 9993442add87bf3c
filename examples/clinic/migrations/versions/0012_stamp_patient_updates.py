"""Stamp each change of a patient with its time.

Revision ID: 0012
Revises: 0011
Create Date: 2022-11-14 11:26:03
"""

# SAFETY: NON_DESTRUCTIVE

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("patients", sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False))
    op.execute("""
        CREATE FUNCTION stamp_update() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.updated_at := now();
            RETURN NEW;
        END
        $$
    """)
    op.execute("""
        CREATE TRIGGER stamp_patient_update BEFORE UPDATE ON patients
        FOR EACH ROW EXECUTE FUNCTION stamp_update()
    """)


def downgrade() -> None:
    op.execute("DROP TRIGGER stamp_patient_update ON patients")
    op.execute("DROP FUNCTION stamp_update()")
    op.drop_column("patients", "updated_at")
