"""A table that a revision empties and fills again: no loss while it holds what it held in the rehearsal, and only then."""

import pytest

from migration_pipeline_tests import projects
from migration_pipeline_tests.pipeline.test_live_differs import Waiting

REVISION = '''"""Fill the wards anew."""

# SAFETY: {declared}

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.execute("TRUNCATE wards")
    op.execute("INSERT INTO wards VALUES (1, 'north'), (2, 'south')")
'''


@pytest.fixture
def site(make_site18):
    made = make_site18("not_annotated", at="0001")
    made.query("CREATE TABLE wards (id int PRIMARY KEY, name text)", "INSERT INTO wards VALUES (1, 'north'), (2, 'south')")
    made.take_backup()
    return made


def write(site, declared):
    projects.revision_file(site.project, "0002").write_text(REVISION.format(declared=declared))


@pytest.mark.control("D3")
def test_rows_that_are_all_put_back_are_no_loss(site):
    write(site, "NON_DESTRUCTIVE")

    done = site.run("migrate")

    assert done.returncode == 0, done.stderr
    assert site.query("SELECT count(*) FROM wards") == [(2,)]
    assert site.revision == ["0002"]


@pytest.mark.control("D4")
def test_rows_that_came_after_the_rehearsal_are_not_emptied_with_the_others(site):
    write(site, "DESTRUCTIVE")
    waiting = Waiting(site)
    site.query("INSERT INTO wards SELECT i, 'new' FROM generate_series(3, 500) i")

    waiting.confirm()
    code, said = waiting.end()

    assert code == 1, said
    assert "rows public.wards holds 500 now; 2 were there in the rehearsal" in said
    assert site.query("SELECT count(*) FROM wards") == [(500,)]
    assert site.revision == ["0001"]
