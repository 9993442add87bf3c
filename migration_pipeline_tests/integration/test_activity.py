"""What the server shows of an upgrade's session."""

import psycopg
import pytest

from migration_pipeline.adapters import activity
from migration_pipeline.adapters.alembic_project import OWN
from migration_pipeline.domain.connection import Connection


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (f"{OWN}SELECT 'Ada' FROM pg_class", "none of the project's: the pipeline measures what the last one did"),
        ("SELECT 'Ada' FROM pg_class", "SELECT '…' FROM pg_class"),
    ],
)
def test_what_the_pipeline_measures_is_not_taken_for_the_projects_statement(database18, sent, told):
    with psycopg.connect(database18, application_name=activity.application_name("ward")) as upgrade:
        upgrade.execute(sent)
        found = activity.of_upgrade(Connection.from_url(database18), "ward")

    assert found is not None
    assert found.statement == told
