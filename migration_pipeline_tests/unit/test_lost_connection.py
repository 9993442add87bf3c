import pytest

from migration_pipeline.adapters.postgres import is_connection_lost


@pytest.mark.parametrize(
    ("sqlstate", "kind", "said_by_server", "lost"),
    [
        ("57P01", "AdminShutdown", True, True),
        ("57P02", "CrashShutdown", True, True),
        ("08006", "ConnectionFailure", False, True),
        (None, "OperationalError", False, True),
        ("08001", "SqlclientUnableToEstablishSqlconnection", True, False),  # a foreign table's server
        (None, "InterfaceError", False, False),  # a closed cursor, a parameter too many
        (None, "ProgrammingError", False, False),
        ("23505", "UniqueViolation", True, False),
    ],
)
def test_what_counts_as_a_lost_connection(sqlstate, kind, said_by_server, lost):
    assert is_connection_lost(sqlstate, kind, said_by_server=said_by_server) is lost
