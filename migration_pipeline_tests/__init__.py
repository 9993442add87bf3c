"""The tests. README.md beside this file has the folders."""

import pytest


def long(*values):
    """Return a case of a test that does not run every day: another one shows the same, or nearly."""
    return pytest.param(*values, marks=pytest.mark.long)
