"""What stays in the store and what goes, through `just` and by the schedules; nothing goes that could still be needed."""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from migration_pipeline.defs import schedules
from migration_pipeline.domain import backups
from migration_pipeline_tests import long
from migration_pipeline_tests.conftest import wait_until
from migration_pipeline_tests.pipeline.test_controls import patients


def store(site):
    return site.folder / "backups" / "default"


def older(site, days, **changes):
    """Put a copy of the newest backup into the store that is so many days older; return its id."""
    newest = max(store(site).glob("backup_*.json"))
    moment = datetime.now(UTC) - timedelta(days=days)
    name = backups.name_at(moment)
    manifest = json.loads(newest.read_text().replace(newest.stem, name))
    for path in store(site).glob(f"{newest.stem}.*sql"):
        (store(site) / path.name.replace(newest.stem, name)).write_bytes(path.read_bytes())
    (store(site) / f"{name}.json").write_text(json.dumps({**manifest, "snapshot_time": moment.isoformat(), **changes}))
    return name


def decisions(site, *options):
    done = site.run("prune-backups", "--json", *options)
    assert done.returncode == 0, done.stderr
    return {one["backup"]: (one["what"], one["why"]) for one in json.loads(done.stdout)["backups"]}


def ids(site):
    return sorted(path.stem for path in store(site).glob("backup_*.json"))


@pytest.fixture
def site(make_site18):
    site = make_site18("linear", at="0001")
    patients(site)
    site.take_backup()
    return site


@pytest.mark.control("B2")
def test_backups_go_after_thirty_days_and_the_newest_verified_never(site):
    month, two, three, four = (older(site, days) for days in (29, 40, 50, 60))
    future = older(site, -1)
    failed = older(site, 45, verifications=[])
    (newest,) = {*ids(site)} - {month, two, three, four, future, failed}

    shown = site.just("prune-backups", "--dry-run")

    assert shown.returncode == 0, shown.stderr
    assert len(ids(site)) == 7, "a dry run removes nothing"
    for backup, what, why in (
        (future, "stays", "its time is in the future: its age is unknown"),
        (month, "stays", "younger than 30 days (29 days old)"),
        (two, "stays", "one of the newest 3 verified backups of "),
        (failed, "would go", "45 days old; the limit is 30 days"),
        (three, "would go", "50 days old; the limit is 30 days"),
    ):
        (line,) = [line for line in shown.stderr.splitlines() if line.startswith(f"    {backup} ")]
        assert line.split(maxsplit=1)[1].startswith(what)
        assert why in line

    found = decisions(site)

    assert found[four] == ("removed", "60 days old; the limit is 30 days")
    assert ids(site) == sorted([newest, month, two, future])
    assert not [path for path in store(site).iterdir() if path.name.startswith((three, four, failed))]
    assert decisions(site, "--dry-run").keys() == {newest, month, two, future}


@pytest.mark.control("B2")
def test_the_backup_of_a_migration_stays_for_a_week_and_for_as_long_as_it_failed(site):
    for days in (31, 32, 33):
        older(site, days)
    assert site.run("migrate").returncode == 0
    (record,) = store(site).glob("migration_*.json")
    told = json.loads(record.read_text())
    assert told["outcome"] == "committed"
    taken = older(site, 100)

    for outcome, days, what, why in (
        ("committed", 3, "stays", "the pre-migration backup of a migration that finished 3 days ago; kept for 7 days"),
        ("committed", 8, "would go", "100 days old; the limit is 30 days"),
        ("begun", 90, "stays", "nobody knows how it ended"),
        ("failed", 90, "stays", "its migration failed on "),
    ):
        then = (datetime.now(UTC) - timedelta(days=days)).isoformat()
        record.write_text(json.dumps({**told, "backup_id": taken, "outcome": outcome, "at": then, "finished": then}))
        found = decisions(site, "--dry-run")[taken]
        assert found[0] == what
        assert why in found[1]
    record.write_text("not a record")
    assert decisions(site, "--dry-run")[taken] == ("stays", "a migration record cannot be read: it may be of this backup")


@pytest.mark.control("B2")
def test_a_pinned_backup_stays_until_its_pin_is_taken_away(site):
    for days in (1, 2, 3):
        older(site, days)
    old = older(site, 400)

    pinned = site.just("pin-backup", old, "--reason", "before the merger")

    assert pinned.returncode == 0, pinned.stderr
    assert "pinned: before the merger" in site.run("backups").stdout
    assert decisions(site)[old] == ("stays", "pinned: before the merger")
    assert site.run("pin-backup", old, "--remove").returncode == 0
    assert decisions(site)[old][0] == "removed"
    unknown = site.run("pin-backup", old)
    assert unknown.returncode == 1
    assert f'The manifest of backup "{old}" is missing or damaged: it is no backup.' in unknown.stderr.splitlines()


