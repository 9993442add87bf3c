"""Create patients and alerts, with rows."""

# SAFETY: NON_DESTRUCTIVE

from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    op.execute("CREATE TABLE patients (id serial PRIMARY KEY, name text NOT NULL, allergy text)")
    op.execute(
        "CREATE TABLE alerts (id serial PRIMARY KEY, patient_id integer NOT NULL REFERENCES patients, message text NOT NULL)"
    )
    op.execute(
        "INSERT INTO patients (name, allergy) SELECT 'patient ' || n, repeat('penicillin ', 10) FROM generate_series(1, 2000) n"
    )
    op.execute("INSERT INTO alerts (patient_id, message) SELECT n, 'alert ' || n FROM generate_series(1, 500) n")


def downgrade():
    op.execute("DROP TABLE alerts")
    op.execute("DROP TABLE patients")
