"""What people are told, word by word, and who a Target says they are."""

from datetime import UTC, datetime, timedelta

import pytest

from migration_pipeline import errors, settings
from migration_pipeline.domain import notices
from migration_pipeline.domain.notices import Channel, Kind

ERROR = errors.UpgradeFailed(
    "The upgrade failed.",
    evidence={"revision": "0007", "error": "lock timeout\n(55P03)", "state": "rolled back; the database is at 0006, as before"},
    next_step="just migrate, when nobody works with the table",
)
BACK_TO = datetime(2026, 11, 23, 2, 13, 40, tzinfo=UTC)


def told(notice):
    return notice.kind, notice.subject, notice.text


def test_an_alert_says_what_the_migration_does_now():
    doing = {
        "revision": "0007",
        "statement": "UPDATE visits SET day = …",
        "waits for": "a lock on visits",
        "blocked sessions": "3",
    }
    notice = notices.runs_long(
        "clinic", route="0006 to 0008", running=timedelta(minutes=6), limit=timedelta(minutes=30), doing=doing
    )
    assert told(notice) == (
        Kind.ALERT,
        "clinic: the migration has been running for 6 min",
        (
            "plan: 0006 to 0008\n"
            "revision: 0007\n"
            "statement: UPDATE visits SET day = …\n"
            "waits for: a lock on visits\n"
            "blocked sessions: 3\n"
            "limit: it is cancelled after 30 min\n"
            "Next: look at its run; cancel it there if it must not go on. A cancelled migration is rolled back."
        ),
    )


ERROR_TEXT = (
    "The upgrade failed.\n"
    "  revision: 0007\n"
    "  error: lock timeout\n"
    "    (55P03)\n"
    "  state: rolled back; the database is at 0006, as before\n"
    "Next: just migrate, when nobody works with the table"
)


def test_a_failure_says_the_state_and_the_next_command():
    assert told(notices.failed("clinic", ERROR)) == (Kind.FAILURE, "clinic: the migration failed", ERROR_TEXT)
    assert notices.failed("clinic", ERROR, task="restore").subject == "clinic: the restore failed"


def test_a_cancellation_says_what_it_left():
    assert told(notices.cancelled("clinic", ERROR)) == (Kind.CANCELLED, "clinic: the migration was cancelled", ERROR_TEXT)


def test_a_warning_has_its_error_as_its_subject():
    old = errors.NoRecentBackup("The newest backup is 25 h old.", evidence={"limit": "24 h"}, next_step="just backup-db")
    assert told(notices.warned("clinic", old)) == (
        Kind.ALERT,
        "clinic: The newest backup is 25 h old.",
        "  limit: 24 h\nNext: just backup-db",
    )


@pytest.mark.parametrize(
    ("lost", "line"),
    [
        ((), "lost: nothing"),
        (("7 values of a.b are lost", "2 rows of c are lost"), "lost: 7 values of a.b are lost\n  2 rows of c are lost"),
    ],
)
def test_a_success_says_what_was_lost(lost, line):
    notice = notices.migrated("clinic", route="0006 to 0008", seconds=75.2, backup="backup_2026-11-23_02-13-40", lost=lost)
    assert told(notice) == (
        Kind.SUCCESS,
        "clinic: the database was migrated",
        f"plan: 0006 to 0008\ntook: 75 s\n{line}\nbackup: backup_2026-11-23_02-13-40",
    )


def test_clinicians_are_told_in_plain_words():
    started = notices.restore_started("Clinic", back_to=BACK_TO, expected=timedelta(minutes=9, seconds=10))
    assert told(started) == (
        Kind.DOWNTIME,
        "Clinic: please enter nothing until further notice",
        (
            "Clinic is being set back to how it was on 23 November 2026 at 02:13 UTC.\n"
            "What was entered after that time, and what is entered from now on, will not be in it. Please keep it on paper.\n"
            "This takes about 10 minutes. At its end you may have to log in again.\n"
            "You will get another message when you can go on."
        ),
    )
    assert told(notices.restore_done("Clinic", back_to=BACK_TO, took=timedelta(seconds=61))) == (
        Kind.DOWNTIME,
        "Clinic: you can work with it again",
        (
            "Clinic is now as it was on 23 November 2026 at 02:13 UTC. It took 2 minutes.\n"
            "What was entered after that time is not in it. Please enter it again from your notes."
        ),
    )
    assert told(notices.restore_given_up("Clinic")) == (
        Kind.DOWNTIME,
        "Clinic: you can work with it again",
        "Clinic was not set back. It is as it was before, with all that was entered until now.",
    )


