"""Each fault, and then the next `migrate`. What becomes of the database is as `docs/faults.md` says."""

import os
import re

import pytest

from migration_pipeline_tests.conftest import make_database, run_server
from migration_pipeline_tests.faults import page
from migration_pipeline_tests.faults.faults import FAULTS, chains
from migration_pipeline_tests.faults.happening import GONE_SECONDS, Happening, outcome
from migration_pipeline_tests.faults.place import Place, digest

INTERRUPTED = 130
WRONG_SETTINGS = 2
FAILED_STEP = re.compile(r"^  [✗■] (\w+)|^Interrupted in (\w+)", re.MULTILINE)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """One place for all: each of these runs leaves it as it was, or as it shall be."""
    for server in run_server(18):
        for url in make_database(server):
            made = Place(server, url, tmp_path_factory.mktemp("place"))
            made.open()
            yield made


@pytest.mark.parametrize(
    "chain",
    chains(all_of_them=page.WRITE in os.environ),
    ids=lambda chain: (chain[0].at if len(chain) > 1 else chain[0].name).replace(" ", "-"),
)
def test_nothing_is_lost(place, chain):
    place.reset()
    for fault in chain:
        place.mend()
        happens(place, fault)
    assert_that_the_next_run_simply_works(place)


def happens(place, fault):
    happening = Happening(place, fault.at, inside=fault.inside)
    with happening.later:
        fault.before(happening)
        happening.start()
        fault.happens(happening)
        happening.release()
        ended = outcome(happening)

    assert ended.database == fault.database, (fault.name, ended.said)
    assert_that_it_is_told(ended)
    if ended.code == INTERRUPTED:
        assert_that_nothing_is_left(place)
    page.check(fault, ended)


def assert_that_it_is_told(ended):
    assert "Traceback" not in ended.said
    if ended.code <= 0:
        return
    what, state, then = page.told(ended.said)
    assert what, ended.said
    assert then, ended.said
    if ended.code == WRONG_SETTINGS:
        assert "nothing was started" in what
        return
    assert FAILED_STEP.search(ended.said), ended.said
    assert state, ended.said
    assert ("safe: " in ended.said) == (state != "nothing was begun; the database was only read"), ended.said
    if ended.database == "before":
        assert "committed;" not in state, ended.said
    if ended.code == INTERRUPTED:
        assert ended.gone_seconds < GONE_SECONDS
        assert state.endswith("as before" if ended.database == "before" else "the database is at 0003") or "only read" in state


def assert_that_the_next_run_simply_works(place):
    place.mend()
    place.succeed("migrate")
    assert digest(place.dump()) == place.after
    assert_that_nothing_is_left(place)
    listed, rejected = place.store.entries()
    assert rejected == []
    assert all(backup.id == place.damaged or place.store.is_intact(place.store.read(backup.id)) for backup in listed)


def assert_that_nothing_is_left(place):
    assert place.scratch_databases() == []
    assert place.partials() == []
    assert place.temporary_files() == []
    assert place.unfinished_runs() == []


def test_the_page_has_a_line_for_each_fault():
    """`just faults` writes it anew."""
    lines = page.lines(page.PAGE.read_text())

    assert [line[: len(start)] for line, start in zip(lines, map(page.start, FAULTS), strict=True)] == list(
        map(page.start, FAULTS)
    )
