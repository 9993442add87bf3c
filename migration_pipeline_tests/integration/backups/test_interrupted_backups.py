"""What can befall a backup or a restore while it runs: killed, cut off, out of room, refused; the next run finds all in order."""

import re
import signal

import pytest

from migration_pipeline import errors, restoring, steps
from migration_pipeline.adapters import postgres
from migration_pipeline.domain.backups import Level
from migration_pipeline_tests import long
from migration_pipeline_tests.conftest import execute, wait_until
from migration_pipeline_tests.integration.backups import clinic
from migration_pipeline_tests.integration.backups.clinic import FAT, LAYOUTS, children, kill, meanwhile, plan_of

pytest_plugins = ["migration_pipeline_tests.s3"]

BACKENDS = """
SELECT {} FROM pg_stat_activity
WHERE datname {} AND application_name = 'migration_pipeline' AND state = 'active' AND query LIKE '{}'
"""
TERMINATED = "pg_terminate_backend(pid)"  # in the same look that finds it at work: the next one may find it done
DUMPING = "COPY public.scans%TO stdout%"
RESTORING = "COPY public.scans%FROM stdin%"
CUT_OFF = "The restore was cut off: that says nothing about the backup."


each_layout = pytest.mark.parametrize(("store", "layout"), [*(("folder", one) for one in LAYOUTS), ("s3", "directory")])


def fatten(site):
    execute(site.url, FAT)
    site.settle()


def busy(site, query, where, value="pid"):
    """Return a look at the backends that are at the scans, of a dump or of a restore."""
    connection = postgres.psycopg.connect(site.server.url(), autocommit=True)

    def look():
        return [row[0] for row in connection.execute(BACKENDS.format(value, where, query)).fetchall()]

    return connection, look


def refused_backup(site):
    with pytest.raises(errors.BackupFailed) as caught:
        site.backup(verified=False)
    assert site.open().store.entries() == ([], [])
    return str(caught.value)


@each_layout
def test_a_dump_that_is_killed_is_no_backup(laid_out, kept):
    fatten(laid_out)
    connection, look = busy(laid_out, DUMPING, f"= '{laid_out.database}'")

    with connection, meanwhile(lambda: look() and children("pg_dump"), kill):
        told = refused_backup(laid_out)

    assert told.startswith("pg_dump failed; no backup was made.\n  ended by: SIGKILL\n")
    assert told.endswith("Next: mend what is named above, then run the same command again")
    assert kept.names() == []
    assert laid_out.programs() == {}, "the workers of the dead one too"


@each_layout
def test_a_dump_whose_backend_is_terminated_is_no_backup(laid_out, kept):
    fatten(laid_out)
    connection, end = busy(laid_out, DUMPING, f"= '{laid_out.database}'", TERMINATED)

    with connection, meanwhile(end, lambda found: None):
        told = refused_backup(laid_out)

    assert told.startswith("pg_dump failed; no backup was made.\n  ended by: exit code 1\n")
    assert kept.names() == []


@each_layout
def test_a_restore_whose_program_is_killed_changes_nothing(laid_out, layout):
    fatten(laid_out)
    backup = laid_out.backup(verified=False)
    program = "pg_restore" if layout == "directory" else "psql"
    connection, look = busy(laid_out, RESTORING, "LIKE '%'")
    place = laid_out.open()

    with connection:
        with meanwhile(lambda: look() and children(program), kill), pytest.raises(errors.Failure) as caught:
            steps.verify(place, backup, Level.RESTORE)
        assert (caught.value.what, caught.value.evidence["ended by"]) == (CUT_OFF, "SIGKILL")
        assert place.store.read(backup.id).manifest.verifications == (), "it says nothing about the backup"
        with meanwhile(lambda: look() and children(program), kill), pytest.raises(errors.Failure) as caught:
            clinic.restore_beside(place, backup)

    assert (caught.value.what, caught.value.evidence["ended by"]) == (CUT_OFF, "SIGKILL")
    assert laid_out.programs() == {}


@each_layout
def test_a_restore_whose_backend_is_terminated_changes_nothing(laid_out):
    fatten(laid_out)
    backup = laid_out.backup(verified=False)
    connection, end = busy(laid_out, RESTORING, "LIKE '%'", TERMINATED)
    place = laid_out.open()

    with connection, meanwhile(end, lambda found: None), pytest.raises(errors.Failure) as caught:
        clinic.restore_beside(place, backup)

    assert caught.value.what == CUT_OFF
    assert "ended by" in caught.value.evidence


@pytest.mark.parametrize(
    ("act", "store", "layout"),
    [
        ("backup", "folder", "plain"),
        ("backup", "s3", "age"),
        long("verify", "folder", "directory"),
        long("restore", "folder", "plain"),
        ("restore", "s3", "age"),
    ],
)
def test_what_a_killed_run_left_is_swept_by_the_next(laid_out, kept, act):
    fatten(laid_out)
    before = [laid_out.backup(verified=False).id] if act != "backup" else []
    connection, look = busy(laid_out, DUMPING if act == "backup" else RESTORING, "LIKE '%'")

    with connection:
        run = laid_out.start(act)
        while not look():
            assert run.poll() is None
        run.send_signal(signal.SIGKILL)
        run.wait()
        wait_until(lambda: not laid_out.programs(), laid_out.programs, 5)
    assert laid_out.left() != []
    assert [one.id for one in laid_out.open().store.entries()[0]] == before

    backup = laid_out.backup()

    assert laid_out.left() == []
    assert steps.newest_backup(laid_out.open(), plan_of(laid_out.open())) == backup


def test_of_two_restores_at_once_the_second_is_refused(site):
    backup = site.backup()
    first = site.open()
    cost, consent = clinic.cost_of(first, backup)
    beside = restoring.restore_beside(first, cost, consent)

    for refuse in (
        lambda second: restoring.weigh(second, backup),
        lambda second: restoring.restore_beside(second, cost, consent),
        lambda second: restoring.swap_names(second, cost, beside, consent),
        lambda second: steps.backup(second, plan_of(second), protects=False),
    ):
        with pytest.raises(errors.Locked) as caught:
            refuse(site.open())
        assert re.fullmatch(
            "Another run is migrating, backing up or restoring this database; nothing was changed.\n"
            r"  holder: migration_pipeline clinic run test \(process \d+, from 127\.0\.0\.1\)\n"
            r"  since: \d+ s ago\n"
            "Next: wait until it has ended, then run the same command again",
            str(caught.value),
        )

    assert restoring.swap_names(first, cost, beside, consent).heads == ("0001",)
    assert clinic.live_state(site.open())[1] == site.before[1]
    site.settle()
