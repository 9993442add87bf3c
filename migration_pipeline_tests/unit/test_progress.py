"""How far an upgrade is, in words, and how often it is told."""

from datetime import timedelta

import pytest

from migration_pipeline.domain import progress
from migration_pipeline.domain.progress import Way
from migration_pipeline.domain.watching import Activity

WAY = Way({"0002": 0, "0003": 3}, 5, 41.26)


@pytest.mark.parametrize(
    ("revision", "statement", "told"),
    [
        ("0002", 0, "revision 0002, statement 0 of 5"),
        ("0003", 2, "revision 0003, statement 5 of 5"),
        ("0003", 4, "revision 0003, statement 7 (5 in the rehearsal)"),
    ],
)
def test_a_statement_is_counted_over_the_whole_plan(revision, statement, told):
    assert WAY.at(revision, statement) == told


def test_a_line_says_how_far_it_is_what_it_does_and_who_waits():
    found = Activity(
        pid=1, started="1", xid="2", running=timedelta(seconds=12), statement="CREATE INDEX ON visits (ward)",
        in_statement=timedelta(seconds=9), blocks=("ward app (process 7)",), progress="CREATE INDEX, sorting: 3 of 9 blocks",
    )  # fmt: skip

    assert progress.line(WAY.at("0003", 1), WAY, found) == (
        "revision 0003, statement 4 of 5, after 12 s (the whole rehearsal took 41.3 s)\n"
        "  statement: CREATE INDEX ON visits (ward) (for 9 s)\n"
        "  progress: CREATE INDEX, sorting: 3 of 9 blocks\n"
        "  keeps waiting: ward app (process 7)"
    )


@pytest.mark.parametrize(
    ("running", "since_last", "due"), [(1, None, True), (6, 4.9, False), (6, 5, True), (61, 29, False), (61, 30, True)]
)
def test_it_is_told_often_in_the_first_minute_and_seldom_later(running, since_last, due):
    since = None if since_last is None else timedelta(seconds=since_last)
    assert progress.is_due(timedelta(seconds=running), since) is due
