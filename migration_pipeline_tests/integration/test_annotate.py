"""`annotate` and `check-annotations` on real projects, in their own interpreter, with no server to reach."""

import hashlib
import os
import re
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass

import pytest

from migration_pipeline import cli, settings
from migration_pipeline.adapters import pending, preflight, revision_files
from migration_pipeline.cli import terminal
from migration_pipeline.domain import annotations, sql
from migration_pipeline.domain.annotations import Declared
from migration_pipeline.workplace import Workplace
from migration_pipeline_tests import projects

MISSING = "the file has no # SAFETY: comment; just annotate proposes one"


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(monkeypatch, capfd):
    """Run the console script, in this process, as a person or a CI does; there is no DATABASE_URL."""
    opened = []
    console = terminal._console

    def keep(descriptor):
        opened.append(console(descriptor))
        return opened[-1]

    def run(folder, *arguments, **environment):
        capfd.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(terminal, "_console", keep)
            patch.setattr(sys, "argv", ["migration-pipeline", *arguments])
            patch.chdir(folder)
            for name in ("DATABASE_URL", "MIGRATION_ENVIRONMENT", "GITHUB_WORKSPACE"):
                patch.delenv(name, raising=False)
            for name, value in environment.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as end:
                cli.main()
        while opened:
            opened.pop().file.close()
        told = capfd.readouterr()
        return Done(end.value.code, told.out, told.err)

    return run


def project(folder, *revisions, env="online_only"):
    """Write a project: revision 0001, 0002, ... with these bodies of `upgrade`."""
    (folder / "m" / "versions").mkdir(parents=True)
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = m\n")
    (folder / "m" / "env.py").write_text(ENVIRONMENTS[env])
    for number, body in enumerate(revisions, 1):
        write(folder, f"{number:04}", f"{number - 1:04}" if number > 1 else None, body)
    return folder


def write(folder, revision, down, body, name=None):
    text = f'"""Title of {revision}."""\n\nimport sqlalchemy as sa\nfrom alembic import context, op\n\nrevision = {revision!r}\n'
    text += f"down_revision = {down!r}\n\n\ndef upgrade():\n" + textwrap.indent(textwrap.dedent(body).strip() or "pass", "    ")
    path = folder / "m" / "versions" / (name or f"{revision}_title.py")
    path.write_text(text + "\n")
    return path


ENVIRONMENTS = {
    # no offline branch at all, and a setting that CI does not have
    "online_only": """\
import sqlalchemy as sa
from alembic import context
with sa.create_engine("postgresql+psycopg://app@db.example.org/app").connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
""",
    "raises": "import os\nos.environ['NO_SUCH_SETTING']\n",
}


def declared(folder):
    files = sorted(folder.glob("**/versions/*.py"))
    found = {file.name[:4]: annotations.read(file.read_bytes()) for file in files}
    return {revision: (one.declared, one.reason) for revision, one in found.items()}


def bodies(folder):
    return {file.name: file.read_bytes() for file in folder.glob("**/versions/*.py")}


def test_the_clinic_is_annotated_as_a_person_did_it_and_wherever_not_a_rehearsal_is_asked_for(run, tmp_path):
    clinic = projects.copy("clinic", tmp_path)
    by_hand = {revision: value for revision, (value, _) in declared(clinic).items()}
    for file in clinic.glob("**/versions/*.py"):
        file.write_bytes(re.sub(rb"# SAFETY: \w+\n", b"", file.read_bytes()))
    before = bodies(clinic)

    shown = run(clinic, "annotate")
    assert shown.returncode == 0, shown.stderr
    assert bodies(clinic) == before
    assert shown.stdout.count("\n+# SAFETY: ") == 20
    assert shown.stderr.endswith("; nothing was changed. Next: just annotate --write\n")

    assert run(clinic, "annotate", "--write").stdout == shown.stdout
    now = declared(clinic)
    assert {revision for revision, (value, _) in now.items() if value != by_hand[revision]} <= {"0010"}  # it widens a column
    assert now["0004"] == (Declared.DESTRUCTIVE, "column dropped: patients.phone, and 1 more")
    again = run(clinic, "annotate")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "No revision lacks a safety annotation.\n")
    checked = run(clinic, "check-annotations")
    assert (checked.returncode, checked.stdout) == (0, "Nothing to say against what 20 revisions declared.\n")


