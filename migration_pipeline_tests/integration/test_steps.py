"""The story without Dagster: each scenario project through all eight steps, on real servers."""

import pytest

from migration_pipeline import errors, steps
from migration_pipeline_tests import long, projects
from migration_pipeline_tests.conftest import execute
from migration_pipeline_tests.integration.conftest import migrate

WELL_BEHAVED = [
    ("merge", ("0003",)),
    ("several_locations", None),
    long("nested_import", None),
    long("print_and_logging", None),
    ("sql_before_configure", None),
    long("version_table_elsewhere", ("0002",)),
    ("session_commit", ("0002",)),
    long("truncates", ("0002",)),
    ("cascade", ("0002",)),
    ("update_backfill", ("0002",)),
]


@pytest.mark.parametrize(("name", "heads"), WELL_BEHAVED)
def test_a_project_of_any_shape_comes_through(site, name, heads):
    place = site(name)
    *_, result = migrate(place)

    if heads:
        assert result.heads == heads
    assert steps.preflight(place, "head").plan.is_empty


def test_a_revision_that_depends_on_another_branch_brings_it_along(site):
    assert migrate(site("branches_depends_on"), "0002")[-1].heads == ("0002",)


def test_an_asynchronous_project_comes_through_on_asyncpg(site):
    place = site("async_env", driver="asyncpg")

    assert migrate(place)[-1].heads == ("0002",)


def test_a_search_path_that_env_py_sets_is_the_one_that_counts(site, database18):
    execute(database18, "CREATE SCHEMA tenant_a")
    migrate(site("search_path_env"))

    assert execute(database18, "SELECT to_regclass('tenant_a.patients') IS NOT NULL, to_regclass('public.patients') IS NULL") == [
        (True, True)
    ]


def test_the_clinic_goes_from_nothing_to_its_head(site_of_each_major):
    assert migrate(site_of_each_major("clinic"))[-1].heads == ("0020",)


NOT_TRANSACTIONAL = [
    ("raw_commit", "COMMIT would end or take over the transaction that the pipeline holds"),
    long("select_then_commit", "COMMIT would end or take over the transaction that the pipeline holds"),
    ("connection_commit", "it ends the transaction itself: commit()"),
    long("driver_commit", "it ends the transaction itself: commit()"),
    long("raw_cursor_commit", "COMMIT would end or take over the transaction that the pipeline holds"),
    ("prepare_transaction", "PREPARE TRANSACTION would end or take over the transaction that the pipeline holds"),
    ("rolls_back", "it ends the transaction itself: rollback()"),
    ("second_connection", "it opens a second connection"),
]


@pytest.mark.parametrize(("name", "reason"), NOT_TRANSACTIONAL)
def test_what_one_transaction_cannot_hold_is_refused_by_name(site, database18, name, reason):
    place = site(name)

    with pytest.raises(errors.CannotRollBack) as caught:
        migrate(place)

    assert caught.value.what == f'Revision "0002": {reason}.'
    assert execute(database18, "SELECT to_regclass('patients')") == [(None,)]


def test_what_reaches_past_the_database_is_stopped_in_the_rehearsal(site, server18):
    with pytest.raises(errors.NotAllowed, match="CREATE ROLE reaches past this database"):
        migrate(site("creates_role"))

    assert execute(server18.url(), "SELECT 1 FROM pg_roles WHERE rolname = 'mp_clinic_reader'") == []


def test_several_heads_are_refused_with_the_command_that_helps(site):
    with pytest.raises(errors.NoPlan) as caught:
        steps.preflight(site("two_heads"), "head")

    assert str(caught.value) == (
        "The project has 2 heads: there is no one way up.\n"
        "  heads: 0002a, 0002b\n"
        "Next: alembic merge -m 'merge heads' 0002a 0002b, or just migrate <revision>"
    )


def test_one_of_several_heads_can_be_named(site):
    assert migrate(site("two_heads"), "0002a")[-1].heads == ("0002a",)


def test_a_revision_that_the_project_does_not_have_is_refused(site):
    place = site("linear")
    migrate(place, "0002")
    projects.revision_file(place.project_folder, "0003").unlink()
    projects.remove_revision(place.project_folder, "0002")

    with pytest.raises(errors.NoPlan, match='The database is at revision "0002", which this project does not have.'):
        steps.preflight(place, "head")


def test_a_revision_that_does_not_exist_is_refused(site):
    with pytest.raises(errors.NoPlan) as caught:
        steps.preflight(site("linear"), "9999")

    assert caught.value.what == 'There is no way from the current revision to "9999".'
    assert "Can't locate revision identified by '9999'" in caught.value.evidence["alembic"]


def test_a_file_with_a_syntax_error_fails_with_its_place(site):
    place = site("linear")
    projects.break_revision(place.project_folder, "0002")

    with pytest.raises(errors.ProjectFailed) as caught:
        steps.preflight(place, "head")

    assert "SyntaxError" in caught.value.evidence["error"]
    assert caught.value.next_step == "mend the project until `alembic history` works, then: just plan"


def test_a_preview_changes_nothing_and_needs_no_backup(site, database18):
    shown = steps.preview(site("drops_table"), "head").shown

    assert shown["0001"].declares == "NON_DESTRUCTIVE"
    assert shown["0002"].declares == "DESTRUCTIVE"
    assert execute(database18, "SELECT to_regclass('patients'), to_regclass('alembic_version')") == [(None, None)]


def test_a_preview_predicts_from_the_sql(site, database18):
    place = site("drops_table")
    migrate(place, "0001")

    assert steps.preview(place, "head").shown["0002"].predicts == ("table dropped: alerts",)
    assert execute(database18, "SELECT to_regclass('alerts') IS NOT NULL") == [(True,)]
