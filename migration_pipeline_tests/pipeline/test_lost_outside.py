"""An env.py that sends SQL of its own around the revisions: what that loses or takes away is predicted too, and asked about."""

import json

import pytest

CONFIGURES = "        context.configure(connection=connection)\n"
SENDS = """\
        connection.exec_driver_sql("DELETE FROM patients WHERE name = 'nobody'")
        connection.exec_driver_sql("DROP POLICY IF EXISTS own ON patients")
        connection.exec_driver_sql("SET LOCAL search_path = public")
        connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS audit")
"""


@pytest.fixture
def site(make_site18):
    """A plan without loss. Its env.py deletes no row that is there today."""
    site = make_site18("linear", at="0001")
    site.query("INSERT INTO patients (name) VALUES ('Ann')", "CREATE POLICY own ON patients USING (true)")
    env = site.project.parent / "shared" / "env.py"
    env.write_text(env.read_text().replace(CONFIGURES, SENDS + CONFIGURES))
    site.take_backup()
    return site


def test_what_env_py_would_lose_on_other_rows_is_asked_about_in_the_terminal(site):
    fingerprint = json.loads(site.run("plan", "--json").stdout)["fingerprint"][:8]

    declined = site.run("migrate", "--reuse-recent-backup", answer="no\n")

    assert declined.returncode == 3, declined.stderr
    shown = declined.stderr[declined.stderr.index("\n  env.py outside any revision\n") :]
    assert shown.startswith(
        "\n  env.py outside any revision\n"
        "      rows deleted: patients\n"
        f"  plan {fingerprint}\n"
        "\n"
        "This migration is DESTRUCTIVE. Type 'CONFIRM' to proceed:"
    )
    assert "    env.py guard dropped: patients.own\n" in declined.stderr
    assert site.revision == ["0001"]

    done = site.run("migrate", "--reuse-recent-backup", answer="CONFIRM\n")

    assert done.returncode == 0, done.stderr
    assert site.revision == ["0003"]
