"""What the rehearsal acquitted is compared again on the live database, which has gone on since the backup."""

import pytest

from migration_pipeline import errors, steps
from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import execute
from migration_pipeline_tests.integration.test_in_parts import AT_0001, rehearsed

CODES = ("CREATE TABLE codes (id int PRIMARY KEY, meaning text)", "INSERT INTO codes VALUES (1, 'one'), (2, 'two')")
REVISION = (
    '"""Do it."""\n# SAFETY: NON_DESTRUCTIVE\nfrom alembic import op\nrevision = "0002"\ndown_revision = "0001"\ndef upgrade():\n'
)


@pytest.fixture
def revised(site, database18):
    """Return a function: statements → the place of a project whose only pending revision sends them."""

    def revise(*statements):
        place = site("in_parts")
        for number in ("0002", "0003", "0004", "0005"):
            projects.remove_revision(place.project_folder, number)
        sends = "".join(f"    op.execute({one!r})\n" for one in statements)
        (place.project_folder / "versions" / "0002_do_it.py").write_text(REVISION + sends)
        return place

    execute(database18, *AT_0001, *CODES)
    return revise


@pytest.mark.parametrize("taking", ["TRUNCATE codes", "DELETE FROM codes"])
def test_rows_that_came_since_and_are_not_put_back_roll_it_back(revised, database18, taking):
    place = revised(taking, "INSERT INTO codes VALUES (1, 'one'), (2, 'two')")
    found = rehearsed(place)
    execute(database18, "UPDATE codes SET meaning = 'anaphylaxis' WHERE id = 1", "INSERT INTO codes VALUES (3, 'three')")

    with pytest.raises(errors.UpgradeFailed, match="and all of them were there again in the rehearsal"):
        steps.upgrade(place, *found)

    assert execute(database18, "SELECT * FROM codes ORDER BY id") == [(1, "anaphylaxis"), (2, "two"), (3, "three")]


def test_what_only_a_materialized_view_still_held_is_not_refreshed_away(revised, database18):
    execute(database18, "CREATE MATERIALIZED VIEW past AS SELECT * FROM codes", "DELETE FROM codes WHERE id = 2")
    place = revised("REFRESH MATERIALIZED VIEW past")
    found = rehearsed(place)

    with pytest.raises(errors.UpgradeFailed, match="rows of public.past are refreshed"):
        steps.upgrade(place, *found)

    assert execute(database18, "SELECT count(*) FROM past") == [(2,)]


def test_a_table_that_was_empty_in_the_backup_is_not_emptied_of_what_came_since(revised, database18):
    execute(database18, "DELETE FROM codes")
    place = revised("TRUNCATE codes")
    file = projects.revision_file(place.project_folder, "0002")
    file.write_text(file.read_text().replace("NON_DESTRUCTIVE", "DESTRUCTIVE"))
    found = rehearsed(place)
    execute(database18, "INSERT INTO codes VALUES (3, 'three')")

    with pytest.raises(errors.UpgradeFailed, match="rows public.codes holds 1 now; 0 were"):
        steps.upgrade(place, *found)

    assert execute(database18, "SELECT count(*) FROM codes") == [(1,)]


def test_a_revision_may_not_hide_what_it_does(revised, database18):
    with pytest.raises(errors.NotAllowed, match="SET track_counts would hide from the pipeline which rows are changed"):
        rehearsed(revised("SET LOCAL track_counts = off", "UPDATE codes SET meaning = 'x'"))
