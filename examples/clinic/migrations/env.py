"""Alembic's standard environment; the address comes from DATABASE_URL."""

import os
import re
from logging.config import fileConfig

from alembic import context, util
from sqlalchemy import engine_from_config, pool

config = context.config

if config.config_file_name is not None:
    fileConfig(config.config_file_name, disable_existing_loggers=False)

# The guard: outside development a bare Alembic command, which takes no backup and asks nothing, is refused.
if not config.attributes.get("migration_pipeline") and os.environ.get("MIGRATION_ENVIRONMENT") != "development":
    raise util.CommandError("This database is migrated by the pipeline, behind a verified backup. Next: just migrate")

# SQLAlchemy takes a URL without a driver for psycopg2; this project uses psycopg. An explicit driver stays.
database_url = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", os.environ["DATABASE_URL"])
config.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))  # configparser reads % as a placeholder

target_metadata = None


def run_migrations_offline() -> None:
    """Write the SQL to the output instead of sending it to a database."""
    context.configure(
        url=config.get_main_option("sqlalchemy.url"),
        target_metadata=target_metadata,
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
    )

    with context.begin_transaction():
        context.run_migrations()


def run_migrations_online() -> None:
    """Run the revisions on a connection of our own."""
    connectable = engine_from_config(
        config.get_section(config.config_ini_section, {}),
        prefix="sqlalchemy.",
        poolclass=pool.NullPool,
    )

    with connectable.connect() as connection:
        context.configure(connection=connection, target_metadata=target_metadata)

        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    run_migrations_offline()
else:
    run_migrations_online()