def test_the_diff_is_one_that_git_applies(run, tmp_path):
    folder = project(tmp_path, "op.drop_table('patients')")
    diff = run(folder, "annotate").stdout
    subprocess.run(
        ["git", "apply", "-p1"],
        cwd=folder,
        input=diff,
        text=True,
        check=True,
        env=os.environ | {"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)},
    )
    assert declared(folder) == {"0001": (Declared.DESTRUCTIVE, "table dropped: patients")}


#: What cannot be known without the server's answers, and must never be proposed as harmless.
UNKNOWN = {
    "op.get_bind().execute(sa.text('SELECT 1')).fetchall()": "it reads from the database",
    "if op.get_bind().execute(sa.text('SELECT 1')): op.execute('DROP TABLE a')": "it reads from the database",
    "try: list(op.get_bind().execute(sa.text('SELECT 1')))\nexcept Exception: pass": "it reads from the database",
    "if sa.inspect(op.get_bind()).has_table('a'): op.drop_table('a')": "it reads from the database",
    "try: sa.inspect(op.get_bind())\nexcept Exception: op.execute('DROP TABLE a')": "it reads from the database",
    "import os\nif not os.environ.get('NO_SUCH_SETTING'): return\nop.get_bind().execute(sa.text('UPDATE a SET b = 1'))":
        "op.get_bind().execute() did not run here, and may elsewhere",
    "op.execute('SELECT 1')\nimport time\nif time.time() < 9: op.drop_table('a')":
        "op.drop_table() did not run here, and may elsewhere",
    "from sqlalchemy.orm import Session\nSession(op.get_bind()).execute(sa.text('DELETE FROM a'))": "it needs a connection (",
    "op.get_bind().commit()": "it needs a connection (commit)",
    "sa.create_engine('postgresql+psycopg://h/x').connect()": "it connects to a database",
    "try: sa.create_engine('postgresql+psycopg2://h/x').connect()\nexcept Exception: pass": "it connects to a database",
    "raise RuntimeError('Canary')": "it raises RuntimeError without a database",
    "raise SystemExit": "it raises SystemExit without a database",
    "for n in range(6000): op.execute(f'SELECT {n}')": "it sends more than 5,000 statements",
    "import os\nos._exit(3)": "it was not rendered in time, or ended the interpreter",
    "op.execute('FROBNICATE a')": "text not understood: the text cannot be parsed",
    "op.execute('SELECT tidy_up()')": "unknown function called: tidy_up",
}  # fmt: skip


def test_what_cannot_be_known_without_a_server_needs_a_rehearsal(run, tmp_path):
    bodies_of = [body for body in UNKNOWN if "_exit" not in body] + [body for body in UNKNOWN if "_exit" in body]
    folder = project(tmp_path, *bodies_of)
    done = run(folder, "annotate", "--write")
    assert done.returncode == 0, done.stderr
    for body, (value, reason) in zip(bodies_of, declared(folder).values(), strict=True):
        assert (body, value) == (body, Declared.DESTRUCTIVE)
        assert reason.startswith("needs a rehearsal: " + UNKNOWN[body])
    assert "Canary" not in "".join(file.read_text().split('"""')[2].partition("import")[0] for file in folder.glob("**/0*.py"))


#: What an online run sends, whichever road it goes to the server: no road is one past the rules.
KNOWN = {
    "op.get_bind().execute(sa.text('DELETE FROM a WHERE id = :i'), {'i': 1})": "rows deleted: a",
    "op.get_bind().exec_driver_sql('TRUNCATE a')": "table emptied: a",
    "op.get_context().bind.execute(sa.text('DROP TABLE a'))": "table dropped: a",
    "if not context.is_offline_mode(): op.drop_table('a')": "table dropped: a",
    "if not op.get_context().as_sql: op.drop_table('a')": "table dropped: a",
    "with op.get_context().autocommit_block():\n    op.drop_table('a')": "table dropped: a",
    "with op.batch_alter_table('a') as batch: batch.drop_column('b')": "column dropped: a.b",
    "sa.Table('a', sa.MetaData()).drop(op.get_bind())": "table dropped: a",
}


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_an_env_py_that_knows_no_offline_mode_is_done_without(run, tmp_path, env):
    folder = project(tmp_path, *KNOWN, env=env)
    done = run(folder, "annotate", "--write")
    assert done.returncode == 0, done.stderr
    values = declared(folder).values()
    assert [value for value, _ in values] == [Declared.DESTRUCTIVE] * len(KNOWN)
    for reason, (_, said) in zip(KNOWN.values(), values, strict=True):
        assert said.partition(":")[2] == reason.partition(":")[2]


HARMLESS = [
    "op.create_table('a', sa.Column('id', sa.Integer, primary_key=True), sa.Column('k', sa.Enum('x', 'y', name='kind')))",
    (
        "t = sa.table('a', sa.column('id', sa.Integer), sa.column('d', sa.Date))\nimport datetime\n"
        "op.bulk_insert(t, [{'id': n, 'd': datetime.date.today()} for n in range(9000)])"
    ),
    "op.execute(\"COMMENT ON TABLE a IS '100 % of it'\")",
    "sa.Enum('z', name='other').create(op.get_bind(), checkfirst=True)",
    "op.get_bind().execute(sa.text('INSERT INTO a (id) VALUES (:i)'), [{'i': 1}, {'i': 2}])",
    "with op.get_context().autocommit_block():\n    op.create_index('i', 'a', ['id'], postgresql_concurrently=True)",
    "pass",
]


def test_what_loses_nothing_is_said_to_lose_nothing(run, tmp_path):
    folder = project(tmp_path, *HARMLESS)
    assert run(folder, "annotate", "--write").returncode == 0
    assert {value for value, _ in declared(folder).values()} == {Declared.NON_DESTRUCTIVE}, declared(folder)


HELPER = (
    "import sqlalchemy as sa\n\n\ndef is_there(name, connection):\n    return name in sa.inspect(connection).get_table_names()\n"
)
ASKS_FIRST = """\
from asked_helper import is_there
if not is_there('a', op.get_bind()):
    op.create_table('a', sa.Column('id', sa.Integer, primary_key=True))
"""


def test_what_asks_first_and_only_makes_what_is_missing_loses_nothing_whatever_the_answer_is(run, tmp_path):
    folder = project(tmp_path, "sa.inspect(op.get_bind()).has_table('a')", "pass")
    (folder / "asked_helper.py").write_text(HELPER)
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = m\nprepend_sys_path = .\n")
    imports, body = ASKS_FIRST.split("\n", 1)
    file = write(folder, "0002", "0001", body)
    file.write_text(file.read_text().replace("import sqlalchemy as sa\n", f"import sqlalchemy as sa\n{imports}\n", 1))
    assert run(folder, "annotate", "--write").returncode == 0
    assert declared(folder) == {
        "0001": (Declared.NON_DESTRUCTIVE, "whatever is there, it sends no SQL"),
        "0002": (Declared.NON_DESTRUCTIVE, "whatever is there, none of its calls loses data: create_table"),
    }


SKIPS = "if op.get_bind().dialect.name == 'sqlite': op.execute('DELETE FROM a')"


def test_what_no_postgresql_runs_is_no_doubt(run, tmp_path):
    folder = project(tmp_path, SKIPS)
    assert run(folder, "annotate", "--write").returncode == 0
    assert declared(folder) == {"0001": (Declared.NON_DESTRUCTIVE, "it sends no SQL")}


def test_a_file_keeps_its_mode_its_bytes_and_its_link_and_nothing_is_left_beside_it(run, tmp_path):
    folder = project(tmp_path / "p", "op.drop_table('a')")
    file = folder / "m" / "versions" / "0001_title.py"
    source = b"# -*- coding: latin-1 -*-\r\n" + file.read_bytes().replace(b"\n", b"\r\n") + b"# \xe9"
    file.unlink()
    real = folder / "real.py"
    real.write_bytes(source)
    real.chmod(0o640)
    file.symlink_to(real)
    done = run(folder, "annotate", "--write")
    assert done.returncode == 0, done.stderr
    comment = b'"""Title of 0001."""\r\n\r\n# SAFETY: DESTRUCTIVE\r\n# SAFETY-REASON: table dropped: a\r\n'
    assert real.read_bytes() == source.replace(b'"""Title of 0001."""\r\n', comment)
    assert real.stat().st_mode & 0o777 == 0o640
    assert file.is_symlink()
    assert {one.name for one in folder.iterdir()} == {"m", "alembic.ini", "real.py"}
    assert [one.name for one in file.parent.iterdir() if one.name != "__pycache__"] == [file.name]


def test_a_typo_is_named_with_its_fix_and_the_file_is_not_touched(run, tmp_path):
    folder = projects.copy("typo", tmp_path)
    before = bodies(folder)
    done = run(folder, "annotate", "--write")
    assert (done.returncode, done.stdout) == (3, "")
    assert bodies(folder) == before
    assert done.stderr == (
        'left as it is: versions/0002_drop_allergy.py:3: line 3 says "DESTRUCTVE", which is not a value; '
        'change line 3 to "# SAFETY: DESTRUCTIVE", if that is what it means\nNothing can be proposed.\n'
    )


def test_one_revision_alone_is_annotated(run, tmp_path):
    folder = project(tmp_path, "pass", "op.drop_table('a')")
    assert run(folder, "annotate", "0002", "--write").returncode == 0
    assert declared(folder) == {"0001": (None, None), "0002": (Declared.DESTRUCTIVE, "table dropped: a")}
    gone = run(folder, "annotate", "0009")
    assert (gone.returncode, gone.stdout) == (3, "")
    assert gone.stderr == ('The project has no revision "0009".\nNext: alembic history, or just annotate, for all of them\n')


def test_the_revisions_of_a_package_get_entries_in_safety_toml(run, tmp_path):
    folder = project(tmp_path / "p", "op.drop_table('a')")
    package = tmp_path / "p" / "venv" / "lib" / "site-packages" / "package"
    project(package, "op.create_table('b')", "op.drop_table('b')")
    for file, revision in ((package / "m/versions/0001_title.py", "p1"), (package / "m/versions/0002_title.py", "p2")):
        text = file.read_text().replace("'0001'", "'p1'").replace("'0002'", "'p2'")
        file.write_text(text)
        assert f"revision = '{revision}'" in text
    locations = "version_locations = m/versions venv/lib/site-packages/package/m/versions\npath_separator = space\n"
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = m\n" + locations)
    before = bodies(package)

    done = run(folder, "annotate", "--write")
    assert done.returncode == 0, done.stderr
    assert bodies(package) == before
    text = (folder / "safety.toml").read_text()
    checksum = hashlib.sha256(before["0002_title.py"]).hexdigest()
    assert text.endswith(f'[[revision]]\nid = "p2"\nsha256 = "{checksum}"\nvalue = "DESTRUCTIVE"\nreason = "table dropped: b"\n')
    assert run(folder, "check-annotations").returncode == 0

    (folder / "safety.toml").write_text(text.replace(checksum, "0" * 64).replace('value = "NON_', 'value = "NO_'))
    found = run(folder, "check-annotations")
    assert found.returncode == 3
    assert found.stdout.splitlines() == [
        'safety.toml:2: revision "p1": its value "NO_DESTRUCTIVE" is neither NON_DESTRUCTIVE nor DESTRUCTIVE',
        (
            f"safety.toml:8: the entry in safety.toml is for other bytes of the file (sha256 000000000000, not {checksum[:12]}); "
            f'look at the file again, then set sha256 = "{checksum}" in safety.toml'
        ),
    ]


# --- check-annotations


def test_each_finding_is_one_line_with_its_place(run, tmp_path):
    folder = project(tmp_path, "pass", "pass", "pass", "op.drop_table('a')", "pass")
    for number, comment in enumerate(["", "# SAFETY: DESTRUCTIVE\n# SAFETY: NON_DESTRUCTIVE\n", "# SAFTEY: DESTRUCTIVE\n",
                                      "# SAFETY: NON_DESTRUCTIVE\n", "# SAFETY: DESTRUCTIVE\n"], 1):  # fmt: skip
        file = folder / "m" / "versions" / f"{number:04}_title.py"
        file.write_text(file.read_text().replace("import sqlalchemy", comment + "import sqlalchemy"))
    either = '"# SAFETY: NON_DESTRUCTIVE" or "# SAFETY: DESTRUCTIVE"'
    lost = "it is annotated NON_DESTRUCTIVE, but loses data: table dropped: a: its rows are gone"
    found = run(folder, "check-annotations")
    assert (found.returncode, found.stderr) == (3, "")
    assert found.stdout.splitlines() == [
        f"m/versions/0001_title.py:1: {MISSING}",
        "m/versions/0002_title.py:3: line 3 says DESTRUCTIVE and line 4 says NON_DESTRUCTIVE; keep one of the two comments",
        (
            'm/versions/0003_title.py:3: line 3, "# SAFTEY: DESTRUCTIVE", looks like a safety annotation but is not one; '
            f"change line 3 to {either}"
        ),
        f'm/versions/0004_title.py:3: {lost}; change it to "DESTRUCTIVE"',
    ]
    told = run(
        folder / "m", "check-annotations", "--format", "github", ALEMBIC_CONFIG="../alembic.ini", GITHUB_WORKSPACE=str(folder)
    )
    assert told.returncode == 3
    assert told.stdout.splitlines()[0] == f"::error file=m/versions/0001_title.py,line=1::{MISSING}"
    assert told.stdout.splitlines()[3] == f'::error file=m/versions/0004_title.py,line=3::{lost}; change it to "DESTRUCTIVE"'


def test_a_broken_file_is_a_finding_and_the_others_are_read_all_the_same(run, tmp_path):
    folder = project(tmp_path, "pass", "pass", "pass")
    (folder / "m/versions/0002_title.py").write_text("def unfinished(:\n")
    file = write(folder, "0003", "0002", "pass")
    file.write_text("# SAFETY: HARMLESS\n" + file.read_text())
    found = run(folder, "check-annotations")
    assert found.returncode == 3
    assert found.stdout.splitlines() == [
        f"m/versions/0001_title.py:1: {MISSING}",
        "m/versions/0002_title.py:1: the file cannot be read as Python (TokenError); make the file valid Python",
        "m/versions/0002_title.py:1: the revisions cannot be loaded (SyntaxError)",
        (
            'm/versions/0003_title.py:1: line 1 says "HARMLESS", which is not a value; '
            'change line 1 to "# SAFETY: NON_DESTRUCTIVE" or "# SAFETY: DESTRUCTIVE"'
        ),
    ]
    refused = run(folder, "annotate", "--write")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "There is no history to annotate: the revisions cannot be loaded (SyntaxError).\n"
        f"  file: {folder}/m/versions/0002_title.py, line 1\n"
        "Next: mend the project until `alembic history` works, then: just annotate\n"
    )


