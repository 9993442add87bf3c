"""Make room for longer medication names.

Revision ID: 0010
Revises: 0009
Create Date: 2022-05-23 10:14:21

The downgrade fails while a name is longer than 40 characters: it cuts none off.
"""

# SAFETY: NON_DESTRUCTIVE

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("medications", "name", type_=sa.String(120), existing_type=sa.String(40), existing_nullable=False)


def downgrade() -> None:
    op.alter_column("medications", "name", type_=sa.String(40), existing_type=sa.String(120), existing_nullable=False)
