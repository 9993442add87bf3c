"""The check of downgrades on real projects: one fault is one finding, told with what would mend it, and what is right is green."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from migration_pipeline import downgrading, errors
from migration_pipeline.adapters import alembic_project
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.downgrade_range import Range
from migration_pipeline.downgrading import Asked
from migration_pipeline_tests import projects
from migration_pipeline_tests.integration import downgrade_project
from migration_pipeline_tests.integration.downgrade_project import environment, scratch_databases, sent

PROGRAM = Path(sys.executable).with_name("migration-pipeline")

#: What is said of each revision of `downgrade_project`, the line with its file left out; the others are as they should be.
SAID = {
    "0002": """\
Revision "0002": its downgrade raises.
  raises: 42703 column "b" of relation "notes" does not exist; statement: ALTER TABLE notes DROP COLUMN b""",
    "0003": """\
Revision "0003": its downgrade leaves something behind.
  residue: type mood is left over
    add to downgrade(): op.execute("DROP TYPE mood")""",
    "0004": """\
Revision "0004": its downgrade does not bring back all that was there before.
  lost: column notes.body is gone
    add to downgrade(): op.execute("ALTER TABLE notes ADD COLUMN body text NOT NULL")
  lost: constraint notes.ck_notes_body is gone
    add to downgrade(): op.execute("ALTER TABLE notes ADD CONSTRAINT ck_notes_body CHECK ((length(body) < 1000))")""",
    "0005": """\
Revision "0005": its downgrade does not bring back all that was there before.
  lost: 3 rows of notes are lost""",
    "0006": """\
Revision "0006": its downgrade does not bring back all that was there before.
  lost: table notes: SELECT is not granted to PUBLIC any more
    add to downgrade(): op.execute("GRANT SELECT ON notes TO PUBLIC")""",
    "0007": """\
Revision "0007": its downgrade does not bring back what was there before as it was.
  changed: column notes.state: default is 0, was 3
    add to downgrade(): op.execute("ALTER TABLE notes ALTER COLUMN state SET DEFAULT 3")""",
    "0008": """\
Revision "0008": its downgrade does not bring back what was there before as it was.
  changed: index ix_notes: definition is CREATE INDEX ix_notes ON public.notes USING btree (state, author), \
was CREATE INDEX ix_notes ON public.notes USING btree (author, state)
    add to downgrade(): op.drop_index("ix_notes", table_name="notes")
    add to downgrade(): op.execute("CREATE INDEX ix_notes ON public.notes USING btree (author, state)")""",
    "0009": """\
Revision "0009": its downgrade does not bring back what was there before as it was.
  changed: constraint notes.ck_notes_body: definition is CHECK ((length(body) < 1000)) NOT VALID, \
was CHECK ((length(body) < 1000))
    add to downgrade(): op.execute("ALTER TABLE notes VALIDATE CONSTRAINT ck_notes_body")""",
    "0010": """\
Revision "0010": its downgrade leaves something behind.
  residue: table tags is left over
    add to downgrade(): op.drop_table("tags")""",
    "0011": """\
Revision "0011": its downgrade leaves something behind.
  residue: type mood: its label 'none' is left over
    make the type anew without it and cast its columns to that: PostgreSQL drops no label""",
    "0012": """\
Revision "0012": its downgrade refuses, and no comment says that this is meant.
  refuses: NotImplementedError
    add to the file: "# DOWNGRADE: IRREVERSIBLE <why>", if there is no way back""",
    "0015": """\
Revision "0015": its downgrade does not bring back all that was there before.
  lost: 3 values of notes.a are lost
    declare "# SAFETY: DESTRUCTIVE", if the upgrade is meant to lose them
  note: notes: a stands last now, for PostgreSQL adds a column at the end""",
    "0016": """\
Revision "0016": its downgrade leaves something behind.
  residue: 1 row of hand is left over""",
    "0017": """\
