"""What an operator is told and asked before a restore, and the commands that do it by hand."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from migration_pipeline import errors
from migration_pipeline.adapters import storage
from migration_pipeline.domain import by_hand, restoration
from migration_pipeline.domain.backups import Backup, DatabaseFacts, Form, Layout, Manifest, StoredFile
from migration_pipeline.domain.plan import Identity
from migration_pipeline.domain.schema import SchemaSnapshot

ID = "backup_2026-11-22_13-25-08"
MANIFEST = Manifest(
    id=ID,
    identity=Identity(target="default", database="clinic", system_identifier="7", oid=5),
    server_version="180006",
    client_version="18.6",
    snapshot_time=datetime(2026, 11, 22, 13, 25, 8, tzinfo=UTC),
    heads=("0001",),
    files=(StoredFile(name=f"{ID}.sql", bytes=2, checksum="ab"),),
    seconds=0.5,
    rows={"public.patients": 3, "public.alerts": 7, "public.same": 1},
    schema=SchemaSnapshot(objects={}),
    schema_fingerprint="f",
    extensions={},
    roles=(),
)


def cost(**changes):
    known = {
        "database": "clinic",
        "oid": 5,
        "backup": Backup(manifest=MANIFEST, location="here"),
        "age": timedelta(hours=3),
        "state": "it answers",
        "heads_now": ("0002",),
        "revisions_since": ("0002",),
        "rows_now": {"public.patients": 1204, "public.notes": 2, "public.same": 1},
        "notes": ("a note",),
    }
    return restoration.Cost(**{**known, **changes})


def test_what_is_lost_is_said_by_time_revision_and_rows():
    assert cost().lines == [
        "what was written in the last 3 h is lost",
        "the revision goes from 0002 back to 0001 (0002 since the backup)",
        "public.alerts: no such table now; 7 rows in the backup",
        "public.notes: 2 rows now; the backup has no such table",
        "public.patients: 1,204 rows now, 3 in the backup",
        "a note",
    ]
    gone = cost(oid=None, heads_now=None, rows_now=None, state="there is no database clinic", notes=())
    assert gone.lines == ["what was written in the last 3 h is lost", "rows now: not known, for there is no database clinic"]


def test_the_question_names_the_database_and_the_moment():
    assert (
        restoration.prompt(cost())
        == "This replaces database clinic with the backup of 2026-11-22 13:25:08 UTC. Type 'RESTORE' to proceed:"
    )


@pytest.mark.parametrize("answer", [None, "", "restore", "RESTORE newest", "CONFIRM", "yes"])
def test_at_the_prompt_one_word_alone_agrees(answer):
    with pytest.raises(errors.Declined):
        restoration.from_prompt(answer, cost())
    assert restoration.from_prompt(" RESTORE ", cost()).backup_id == ID


@pytest.mark.parametrize(
    ("answer", "asked_for", "agrees"),
    [
        ("RESTORE newest", "", True),
        (f"RESTORE {ID}", ID, True),
        ("RESTORE", ID, False),
        ("RESTORE newest", ID, False),
        ("", "", False),
        (f"RESTORE {ID}", "", False),
    ],
)
def test_in_a_config_the_answer_names_what_was_asked_for(answer, asked_for, agrees):
    if agrees:
        assert restoration.from_config(answer, asked_for, cost()).how == "in the run's config"
        return
    with pytest.raises(errors.Declined) as declined:
        restoration.from_config(answer, asked_for, cost())
    assert declined.value.evidence == {"expected": f"RESTORE {asked_for or 'newest'}"}


FACTS = DatabaseFacts(encoding="UTF8", collate="de_DE.utf8", ctype="de_DE.utf8")
AGE = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
PSQL = "psql -X -v ON_ERROR_STOP=1 -d 'the clinic_restored'"
LIBC = "--lc-collate=de_DE.utf8 --lc-ctype=de_DE.utf8"


def by_hand_of(major=18, facts=FACTS, **form):
    return by_hand.commands(ID, Form(**form), "the clinic", facts, major=major)


def test_by_hand_each_format_has_its_commands():
    assert by_hand_of() == (
        f"cat {ID}.globals.sql | psql -X -d postgres",
        f"createdb --template=template0 --encoding=UTF8 {LIBC} --locale-provider=libc 'the clinic_restored'",
        f"{PSQL} -c 'REVOKE CONNECT ON DATABASE \"the clinic_restored\" FROM PUBLIC'",
        f"cat {ID}.sql | {PSQL} --single-transaction",
        f"cat {ID}.database.sql | {PSQL}",
        f"{PSQL} -c ANALYZE",
    )
    assert by_hand_of(layout=Layout.PLAIN_ZSTD, recipients=(AGE,))[3].startswith(
        f"age --decrypt -i KEY_FILE {ID}.sql.zst.age | zstd -dc | psql"
    )
    directory = by_hand_of(layout=Layout.DIRECTORY, jobs=4)[3]
    assert directory == f"pg_restore --exit-on-error --jobs=4 --dbname='the clinic_restored' {ID}.dir"


@pytest.mark.parametrize(
    ("locale", "major", "options"),
    [
        (None, 14, ""),
        (None, 15, " --locale-provider=libc"),
        ("und", 15, " --locale-provider=icu --icu-locale=und"),
        ("de-DE", 18, " --locale-provider=icu --icu-locale=de-DE"),
        ("C.UTF-8", 17, " --locale-provider=builtin --builtin-locale=C.UTF-8"),
    ],
)
def test_by_hand_the_locales_provider_is_named_where_it_can_be(locale, major, options):
    created = by_hand_of(major, replace(FACTS, icu_locale=locale))[1]
    assert created == f"createdb --template=template0 --encoding=UTF8 {LIBC}{options} 'the clinic_restored'"


def test_a_manifest_of_the_first_format_is_still_a_backup():
    written = storage.dumped(MANIFEST).decode()
    files = written[written.index(' "files"') : written.index(' "seconds"')]
    first = written.replace('"format": 2', '"format": 1').replace(files, ' "bytes": 2,\n "checksum": "ab",\n')
    assert '"files"' not in first
    assert storage.understood(first.encode(), ID) == MANIFEST
