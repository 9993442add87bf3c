"""Ending the transaction behind the pipeline's back: through the driver's own depths, where no question is asked."""

import pytest

from migration_pipeline import errors
from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import execute
from migration_pipeline_tests.integration.conftest import migrate

LIVE_ONLY = "    if not op.get_bind().exec_driver_sql('SELECT current_database()').scalar().startswith('mp_scratch'):\n"
TRICKS = {
    "psycopg": (
        "raw = op.get_bind().connection.dbapi_connection",
        "raw.pgconn.exec_(b'ROLLBACK')",
        "raw.pgconn.exec_(b'DELETE FROM patients')",
        "raw.pgconn.exec_(b'COMMIT')",
    ),
    "psycopg2": (
        "import psycopg2.extensions; raw = op.get_bind().connection.dbapi_connection",
        "raw.reset()",
        "psycopg2.extensions.cursor(raw).execute('DELETE FROM patients')",
        "psycopg2.extensions.cursor(raw).execute('COMMIT')",
    ),
}


@pytest.mark.parametrize("driver", TRICKS)
def test_nothing_can_be_written_after_a_hidden_roll_back(site, database18, driver):
    place = site("linear", driver=driver)
    migrate(place, "0001")
    execute(database18, "INSERT INTO patients (name) SELECT 'x' FROM generate_series(1, 9)")
    file = projects.revision_file(place.project_folder, "0002")
    trick = "".join(f"        {line}\n" for line in TRICKS[driver])
    file.write_text(file.read_text().replace("\n\ndef downgrade", f"\n{LIVE_ONLY}{trick}\n\ndef downgrade"))

    with pytest.raises((errors.UpgradeFailed, errors.CannotRollBack)) as caught:
        migrate(place, "0002")

    assert execute(database18, "SELECT count(*) FROM patients") == [(9,)]
    assert execute(database18, "SELECT version_num FROM alembic_version") == [("0001",)]
    assert "state" in caught.value.evidence
