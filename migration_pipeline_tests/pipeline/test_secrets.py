"""No password, no bound parameter and no row value in any argument, log, event, manifest or error."""

import contextlib
import sqlite3
import threading
import urllib.parse
from pathlib import Path

import pytest

from migration_pipeline_tests import long

NAME, ALLERGY = "Canaryname O'Kestrel", "canary-allergy-7731"
CANARIES = ("Canaryname", "Kestrel", ALLERGY)  # no short digits: a port of another test may hold them


class Arguments:
    """Collects the command line of every process on this machine while the block runs."""

    def __enter__(self):
        self.seen = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self):
        while not self._stop.wait(0.005):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    self.seen.add(path.read_bytes())

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def texts(folder):
    """Return everything that a run leaves behind, but the dump itself."""
    found = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".sql"}
    for path in [path for path in found if path.suffix == ".db"]:
        with contextlib.suppress(sqlite3.Error), sqlite3.connect(path) as database:
            found[path.with_suffix(".dumped")] = "\n".join(database.iterdump()).encode()
    return found


@pytest.mark.parametrize("mode", ["fine", long("raise"), long("duplicate")])
def test_nothing_that_a_run_leaves_or_says_holds_a_row_or_a_password(make_site18, mode):
    site = make_site18("canary", at="0001", PYTHONWARNINGS="default")
    site.query(f"INSERT INTO patients (name, allergy) VALUES ('{NAME.replace(chr(39), chr(39) * 2)}', '{ALLERGY}')")
    if mode != "fine":
        site.query(f"INSERT INTO canary_mode VALUES ('{mode}')")
    password = urllib.parse.urlparse(site.url).password

    with Arguments() as arguments:
        backup = site.just("backup-db")
        done = site.just("migrate", "--json", answer="CONFIRM\n")
        listed = site.just("backups")

    assert backup.returncode == 0, backup.stderr
    assert done.returncode == (0 if mode == "fine" else 1), done.stderr
    said = {name: getattr(one, name).encode() for one in (backup, done, listed) for name in ("stdout", "stderr")}
    left = texts(site.folder / "backups") | texts(site.folder / "dagster")
    assert any(b"psql" in one for one in arguments.seen), "the watch saw the children"
    assert any(str(path).endswith(".dumped") for path in left), "the run's events were read"
    for canary in (*CANARIES, password, site.url):
        needle = canary.encode()
        assert not [one for one in arguments.seen if needle in one], f"{canary} in an argument"
        assert not [name for name, text in said.items() if needle in text], f"{canary} was said"
        assert not [path for path, text in left.items() if needle in text], f"{canary} was kept"