def test_no_password_and_no_database_of_the_environment_reaches_the_project(run, tmp_path):
    body = "import os\nassert not any('Canary' in value for value in os.environ.values())"
    folder = project(tmp_path, body)
    url = "postgresql://app:Canary@127.0.0.1:1/clinic"
    done = run(folder, "annotate", "--write", DATABASE_URL=url, MIGRATION_ENVIRONMENT="staging", DB_PASSWORD="Canary")
    assert done.returncode == 0, done.stderr
    assert declared(folder) == {"0001": (Declared.NON_DESTRUCTIVE, "it sends no SQL")}


def test_a_project_with_400_revisions_is_annotated_in_seconds(run, tmp_path):
    bodies_of = [
        f"op.create_table('t{n}', sa.Column('id', sa.Integer, primary_key=True), sa.Column('a', sa.Text), sa.Column('b', sa.Text))\n"
        f"op.create_index('i{n}', 't{n}', ['a'])\nop.execute('UPDATE x SET y = 1')"
        if n % 2 else f"op.drop_column('t{n - 1}', 'b')\nop.add_column('t{n - 1}', sa.Column('c', sa.Numeric))"
        for n in range(1, 401)
    ]  # fmt: skip
    folder = project(tmp_path, *bodies_of)
    started = time.monotonic()
    done = run(folder, "annotate", "--write")
    seconds = time.monotonic() - started
    assert done.returncode == 0, done.stderr
    assert all(value is not None for value, _ in declared(folder).values())
    print(f"400 revisions: {seconds:.1f} s")
    assert seconds < 30


def test_what_is_rendered_is_what_the_server_would_be_sent(server18, database18, tmp_path):
    clinic = projects.copy("clinic", tmp_path)
    environ = {"DATABASE_URL": database18, "MIGRATION_ENVIRONMENT": "development", "ALEMBIC_CONFIG": str(clinic / "alembic.ini"),
               "PROJECT_PYTHON": sys.executable}  # fmt: skip
    place = Workplace(target=settings.load(environ, tmp_path), run_id="test")
    plan, sent, complete = pending.preview(place.project, place.live, place.identity(preflight.examine(place.live)), "head")
    assert len(complete) == len(plan.revisions) == 20
    rendered = [statement for file in revision_files.read(place.project).files for statement in file.statements]
    readings = [sql.parse(one.sql, one.has_parameters) for one in rendered]
    assert all(reading.tree is not None for reading in readings)
    assert [shape(one) for one in rendered] == [shape(one) for one in sent]
    place.close()


def shape(statement):
    return statement.revision, sql.shape(statement.sql, statement.has_parameters)