def test_a_migration_that_fails_is_recorded_as_failed_and_keeps_its_backup(make_site18):
    site = make_site18("fails_live_by_name", at="0001")
    site.take_backup()
    assert site.run("migrate", answer="CONFIRM\n").returncode == 1

    (record,) = store(site).glob("migration_*.json")
    assert json.loads(record.read_text())["outcome"] == "failed"
    found = decisions(site, "--dry-run")
    assert "its migration failed on " in found[json.loads(record.read_text())["backup_id"]][1]


def test_garbage_is_what_belongs_to_no_backup(site):
    kept = ids(site)
    left = store(site) / "backup_2026-01-01_00-00-00.sql"
    left.write_text("half of a dump")
    (store(site) / "notes.txt").write_text("an operator's own")

    listed = site.just("garbage")
    assert "backup_2026-01-01_00-00-00.sql" in listed.stdout
    assert left.exists()
    removed = site.just("garbage", "--remove")

    assert removed.returncode == 0, removed.stderr
    assert not left.exists()
    assert (store(site) / "notes.txt").exists()
    assert ids(site) == kept


@pytest.mark.parametrize("level", [long("checksum"), long("restore"), "rows"])
def test_a_backup_is_proved_once_more_and_what_came_of_it_is_recorded(site, level):
    site.configure(verify_level="rows")
    site.take_backup()
    newest = ids(site)[-1]

    proved = site.just("verify-backup", newest, "--level", level)

    assert proved.returncode == 0, proved.stderr
    assert [one["level"] for one in json.loads((store(site) / f"{newest}.json").read_text())["verifications"]] == ["rows", level]
    (store(site) / f"{newest}.sql").write_bytes(b"-- nothing\n")
    denied = site.run("verify-backup", newest, "--level", level)
    assert denied.returncode == 1
    assert f'The dump of backup "{newest}" is not what its manifest says.' in denied.stderr.splitlines()
    assert "no: The dump of backup" in site.run("backups").stdout
    assert site.run("migrate").returncode == 0, "the older one is still good"


@pytest.mark.control("B2")
@pytest.mark.parametrize(
    ("schedule", "job"),
    [
        (schedules.back_up_nightly, "backup_database"),
        (schedules.prune_backups_daily, "prune_backups"),
        (schedules.verify_newest_backup_daily, "verify_newest_backup"),
    ],
)
def test_every_night_each_target_is_backed_up_pruned_and_its_newest_backup_verified(site, schedule, job, monkeypatch):
    site.configure()
    with (site.folder / "pipeline.toml").open("a") as file:
        file.write('[targets.second]\nenvironment = "staging"\ndatabase_url = "env:DATABASE_URL"\n')
    monkeypatch.chdir(site.folder)
    tick = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 11, 23, 3, 30, tzinfo=UTC))

    requests = list(schedule(tick))

    assert schedule.job_name == job
    assert [(one.run_config, one.tags["migration/target"]) for one in requests] == [
        ({"target": "default"}, "default"),
        ({"target": "second"}, "second"),
    ]
    (site.folder / "pipeline.toml").write_text("not [ toml")
    (skipped,) = schedule(tick)
    assert skipped.skip_message.startswith("The settings cannot be read: ")


def test_a_production_target_without_room_for_a_copy_has_its_backup_stored_and_not_called_verified(site, monkeypatch):
    from migration_pipeline import settings, steps
    from migration_pipeline.adapters import preflight
    from migration_pipeline.workplace import Workplace

    for name, value in site.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(preflight, "free_bytes", lambda *_: 1000)
    place = Workplace(target=settings.load(site.environ, site.folder), run_id="test")
    why = steps.why_not_by_restore(place)
    assert why.startswith("1,000 bytes are free, the copy needs about ")
    backup = steps.backup(place, steps.plan_for_backup(place), protects=False)
    with pytest.raises(Exception, match="is stored, but not verified by restore: no migration will rely on it") as told:
        steps.verify_without_room(place, backup, why)
    place.close()
    assert f"Next: give the scratch server room, then: just verify-backup {backup.id}" in str(told.value)
    assert "not by restore" in site.run("backups").stdout
    wait_until(lambda: site.scratch_databases == [], lambda: site.scratch_databases, 5)
