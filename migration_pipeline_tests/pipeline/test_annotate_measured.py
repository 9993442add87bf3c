"""`annotate --measured`: the pending revisions are rehearsed on the newest backup, and what was measured is proposed."""

import textwrap

from migration_pipeline_tests import projects

FILL = """
    op.execute("ALTER TABLE patients ADD COLUMN ward text")
    op.execute("UPDATE patients SET ward = 'none'")
    op.execute("UPDATE patients SET allergy = 'none known' WHERE allergy IS NULL")
"""
CLEAN = """
    op.execute("UPDATE patients SET allergy = NULL WHERE allergy = 'none known'")
    op.execute("UPDATE patients SET name = upper(name) WHERE name = 'ann'")
"""


def write(site, revision, down, body):
    text = f'"""Revision {revision}."""\n\nfrom alembic import op\n\nrevision = "{revision}"\ndown_revision = "{down}"\n\n\ndef upgrade():\n'
    (site.project / "versions" / f"{revision}_it.py").write_text(
        text + textwrap.indent(textwrap.dedent(body).strip(), "    ") + "\n"
    )


def test_what_was_measured_is_proposed_and_the_database_stays_as_it_is(make_site18):
    site = make_site18("not_annotated", at="0001")
    site.query("INSERT INTO patients (name, allergy) VALUES ('ann', NULL), ('bob', 'nuts'), ('cid', 'none known')")
    projects.remove_revision(site.project, "0002")
    write(site, "0002", "0001", FILL)
    write(site, "0003", "0002", CLEAN)
    site.take_backup()

    done = site.run("annotate", "--measured", "--write")

    assert done.returncode == 0, done.stderr
    assert "Annotated 2 revisions: 1 NON_DESTRUCTIVE, 1 DESTRUCTIVE." in done.stderr
    first, second = (projects.revision_file(site.project, one).read_text() for one in ("0002", "0003"))
    assert "# SAFETY: NON_DESTRUCTIVE\n# SAFETY-REASON: rehearsed: its 3 statements lost nothing\n" in first
    assert "# SAFETY: DESTRUCTIVE\n# SAFETY-REASON: rehearsed: 1 value of patients.allergy is overwritten, and 1 more\n" in second
    assert site.revision == ["0001"]
    assert site.query("SELECT allergy FROM patients ORDER BY id") == [(None,), ("nuts",), ("none known",)]
    assert site.scratch_databases == []


def test_without_a_backup_nothing_is_proposed(make_site18):
    site = make_site18("not_annotated", at="0001")

    done = site.run("annotate", "--measured", "--write")

    assert done.returncode == 3
    assert "No recent backup found. Create backup before running migration: just backup-db" in done.stderr
    assert "SAFETY" not in projects.revision_file(site.project, "0002").read_text()


def test_a_backup_of_before_the_last_migration_is_not_rehearsed_on(make_site18):
    site = make_site18("not_annotated", at="0001")
    site.take_backup()
    site.query("UPDATE alembic_version SET version_num = '0002'")
    write(site, "0003", "0002", "op.execute('SELECT 1')")

    done = site.run("annotate", "--measured")

    assert done.returncode == 3
    assert "The database has been migrated since the newest backup" in done.stderr
    assert "Next: just backup-db, then: just annotate --measured" in done.stderr