Revision "0017": its downgrade does not bring back what was there before as it was.
  changed: table tags: its columns stand in another order: name, id; were id, name
  note: a downgrade cannot bring back: 3 rows of tags are lost""",
    "0018": """\
Revision "0018": its downgrade leaves something behind.
  residue: index ix_state is left over
    add to downgrade(): op.drop_index("ix_state", table_name="notes")
  note: it ran outside a transaction, for PostgreSQL or the revision itself does not keep to one""",
}
ON_ROWS = (
    "its upgrade fails on synthetic rows, and was checked without any: "
    '23502 column "kind" of relation "later" contains null values; statement: ALTER TABLE later ADD COLUMN kind TEXT NOT NULL'
)
NOTES = {
    "0014": (
        "a downgrade cannot bring back: 3 values of notes.author are lost",
        "notes: author stands last now, for PostgreSQL adds a column at the end",
    ),
    "0019": (ON_ROWS,),
}


@pytest.fixture
def check(server18):
    """Check a project on the server of the tests, in this process."""

    def check(project, **asked):
        server = Connection.from_url(server18.url())
        made = Project(config=project / "alembic.ini", python=Path(sys.executable), live=alembic_project.NOWHERE)
        return downgrading.check(Asked(project=made, server=server, programs=server18.binaries, **asked))

    return check


@pytest.fixture
def run(server18):
    """Run the command as a project's CI does: it has a server, and no pipeline.toml."""

    def run(folder, *arguments, **more):
        return subprocess.run(
            [PROGRAM, "test-downgrades", *map(str, arguments)],
            cwd=folder, env={**environment(server18), **more}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    return run


def results(report):
    return {one.revision: one.result for one in report.revisions}


def test_each_fault_is_one_finding_with_the_statement_that_mends_it(run, tmp_path, server18):
    project = downgrade_project.write(tmp_path, downgrade_project.FAULTS)
    done = run(project, "--junit", tmp_path / "junit.xml", "--format", "github")
    assert done.returncode == errors.Refusal.exit_code, done.stderr
    told = done.stdout.split("\n\n")
    assert told[-1].endswith(": 4 ok, 1 irreversible, 1 raises, 1 refuses, 4 lost, 5 residue, 4 changed.\n")
    said = {block.split('"')[1]: block for block in told[1:-1]}
    assert {revision: block.rpartition("\n  file: ")[0] for revision, block in said.items()} == SAID
    assert said["0003"].endswith("\n  file: versions/0003_step.py, line 18")
    lines = told[0].splitlines()
    for revision, notes in NOTES.items():
        place = next(number for number, line in enumerate(lines) if line.startswith(f"  ✓ {revision}  ok "))
        assert [line.strip() for line in lines[place + 1 : place + 1 + len(notes)]] == list(notes)
    assert "  - 0013  irreversible  Refuses and says why." in lines
    assert (
        "::error file=versions/0003_step.py,line=18::0003: residue: type mood is left over; "
        'add to downgrade(): op.execute("DROP TYPE mood")'
    ) in lines
    suite = ET.parse(tmp_path / "junit.xml").getroot().find("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("20", "15", "1")
    failed = {case.get("name").split()[0]: case.find("failure").text for case in suite if case.find("failure") is not None}
    assert failed == said
    assert scratch_databases(server18) == []


def test_every_downgrade_of_the_clinic_brings_back_what_was_there(check):
    report = check(projects.CLINIC)
    assert [one.text for one in report.failed] == []
    assert len(report.revisions) == 20
    assert report.revisions[-1].notes == (
        "a downgrade cannot bring back: 3 rows of legacy_alerts are lost, 3 values of patients.allergy_note are lost",
        "patients: allergy_note stands last now, for PostgreSQL adds a column at the end",
    )


@pytest.mark.parametrize(
    ("name", "revisions"),
    [("two_heads", 3), ("merge", 4), ("branches_depends_on", 3), ("several_locations", 3), ("async_env", 2),
     ("version_table_elsewhere", 2), ("worker_thread_env", 2)],
)  # fmt: skip
def test_every_shape_of_a_history_is_walked(name, revisions, check):
    report = check(projects.path(name))
    assert ([one.text for one in report.failed], len(report.revisions)) == ([], revisions)


@pytest.mark.parametrize("name", ["concurrent_index", "autocommit_block", "connection_commit", "raw_commit", "raw_cursor_commit"])
def test_what_leaves_the_transaction_runs_without_one(name, check):
    report = check(projects.path(name))
    assert [one.text for one in report.failed] == []
    assert report.revisions[-1].notes == (
        "it ran outside a transaction, for PostgreSQL or the revision itself does not keep to one",
    )


SPEAKERS = {
    "Creates what speaks of others.": (
        sent("CREATE TYPE mood AS ENUM ('good', 'bad')", "CREATE TABLE a (id int PRIMARY KEY, x text, m mood)",
             "CREATE TABLE b (id int PRIMARY KEY, a_id int REFERENCES a, m mood DEFAULT 'good')",
             "CREATE VIEW v AS SELECT x, m FROM a", "CREATE SEQUENCE s", "ALTER TABLE b ALTER id SET DEFAULT nextval('s')",
             "ALTER TABLE b ENABLE ROW LEVEL SECURITY", "CREATE POLICY p ON b USING (a_id IN (SELECT id FROM a WHERE x > ''))"),
        sent("DROP TABLE b", "DROP SEQUENCE s", "DROP VIEW v", "DROP TABLE a", "DROP TYPE mood"),
    ),
    "Renames a column.": (sent("ALTER TABLE a RENAME x TO y"), sent("ALTER TABLE a RENAME y TO x")),
    "Comments on the view.": (sent("COMMENT ON VIEW v IS 'of a'"), sent("COMMENT ON VIEW v IS NULL")),
    "Renames a table.": (sent("ALTER TABLE a RENAME TO aa"), sent("ALTER TABLE aa RENAME TO a")),
    "Adds to what speaks of it.": (sent("ALTER TABLE b ADD c int"), sent("ALTER TABLE b DROP c")),
    "Renames a type.": (sent("ALTER TYPE mood RENAME TO moods"), sent("ALTER TYPE moods RENAME TO mood")),
    "Renames a sequence.": (sent("ALTER SEQUENCE s RENAME TO ss"), sent("ALTER SEQUENCE ss RENAME TO s")),
    "Adds again.": (sent("ALTER TABLE b ADD d int"), sent("ALTER TABLE b DROP d")),
    "Grants a column.": (sent("GRANT SELECT (y) ON aa TO PUBLIC"), sent("REVOKE SELECT (y) ON aa FROM PUBLIC")),
    "Forgets.": (sent("DISCARD TEMP", "CREATE TABLE c ()"), sent("DISCARD TEMP", "DROP TABLE c")),
    "Adds a label and a function.": (
        sent("ALTER TYPE moods RENAME VALUE 'bad' TO 'sad'", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
        sent("ALTER TYPE moods RENAME VALUE 'sad' TO 'bad'", "DROP FUNCTION f()"),
    ),
    "Moves to a schema.": (sent("CREATE SCHEMA x", "ALTER TABLE aa SET SCHEMA x"), sent("ALTER TABLE x.aa SET SCHEMA public", "DROP SCHEMA x")),
    "Renames the schema.": (sent("ALTER SCHEMA x RENAME TO z"), sent("ALTER SCHEMA z RENAME TO x")),
    "Adds once more.": (sent("ALTER TABLE z.aa ADD e int", "ALTER TABLE b ADD f int"), sent("ALTER TABLE b DROP f", "ALTER TABLE z.aa DROP e")),
}  # fmt: skip


def test_what_was_renamed_is_known_under_its_new_name_wherever_it_is_spoken_of(check, tmp_path):
    report = check(downgrade_project.write(tmp_path, SPEAKERS))
    assert [one.text for one in report.revisions if one.is_failed or one.notes] == []


def test_a_lost_grant_on_a_column_and_a_left_comment_are_seen(check, tmp_path):
    made = SPEAKERS["Creates what speaks of others."]
    faults = {
        "Creates.": made,
        "Grants.": (sent("GRANT SELECT (x) ON a TO PUBLIC"), "pass"),
        "Comments.": (
            sent("COMMENT ON COLUMN a.x IS 'x'", "COMMENT ON INDEX a_pkey IS 'i'", "COMMENT ON TYPE mood IS 't'"),
            "pass",
        ),
    }
    assert [[finding.what for finding in one.findings] for one in check(downgrade_project.write(tmp_path, faults)).revisions] == [
        [],
        ["column a.x: its privileges are =r/postgres, were the default"],
        [
            "column a.x: comment is x, was not set",
            "index a_pkey: comment is i, was not set",
            "type mood: comment is t, was not set",
        ],
    ]


def test_a_branch_is_checked_alone_and_in_slices(check):
    since = check(projects.CLINIC, range=Range(since="0017"))
    assert (list(results(since)), since.unchecked) == (["0018", "0019", "0020"], 17)
    middle = check(projects.CLINIC, range=Range(since="0016", to="0019", shard=(2, 3)))
    assert (results(middle), middle.unchecked) == ({"0018": "ok"}, 17)


def test_a_revision_that_nobody_knows_is_refused(check):
    with pytest.raises(errors.NoPlan) as told:
        check(projects.CLINIC, range=Range(since="9"))
    assert str(told.value) == 'The project has no revision "9".\nNext: alembic history'


def test_a_history_that_begins_after_its_first_tables_needs_a_baseline(check, tmp_path):
    faults = {"Adds to what is there.": ('op.add_column("old", sa.Column("a", sa.Integer))', 'op.drop_column("old", "a")')}
    project = downgrade_project.write(tmp_path, faults)
    report = check(project)
    (failed,) = report.revisions
    assert failed.text.rpartition("\n")[0] == (
        'Revision "0001": its upgrade fails, so its downgrade cannot be tested.\n'
        '  upgrade fails: 42P01 relation "old" does not exist; statement: ALTER TABLE "old" ADD COLUMN a INTEGER\n'
        "    if the history begins after its first tables, give them by --baseline schema.sql, written by pg_dump --schema-only"
    )
    (tmp_path / "baseline.sql").write_text("CREATE TABLE old (id int PRIMARY KEY);")
    assert results(check(project, baseline=tmp_path / "baseline.sql")) == {"0001": "ok"}


def test_a_baseline_at_a_revision_is_stamped(check, tmp_path):
    faults = dict(list(downgrade_project.FAULTS.items())[:1])
    faults["Adds."] = ('op.add_column("notes", sa.Column("a", sa.Integer))', 'op.drop_column("notes", "a")')
    project = downgrade_project.write(tmp_path, faults)
    (tmp_path / "schema.sql").write_text("CREATE TABLE notes (id int PRIMARY KEY);")
    report = check(project, baseline=tmp_path / "schema.sql", range=Range(since="0001"))
    assert (results(report), report.unchecked) == ({"0002": "ok"}, 0)


def test_given_rows_take_the_place_of_synthetic_ones(check, tmp_path):
    cuts = 'op.execute("ALTER TABLE old ALTER a TYPE varchar(3) USING left(a, 3)")'
    faults = {"Cuts.": ('op.execute("ALTER TABLE old ALTER a TYPE text")', cuts)}
    project = downgrade_project.write(tmp_path, faults)
    (tmp_path / "data.sql").write_text("CREATE TABLE old (a varchar(9)); INSERT INTO old VALUES ('long one'), ('b');")
    report = check(project, data=tmp_path / "data.sql")
    assert report.revisions[0].text.rpartition("\n")[0] == (
        'Revision "0001": its downgrade does not bring back all that was there before.\n'
        "  changed: column old.a: type is character varying(3), was character varying(9)\n"
        '    add to downgrade(): op.execute("ALTER TABLE old ALTER COLUMN a TYPE character varying(9)")\n'
        "  lost: the values of old.a are not what they were"
    )


KEYS = "CREATE SEQUENCE menu_id_seq; CREATE TABLE menu (id integer PRIMARY KEY, name text, CONSTRAINT ck CHECK (name <> ''))"
NEXT = "INSERT INTO menu (id, name) VALUES (nextval('menu_id_seq'), 'Home')"


def test_a_key_that_a_revision_takes_from_a_sequence_is_none_of_a_synthetic_row(check, tmp_path):
    drops = 'op.execute("DROP TABLE menu; DROP SEQUENCE menu_id_seq")'
    faults = {
        "Creates.": (f'op.execute("{KEYS}")', drops),
        "Inserts.": (f'op.execute("{NEXT}")', "op.execute(\"DELETE FROM menu WHERE name = 'Home'\")"),
        "Inserts, and takes too much.": (f'op.execute("{NEXT}")', 'op.execute("DELETE FROM menu")'),
    }
    report = check(downgrade_project.write(tmp_path, faults))
    assert results(report) == {"0001": "ok", "0002": "ok", "0003": "lost"}
    assert [one.notes for one in report.revisions] == [(), (), ()]


def test_what_is_told_of_columns_is_of_those_that_a_revision_has_to_do_with(check, tmp_path):
    faults = {
        "Creates.": (
            'op.execute("CREATE TABLE half (id int, never int CHECK (never * 2 = 7)); CREATE TABLE messages (id int)")',
            'op.execute("DROP TABLE half; DROP TABLE messages")',
        ),
        "Indexes.": (
            'with op.get_context().autocommit_block():\n    op.execute("CREATE INDEX CONCURRENTLY ix ON messages (id)")',
            'op.execute("DROP INDEX ix")',
        ),
    }
    report = check(downgrade_project.write(tmp_path, faults))
    first, second = (one.notes for one in report.revisions)
    assert first == ("checked without a value: public.half.never",)
    assert second == ("it ran outside a transaction, for PostgreSQL or the revision itself does not keep to one",)


READS = 'import json\nfor (body,) in op.get_bind().exec_driver_sql("SELECT body FROM notes").all():\n    json.loads(body)\n'


def test_rows_that_the_check_puts_in_hide_no_loss_and_are_no_fault(check, tmp_path):
    made = "op.execute('CREATE TABLE notes (id int PRIMARY KEY, body text NOT NULL)')"
    faults = {
        "Creates.": (made, 'op.drop_table("notes")'),
        "Reads what is no JSON.": (f"{READS}op.execute('ALTER TABLE notes ADD c int')", f'{READS}op.drop_column("notes", "c")'),
        "Makes it anew.": (f'op.drop_table("notes")\n{made}', f'op.drop_table("notes")\n{made}\nop.execute("ALTER TABLE notes ADD c int")'),
    }  # fmt: skip
    report = check(downgrade_project.write(tmp_path, faults))
    assert [[finding.what for finding in one.findings] for one in report.revisions] == [[], [], ["3 rows of notes are lost"]]
    (note,) = report.revisions[1].notes
    assert note == (
        "its upgrade fails on synthetic rows, and was checked without any: JSONDecodeError: "
        "(message withheld: it may hold row values)"
    )


def test_what_a_revision_changes_is_written_down_and_compared(check, tmp_path):
    project = projects.copy("clinic", tmp_path)
    part = {"range": Range(to="0002")}
    assert check(project, write_expected=True, **part).is_ok
    folder = project / "migrations" / "expected"
    assert sorted(file.name for file in folder.iterdir()) == ["0001.txt", "0002.txt"]
    text = (folder / "0002.txt").read_text()
    assert (
        "+ column public.practitioners.staff_number\n    after: id\n    not null: yes\n    type: character varying(10)\n" in text
    )
    assert "postgres" not in text
    assert check(project, **part).is_ok
    (folder / "0002.txt").write_text(text.replace("character varying(10)", "character varying(11)"))
    (folder / "0001.txt").unlink()
    report = check(project, **part)
    assert [[finding.what for finding in one.findings] for one in report.revisions] == [
        [f"there is no {folder / '0001.txt'}; next: migration-pipeline test-downgrades --write-expected"],
        ["-    type: character varying(11)", "+    type: character varying(10)"],
    ]
    assert set(results(report).values()) == {"unexpected"}


MODELS = """
import sqlalchemy as sa
target_metadata = sa.MetaData()
sa.Table("patients", target_metadata,
    sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text, nullable=False),
    sa.Column("severity", sa.Enum("mild", "severe", "deadly", name="severity")), sa.Column("age", sa.Integer),
    sa.CheckConstraint("length(name) > 1", name="ck_name"))
"""


def test_the_last_schema_is_compared_with_the_models(check, tmp_path):
    made = "op.execute(\"CREATE TYPE severity AS ENUM ('mild', 'severe')\")\n"
    made += 'op.execute("CREATE TABLE patients (id serial PRIMARY KEY, name text NOT NULL, severity severity, ward text)")'
    undone = 'op.drop_table("patients")\nop.execute("DROP TYPE severity")'
    project = downgrade_project.write(tmp_path, {"Create patients.": (made, undone)})
    env = tmp_path / "shared" / "env.py"
    given = "context.configure(connection=connection"
    text = env.read_text().replace(f"{given})", f"{given}, target_metadata=target_metadata)")
    env.write_text(text.replace("config = context.config\n", f"config = context.config\n{MODELS}"))
    report = check(project, models=True)
    assert report.drift == (
        "the models have the column patients.age, the database has not",
        "the database has the column patients.ward, the models have not",
        "type severity: its labels are 'mild', 'severe' in the database, and 'mild', 'severe', 'deadly' in the models",
        "the models have the check ck_name of patients, the database has not",
    )
    assert not report.is_ok


def test_without_a_server_one_is_made_and_nothing_of_it_is_left(run, tmp_path):
    done = run(projects.path("linear"), "--jobs", 2, SCRATCH_DATABASE_URL="")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:3] == [
        "  ✓ 0001  ok  Create patients.", "  ✓ 0002  ok  Add the ward.", "  ✓ 0003  ok  Index names.",
    ]  # fmt: skip


NOTES_TABLE = sent("CREATE TABLE notes (id serial PRIMARY KEY, body text, state int)", "CREATE TABLE tags (id int, name text)")
NO_NOTES = sent("DROP TABLE notes", "DROP TABLE tags")
DESTRUCTIVE = "# SAFETY: DESTRUCTIVE\n"
HIDDEN = {
    "Creates.": (NOTES_TABLE, NO_NOTES),
    "Empties a column.": (sent("UPDATE notes SET state = NULL"), sent("UPDATE notes SET state = state + 1")),
    "Empties a table.": (sent("DELETE FROM tags", "ALTER TABLE tags ADD c int"), sent("ALTER TABLE tags DROP c")),
    "Loses one row, and then the others.": (
        DESTRUCTIVE + sent("DELETE FROM notes WHERE id = (SELECT min(id) FROM notes)"), sent("DELETE FROM notes"),
    ),
    "Loses values under another name.": (
        DESTRUCTIVE + sent("ALTER TABLE notes RENAME body TO text", "ALTER TABLE notes RENAME TO posts"),
        sent("UPDATE posts SET text = NULL", "ALTER TABLE posts RENAME text TO body", "ALTER TABLE posts RENAME TO notes"),
    ),
    "Comments.": (sent("COMMENT ON CONSTRAINT notes_pkey ON posts IS 'c'", "COMMENT ON SCHEMA public IS 's'"), "pass"),
    "Fills a key's pages half.": (sent("ALTER INDEX notes_pkey SET (fillfactor = 50)"), "pass"),
    "Refers, and does not check it.": (
        sent("CREATE TABLE kids (n int REFERENCES posts)", "ALTER TABLE posts DISABLE TRIGGER ALL"), sent("DROP TABLE kids"),
    ),
    "Refers, and checks nothing.": (sent("ALTER TABLE kids DISABLE TRIGGER ALL"), "pass"),
    "Is sent inside a transaction.": (
        'op.create_index("ix", "posts", ["text"])', 'op.drop_index("ix", "posts", postgresql_concurrently=True)',
    ),
    "Leaves a path.": (
        sent("CREATE SCHEMA app", "SET search_path TO app, public", "CREATE TABLE t ()"), sent("DROP TABLE t", "DROP SCHEMA app"),
    ),
    "Stops as a task does.": (sent("CREATE TABLE b ()"), "import asyncio\nasyncio.run(asyncio.sleep(0))\nraise asyncio.CancelledError"),
}  # fmt: skip


KEY = "CREATE UNIQUE INDEX notes_pkey ON public.posts USING btree (id)"


def test_what_hides_behind_something_else_is_seen(check, tmp_path):
    report = check(downgrade_project.write(tmp_path, HIDDEN))
    assert [[finding.what for finding in one.findings] for one in report.revisions] == [
        [],
        ["3 values of notes.state are lost"],
        ["3 rows of tags are lost"],
        ["3 rows of notes are lost"],
        ["2 values of notes.body are lost"],
        ["constraint posts.notes_pkey: comment is c, was not set", "schema public: comment is s, was standard public schema"],
        [
            f"index notes_pkey: definition is {KEY} WITH (fillfactor='50'), was {KEY}",
        ],
        [],
        ["table kids: constraints that are not checked is kids_n_fkey, was not set"],
        ["25001 DROP INDEX CONCURRENTLY cannot run inside a transaction block; statement: DROP INDEX CONCURRENTLY ix"],
        ['42P01 table "t" does not exist; statement: DROP TABLE t'],
        ["CancelledError"],
    ]


LEFT_IN_THE_SESSION = {
    "Creates.": (sent("CREATE TYPE mood AS ENUM ('good')", "CREATE FUNCTION f(mood) RETURNS int LANGUAGE sql AS 'SELECT 1'",
                      "CREATE TABLE notes (id serial PRIMARY KEY, body text)", "CREATE STATISTICS st ON id, body FROM notes"),
                 sent("DROP TABLE notes", "DROP FUNCTION f", "DROP TYPE mood")),
    "Keeps rows aside.": (
        sent("CREATE TEMP TABLE aside AS SELECT * FROM notes", "PREPARE one AS SELECT 1", "ALTER TABLE notes ADD a int"),
        sent("CREATE TEMP TABLE aside AS SELECT * FROM notes", "ALTER TABLE notes DROP a"),
    ),
    "Renames.": (sent("ALTER TABLE notes RENAME TO posts", "ALTER TYPE mood RENAME TO moods"),
                 sent("ALTER TABLE posts RENAME TO notes", "ALTER TYPE moods RENAME TO mood")),
    "Counts by two.": (sent("ALTER SEQUENCE notes_id_seq INCREMENT 2"), sent("ALTER SEQUENCE notes_id_seq INCREMENT 1")),
    "Adds a schema and a function.": (sent("CREATE SCHEMA x", "CREATE FUNCTION x.g() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
                                      sent("DROP SCHEMA x CASCADE")),
}  # fmt: skip


def test_what_stays_in_the_session_or_under_an_old_name_is_no_fault(check, tmp_path):
    report = check(downgrade_project.write(tmp_path, LEFT_IN_THE_SESSION))
    assert [one.text for one in report.revisions if one.is_failed or one.notes] == []


def test_models_are_not_left_uncompared_without_a_word(run):
    done = run(projects.CLINIC, "--to", "0002", "--models")
    assert (done.returncode, done.stderr) == (
        errors.SettingsError.exit_code,
        "--models compares the last schema, which --to leaves out.\nNext: use one of the two\n",
    )
