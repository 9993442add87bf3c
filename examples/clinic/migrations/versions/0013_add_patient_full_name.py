"""Generate the name that lists show.

Revision ID: 0013
Revises: 0012
Create Date: 2023-02-20 09:48:15
"""

# SAFETY: NON_DESTRUCTIVE

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "patients",
        sa.Column("full_name", sa.Text, sa.Computed("family_name || ', ' || given_name", persisted=True), nullable=False),
    )
    op.create_index("ix_patients_full_name", "patients", [sa.text("lower(full_name)")])


def downgrade() -> None:
    op.drop_index("ix_patients_full_name", table_name="patients")
    op.drop_column("patients", "full_name")
