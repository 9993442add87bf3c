"""The safety report as a page and as a file: its one sentence, its ledger, its lock timeline, and what never gets into it."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from migration_pipeline.adapters import report_html
from migration_pipeline.domain import report, report_page, report_results, report_timeline, safety
from migration_pipeline.domain.annotations import Annotation, Declared
from migration_pipeline.domain.effects import Loss, Rehearsal, Rehearsed, RevisionEffects, RowChange, Statement
from migration_pipeline.domain.locking import LockBudget, LockHeld, Mode
from migration_pipeline.domain.plan import Identity, Plan, Revision
from migration_pipeline.domain.report_answer import Outcome
from migration_pipeline.domain.schema import SchemaSnapshot
from migration_pipeline.domain.segments import Segment

IDENTITY = Identity(target="default", database="clinic", system_identifier="7", oid=5)
MADE = datetime(2026, 11, 22, 13, 25, 31, tzinfo=UTC)
DROPPED = Loss(
    kind="column", name="public.patients.allergy", how="dropped", path=("public", "patients", "allergy"), rows=9, values=7
)
DELETED = RowChange(table="public.letters", deleted=41)
DROPS = ("ALTER TABLE patients DROP COLUMN allergy", "DELETE FROM letters")
INDEX = "CREATE INDEX by_ward ON patients (ward)"
LAST = (Revision(id="0003", down=("0002",), title="Work on", path="versions/0003.py", checksum="c"),)
ALONE = "CREATE INDEX CONCURRENTLY by_ward ON patients (ward)"


SETTING = report_page.Setting(
    where="clinic on db.example:5432 as app",
    environment="staging",
    guards_protection=False,
    made=MADE,
    backup_taken=MADE - timedelta(minutes=12),
    transaction_limit=timedelta(minutes=30),
    budget=LockBudget(),
)


def plan_of_one(title="Drop allergy"):
    return Plan(
        identity=IDENTITY,
        target="head",
        current=("0001",),
        revisions=(Revision(id="0002", down=("0001",), title=title, path="versions/0002.py", checksum="c"),),
        version_table="alembic_version",
    )


def held(relation, mode, taken, released, statement="ALTER TABLE ...", revision="0002"):
    return LockHeld(relation=relation, mode=mode, revision=revision, statement=statement, taken=taken, released=released)


def page(
    *texts,
    declared=Declared.DESTRUCTIVE,
    lost=(),
    rows=(),
    locks=(),
    unmeasured=(),
    title="Drop allergy",
    alone="",
    segments=1,
    **setting,
):
    plan = plan_of_one(title)
    statements = tuple(Statement(sql=text, revision="0002") for text in texts)
    ran = RevisionEffects(
        revision="0002",
        statements=statements,
        rows=tuple(rows),
        lost=tuple(lost),
        seconds=0.52,
        unmeasured=tuple(unmeasured),
        locks=tuple(locks),
        rewritten_bytes={"public.patients": 196_608},
        wal_bytes=1234,
    )
    outside = RevisionEffects(revision="env.py", statements=(), rows=(), lost=(), seconds=0)
    rehearsed = Rehearsed(
        segment=Segment(plan=plan, alone=alone),
        revisions=(ran,),
        outside=outside,
        schema_after=SchemaSnapshot(objects={}),
        heads_after=("0002",),
        seconds=0.6,
    )
    after = replace(rehearsed, segment=Segment(plan=replace(plan, revisions=LAST)), revisions=())
    found = safety.classify(
        annotations={"0002": Annotation(declared=declared, reason="retired <b>long</b> ago")},
        files={"0002": "versions/0002.py"},
        statements=statements,
        measured=[ran],
        version_table="alembic_version",
        sources={"0002": " ".join(texts)},
    )
    rehearsal = Rehearsal(
        plan_fingerprint=plan.fingerprint, backup_id="backup_2026-11-22_13-25-08", segments=(rehearsed, after)[:segments]
    )
    return report_page.of(plan, rehearsal, found, replace(SETTING, **setting))


def told(made):
    """Return the file of a page as a reader sees it."""
    return read(report_html.rendered(made))


def read(file):
    """Return the text of a file, on one line."""
    reader = HTMLParser()
    pieces = []
    reader.handle_data = pieces.append
    reader.feed(file.decode())
    return " ".join(" ".join(pieces).split())


@pytest.mark.parametrize(
    ("texts", "options", "outcome", "answer"),
    [
        (
            DROPS,
            {"lost": [DROPPED], "rows": [DELETED], "locks": [held("public.patients", Mode.ACCESS_EXCLUSIVE, 0.2, 0.32)]},
            Outcome.ASKS,
            (
                "7 values of patients.allergy are lost and 41 rows of letters are lost; reads and writes of patients wait for up to "
                "0.12 s; it goes on once an operator types CONFIRM."
            ),
        ),
        (
            (INDEX,),
            {"declared": Declared.NON_DESTRUCTIVE, "locks": [held("public.patients", Mode.SHARE, 0, 0.034)]},
            Outcome.PASSES,
            "No data is lost; writes to patients wait for up to 34 ms, and no reads do; it goes on without a question.",
        ),
        (
            ("SELECT f()",),
            {"declared": Declared.NON_DESTRUCTIVE, "unmeasured": ["nobody looked"]},
            Outcome.REFUSED,
            (
                "No loss was measured, but 0002 may lose data on other rows; no table is locked against reads or writes; "
                "this plan is refused."
            ),
        ),
        (
            DROPS,
            {
                "lost": [DROPPED],
                "locks": [held("a", Mode.ACCESS_EXCLUSIVE, 1, 4), held("b", Mode.SHARE, 0, 4)],
                "alone": ALONE,
            },
            Outcome.UNTIL_ACCEPTED,
            (
                "7 values of patients.allergy are lost; reads of a wait for up to 3.0 s, writes to b wait for up to 4.0 s; this plan "
                "is refused until it is accepted by --accept-non-transactional and --accept-locks and an operator types CONFIRM."
            ),
        ),
    ],
)
def test_the_first_sentence_says_what_is_lost_who_waits_and_what_follows(texts, options, outcome, answer):
    made = page(*texts, **options)
    assert (made.outcome, made.answer) == (outcome, answer)
    assert answer in told(made)


def test_of_many_losses_the_sentence_tells_three_and_the_ledger_all():
    many = [Loss(kind="table", name=f"public.t{number}", how="dropped", rows=number) for number in range(1, 6)]
    made = page("DROP TABLE t1", lost=many)
    assert made.answer.startswith(
        "1 row of t1 is lost, 2 rows of t2 are lost, 3 rows of t3 are lost and 2 more losses are in the ledger; "
    )
    assert [(one.told, one.how, one.rows) for one in made.lost][3:] == [
        ("4 rows of t4 are lost", "dropped", 4),
        ("5 rows of t5 are lost", "dropped", 5),
    ]


def test_what_held_no_data_is_in_the_ledger_and_no_loss():
    made = page("DROP TYPE mood", lost=[Loss(kind="type", name="public.mood", how="dropped")])
    (line,) = made.lost
    assert (line.told, line.is_data) == ("the type mood is gone; it held no data", False)
    assert made.answer.startswith("No data is lost; ")


def test_lost_protection_is_a_reason_to_refuse_where_it_is_guarded():
    loose = "DROP POLICY own ON patients"
    assert page(loose, declared=Declared.NON_DESTRUCTIVE).outcome is Outcome.PASSES
    made = page(loose, declared=Declared.NON_DESTRUCTIVE, guards_protection=True)
    assert made.outcome is Outcome.UNTIL_ACCEPTED
    (refusal,) = made.refusals
    assert refusal.lines == ("0002: guard dropped: patients.own",)
    assert "accept it: just migrate --accept-protection-loss" in told(made)


def test_a_refused_revision_is_on_the_page_with_its_witnesses_and_the_way_out():
    made = page(*DROPS, declared=Declared.NON_DESTRUCTIVE, lost=[DROPPED], rows=[DELETED], unmeasured=["a table was too large"])
    assert made.outcome is Outcome.REFUSED
    text = told(made)
    for part in (
        'Revision "0002" is annotated NON_DESTRUCTIVE, but it loses data.',
        'change the comment to "# SAFETY: DESTRUCTIVE", or keep the column.',
        "NON_DESTRUCTIVE in the file “retired <b>long</b> ago”",
        "loses data L02 column dropped: patients.allergy ALTER TABLE patients DROP COLUMN allergy",
        "7 values of patients.allergy are lost 41 rows of letters are lost Not measured: a table was too large",
        "0.60 s, less than 1 % of 30 min",
        "patients: 196.6 kB 1.2 kB",
    ):
        assert part in text


def test_a_possible_loss_that_the_measurement_settled_says_so():
    changed = "ALTER TABLE patients ALTER COLUMN id TYPE bigint"
    settled = "Only running tells: here, the measurement counts."
    assert settled in told(page(changed, declared=Declared.NON_DESTRUCTIVE))
    assert settled not in told(page(changed, unmeasured=["nobody looked"]))


def test_a_bar_lies_where_its_lock_was_held_and_ends_in_another_pattern_behind_its_limit():
    locks = [
        held("public.patients", Mode.ACCESS_EXCLUSIVE, 1.0, 5.0, "DROP TABLE patients"),
        held("public.letters", Mode.SHARE, 0.0, 5.0),
        held("public.wards", Mode.SHARE_UPDATE_EXCLUSIVE, 2.5, 5.0),
    ]
    picture = report_timeline.of(locks, LockBudget(), {"0002": "Drop"})
    (group,) = picture.groups
    letters, patients, wards = group.bars
    assert (letters.x, letters.width, letters.kind, letters.limit_x) == (300, 500, "writes", None)
    assert (patients.x, patients.width, patients.kind) == (400, 400, "both")
    assert (patients.limit_x, patients.over_x, patients.over_width) == (600, 600, 200)
    assert (patients.seconds, patients.limit) == ("4.0 s", "OVER the limit of 2 s")
    assert (wards.x, wards.width, wards.kind, wards.limit) == (550, 250, "nothing", "no limit")
    assert patients.told == (
        "patients: ACCESS EXCLUSIVE blocks reads and writes, from 1.0 s to 5.0 s (the transaction's end)\nDROP TABLE patients"
    )
    assert [label for _, label in picture.ticks] == ["0 s", "1 s", "2 s", "3 s", "4 s", "5 s"]
    assert picture.ticks[1][0] == 400


def test_the_axis_grows_for_a_limit_that_is_near_and_not_for_one_that_is_far():
    near = report_timeline.of([held("a", Mode.ACCESS_EXCLUSIVE, 0, 1.5)], LockBudget(), {"0002": ""})
    far = report_timeline.of([held("a", Mode.ACCESS_EXCLUSIVE, 0, 0.1)], LockBudget(), {"0002": ""})
    assert near.shows_limit
    assert near.groups[0].bars[0].limit_x < report_timeline.RIGHT
    assert not far.shows_limit
    assert far.groups[0].bars[0].width == report_timeline.RIGHT - report_timeline.LEFT


def test_of_too_many_locks_those_that_block_most_are_in_the_picture():
    locks = [held(f"t{number}", Mode.SHARE, 0, 1) for number in range(100)]
    locks.append(held("last", Mode.ACCESS_EXCLUSIVE, 0.99, 1))
    picture = report_timeline.of(locks, LockBudget(), {"0002": ""})
    assert picture.more == 61
    assert "last" in [bar.name for bar in picture.groups[0].bars]
    made = page(INDEX, locks=locks)
    assert "61 shorter or weaker locks have no room in the picture" in told(made)
    assert all(f"t{number} " in told(made) for number in range(100))


def test_in_a_plan_of_several_segments_each_says_where_its_clock_starts():
    made = page(INDEX, alone=ALONE, locks=[held("a", Mode.SHARE, 0, 1)], segments=2)
    assert dict(made.facts)["Transaction"] == "none: 2 segments, and it can end half-way"
    assert [group.title for group in made.timeline.groups] == ["Drop allergy (segment 1)"]
    assert [one.name for one in made.times] == ["0002", "the longest segment"]
    assert made.refusals[0].lines == (f"0002 runs by itself: {ALONE}",)
    assert dict(page(INDEX).facts)["Transaction"] == "one: all of it or nothing"


def test_the_locks_are_a_chart_of_text_too():
    locks = [
        held("public.patients", Mode.ACCESS_EXCLUSIVE, 0.5, 1.0),
        held("public.letters", Mode.SHARE, 0.0, 1.0, revision="0001"),
        held("public.wards", Mode.SHARE_UPDATE_EXCLUSIVE, 0.0, 1.0),
    ]
    assert report.lock_chart(locks) == [
        "          █ reads and writes wait  ▒ writes wait",
        f"letters  |{'▒' * 40}| 0.00 to 1.00 s, SHARE from 0001",
        f"patients |{' ' * 20}{'█' * 20}| 0.50 to 1.00 s, ACCESS EXCLUSIVE from 0002",
    ]
    assert report.lock_chart(locks[2:]) == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 ms"), (0.0123, "12 ms"), (0.52, "0.52 s"), (8.26, "8.3 s"), (140.4, "140 s")],
)
def test_a_time_is_told_with_the_digits_that_matter(seconds, words):
    assert report_timeline.in_words(seconds) == words


def test_no_text_becomes_html_and_none_turns_the_direction_of_writing():
    evil = """<script>alert("x")</script>&amp;\u202e'{{ 7 * 7 }}"""
    made = page(*DROPS, title=evil, lost=[DROPPED], locks=[held(f"public.{evil}", Mode.SHARE, 0, 1, evil)], where=evil)
    html = report_html.rendered(made).decode()
    assert "<script" not in html
    assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;&amp;amp;\\u202e&#39;{{ 7 * 7 }}" in html
    assert "\u202e" not in html


def test_a_half_of_a_character_is_written_out():
    assert "\\udc80" in report_html.rendered(page(*DROPS, title="half \udc80")).decode("utf-8")


def test_the_file_needs_nothing_else():
    html = report_html.rendered(page(*DROPS, INDEX, lost=[DROPPED], locks=[held("a", Mode.SHARE, 0, 1)])).decode()
    assert not re.search(r"<script|\bsrc=|https?://|@import|\son\w+=", html)
    assert re.findall(r"url\(([^)]*)\)", html) == ["#hatch", "#cross"]
    assert re.findall(r'href="([^"]*)"', html) == ["data:,"]
    assert "default-src 'none'" in html


def test_the_name_of_the_file_follows_from_the_backup_and_the_plan():
    assert report_results.file_name("backup_2026-11-22_13-25-08", "e4db4ad1" + "0" * 56) == (
        "report_2026-11-22_13-25-08_e4db4ad1.html"
    )
