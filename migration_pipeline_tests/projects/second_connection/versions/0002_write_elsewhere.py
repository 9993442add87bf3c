"""Write through a second connection, then add the ward."""

# SAFETY: NON_DESTRUCTIVE

from alembic import context, op
from sqlalchemy import create_engine, text

revision = "0002"
down_revision = "0001"


def upgrade():
    engine = create_engine(context.config.get_main_option("sqlalchemy.url"))
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO patients (name) VALUES ('written by a second connection')"))
    engine.dispose()
    op.execute("ALTER TABLE patients ADD COLUMN ward text")
    op.execute("ALTER TABLE patients ALTER COLUMN allergy SET NOT NULL")


def downgrade():
    op.execute("ALTER TABLE patients ALTER COLUMN allergy DROP NOT NULL")
    op.execute("ALTER TABLE patients DROP COLUMN ward")
