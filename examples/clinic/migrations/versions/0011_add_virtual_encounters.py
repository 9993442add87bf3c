"""Allow encounters by video.

Revision ID: 0011
Revises: 0010
Create Date: 2022-09-05 14:59:37

The downgrade records them as outpatient encounters, which is how they were entered before.
"""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TYPE encounter_kind ADD VALUE 'virtual'")


def downgrade() -> None:
    # PostgreSQL cannot take a label out of a type: https://www.postgresql.org/docs/current/sql-altertype.html
    op.execute("ALTER TYPE encounter_kind RENAME TO encounter_kind_with_virtual")
    op.execute("CREATE TYPE encounter_kind AS ENUM ('inpatient', 'outpatient', 'emergency')")
    op.execute(
        "ALTER TABLE encounters ALTER COLUMN kind TYPE encounter_kind "
        "USING (CASE kind::text WHEN 'virtual' THEN 'outpatient' ELSE kind::text END)::encounter_kind"
    )
    op.execute("DROP TYPE encounter_kind_with_virtual")
