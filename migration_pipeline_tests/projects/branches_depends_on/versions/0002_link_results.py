"""Link results with patients."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0002"
down_revision = "0001"
depends_on = "lab1"


def upgrade():
    op.execute("ALTER TABLE results ADD COLUMN patient_id integer REFERENCES patients")


def downgrade():
    op.execute("ALTER TABLE results DROP COLUMN patient_id")
