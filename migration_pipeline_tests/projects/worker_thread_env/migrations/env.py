"""An environment that is written to be run in a worker thread of AnyIO's, beside the application's event loop."""

import importlib.util
import os
import re

from alembic import context
from anyio import from_thread
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import async_engine_from_config

config = context.config

# psycopg speaks both ways, and stands in where asyncpg is not installed. An explicit driver stays.
driver = "asyncpg" if importlib.util.find_spec("asyncpg") else "psycopg"
database_url = re.sub(r"^postgres(ql)?://", f"postgresql+{driver}://", os.environ["DATABASE_URL"])
config.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))  # configparser reads % as a placeholder


def do_run_migrations(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


async def run_async_migrations():
    connectable = async_engine_from_config(
        config.get_section(config.config_ini_section), prefix="sqlalchemy.", poolclass=pool.NullPool
    )
    async with connectable.connect() as connection:
        await connection.run_sync(do_run_migrations)
    await connectable.dispose()


from_thread.run(run_async_migrations)
from_thread.run_sync(print, "migrated")
