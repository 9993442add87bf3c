"""The promise in numbers."""

from migration_pipeline_tests.bad_input.bad import INPUTS, TOTAL


def test_ten_thousand_bad_inputs_are_made():
    """Each property holds its own line of the table against what it has really seen."""
    assert sum(bad for _, bad in INPUTS.values()) >= TOTAL
