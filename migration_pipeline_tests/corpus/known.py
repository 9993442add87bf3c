"""Where a witness differs from the truth, case by case, and why. What is not listed here and differs fails the tests."""

#: No text shows it: a trigger or a rule of the database does it. The rehearsal sees all of these.
UNSEEN = dict.fromkeys(
    ("insert_fires_delete", "insert_fires_delete_at_commit", "insert_rule_deletes"),
    "the text is an INSERT; a trigger or a rule of the database deletes",
)
PREDICTED_MISSES = UNSEEN
MEASURED_MISSES: dict[str, str] = {}

_ON_OTHER_ROWS = "lost nothing here; what it would lose on other rows counts by design"
_NOT_REHEARSED = "the rehearsal refuses it: nobody migrates with it"
MEASURED_FALSE_ALARMS = {
    "delete_none": _ON_OTHER_ROWS,
    "delete_from_empty": _ON_OTHER_ROWS,
    "delete_refused_by_trigger": _ON_OTHER_ROWS,
    "delete_refused_by_rule": _ON_OTHER_ROWS,
    "delete_duplicates": _ON_OTHER_ROWS,
    "truncate_empty": _ON_OTHER_ROWS,
    "merge_delete_none": _ON_OTHER_ROWS,
    "lo_unlink_none": _ON_OTHER_ROWS,
    "drop_owned_of_nothing": _NOT_REHEARSED,
    "reassign_owned": _NOT_REHEARSED,
}
MEASURED = MEASURED_MISSES | MEASURED_FALSE_ALARMS
