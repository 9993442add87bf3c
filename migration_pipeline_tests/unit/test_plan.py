"""A plan is made of what the project's own Alembic said, or the reason why there is none is told."""

import pytest

from migration_pipeline.domain import plan
from migration_pipeline.domain.plan import Identity
from migration_pipeline.errors import NoPlan

IDENTITY = Identity(target="default", database="clinic", system_identifier="7", oid=5)


def test_a_revision_in_two_files_is_no_second_head():
    facts = {
        "unknown": [],
        "heads": ["0002", "0003", "0003"],
        "error": "Multiple head revisions are present",
        "current": ["0002"],
    }
    with pytest.raises(NoPlan) as refused:
        plan.make(facts, IDENTITY, {}, "head", "")
    assert str(refused.value) == (
        'Two files have the revision "0003".\nNext: give one of them another revision and down_revision, then: just plan'
    )
