"""The corpus of `docs/classification.md`: truth is executed on both servers, and each witness is held against it."""

import pytest

from migration_pipeline_tests.corpus import cases, known, page, real_way, running
from migration_pipeline_tests.corpus.page import MEASURED, PREDICTED, Result

#: So many of the cases are rehearsed in an everyday run; the page is made of all of them.
ONE_IN = 6
REAL_WAY = ("op_drop_column", "op_type_wider", "op_rows_one_by_one")


@pytest.fixture(scope="module")
def world(server):
    yield from of(server)


@pytest.fixture(scope="module")
def world18(server18):
    yield from of(server18)


def of(server):
    made = running.World(server)
    yield made
    made.close()


def test_prediction_misses_nothing_that_a_text_can_show_and_the_page_tells_it(world):
    results = []
    for case in cases.on(world.major):
        lost, sent = world.truth(case)
        said = {PREDICTED: world.predicted(sent).loses_data, MEASURED: lost.is_loss != (case.name in known.MEASURED)}
        results.append(Result(case=case, major=world.major, truth=lost.is_loss, values=bool(lost.values), said=said, how={}))

    missed = {one.case.name for one in results if one.truth and not one.said[PREDICTED]}
    assert missed == set(known.PREDICTED_MISSES)
    _, _, rest = page.PAGE.read_text().partition(f"## PostgreSQL {world.major}\n")
    section = rest.partition("\n## ")[0].splitlines()
    assert page.sizes(results) in section
    for label in (PREDICTED, MEASURED):
        assert page.line(label, results, lambda one, label=label: one.said[label]) in section


def rehearsed_every_day():
    """The cases that a witness gets wrong, and every sixth of the others."""
    others = [case for case in cases.on(18) if case.name not in known.MEASURED]
    return [case for case in cases.on(18) if case.name in known.MEASURED] + others[::ONE_IN]


def test_what_is_measured_is_the_truth(world18):
    wrong = {}
    for case in rehearsed_every_day():
        lost, _ = world18.truth(case)
        measured = world18.measured(case)
        if measured.loses_data != lost.is_loss:
            wrong[case.name] = "missed" if lost.is_loss else "false alarm"

    assert wrong == dict.fromkeys(known.MEASURED_MISSES, "missed") | dict.fromkeys(known.MEASURED_FALSE_ALARMS, "false alarm")


@pytest.mark.parametrize("name", REAL_WAY)
def test_a_rehearsal_in_the_runner_says_the_same(world18, tmp_path, name):
    case = running.by_name(name)

    assert real_way.measured(world18, case, tmp_path) == world18.measured(case)


def test_every_listed_exception_is_a_case():
    names = [case.name for case in cases.CASES]

    assert len(names) == len(set(names))
    assert set(known.PREDICTED_MISSES) | set(known.MEASURED) <= set(names)
