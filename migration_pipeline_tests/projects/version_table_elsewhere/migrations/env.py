"""Keep the version table in a schema of its own, which must exist before Alembic looks for it."""

import os
import re

from alembic import context
from sqlalchemy import engine_from_config, pool, text

config = context.config
database_url = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", os.environ["DATABASE_URL"])
config.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))  # configparser reads % as a placeholder


def run_migrations_online():
    connectable = engine_from_config(config.get_section(config.config_ini_section), prefix="sqlalchemy.", poolclass=pool.NullPool)
    with connectable.begin() as connection:
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS ops"))
    with connectable.connect() as connection:
        context.configure(connection=connection, version_table="clinic_version", version_table_schema="ops")
        with context.begin_transaction():
            context.run_migrations()


run_migrations_online()
