"""Names are unique, and found without a lock."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    with op.get_context().autocommit_block():
        op.create_index("patients_ward", "patients", ["ward"], postgresql_concurrently=True)
        op.create_index("patients_name", "patients", ["name"], unique=True, postgresql_concurrently=True)


def downgrade():
    with op.get_context().autocommit_block():
        op.drop_index("patients_name", table_name="patients", postgresql_concurrently=True)
        op.drop_index("patients_ward", table_name="patients", postgresql_concurrently=True)
