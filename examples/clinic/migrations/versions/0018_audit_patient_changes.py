"""Record who changed which columns of a patient.

Revision ID: 0018
Revises: 0017
Create Date: 2024-06-03 09:39:08
"""

# SAFETY: NON_DESTRUCTIVE

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "patient_changes",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("patient_id", sa.Integer, nullable=False, comment="No foreign key: the record outlives the patient"),
        sa.Column("action", sa.String(6), nullable=False),
        sa.Column("column_names", postgresql.ARRAY(sa.Text), nullable=False),
        sa.Column("changed_by", sa.Text, server_default=sa.text("current_user"), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("action IN ('UPDATE', 'DELETE')", name="ck_patient_changes_action"),
        comment="Names of changed columns, never their values",
    )
    op.execute("""
        CREATE FUNCTION record_patient_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO public.patient_changes (patient_id, action, column_names)
            SELECT OLD.id, TG_OP, coalesce(array_agg(before.key ORDER BY before.key), '{}')
            FROM jsonb_each(to_jsonb(OLD)) AS before
            WHERE TG_OP = 'UPDATE' AND before.value IS DISTINCT FROM to_jsonb(NEW) -> before.key;
            RETURN NULL;
        END
        $$
    """)
    op.execute("""
        CREATE TRIGGER record_patient_change AFTER UPDATE OR DELETE ON patients
        FOR EACH ROW EXECUTE FUNCTION record_patient_change()
    """)


def downgrade() -> None:
    op.execute("DROP TRIGGER record_patient_change ON patients")
    op.execute("DROP FUNCTION record_patient_change()")
    op.drop_table("patient_changes")
