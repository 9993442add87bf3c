"""An operator's site without Dagster: the steps are called as they are."""

import subprocess
import sys

import pytest

from migration_pipeline import settings, steps
from migration_pipeline.adapters import pending
from migration_pipeline.adapters import preflight as conditions
from migration_pipeline.domain import confirmation
from migration_pipeline.workplace import Workplace
from migration_pipeline_tests import projects
from migration_pipeline_tests.conftest import execute, missing


@pytest.fixture
def site(server18, database18, tmp_path):
    yield from make_sites(server18, database18, tmp_path)


@pytest.fixture
def site_of_each_major(server, database, tmp_path):
    yield from make_sites(server, database, tmp_path)


def make_sites(server, database, tmp_path):
    places = []

    def make(name, driver=""):
        config = projects.copy(name, tmp_path) / "alembic.ini"
        environ = {
            "DATABASE_URL": database.replace("postgresql:", f"postgresql+{driver}:") if driver else database,
            "ALEMBIC_CONFIG": str(config),
            "MIGRATION_ENVIRONMENT": "staging",
            "BACKUP_LOCATION": str(tmp_path / "backups"),
            "PG_BIN": str(server.binaries),
            "PROJECT_PYTHON": sys.executable,
        }
        place = Workplace(target=settings.load(environ, tmp_path), run_id="test")
        place.project_folder = config.parent
        places.append(place)
        return place

    yield make
    for place in places:
        place.close()
    assert execute(server.url(), "SELECT datname FROM pg_database WHERE datname LIKE 'mp\\_scratch%'") == []


def migrate(place, revision="head"):
    """Go through the steps, and confirm what is asked; return what the last ones found.

    The one backup is the recent one and the pre-migration one: a second would be the same here, and cost its seconds.
    """
    plan = pending.plan(place.project, place.live, place.identity(conditions.examine(place.live)), revision)
    verified = steps.verify_backup(place, steps.backup(place, plan, protects=True), plan)
    assert steps.newest_backup(place, plan).id == verified.backup.id
    rehearsal = steps.rehearse(place, plan, verified)
    report = steps.classify_safety(place, plan, rehearsal)
    consent = steps.confirm(plan, report, lambda fingerprint: confirmation.from_prompt("CONFIRM", fingerprint))
    result = steps.upgrade(place, plan, verified, rehearsal, consent)
    steps.post_check(place, plan, rehearsal, result)
    return rehearsal, report, result


def old_environment(folder, *pins):
    """Return the interpreter of a new environment with these versions, from the package registry."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    done = subprocess.run([folder / "bin" / "pip", "install", "--quiet", *pins], capture_output=True, check=False)
    if done.returncode:
        missing("a package registry")
    return folder / "bin" / "python"
