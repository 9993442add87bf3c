"""Migrate one tenant's schema: https://alembic.sqlalchemy.org/en/latest/cookbook.html (Schema-Level Multi Tenancy)."""

import os
import re

from alembic import context
from sqlalchemy import engine_from_config, pool, text

config = context.config
database_url = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", os.environ["DATABASE_URL"])
config.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))  # configparser reads % as a placeholder


def run_migrations_online():
    connectable = engine_from_config(config.get_section(config.config_ini_section), prefix="sqlalchemy.", poolclass=pool.NullPool)
    tenant = context.get_x_argument(as_dictionary=True).get("tenant", "tenant_a")
    with connectable.connect() as connection:
        connection.execute(text(f'SET search_path TO "{tenant}"'))
        connection.commit()
        connection.dialect.default_schema_name = tenant  # so that the version table is looked for there too
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()


run_migrations_online()
