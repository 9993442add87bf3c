"""The gate that waits for an answer from Dagster's UI, in this process: who may answer, how often, and for how long."""

import contextlib
import json
import sqlite3
import subprocess
import sys
import time

import dagster as dg
import pytest
import sqlalchemy

from migration_pipeline.defs import jobs, ops_confirm
from migration_pipeline_tests.conftest import wait_until
from migration_pipeline_tests.pipeline.conftest import BIN
from migration_pipeline_tests.pipeline.test_dagster import failure, house, started

__all__ = ["house"]
FOR = 300  # seconds; a busy machine with two cores, where two answers have taken 80 s to start
WAITS = 10  #: minutes, for an answer that will come: longer than anything that a test does meanwhile
OURS = (
    "SELECT application_name, state, datname FROM pg_stat_activity WHERE application_name LIKE 'migration_pipeline%' ORDER BY 1"
)


class Waiting:
    """A run of `migrate` in another process, at its gate: threads would share Dagster's locks."""

    def __init__(self, house, parent=None):
        self.house, self.instance = house, house.instance
        before = self._newest
        self._process = (
            execute(house, parent) if parent else launch(house, "migrate", reuse_recent_backup=True, wait_minutes=WAITS)
        )
        wait_until(lambda: self._newest != before and self._is_asking, lambda: self.instance.get_runs(limit=1), FOR)
        self.id = self._newest

    @property
    def _newest(self):
        return self.instance.get_runs(limit=1)[0].run_id

    @property
    def _is_asking(self):
        (run,) = self.instance.get_runs(limit=1)
        return run.tags.get(ops_confirm.AWAITED, "").startswith(run.run_id)

    @property
    def tags(self):
        return self.instance.get_run_by_id(self.id).tags

    @property
    def given(self):
        return {"run_id": self.id, "fingerprint": self.tags[ops_confirm.AWAITED].split()[1]}

    def answer(self, answer):
        return self.house.run(jobs.confirm_migration, **self.given, answer=answer)

    def end(self):
        self._process.wait(FOR)
        return Ended(self.instance, self.id)


class Ended:
    """A run of another process, once it has ended; as far as the tests look, what `execute_job` returns."""

    def __init__(self, instance, run_id):
        self.run_id = run_id
        self.success = instance.get_run_by_id(run_id).is_success
        self.log = [entry.user_message for entry in instance.all_logs(run_id)]
        self.all_events = [entry.dagster_event for entry in instance.all_logs(run_id) if entry.is_dagster_event]


def launch(house, job, **config):
    file = house.site.folder / f"{job}-{config.get('answer', '')}.yaml"
    file.write_text(json.dumps(config))
    command = [BIN / "dagster", "job", "execute", "-m", "migration_pipeline.definitions", "-j", job, "-c", file]
    return start(house, command)


def execute(house, parent):
    """Re-execute a run from its failure, in another process."""
    code = (
        "import sys, dagster as dg\nfrom migration_pipeline.defs import jobs\ninstance = dg.DagsterInstance.get()\n"
        "options = dg.ReexecutionOptions.from_failure(sys.argv[1], instance)\n"
        f"dg.execute_job(dg.reconstructable(jobs.migrate), instance, {{'wait_minutes': {WAITS}}}, reexecution_options=options)"
    )
    return start(house, [sys.executable, "-c", code, parent])


def start(house, command):
    with (house.site.folder / "process.log").open("ab") as log:
        return subprocess.Popen(command, cwd=house.site.folder, env=house.site.environ, stdout=log, stderr=log)


def asked(run):
    """Return what the gate showed while it waited."""
    (event,) = [event for event in run.all_events if event.event_type_value == "ASSET_OBSERVATION"]
    shown = event.event_specific_data.asset_observation
    return dict(shown.metadata)


def refusal(run, step="answer_migration"):
    return failure(run, step).error.message


