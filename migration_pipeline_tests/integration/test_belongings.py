"""What a run keeps outside its own process: gone with it, or with the next run, and never while it lives."""

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from migration_pipeline.adapters import belongings


@pytest.fixture(autouse=True)
def own_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def names(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir())


def test_a_folder_of_a_living_run_is_not_swept(tmp_path):
    with belongings.private_folder() as folder:
        (folder / "passfile").write_text("secret")
        belongings.sweep()

        assert (folder / "passfile").read_text() == "secret"
        assert folder.stat().st_mode & 0o777 == 0o700
    assert names(tmp_path) == []


def test_what_a_dead_run_left_is_swept(tmp_path):
    left = tmp_path / "migration_pipeline-left"
    left.mkdir()
    (left / "owner").touch()
    (left / "passfile").write_text("secret")

    belongings.sweep()

    assert names(tmp_path) == []


def test_a_folder_that_is_taken_away_before_it_is_locked_is_made_again(monkeypatch):
    lock = belongings.fcntl.flock
    swept = []

    def after_a_sweep(descriptor, operation):
        if not swept:
            swept.append(True)
            monkeypatch.setattr(belongings.fcntl, "flock", lock)
            belongings.sweep()
        lock(descriptor, operation)

    monkeypatch.setattr(belongings.fcntl, "flock", after_a_sweep)

    with belongings.private_folder() as folder:
        assert (folder / "owner").exists()


def test_what_is_in_a_folder_goes_before_the_file_that_it_is_found_by(tmp_path):
    folder = tmp_path / "migration_pipeline-x"
    folder.mkdir()
    (folder / "owner").touch()
    (folder / "passfile").touch()
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(belongings.shutil, "rmtree", lambda path, **_: seen.append(sorted(one.name for one in path.iterdir())))
        belongings._remove(folder)

    assert seen == [["owner"]]


def test_a_link_in_the_place_of_the_owner_is_not_followed(tmp_path):
    folder = tmp_path / "migration_pipeline-link"
    folder.mkdir()
    (folder / "owner").symlink_to("/dev/zero")

    belongings.sweep()

    assert names(tmp_path) == ["migration_pipeline-link"]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's word, on Linux alone")
def test_a_tethered_program_ends_with_its_killed_parent():
    parent = "import subprocess, sys; from migration_pipeline.adapters import belongings; import time; \
print(subprocess.Popen(belongings.tethered(['/bin/sleep', '60'])).pid, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        time.sleep(0.3)  # until it is `sleep`
        process.send_signal(signal.SIGKILL)

    end = time.monotonic() + 5
    while is_running(child):
        assert time.monotonic() < end
        time.sleep(0.05)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_program_that_cannot_be_run_is_said_as_the_program_would(tmp_path):
    done = subprocess.run(belongings.tethered([str(tmp_path / "pg_dump")]), capture_output=True, text=True)

    assert done.returncode == 1
    assert done.stderr == "pg_dump: error: No such file or directory\n"
