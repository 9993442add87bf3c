from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from migration_pipeline.domain import watching
from migration_pipeline.domain.backups import Entry, Layout, Level, Migration, Outcome, Verification
from migration_pipeline.domain.plan import Identity
from migration_pipeline.domain.watching import Activity, Standing, Told

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HERE = Identity(target="clinic", database="clinic", system_identifier="7", oid=100)
AT_6, AT_7, AT_8, AT_9 = ("0006",), ("0007",), ("0008",), ("0009",)


def migration(before, after, outcome=Outcome.COMMITTED, oid=100, revisions=()):
    return Migration(
        at=NOW - timedelta(hours=2),
        outcome=outcome,
        identity=replace(HERE, oid=oid),
        plan_fingerprint="f",
        heads_before=before,
        heads_after=after,
        revisions=revisions or after,
        backup_id="b",
        confirmed="",
    )


def at(heads, oid=100):
    return Standing(oid=oid, heads=heads)


OURS, RESTORABLE = migration(AT_6, AT_7), {AT_6, AT_7}
BEGUN = migration(AT_7, AT_9, Outcome.BEGUN, revisions=("0008", "0009"))
WHOSE = {
    "where the last migration left it": (at(AT_7), at(AT_6), [OURS], "a migration of ours left it there"),
    "where a part of one left it": (
        at(AT_7),
        None,
        [migration(AT_6, AT_7, Outcome.PARTLY)],
        "a migration of ours left it there",
    ),
    "further on": (at(AT_8), at(AT_7), [OURS], None),
    "back by hand": (at(AT_6), at(AT_7), [OURS], None),
    "further on, at the first look": (at(AT_8), None, [OURS], None),
    "the end of one that nobody saw": (
        at(AT_9),
        at(AT_7),
        [OURS, BEGUN],
        "a migration of ours, of which nobody knows the end, went through it",
    ),
    "the middle of one that nobody saw": (
        at(AT_8),
        at(AT_7),
        [OURS, BEGUN],
        "a migration of ours, of which nobody knows the end, went through it",
    ),
    "where one that failed wanted to go": (at(AT_7), at(AT_6), [migration(AT_6, AT_7, Outcome.FAILED)], None),
    "restored": (at(AT_6, oid=101), at(AT_7), [OURS], "a backup holds it, and the database was made anew"),
    "restored, at the first look": (at(AT_6, oid=101), None, [OURS], "a backup holds it, and the database was made anew"),
    "restored, then moved by hand to what another backup holds": (at(AT_7, oid=101), at(AT_6, oid=101), [], None),
    "made anew by hand": (at(AT_9, oid=101), at(AT_7), [OURS], None),
    "never migrated by us, at the first look": (at(AT_6), None, [], "nothing of it was known before"),
    "never migrated by us, and moved": (at(AT_7), at(AT_6), [], None),
    "never migrated by us, and emptied": (at(()), at(AT_6), [], None),
}


@pytest.mark.parametrize("name", WHOSE)
def test_a_revision_is_ours_or_somebody_elses(name):
    now, before, records, why = WHOSE[name]

    assert watching.why_ours(now, before, records, RESTORABLE) == why


def test_a_foreign_revision_is_told_with_what_was_before():
    error = watching.foreign_revision(at(AT_8), at(AT_7), [OURS])

    assert str(error) == (
        "The database is at revision 0008, and no run of this pipeline brought it there.\n"
        "  before: revision 0007\n"
        "  last migration of ours: to revision 0007, 2026-11-23 10:00 UTC\n"
        "Next: find out who migrated it, take a backup (just backup-db), then: just plan"
    )


def test_records_of_the_time_before_a_restore_are_those_of_the_database_and_others_are_not():
    other = replace(OURS, identity=replace(HERE, database="other"))
    earlier = migration(AT_6, AT_7, oid=99)

    assert watching.of_database([other, earlier, OURS], HERE) == [earlier, OURS]


def entry(hours, *, verified=True, identity=HERE):
    taken = NOW - timedelta(hours=hours)
    proof = Verification(level=Level.RESTORE, at=taken, seconds=1, passed=True)
    return Entry(
        id=f"backup_{hours}", identity=identity, snapshot_time=taken, heads=AT_6, bytes=1, rows=1, layout=Layout.PLAIN,
        location="", restored=proof if verified else None, failed=None, protects=None, pinned=None,
    )  # fmt: skip


def test_only_a_verified_backup_of_this_very_database_counts():
    found = [entry(-1), entry(1, verified=False), entry(2, identity=replace(HERE, oid=99)), entry(31), entry(40)]

    assert watching.newest(found, HERE, NOW) == found[3]
    assert watching.newest(found[:3], HERE, NOW) is None


def test_an_old_backup_is_told_with_its_age_and_none_at_all_too():
    limit = timedelta(hours=24)

    assert watching.old_backup(entry(24), NOW, limit) is None
    assert str(watching.old_backup(entry(31), NOW, limit)) == (
        "The newest verified backup is 31 h old; the limit is 24 h.\n"
        "  backup: backup_31\n"
        "  without a newer one: a restore loses what was written since, and no migration begins\n"
        "Next: just backup-db"
    )
    assert str(watching.old_backup(None, NOW, limit)) == "There is no verified backup of this database.\nNext: just backup-db"


def test_an_old_backup_is_told_once_and_again_after_a_day_or_when_it_is_another_one():
    told = Told(about="backup_31", at=NOW)

    assert watching.is_due("backup_31", None, NOW)
    assert not watching.is_due("backup_31", told, NOW + timedelta(hours=23))
    assert watching.is_due("backup_31", told, NOW + timedelta(hours=24))
    assert watching.is_due("", told, NOW + timedelta(minutes=1)), "it is gone, and there is none now"


def test_what_an_upgrade_does_is_told_in_a_few_facts():
    found = Activity(
        pid=1, started="1", xid="2", running=timedelta(minutes=6), statement="ALTER TABLE visits ADD CHECK (…)",
        in_statement=timedelta(seconds=42), waits_for="AccessExclusiveLock on visits", blocked_by=("psql (process 7)",),
        blocks=tuple(f"app (process {one})" for one in range(10, 17)), progress="",
    )  # fmt: skip

    assert found.doing == {
        "statement": "ALTER TABLE visits ADD CHECK (…) (for 42 s)",
        "waits for": "AccessExclusiveLock on visits, held by psql (process 7)",
        "keeps waiting": "app (process 10); app (process 11); app (process 12); app (process 13); app (process 14); and 2 more",
    }
    idle = replace(found, in_statement=None, waits_for="", blocked_by=(), blocks=(), progress="ANALYZE, x: 1 of 2 blocks")
    assert idle.doing == {
        "statement": "ALTER TABLE visits ADD CHECK (…) (done; it is between two statements)",
        "progress": "ANALYZE, x: 1 of 2 blocks",
        "keeps waiting": "nobody",
    }
