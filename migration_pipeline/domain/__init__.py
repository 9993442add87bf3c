"""Pure values and decisions: no clock, environment, files, network, Dagster or SQLAlchemy."""
