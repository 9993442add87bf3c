"""Backups that are whole and cannot be used here or now: another major, a role or an extension missing, a time, a failure."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from migration_pipeline import errors, housekeeping, restoring, steps
from migration_pipeline.domain.backups import Level, Verification
from migration_pipeline_tests.conftest import execute, run_server
from migration_pipeline_tests.integration.backups import clinic
from migration_pipeline_tests.integration.backups.clinic import plan_of, rejections

pytest_plugins = ["migration_pipeline_tests.s3"]

FAILED = Verification(
    level=Level.RESTORE,
    at=datetime(2026, 11, 22, tzinfo=UTC),
    seconds=1,
    passed=False,
    detail="The restored copy differs from what was dumped.",
)
only_folder = pytest.mark.parametrize("store", ["folder"])


@pytest.fixture(scope="module")
def server15():
    yield from run_server(15)


@only_folder
def test_programs_of_another_major_take_and_restore_nothing(server18, server15, database18, kept, monkeypatch, tmp_path):
    for server, other, major in ((server18, server15, 18), (server15, server18, 15)):
        url = database18 if server is server18 else server15.url("other_major")
        folder = tmp_path / str(major)
        folder.mkdir()
        if server is server15:
            execute(server15.url(), "CREATE DATABASE other_major TEMPLATE template0")
        with clinic.site(server, url, kept, monkeypatch, folder) as site:
            site.keys["backup_location"] += f"/{major}"
            backup = site.backup()
            place = site.open(pg_bin=str(other.binaries))
            refused = (
                f"pg_dump and psql of PostgreSQL {major}, the server's major version, were not found.\n"
                f"  {other.binaries}: pg_dump {33 - major}\n"
                f"Next: install the client programs of PostgreSQL {major} (Debian: apt-get install postgresql-client-{major}), "
                "or set PG_BIN to their folder"
            )

            for refuse in (
                lambda place=place: steps.backup(place, plan_of(place), protects=False),
                lambda place=place, backup=backup: steps.verify(place, backup, Level.RESTORE),
                lambda place=place, backup=backup: restoring.weigh(place, backup),
            ):
                with pytest.raises(errors.ToolMissing) as caught:
                    refuse()
                assert str(caught.value) == refused
            assert place.store.entries() == ([backup.entry], [])
    execute(server15.url(), "DROP DATABASE other_major")


def test_a_backup_of_a_newer_major_is_not_restored_to_an_older_server(site, server15):
    backup = site.backup()
    execute(server15.url(), f'CREATE DATABASE "{site.database}"')
    place = site.open(database_url=server15.url(site.database), pg_bin=str(server15.binaries))

    with pytest.raises(errors.NotAllowed) as caught:
        restoring.weigh(place, backup)

    assert str(caught.value) == (
        "The backup cannot be restored here; nothing was changed.\n"
        f"  database: {place.live.where}\n"
        "  version: the backup is of PostgreSQL 18, and this server is 15: it cannot take it back\n"
        "Next: mend what is named above, then run the same command again"
    )
    assert [name for (name,) in execute(server15.url(), "SELECT datname FROM pg_database") if "_restore_" in name] == []
    place.close()
    execute(server15.url(), f'DROP DATABASE "{site.database}"')


def test_a_role_that_the_scratch_server_lacks_is_made_as_a_name(site, second_server):
    role = f"{site.database}_owner"
    execute(site.url, f'CREATE ROLE "{role}" LOGIN CREATEDB', f'ALTER TABLE patients OWNER TO "{role}"')
    site.settle()
    try:
        site.backup(scratch_database_url=second_server.url())

        assert execute(
            second_server.url(), f"SELECT rolcanlogin, rolcreatedb FROM pg_roles WHERE rolname = '{role}'"
        ) == [(False, False)]  # fmt: skip
    finally:
        execute(second_server.url(), f'DROP ROLE IF EXISTS "{role}"')
        execute(site.url, "ALTER TABLE patients OWNER TO postgres", f'DROP ROLE "{role}"')
        site.settle()


@pytest.mark.parametrize("layout", ["plain", "age"])
def test_a_role_that_was_dropped_since_is_made_again_for_the_restore(site, layout):
    site.lay_out(layout)
    role = f"{site.database}_owner"
    execute(site.url, f'CREATE ROLE "{role}" CREATEDB', f'ALTER TABLE patients OWNER TO "{role}"')
    backup = site.backup()
    execute(site.url, "ALTER TABLE patients OWNER TO postgres", f'DROP ROLE "{role}"')
    site.settle()
    place = site.open()

    beside = clinic.restore_beside(place, backup)

    assert beside.notes == (f'role "{role}" was made anew',)
    restored = site.server.url(beside.name)
    assert execute(restored, "SELECT tableowner FROM pg_tables WHERE tablename = 'patients'") == [(role,)]
    assert execute(restored, f"SELECT rolcreatedb FROM pg_roles WHERE rolname = '{role}'") == [(True,)]
    place.close()
    execute(site.server.url(), f'DROP ROLE "{role}"')


def test_an_extension_that_the_server_lacks_is_named_before_anything_is_restored(site, kept):
    backup = site.backup()
    place = site.open()
    place.store.rewrite(replace(backup.manifest, extensions={"plpgsql": "1.0", "nonesuch": "1.0"}))
    backup = place.store.read(backup.id)

    for refuse in (lambda: steps.verify(place, backup, Level.RESTORE), lambda: restoring.weigh(place, backup)):
        with pytest.raises(errors.NotAllowed) as caught:
            refuse()
        assert str(caught.value) == (
            "The server lacks what the backup needs; nothing was restored.\n"
            f"  server: {place.admin.where}\n"
            "  extension nonesuch: is not installed there\n"
            "Next: install what is named above on that server, then run the same command again"
        )

    assert place.store.read(backup.id) == backup, "it is not the backup that failed"


def test_a_backup_of_the_future_is_neither_chosen_nor_pruned(site):
    place = site.open()
    now, then = place.server_time(), timedelta(days=400)
    today = site.backup()
    future = place.store.rewrite(replace(site.backup().manifest, snapshot_time=now + timedelta(hours=1)))
    old = place.store.rewrite(replace(site.backup().manifest, snapshot_time=now - then))

    assert steps.newest_backup(place, plan_of(place)) == today
    assert restoring.choose(place, "") == today
    pruned = housekeeping.prune(site.open(keep_newest=1), dry_run=False)

    reasons = {one.entry.id: one.reason for one in pruned.retention.decisions}
    assert reasons.pop(today.id).startswith("younger than 30 days (")
    assert reasons == {
        future.id: "its time is in the future: its age is unknown",
        old.id: "400 days old; the limit is 30 days",
    }
    assert [one.id for one in place.store.entries()[0]] == [future.id, today.id]
    place.store.remove([today.id])
    assert rejections(place) == {future.id: "its time is in the future"}


def test_a_store_of_backups_that_all_failed_helps_nobody_and_is_not_emptied(site):
    place = site.open()
    long_ago = place.server_time() - timedelta(days=400)
    backups = []
    for day in range(2):
        backup = place.store.rewrite(replace(site.backup(verified=False).manifest, snapshot_time=long_ago + timedelta(days=day)))
        backups.append(steps.record(place, backup, FAILED))
    older, newer = backups

    assert rejections(place) == {
        newer.id: "399 days old; the limit is 24 h",
        older.id: "400 days old; the limit is 24 h",
    }
    with pytest.raises(errors.NotAllowed) as caught:
        restoring.choose(place, "")
    assert str(caught.value) == (
        "There is no verified backup of this database to restore; nothing was changed.\n"
        f"  {newer.id}: not verified by a restore\n"
        f"  {older.id}: not verified by a restore\n"
        "Next: name one: just restore-db <backup>. With none: alembic downgrade -1; if that fails, the administrator"
    )
    housekeeping.prune(place, dry_run=False)
    assert [one.id for one in place.store.entries()[0]] == [newer.id]
    housekeeping.prune(place, dry_run=False)
    assert [one.id for one in place.store.entries()[0]] == [newer.id]


@only_folder
def test_a_scratch_server_of_another_major_does_not_put_a_backup_in_doubt(site, server15):
    backup = site.backup()
    place = site.open(scratch_database_url=server15.url())

    with pytest.raises(errors.MigrationPipelineError) as caught:
        housekeeping.verify_again(place, backup.id, Level.RESTORE)

    assert "15" in str(caught.value)
    assert place.store.read(backup.id) == backup
