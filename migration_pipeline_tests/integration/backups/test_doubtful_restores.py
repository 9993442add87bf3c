"""A restore, a sweep or a prune where the world is not what it seems: clocks, names, comments, another server, a database gone."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql

from migration_pipeline import errors, housekeeping, restoring, steps
from migration_pipeline.adapters import postgres, row_hashes, scratch, swap
from migration_pipeline.domain.backups import Level
from migration_pipeline.domain.restoration import RestoreConfirmation
from migration_pipeline_tests.conftest import execute
from migration_pipeline_tests.integration.backups import clinic


@pytest.fixture
def kept(tmp_path):
    return clinic.FolderOfBackups(tmp_path / "backups")


def databases(server, *names):
    return [name for (name,) in execute(server.url(), f"SELECT datname::text FROM pg_database WHERE datname IN {names}")]


def make_database(server, name, comment):
    execute(server.url(), f'CREATE DATABASE "{name}"', f'COMMENT ON DATABASE "{name}" IS {sql.Literal(comment).as_string()}')


# ── what is swept ──


def test_only_what_has_both_our_name_and_our_comment_is_swept(site, second_server):
    ours, renamed, alike = (f"{site.database}{end}" for end in ("_restore_0badcafe", "_saved", "_restore_0badbeef"))
    make_database(site.server, ours, scratch.COMMENT)
    make_database(site.server, renamed, scratch.COMMENT)
    make_database(site.server, alike, "somebody's own")
    execute(site.server.url(), f"COMMENT ON DATABASE \"{site.database}\" IS '{scratch.COMMENT}'")
    place = site.open(scratch_database_url=second_server.url())
    place.hold_lock()

    swept = place.sweep()

    assert swept == [ours], "on the live server too, though copies are restored on another one"
    assert sorted(databases(site.server, ours, renamed, alike, site.database)) == sorted([renamed, alike, site.database])
    execute(site.server.url(), f'DROP DATABASE "{renamed}"', f'DROP DATABASE "{alike}"')


def test_a_replaced_database_that_was_given_another_name_is_somebodys(site):
    name = f"{site.database}_kept"
    make_database(site.server, name, f'{swap.MARK}"{site.database}" at 2026-11-22T10:00:00+00:00')
    place = site.open()

    assert restoring.replaced(place) == []
    with pytest.raises(errors.NotAllowed, match="was not dropped"):
        restoring.drop_replaced(place, name, end_sessions=True)
    execute(site.server.url(), f'DROP DATABASE "{name}"')


def test_a_scratch_server_that_is_gone_keeps_no_restore_waiting(site):
    backup = site.backup()
    place = site.open(scratch_database_url="postgresql://postgres@127.0.0.1:1/postgres")

    assert restoring.weigh(place, backup).heads_now == ("0001",)


# ── which backup ──


def test_a_backup_of_another_server_is_chosen_only_by_its_name(site):
    manifest = site.backup().manifest
    place = site.open()
    place.store.rewrite(replace(manifest, identity=replace(manifest.identity, system_identifier="7")))

    with pytest.raises(errors.NotAllowed) as caught:
        restoring.choose(place, "")
    assert caught.value.evidence == {manifest.id: "a backup of another server; name it, if it is the right one"}
    assert "the backup was taken on another server" in restoring.weigh(place, restoring.choose(place, manifest.id)).notes


def test_a_clock_of_ours_that_runs_ahead_prunes_nothing(site):
    backups = [site.backup(verified=False).id for _ in range(2)]
    place = site.open()
    place.clock = lambda: datetime.now(UTC) + timedelta(days=60)

    pruned = housekeeping.prune(place, dry_run=False)

    assert pruned.removed == []
    assert sorted(one.id for one in place.store.entries()[0]) == sorted(backups)


# ── what a swap may replace ──


def test_another_database_than_the_one_whose_loss_was_shown_is_not_replaced(site):
    place = site.open()
    cost, consent = clinic.cost_of(place, site_backup(place))
    beside = restoring.restore_beside(place, cost, consent)
    live, aside = site.database, f"{site.database}_aside"
    execute(site.server.url(), f'ALTER DATABASE "{live}" RENAME TO "{aside}"', f'CREATE DATABASE "{live}"')

    with pytest.raises(errors.Stale) as caught:
        restoring.swap_names(place, cost, beside, consent)

    assert str(caught.value) == (
        f"Database {live} was replaced, dropped or made since the restore was confirmed; nothing was swapped.\n"
        "Next: just restore-db, and read what is lost now"
    )
    execute(site.server.url(), f'DROP DATABASE "{live}"')
    gone = {"state": f"there is no database {live} any more, and it was not this restore that took it away"}
    assert restoring.standing(place, cost) == gone
    execute(site.server.url(), f'ALTER DATABASE "{aside}" RENAME TO "{live}"')


def site_backup(place):
    return steps.backup(place, clinic.plan_of(place), protects=False)


def test_what_holds_an_applications_secrets_is_in_nothing_that_is_stored(site):
    execute(site.server.url(), f"ALTER DATABASE \"{site.database}\" SET app.key = 'a secret of theirs'")
    place = site.open()
    beside = clinic.restore_beside(place, site.backup(verified=False))

    assert "a secret of theirs" not in repr(beside)
    assert "a secret of theirs" in place.database_sql(beside.name)
    with pytest.raises(errors.Stale, match="The restored database went with the run that made it"):
        site.open().database_sql(beside.name)


@pytest.mark.parametrize("whence", ["elsewhere", "before there were facts"])
def test_where_the_database_is_gone_its_rights_are_said_to_be_unknown(site, kept, tmp_path, whence):
    backup = site.backup()
    if whence == "elsewhere":
        file = tmp_path / "dump.sql"
        file.write_text("CREATE TABLE a (b int);\n")
    else:
        manifest = json.loads(kept.read(f"{backup.id}.json"))
        manifest["files"] = manifest["files"][:1]
        kept.write(f"{backup.id}.json", json.dumps(manifest).encode())
    live, aside = site.database, f"{site.database}_aside"
    execute(site.server.url(), f'ALTER DATABASE "{live}" RENAME TO "{aside}"')
    place = site.open()
    backup = restoring.from_elsewhere(place, file) if whence == "elsewhere" else place.store.read(backup.id)
    cost = restoring.weigh(place, backup)
    assert cost.state == f"there is no database {live}"
    consent = RestoreConfirmation(database=live, backup_id=backup.id, how="a test")

    restored = restoring.swap_names(place, cost, restoring.restore_beside(place, cost, consent), consent)

    note = "the database's own rights and settings are not known: until you grant CONNECT, only its owner gets in"
    assert note in restored.notes
    public = f"SELECT has_database_privilege('public', '{live}', 'CONNECT')"
    assert execute(site.server.url(), public) == [(False,)]
    execute(site.server.url(), f'DROP DATABASE "{live}"', f'ALTER DATABASE "{aside}" RENAME TO "{live}"')


def test_rows_that_take_too_long_to_count_leave_the_revision_known(site, monkeypatch):
    backup = site.backup()
    monkeypatch.setattr(restoring, "LOCK_TIMEOUT", "50ms")
    with psycopg.connect(site.url) as somebody:
        somebody.execute("LOCK TABLE patients")
        cost = restoring.weigh(site.open(), backup)

    assert cost.heads_now == ("0001",)
    assert cost.lines[1:] == [
        "rows now: not known, for they could not be counted (55P03 canceling statement due to lock timeout)"
    ]


# ── what is compared, and how ──


CHANGES = [
    ("v interval", "'1 day'", "'24 hours'"),
    ("v char(4)", "'a'", "'b'"),
    ("v bpchar", "'a'", "'a '"),
    ("t text", "'a'", "'b'"),
    ("v money", "1", "2"),
    ("v text[]", "'{a}'", "'{b}'"),
    ("v text COLLATE blind", "'a'", "'A'"),
]
BLIND = "CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"


def test_a_change_that_equality_does_not_see_is_another_hash(database):
    with psycopg.connect(database) as opened:
        has_icu = postgres.one(opened, "SELECT EXISTS (SELECT FROM pg_collation WHERE collname = 'und-x-icu')")[0]
        opened.execute(BLIND if has_icu else "SELECT")
        for column, before, after in CHANGES if has_icu else CHANGES[:-1]:
            name = column.split()[0]
            opened.execute(f"CREATE TABLE public.t ({column}); INSERT INTO public.t VALUES ({before})")
            first = row_hashes.of(opened)["public.t"]
            opened.execute(f"UPDATE public.t SET {name} = {after}")
            assert row_hashes.of(opened)["public.t"] != first, column
            opened.execute(f"UPDATE public.t SET {name} = {before}")
            assert row_hashes.of(opened)["public.t"] == first, column
            opened.execute("DROP TABLE public.t; SET LOCAL search_path = public")


def test_large_objects_are_compared_in_the_way_that_they_were_hashed(site):
    taken = site.backup(verified=False, verify_level="rows")
    assert row_hashes.BY_PAGE in taken.manifest.row_hashes
    with postgres.session(site.open().live, purpose="test", autocommit=False) as opened:
        whole = str(postgres.one(opened, row_hashes.WHOLE)[0])
    hashes = {name: one for name, one in taken.manifest.row_hashes.items() if name != row_hashes.BY_PAGE}
    place = site.open(verify_level="rows")
    rewritten = place.store.rewrite(replace(taken.manifest, row_hashes={**hashes, "large objects, whole": whole}))

    assert steps.verify(place, rewritten, Level.ROWS)[1].passed


def test_limits_of_the_role_end_no_backup(site):
    for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
        execute(site.server.url(), f"ALTER DATABASE \"{site.database}\" SET {name} = '20ms'")

    backup = site.backup(verify_level="rows")

    assert backup.manifest.restored.level is Level.ROWS


# ── copies ──


def test_a_backup_of_a_time_before_there_was_a_copy_can_be_pinned(site, tmp_path):
    backup = site.backup()
    folder = tmp_path / "copy"
    place = site.open(copies=[str(folder)])

    assert housekeeping.pin(place, backup.id, "before the merger").manifest.pinned is not None
    assert not [*folder.rglob("*.json")]


def test_a_backup_that_was_removed_meanwhile_is_not_brought_back(site):
    backup = site.backup()
    place = site.open()
    place.store.remove([backup.id])

    with pytest.raises(errors.BackupFailed) as caught:
        place.store.rewrite(backup.manifest)

    assert caught.value.what == f'Backup "{backup.id}" was removed meanwhile; its manifest is not written anew.'
    assert place.store.entries() == ([], [])
