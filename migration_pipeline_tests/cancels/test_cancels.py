"""Each cell of the matrix, and then the next `migrate`. What becomes of the database is as `docs/cancelling.md` says."""

import pytest

from migration_pipeline_tests.cancels import page
from migration_pipeline_tests.cancels.case import Case
from migration_pipeline_tests.cancels.deployment import Deployment
from migration_pipeline_tests.cancels.ward import Ward
from migration_pipeline_tests.cancels.ways import CELLS, EVERY_DAY, End
from migration_pipeline_tests.conftest import make_database, run_server
from migration_pipeline_tests.faults.test_faults import assert_that_the_next_run_simply_works


@pytest.fixture(scope="module")
def ward(tmp_path_factory):
    """One ward for all: each of these runs leaves it as it was, or as it shall be."""
    for server in run_server(18):
        for url in make_database(server):
            made = Ward(server, url, tmp_path_factory.mktemp("ward"))
            Deployment.configure(made)
            made.open()
            yield made


@pytest.fixture(scope="module")
def deployment(ward):
    deployed = Deployment(ward)
    yield deployed
    deployed.stop()


def cell(way, step):
    marks = () if (way.name, step) in EVERY_DAY else pytest.mark.long
    return pytest.param(way, step, marks=marks, id=f"{way.name}-{step}".replace(",", "").replace(" ", "-"))


@pytest.mark.parametrize(("way", "step"), [cell(way, step) for way, step in CELLS])
def test_a_run_is_ended_and_nothing_of_it_is_left(ward, deployment, way, step):
    ward.reset()
    if way.is_deployed:
        deployment.ensure()
        assert ward.planned
    case = Case(ward, deployment, way, step)

    seconds = case.happens()
    if case.ends is End.GOES_ON:
        case.goes_on()

    assert case.look() == case.expected
    case.assert_that_its_end_is_recorded()
    case.assert_that_the_state_is_told()
    left = case.left()
    assert left == [] or case.ends is End.KILLED
    assert_that_the_next_run_simply_works(ward)
    page.check(case, seconds, left)


def test_the_page_has_each_cell():
    """`just cancels` writes it anew."""
    told = page.cells(page.PAGE.read_text())

    assert list(told) == [(way.name, step) for way, step in CELLS]
    assert all(told.values())