@pytest.mark.parametrize(("minutes", "words"), [(0.2, "a minute"), (1.1, "2 minutes"), (119, "119 minutes"), (120.5, "3 hours")])
def test_a_span_of_time_is_rounded_up(minutes, words):
    notice = notices.restore_started("Clinic", back_to=BACK_TO, expected=timedelta(minutes=minutes))
    assert f"about {words}." in notice.text


def test_a_long_error_is_cut_and_keeps_its_next_step():
    long = errors.Failure(
        "x" * 1000, evidence={"lines": "\n".join(f"line {i}\x1b[2J" for i in range(100))}, next_step="just plan"
    )
    notice = notices.failed("clinic", long)
    assert len(notice.lines) == 30
    assert [len(notice.lines[0]), *notice.lines[-2:]] == [300, "  … 73 more lines are in the run's log", "Next: just plan"]
    assert "\x1b" not in notice.text


# --- settings ---

SECRET = "T0000/B0000/s3cr3t-t0k3n"
SLACK = f"https://hooks.slack.com/services/{SECRET}"
TABLE = '[targets.dev]\nenvironment = "development"\ndatabase_url = "env:URL"\n'
ENVIRON = {"URL": "postgresql://db/clinic", "SLACK_URL": SLACK, "WARD_URL": "mailto://a:b@c.example", "ODD": f"no url {SECRET}"}


@pytest.fixture
def load(tmp_path):
    """Return a function: lines of a Target → the Target."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "alembic.ini").touch()

    def loaded(lines):
        (tmp_path / "pipeline.toml").write_text(f"{TABLE}{lines}\n")
        return settings.load(ENVIRON, tmp_path)

    return loaded


def test_channels_are_named_by_their_variables(load):
    target = load('alerts = ["env:SLACK_URL", "env:WARD_URL", "env:SLACK_URL"]\ndowntime_notices = ["env:WARD_URL"]')
    slack, ward = Channel(variable="SLACK_URL", url=SLACK), Channel(variable="WARD_URL", url="mailto://a:b@c.example")
    assert (target.alerts, target.downtime_notices) == ((slack, ward), (ward,))
    assert SECRET not in repr(target)
    assert load("").alerts == ()


RIGHT = 'right: ["env:NAME"], with the URL in that environment variable'
COMMITTED = f"holds a URL in a file that is committed, and who knows it can write there; {RIGHT}"


@pytest.mark.parametrize(
    ("written", "problems"),
    [
        (f'["{SLACK}"]', [COMMITTED]),
        (f'["{SLACK}", "env:GONE", "env:ODD", "SLACK_URL", "env:", "env:a b"]',
         [COMMITTED, "stands in the environment variable GONE, which is not set; right: set GONE",
          "stands in the environment variable ODD, which holds no URL; right: one of apprise, SERVICE://…", f"names no channel; {RIGHT}"]),
        ('"env:SLACK_URL"', ['is no list of texts; right: ["...", "..."]']),
        ("[1]", ['is no list of texts; right: ["...", "..."]']),
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["alerts", "downtime_notices"])
def test_what_is_no_channel_is_refused_with_the_fix_and_without_the_url(load, key, written, problems):
    with pytest.raises(errors.SettingsError) as refused:
        load(f"{key} = {written}\nlock_attempts = 0")
    assert refused.value.evidence[key] == "\n".join(problems)
    assert "lock_attempts" in refused.value.evidence
    assert SECRET not in str(refused.value)
