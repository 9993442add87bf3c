"""What a lock mode stops, and which locks are over a Target's budget: sentences, and rows of a table."""

from datetime import timedelta

import pydantic
import pytest

from migration_pipeline import errors, settings
from migration_pipeline.domain import locking
from migration_pipeline.domain.backups import Migration
from migration_pipeline.domain.effects import RevisionEffects
from migration_pipeline.domain.locking import LockBudget, LockHeld, Mode


def lock(relation, mode, taken, released, statement="ALTER TABLE ...", **more):
    return LockHeld(relation=relation, mode=mode, revision="0002", statement=statement, taken=taken, released=released, **more)


@pytest.mark.parametrize(
    ("mode", "on_server", "blocks"),
    [
        ("ACCESS SHARE", "AccessShareLock", "nothing"),
        ("ROW SHARE", "RowShareLock", "nothing"),
        ("ROW EXCLUSIVE", "RowExclusiveLock", "nothing"),
        ("SHARE UPDATE EXCLUSIVE", "ShareUpdateExclusiveLock", "nothing"),
        ("SHARE", "ShareLock", "writes"),
        ("SHARE ROW EXCLUSIVE", "ShareRowExclusiveLock", "writes"),
        ("EXCLUSIVE", "ExclusiveLock", "writes"),
        ("ACCESS EXCLUSIVE", "AccessExclusiveLock", "reads and writes"),
    ],
)
def test_each_mode_blocks_what_the_manual_says(mode, on_server, blocks):
    assert (Mode(mode).on_server, Mode(mode).blocks) == (on_server, blocks)


def test_a_lock_within_the_budget_is_no_violation():
    held = [
        lock("public.patients", Mode.ACCESS_EXCLUSIVE, 1.0, 3.0),
        lock("public.letters", Mode.SHARE, 0.0, 10.0),
        lock("public.wards", Mode.SHARE_UPDATE_EXCLUSIVE, 0.0, 600.0),
    ]
    assert locking.over_budget(held, LockBudget()) == ()


def test_a_lock_over_the_budget_is_told_with_its_statement():
    held = [
        lock("public.patients", Mode.ACCESS_EXCLUSIVE, 1.0, 4.2, "ALTER TABLE patients ALTER id TYPE bigint"),
        lock("ward.letters", Mode.SHARE, 0.0, 12.0, "CREATE INDEX letters_sent ON ward.letters (sent)"),
    ]
    assert locking.over_budget(held, LockBudget()) == (
        "patients is locked against reads for 3.2 s (limit 2 s) from: ALTER TABLE patients ALTER id TYPE bigint",
        "ward.letters is locked against writes for 12.0 s (limit 10 s) from: CREATE INDEX letters_sent ON ward.letters (sent)",
    )


def test_a_lock_against_reads_is_not_told_again_as_one_against_writes():
    held = [lock("public.patients", Mode.ACCESS_EXCLUSIVE, 0.0, 30.0, "DROP TABLE patients")]
    assert locking.over_budget(held, LockBudget()) == (
        "patients is locked against reads for 30.0 s (limit 2 s) from: DROP TABLE patients",
    )


def test_a_lock_against_reads_counts_against_writes_where_reads_may_wait_longer():
    held = [lock("public.patients", Mode.ACCESS_EXCLUSIVE, 0.0, 30.0, "DROP TABLE patients")]
    budget = LockBudget(reads=timedelta(minutes=1), writes=timedelta(seconds=10))
    assert locking.over_budget(held, budget) == (
        "patients is locked against writes for 30.0 s (limit 10 s) from: DROP TABLE patients",
    )


def test_the_earlier_lock_against_writes_is_told_beside_the_later_one_against_reads():
    held = [
        lock("public.patients", Mode.SHARE, 0.0, 20.0, "CREATE INDEX"),
        lock("public.patients", Mode.ACCESS_EXCLUSIVE, 15.0, 20.0, "ALTER TABLE"),
    ]
    assert locking.over_budget(held, LockBudget()) == (
        "patients is locked against writes for 20.0 s (limit 10 s) from: CREATE INDEX",
        "patients is locked against reads for 5.0 s (limit 2 s) from: ALTER TABLE",
    )


def test_a_lock_that_a_savepoint_released_counts_until_then():
    held = [lock("public.patients", Mode.ACCESS_EXCLUSIVE, 0.0, 1.5, until_end=False)]
    assert locking.over_budget(held, LockBudget(reads=timedelta(seconds=1))) == (
        "patients is locked against reads for 1.5 s (limit 1 s) from: ALTER TABLE ...",
    )