def test_confirm_from_another_run_lets_the_migration_go_on_and_only_the_first_answer_to_this_plan_counts(house):
    site = house.site
    waiting = Waiting(house)

    held = site.query(OURS)
    other = house.run(jobs.confirm_migration, run_id=waiting.id, fingerprint="0" * 64, answer="CONFIRM")
    nowhere = house.run(jobs.confirm_migration, run_id="b1946ac9", fingerprint=waiting.given["fingerprint"], answer="CONFIRM")
    untouched = site.has_table("alerts")
    yes = waiting.answer("CONFIRM")
    done = waiting.end()

    assert [(name.split()[1], state, database) for name, state, database in held] == [
        ("default", "idle", "postgres"),  # the migration lock
        ("owns", "idle", "postgres"),  # the scratch database, which here is on the same server
    ]
    assert refusal(other).startswith("That run waits for the confirmation of another plan; nothing was confirmed.\n")
    assert refusal(nowhere) == (
        "There is no run of this id; nothing was confirmed.\n  run: b1946ac9\n"
        "Next: read the ledger of the run that waits, and open the link that it shows\n"
    )
    assert untouched
    assert yes.success
    assert done.success, done.log
    assert not site.has_table("alerts")
    assert waiting.tags[ops_confirm.DECISION] == f"CONFIRM {waiting.given['fingerprint'][:8]}"
    assert waiting.tags[ops_confirm.ANSWERED_BY] == yes.run_id
    outputs = {event.step_key: event.step_output_data.metadata for event in done.all_events if event.is_successful_output}
    assert outputs["confirm"]["confirmed"].value == f"in Dagster's UI, by run {yes.run_id}"
    shown = asked(done)
    question = "This migration is DESTRUCTIVE. Type 'CONFIRM' to proceed: in the Launchpad that this link opens."
    assert shown["question"].value == question
    assert list(shown)[:3] == ["ledger", "question", "answer"]
    assert shown["ledger"].value == "0002: 7 rows of alerts are lost"
    assert WAITS * 60 - FOR < shown["until"].value - time.time() < WAITS * 60

    late = waiting.answer("no")

    assert refusal(late).startswith("That run is not under way: it is SUCCESS; nothing was confirmed.\n")


@pytest.mark.long
def test_of_two_answers_at_once_one_stands_and_the_other_is_told_so(house):
    waiting = Waiting(house)

    both = [launch(house, jobs.confirm_migration.name, **waiting.given, answer=answer) for answer in ("CONFIRM", "no")]
    done = waiting.end()
    codes = [process.wait(FOR) for process in both]

    answers = house.instance.get_runs(dg.RunsFilter(job_name=ops_confirm.JOB))
    yes, no = (next(run for run in answers if run.run_config["answer"] == answer) for answer in ("CONFIRM", "no"))
    assert waiting.tags[ops_confirm.ANSWERED_BY] == (yes if done.success else no).run_id
    assert (codes[0] == 0, codes[1] == 0) == (done.success, False)
    second = refusal(Ended(house.instance, (no if done.success else yes).run_id))
    assert second.startswith(("That run has its answer already, and the first one stands.\n", "That run is no"))
    assert house.site.has_table("alerts") is not done.success


