"""Put what the rows hold into every place that might be logged."""

# SAFETY: NON_DESTRUCTIVE

import logging

from alembic import op
from sqlalchemy import text

revision = "0002"
down_revision = "0001"


def upgrade():
    op.execute("ALTER TABLE patients ADD COLUMN copied text")
    connection = op.get_bind()
    rows = connection.execute(text("SELECT id, name, allergy FROM patients ORDER BY id")).all()
    for number, name, allergy in rows:
        literal = name.replace("'", "''")
        connection.exec_driver_sql(f"UPDATE patients SET copied = '{literal}' WHERE id = {number}")
        connection.execute(text("UPDATE patients SET copied = :copied WHERE id = :id"), {"copied": allergy, "id": number})
        print("printed:", name, allergy)
        logging.getLogger("alembic.runtime.migration").warning("logged: %s %s", name, allergy)
        logging.getLogger("clinic").error("logged: %s %s", name, allergy)
    mode = connection.execute(text("SELECT mode FROM canary_mode")).scalar()
    if mode == "raise":
        raise ValueError(f"cannot convert {rows!r}")
    if mode == "duplicate":
        name = rows[0][1]
        connection.execute(text("CREATE UNIQUE INDEX patients_name ON patients (name)"))
        connection.execute(text("INSERT INTO patients (name) VALUES (:name)"), {"name": name})


def downgrade():
    op.execute("ALTER TABLE patients DROP COLUMN copied")