def test_the_terminal_is_told_the_worst_lock_first():
    held = [
        lock("public.letters", Mode.SHARE, 0.0, 20.0),
        lock("public.wards", Mode.ACCESS_EXCLUSIVE, 0.0, 0.012),
        lock("public.patients", Mode.ACCESS_EXCLUSIVE, 0.0, 0.8),
        lock("public.beds", Mode.SHARE_UPDATE_EXCLUSIVE, 0.0, 1.0),
    ]
    assert locking.told(held) == (
        "patients: locked against reads for 0.8 s",
        "wards: locked against reads for 12 ms",
        "letters: locked against writes for 20.0 s",
    )


def test_a_table_of_locks_says_everything_in_the_order_of_taking():
    held = [
        lock("public.wards", Mode.SHARE, 2.0, 2.5, "CREATE INDEX", until_end=False),
        lock("public.patients", Mode.ACCESS_EXCLUSIVE, 1.0, 4.0, "DROP TABLE patients", rows=48_213),
        lock("public.letters", Mode.SHARE_UPDATE_EXCLUSIVE, 3.0, 4.0, "ANALYZE", rows=1200, rows_are_estimated=True),
    ]
    shown = [tuple(row.values()) for row in locking.rows(held)]
    assert shown == [
        ("patients", "48,213", "ACCESS EXCLUSIVE", "reads and writes", "1.000 s", "4.000 s (end)", "3.000", "0002", "DROP TABLE patients"),
        ("wards", "unknown", "SHARE", "writes", "2.000 s", "2.500 s", "0.500", "0002", "CREATE INDEX"),
        ("letters", "about 1,200", "SHARE UPDATE EXCLUSIVE", "nothing", "3.000 s", "4.000 s (end)", "1.000", "0002", "ANALYZE"),
    ]  # fmt: skip


def test_locks_travel_between_the_steps_as_json_and_effects_of_before_still_load():
    effects = pydantic.TypeAdapter(RevisionEffects)
    held = lock("public.patients", Mode.SHARE, 0.25, 1.5, rows=3)
    now = RevisionEffects(
        revision="0002", statements=(), rows=(), lost=(), seconds=1.0, locks=(held,), rewritten_bytes={"public.patients": 8192}
    )
    assert effects.validate_json(effects.dump_json(now)) == now
    before = effects.validate_json('{"revision": "0001", "statements": [], "rows": [], "lost": [], "seconds": 0.1}')
    assert (before.locks, before.rewritten_bytes, before.wal_bytes) == ((), {}, None)


def test_a_record_of_a_migration_from_before_still_loads():
    record = """{"at": "2026-01-02T03:04:05Z", "outcome": "committed", "plan_fingerprint": "f", "heads_before": [],
        "heads_after": ["0001"], "revisions": ["0001"], "backup_id": "b", "confirmed": "not needed",
        "identity": {"target": "t", "database": "d", "system_identifier": "1", "oid": 2}}"""
    assert pydantic.TypeAdapter(Migration).validate_json(record).accepted == ()


def test_the_budget_is_a_policy_of_the_target(tmp_path):
    (tmp_path / "alembic.ini").touch()
    table = '[targets.dev]\nenvironment = "development"\ndatabase_url = "postgresql://app@db/clinic"\n'
    (tmp_path / "pipeline.toml").write_text(table)
    assert settings.load({}, tmp_path).lock_budget == LockBudget(reads=timedelta(seconds=2), writes=timedelta(seconds=10))

    (tmp_path / "pipeline.toml").write_text(table + "lock_budget_reads_seconds = 0.5\nlock_budget_writes_seconds = 5\n")
    assert settings.load({}, tmp_path).lock_budget == LockBudget(reads=timedelta(seconds=0.5), writes=timedelta(seconds=5))


@pytest.mark.parametrize(
    ("value", "told"), [("0", "from 0.001 to 86,400"), ('"2 s"', "from 0.001 to 86,400"), ("100000", "from 0.001 to 86,400")]
)
def test_a_wrong_budget_is_refused_with_what_would_be_right(tmp_path, value, told):
    (tmp_path / "alembic.ini").touch()
    (tmp_path / "pipeline.toml").write_text(
        '[targets.dev]\nenvironment = "development"\ndatabase_url = "postgresql://app@db/clinic"\n'
        f"lock_budget_reads_seconds = {value}\n"
    )
    with pytest.raises(errors.SettingsError) as refused:
        settings.load({}, tmp_path)
    assert "lock_budget_reads_seconds: " in str(refused.value)
    assert told in str(refused.value)
