"""Note the language that a patient prefers.

Revision ID: 0019
Revises: 0018
Create Date: 2025-03-10 11:22:35
"""

# SAFETY: NON_DESTRUCTIVE

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("patients", sa.Column("preferred_language", sa.String(8), comment="BCP 47, for letters and interpreters"))
    op.create_index("ix_patients_preferred_language", "patients", ["preferred_language"])


def downgrade() -> None:
    op.drop_index("ix_patients_preferred_language", table_name="patients")
    op.drop_column("patients", "preferred_language")
