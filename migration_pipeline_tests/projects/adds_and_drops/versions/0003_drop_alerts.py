"""Drop alerts."""

# SAFETY: DESTRUCTIVE

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    op.execute("DROP TABLE alerts")
    op.execute("CREATE INDEX patients_ward ON patients (ward_id)")


def downgrade():
    op.execute("DROP INDEX patients_ward")
    op.execute(
        "CREATE TABLE alerts (id serial PRIMARY KEY, patient_id integer NOT NULL REFERENCES patients, message text NOT NULL)"
    )
