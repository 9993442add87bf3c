"""What confirms a plan, and what is said of an answer that does not."""

from datetime import timedelta

import pytest

from migration_pipeline import errors
from migration_pipeline.domain import confirmation

PLAN = "3f9c2a17" + 56 * "0"


@pytest.mark.parametrize("answer", ["CONFIRM", " CONFIRM\n"])
def test_confirm_in_the_ui_confirms_and_names_the_run_that_said_so(answer):
    consent = confirmation.from_ui(answer, PLAN, by_run="b1946ac9")

    assert consent == confirmation.Confirmation(plan_fingerprint=PLAN, how="in Dagster's UI, by run b1946ac9")


@pytest.mark.parametrize("answer", ["", "confirm", "CONFIRM 3f9c2a17", "CONFIRMED", "yes", "CON FIRM", "ＣＯＮＦＩＲＭ"])
def test_anything_else_declines_and_is_not_repeated(answer):
    with pytest.raises(errors.Declined) as raised:
        confirmation.from_ui(answer, PLAN, by_run="b1946ac9")

    assert str(raised.value) == (
        "The migration was not confirmed; nothing was changed.\n"
        "  expected: CONFIRM\n"
        "  answer: something else\n"
        "  run: b1946ac9\n"
        'Next: "Re-execute from failure" (the arrow beside "Re-execute all" on the run\'s page), and answer CONFIRM; or just migrate'
    )


def test_a_run_that_nobody_answered_says_how_to_go_on():
    assert str(confirmation.timed_out(PLAN, timedelta(minutes=30), backup_too_old=False)) == (
        "Nobody confirmed the migration within 30 min; nothing was changed.\n"
        "  expected: CONFIRM 3f9c2a17\n"
        'Next: "Re-execute from failure" (the arrow beside "Re-execute all" on the run\'s page), which looks at everything once more '
        "and asks again; or just migrate"
    )


def test_one_whose_backup_is_too_old_by_now_begins_anew():
    assert str(confirmation.timed_out(PLAN, timedelta(seconds=90), backup_too_old=True)) == (
        "Nobody confirmed the migration within 90 s; nothing was changed.\n"
        "  expected: CONFIRM 3f9c2a17\n"
        "  backup: it is too old to upgrade on now\n"
        "Next: just migrate"
    )


@pytest.mark.parametrize(
    ("revisions", "measured", "told"),
    [
        (1, 1, "not needed: no data is lost (1 revision, measured)"),
        (3, 3, "not needed: no data is lost (3 revisions, all measured)"),
        (3, 2, "not needed: no data is lost (3 revisions, 2 measured in full)"),
        (1, 0, "not needed: no data is lost (1 revision, 0 measured in full)"),
    ],
)
def test_a_plan_that_needs_no_confirmation_says_why(revisions, measured, told):
    assert confirmation.not_needed(PLAN, confirmation.why_not_needed(revisions, measured=measured)).how == told
