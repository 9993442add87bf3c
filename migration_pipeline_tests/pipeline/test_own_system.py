"""A Target whose backups are kept by a system of the operator's own: the same road, from the recent backup to the post-check."""

import sys

import pytest

from migration_pipeline_tests.integration.test_own_system import SYSTEM
from migration_pipeline_tests.pipeline.test_controls import D1, patients

TABLES = ["list", "create", "restore_to"]


@pytest.fixture
def site(make_site18):
    site = make_site18("drops_table", at="0001")
    patients(site)
    (site.folder / "system.py").write_text(SYSTEM)
    (site.folder / "dumps").mkdir()
    command = [sys.executable, str(site.folder / "system.py"), str(site.folder / "dumps"), str(site.binaries)]
    site.more["SCRATCH"] = site.url.rpartition("/")[0] + "/postgres"
    site.configure(scratch_database_url="env:SCRATCH")
    with (site.folder / "pipeline.toml").open("a") as file:
        file.write("[targets.default.backup_system]\n" + "".join(f"{verb} = {[*command, verb]}\n" for verb in TABLES))
    return site


@pytest.mark.control("D1")
@pytest.mark.control("D2")
def test_its_backups_are_listed_restored_rehearsed_on_and_relied_on(site):
    refused = site.just("migrate")
    assert refused.returncode == 3, refused.stderr
    assert D1 in refused.stderr.splitlines()

    taken = site.just("backup-db")
    assert taken.returncode == 0, taken.stderr
    migrated = site.just("migrate", answer="CONFIRM\n")

    assert migrated.returncode == 0, migrated.stderr
    assert site.revision == ["0002"]
    assert len(list((site.folder / "dumps").iterdir())) == 2
    assert site.query("SELECT datname FROM pg_database WHERE datname LIKE 'copy_of_%'") == []


def test_a_backup_that_the_system_has_lost_does_not_count(site):
    site.take_backup()
    for path in (site.folder / "dumps").iterdir():
        path.unlink()

    refused = site.run("migrate")

    assert refused.returncode == 3
    assert D1 in refused.stderr.splitlines()


def test_a_restore_is_left_to_the_system_itself(site):
    site.take_backup()

    refused = site.run("restore-db", answer="RESTORE\n")

    assert refused.returncode == 3
    assert "is kept by a backup system of its own, which alone can go back to it; nothing was changed." in refused.stderr
