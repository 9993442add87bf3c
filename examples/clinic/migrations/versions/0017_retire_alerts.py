"""Retire alerts and the allergy note: allergies have their own table since 0009.

Revision ID: 0017
Revises: 0016
Create Date: 2024-01-22 14:16:46
"""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.rename_table("alerts", "legacy_alerts")
    # The names of what belongs to a table stay as they were when it is renamed.
    op.execute("ALTER SEQUENCE alerts_id_seq RENAME TO legacy_alerts_id_seq")
    op.execute("ALTER TABLE legacy_alerts RENAME CONSTRAINT pk_alerts TO pk_legacy_alerts")
    op.execute("ALTER TABLE legacy_alerts RENAME CONSTRAINT fk_alerts_patient TO fk_legacy_alerts_patient")
    op.execute("COMMENT ON TABLE legacy_alerts IS 'No longer shown; to be dropped'")
    op.execute("COMMENT ON COLUMN patients.allergy_note IS 'Superseded by the table allergies; to be dropped'")


def downgrade() -> None:
    op.execute("COMMENT ON COLUMN patients.allergy_note IS NULL")
    op.execute("COMMENT ON TABLE legacy_alerts IS NULL")
    op.execute("ALTER TABLE legacy_alerts RENAME CONSTRAINT fk_legacy_alerts_patient TO fk_alerts_patient")
    op.execute("ALTER TABLE legacy_alerts RENAME CONSTRAINT pk_legacy_alerts TO pk_alerts")
    op.execute("ALTER SEQUENCE legacy_alerts_id_seq RENAME TO alerts_id_seq")
    op.rename_table("legacy_alerts", "alerts")
