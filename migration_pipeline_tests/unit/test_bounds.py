"""Between which numbers of rows a backup lies that was taken between two readings."""

from hypothesis import given
from hypothesis import strategies as st

from migration_pipeline.domain import bounds
from migration_pipeline.domain.bounds import Reading, Table
from migration_pipeline.domain.schema import SchemaSnapshot


def reading(counts=True, reset="", **tables):
    made = {
        name: Table(**{"rows": 0, "kept": 0, "inserted": 0, "deleted": 0, "storage": 1, **table})
        for name, table in tables.items()
    }
    return Reading(tables=made, schema=SchemaSnapshot(objects={}), heads=(), counts=counts, reset=reset)


BEFORE = {"rows": 10, "kept": 10, "inserted": 50, "deleted": 40}


def test_a_table_that_nobody_wrote_has_one_right_number():
    found = bounds.of(reading(t=BEFORE), reading(t=BEFORE))

    assert found == {"t": (10, 10)}
    assert bounds.is_exact(found)


def test_deletes_lower_the_least_and_inserts_raise_the_most():
    after = reading(t={"rows": 12, "kept": 9, "inserted": 53, "deleted": 41})

    found = bounds.of(reading(t=BEFORE), after)

    assert found == {"t": (9, 13)}
    assert not bounds.is_exact(found)


def test_counters_that_come_late_do_not_make_the_bounds_too_narrow():
    after = reading(t={"rows": 15, "kept": 10, "inserted": 50, "deleted": 40})  # five inserts are not told yet

    assert bounds.of(reading(t=BEFORE), after) == {"t": (10, 15)}
    assert bounds.counters_are_late(reading(t=BEFORE), after)


def test_a_table_that_was_emptied_or_rewritten_has_no_bounds():
    after = reading(t={"rows": 3, "kept": 0, "inserted": 53, "deleted": 40, "storage": 2})

    assert bounds.of(reading(t=BEFORE), after) == {"t": (0, None)}


def test_without_counters_there_is_a_least_and_no_most():
    after = {"rows": 12, "kept": 9, "inserted": 53, "deleted": 41}

    assert bounds.of(reading(t=BEFORE, counts=False), reading(t=after)) == {"t": (9, None)}
    assert bounds.of(reading(t=BEFORE), reading(t=after, reset="2026")) == {"t": (9, None)}
    assert bounds.of(reading(t=BEFORE), reading(t={**after, "inserted": 3})) == {"t": (9, None)}


def test_what_is_outside_the_bounds_is_said():
    found = {"a": (1000, 1000), "b": (3, 5), "c": (2, None), "d": (1, 1), "e": (0, None), "f": (0, 2)}

    assert bounds.violations(found, {"a": 999, "b": 6, "c": 1, "e": 0, "f": 2, "g": 7}) == {
        "rows of a": "999, right: 1,000",
        "rows of b": "6, right: 3 to 5",
        "rows of c": "1, right: at least 2",
        "rows of d": "the table is missing",
        "rows of g": "7; the table was not there when the backup was taken",
    }


@given(
    st.lists(st.tuples(st.sampled_from(["insert", "delete", "update"]), st.integers(0, 30)), max_size=40),
    st.integers(0, 20),
    st.integers(0, 40),
)
def test_whatever_is_written_the_rows_at_each_moment_are_within_the_bounds(writes, rows, late):
    """`late`: how many of the last writes the counters do not know yet, as far as these are inserts."""
    versions = list(range(rows))  # the number of a version tells whether it was there before
    following = rows
    moments, inserted, deleted = [len(versions)], 0, 0
    for place, (write, number) in enumerate(writes):
        counted = place < len(writes) - (late if write == "insert" else 0)
        if write in {"delete", "update"} and versions:
            versions.pop(number % len(versions))
            deleted += write == "delete"
        elif write == "update":
            continue
        if write in {"insert", "update"}:
            versions.append(following)
            following += 1
            inserted += counted and write == "insert"
        moments.append(len(versions))
    before = reading(t={"rows": rows, "kept": rows})
    after = reading(
        t={"rows": len(versions), "kept": sum(one < rows for one in versions), "inserted": inserted, "deleted": deleted}
    )

    (least, most) = bounds.of(before, after)["t"]

    assert least <= min(moments)
    assert max(moments) <= most
