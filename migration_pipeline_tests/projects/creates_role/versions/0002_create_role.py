"""Let a role read patients."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.execute("CREATE ROLE mp_clinic_reader NOLOGIN")
    op.execute("GRANT SELECT ON patients TO mp_clinic_reader")


def downgrade():
    op.execute("REVOKE SELECT ON patients FROM mp_clinic_reader")
    op.execute("DROP ROLE mp_clinic_reader")
