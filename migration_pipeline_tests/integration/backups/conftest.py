"""A clinic whose backups are kept in each kind of store."""

import pytest

from migration_pipeline_tests.integration.backups import clinic


@pytest.fixture(params=["folder", "s3"])
def store(request):
    return request.param


@pytest.fixture
def kept(request, store):
    return clinic.kept_in(request, store)


@pytest.fixture
def site(server18, database18, kept, monkeypatch, tmp_path):
    with clinic.site(server18, database18, kept, monkeypatch, tmp_path) as made:
        yield made


@pytest.fixture
def laid_out(site, layout):
    site.lay_out(layout)
    return site