@pytest.mark.long
def test_the_gate_outlasts_a_storage_that_does_not_answer_for_a_while(house):
    waiting = Waiting(house)
    with contextlib.closing(sqlite3.connect(house.site.folder / "dagster/history/runs.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")  # nobody reads it either
        wait_until(lambda: locks(other), lambda: "the storage is busy", FOR)
        with pytest.raises(sqlalchemy.exc.OperationalError, match="database is locked"):
            house.instance.get_run_by_id(waiting.id)
        time.sleep(ops_confirm.POLL_SECONDS + 6)  # Dagster waits 5 s for it, and the gate looks again after a second
        other.execute("ROLLBACK")

    assert waiting.answer("CONFIRM").success
    done = waiting.end()

    assert done.success, done.log
    assert house.site.revision == ["0002"]


def locks(connection):
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute("BEGIN EXCLUSIVE")
        return True


def test_any_other_answer_declines_in_both_runs_and_changes_nothing(house):
    waiting = Waiting(house)

    no = waiting.answer("confirm")
    declined = waiting.end()

    for message in (refusal(no), refusal(declined, "confirm")):
        assert message.startswith(
            "The migration was not confirmed; nothing was changed.\n  expected: CONFIRM\n  answer: something else\n"
            f"  run: {no.run_id}\n"
        )
    assert failure(declined, "confirm").error.cls_name == "Declined"
    assert waiting.tags[ops_confirm.DECISION] == "declined"
    assert house.site.has_table("alerts")
    assert house.site.scratch_databases == []


@pytest.mark.long
def test_after_a_time_out_the_run_goes_on_from_its_gate_which_looks_at_everything_and_asks_anew(house):
    site = house.site
    late = house.run(jobs.migrate, wait_minutes=0.02, reuse_recent_backup=True)
    message = refusal(late, "confirm")
    assert message.startswith("Nobody confirmed the migration within 1 s; nothing was changed.\n  expected: CONFIRM ")
    assert '\nNext: "Re-execute from failure" (the arrow beside ' in message
    from_failure = dg.ReexecutionOptions.from_failure(late.run_id, house.instance)
    parent = house.instance.get_run_by_id(late.run_id)
    asked_of_parent = {"run_id": late.run_id, "fingerprint": parent.tags[ops_confirm.AWAITED].split()[1], "answer": "CONFIRM"}
    too_late = house.run(jobs.confirm_migration, **asked_of_parent)
    assert refusal(too_late).startswith("That run is not under way: it is FAILURE; nothing was confirmed.\n")

    site.query("ALTER TABLE patients ADD COLUMN by_hand text")
    changed = house.run(jobs.migrate, from_failure, wait_minutes=2)
    assert started(changed) == ["confirm"]
    assert refusal(changed, "confirm").startswith("The live schema has changed since the backup; nothing was changed.\n")
    site.query("ALTER TABLE patients DROP COLUMN by_hand", "UPDATE alembic_version SET version_num = '0002'")
    migrated = house.run(jobs.migrate, from_failure, wait_minutes=2)
    assert refusal(migrated, "confirm").startswith(
        "The database was migrated after the plan was made; this run changed nothing.\n"
    )
    site.query("UPDATE alembic_version SET version_num = '0001'")

    # what was answered to the parent, here by its tags, is no answer to its child
    house.instance.add_run_tags(late.run_id, {ops_confirm.DECISION: f"CONFIRM {asked_of_parent['fingerprint'][:8]}",
                                              ops_confirm.ANSWERED_BY: too_late.run_id})  # fmt: skip
    house.instance.add_run_tags(too_late.run_id, {ops_confirm.ANSWERS: late.run_id})
    waiting = Waiting(house, parent=late.run_id)
    assert waiting.tags[ops_confirm.DECISION] == "awaited"
    assert waiting.answer("CONFIRM").success
    done = waiting.end()

    assert done.success, done.log
    assert started(done) == ["confirm", "upgrade", "post_check"]
    assert site.revision == ["0002"]


@pytest.mark.long
def test_nobody_is_waited_for_longer_than_the_backup_is_good_for(house, monkeypatch):
    site = house.site
    site.configure(max_backup_age_at_upgrade_minutes=0.2, confirmation_minutes=30)
    for name in ("ALEMBIC_CONFIG", "MIGRATION_ENVIRONMENT", "BACKUP_LOCATION", "PG_BIN"):
        monkeypatch.delenv(name)

    late = house.run(jobs.migrate, wait_minutes=30)

    message = refusal(late, "confirm")
    assert message.startswith("Nobody confirmed the migration within ")
    assert "\n  backup: it is too old to upgrade on now\n" in message
    assert message.endswith("\nNext: just migrate\n")

    again = house.again(late, wait_minutes=30)

    assert refusal(again, "confirm").startswith('Backup "backup_')
    assert " old: too old to upgrade on; nothing was changed.\n" in refusal(again, "confirm")


@pytest.mark.parametrize("revision", ["0001"])
def test_a_plan_that_needs_no_confirmation_says_why(make_site18, monkeypatch, revision):
    site = make_site18("linear")
    site.enter(monkeypatch)
    with dg.DagsterInstance.get() as instance:
        assert dg.execute_job(dg.reconstructable(jobs.backup_database), instance=instance).success
        done = dg.execute_job(
            dg.reconstructable(jobs.migrate), instance=instance, run_config={"reuse_recent_backup": True, "revision": revision}
        )
        outputs = {event.step_key: event.step_output_data.metadata for event in done.all_events if event.is_successful_output}
        assert outputs["confirm"]["confirmed"].value == "not needed: no data is lost (1 revision, measured)"
