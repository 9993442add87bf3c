"""One server for all strangers; the page is written when each of them has told its story."""

import shutil
import tempfile
from pathlib import Path

import pytest

from migration_pipeline.adapters import embedded
from migration_pipeline_tests.strangers import page
from migration_pipeline_tests.strangers.stranger import Stranger

TITLES = ("mlflow", "airflow", "prefect")


@pytest.fixture(scope="session")
def stories(server18):
    """The stories told so far, by name."""
    told = {}
    yield told
    if all(name in told for name in TITLES):
        page.write([told[name] for name in TITLES], "18")


@pytest.fixture
def meet(server18, stories):
    """Return a function that makes a Stranger with a database; its story is kept if the test passes."""
    folder = Path(tempfile.mkdtemp(prefix="mp-strangers-", dir=embedded.HOME))

    def make(*, driver, **parts):
        url = server18.url(parts["name"]).replace("postgresql:", f"postgresql+{driver}:")
        return Stranger(url=url, folder=folder, server=server18, **parts)

    yield make
    shutil.rmtree(folder)
