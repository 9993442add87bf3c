"""The outside world, one system a file: PostgreSQL, its client programs, the backup store, the Alembic project."""
