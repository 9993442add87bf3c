"""Which indexes a failed revision has left, and which are somebody else's."""

from migration_pipeline.adapters.indexes import Built, Index, left_over

OURS = Built(table="100", name="patients_ward", verb="CREATE")
ANEW = Built(table="100", verb="REINDEX")


def index(name="patients_ward", *, schema="public", table="100", valid=False):
    return Index(schema=schema, name=name, table=table, is_valid=valid)


def test_what_a_statement_was_sent_for_and_is_there_now_was_left():
    for valid in (False, True):
        assert left_over({}, {"7": index(valid=valid)}, [OURS], []) == [index(valid=valid)]


def test_what_was_there_before_is_of_another_table_or_another_name_was_not():
    was = index(valid=True)
    assert left_over({"7": was}, {"7": was}, [OURS], []) == []
    assert left_over({}, {"7": index(schema="tenant", table="200", valid=True)}, [OURS], []) == []
    assert left_over({}, {"7": index("somebody_elses")}, [OURS], []) == []


def test_what_a_session_builds_now_is_left_to_it():
    assert left_over({}, {"7": index()}, [OURS], ["7"]) == []


def test_what_reindex_left_is_known_by_its_ending_unless_somebody_may_be_building_it():
    half = index("patients_ward_ccnew")
    assert left_over({}, {"7": half}, [ANEW], []) == [half]
    assert left_over({}, {"7": half}, [ANEW], [None]) == []
    assert left_over({}, {"7": half}, [OURS], []) == []
