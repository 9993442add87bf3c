"""Which runs a fleet submits, given the runs that there are; and its table."""

import pytest

from migration_pipeline import settings_fleet
from migration_pipeline.domain import fleet_table
from migration_pipeline.domain.fleet import Fleet, FleetRun, Phase, State, Wave, newest_of_each, next_move
from migration_pipeline.domain.fleet_table import Standing
from migration_pipeline.errors import SettingsError

WAVES = (Wave(name="canary", targets=("a", "b")), Wave(name="rest", targets=("c", "d", "e", "f", "g", "h")))
FLEET = Fleet(id="1a2b3c4d", waves=WAVES)
GOING_ON = (State.QUEUED, State.RUNNING, State.AWAITING)


def runs(**states):
    return {target: FleetRun(run_id=f"{target * 8}-0", target=target, state=state) for target, state in states.items()}


def move(fleet=FLEET, **states):
    return next_move(fleet, runs(**states))


def test_the_first_wave_is_submitted_as_a_whole():
    first = move()

    assert (first.phase, first.wave, first.submit, first.hold_back) == (Phase.UNDER_WAY, "canary", ("a", "b"), ())
    assert first.told == 'Fleet 1a2b3c4d, wave "canary": a, b submitted.'


@pytest.mark.parametrize("state", GOING_ON)
def test_the_next_wave_waits_for_the_last_target_of_the_one_before(state):
    waiting = move(a=State.SUCCEEDED, b=state)

    assert (waiting.phase, waiting.submit) == (Phase.UNDER_WAY, ())
    asks = " Waiting for CONFIRM, by the link on the run: b (run bbbbbbbb)." if state is State.AWAITING else ""
    assert waiting.told == f'Fleet 1a2b3c4d, wave "canary": 1 of 2 Targets are migrated; under way: b.{asks}'


def test_the_next_wave_is_submitted_when_the_one_before_is_done():
    then = move(a=State.SUCCEEDED, b=State.SUCCEEDED)

    assert (then.wave, then.submit) == ("rest", WAVES[1].targets)
    assert then.told == 'Fleet 1a2b3c4d, wave "rest": c, d, e, f, g and 1 more submitted.'


def test_what_a_cut_off_tick_did_not_submit_is_submitted_by_the_next_one():
    assert move(a=State.RUNNING).submit == ("b",)


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
def test_after_a_failure_nothing_is_submitted_and_what_waits_in_the_queue_is_held_back(state):
    stopped = move(a=State.SUCCEEDED, b=State.SUCCEEDED, c=state, d=State.QUEUED, e=State.RUNNING)

    assert (stopped.phase, stopped.submit) == (Phase.STOPPED, ())
    assert [run.target for run in stopped.hold_back] == ["d"]
    verb = {State.FAILED: "failed", State.CANCELLED: "was cancelled"}[state]
    assert stopped.told == (
        f'Fleet 1a2b3c4d stopped: the migration of "c" {verb}. Next: look at its run cccccccc; '
        "re-execute it from failure and the fleet goes on, or: just migrate-fleet. Still running: e."
    )


def test_a_failure_is_told_by_its_first_line_and_before_what_was_only_cancelled():
    failed = FleetRun(run_id="d" * 8, target="d", state=State.FAILED, why="The rehearsal failed.")

    told = next_move(FLEET, {**runs(a=State.CANCELLED), "d": failed}).told

    assert told.startswith('Fleet 1a2b3c4d stopped: the migration of "d" failed: The rehearsal failed. Next: ')


def test_a_failed_run_that_was_executed_again_lets_the_fleet_go_on_with_what_was_held_back():
    again = FleetRun(run_id="again", target="a", state=State.SUCCEEDED)
    newest = newest_of_each([again, *runs(a=State.FAILED, b=State.HELD_BACK).values()])

    assert (newest["a"].run_id, newest["a"].number) == ("again", 2)
    assert next_move(FLEET, newest).submit == ("b",)


def test_a_fleet_that_an_operator_stopped_stays_so_and_says_what_still_runs():
    stopped = move(Fleet(id="1a2b3c4d", waves=WAVES, is_stopped=True), a=State.RUNNING, b=State.QUEUED)

    assert [run.target for run in stopped.hold_back] == ["b"]
    assert stopped.told == "Fleet 1a2b3c4d was stopped by an operator. Next: just migrate-fleet. Still running: a."


def test_a_fleet_ends_with_its_last_wave():
    only = Fleet(id="1a2b3c4d", waves=WAVES[:1])

    done = move(only, a=State.SUCCEEDED, b=State.SUCCEEDED)

    assert (done.phase, done.submit) == (Phase.DONE, ())
    assert done.told == 'Fleet 1a2b3c4d is done up to wave "canary": 2 Targets are migrated.'


@pytest.mark.parametrize("state", list(State))
def test_whatever_the_states_are_no_target_is_submitted_whose_run_goes_on_or_has_ended(state):
    submitted = move(**dict.fromkeys("abcdefgh", state)).submit

    assert submitted == (("a", "b") if state is State.HELD_BACK else ())


def test_the_table_says_of_each_target_where_it_is_and_what_comes_next():
    waves = (Wave(name="canary", targets=("a", "b")), Wave(name="rest", targets=("c", "d", "e")))
    fleet = Fleet(id="1", waves=waves)
    of_fleet = runs(a=State.SUCCEEDED, b=State.AWAITING)
    standings = {**dict.fromkeys("bc", Standing(at=("1",), pending=2)), "a": Standing(at=("3",)), "d": Standing(pending=3),
                 "e": Standing(problem="The PostgreSQL server cannot be reached.")}  # fmt: skip

    table = fleet_table.rows(waves, fleet, of_fleet, runs(c=State.FAILED), standings)

    assert [(row.target, row.wave, row.at, row.pending, row.run and row.run.state, row.next) for row in table] == [
        ("a", "canary", "3", 0, State.SUCCEEDED, "nothing"),
        ("b", "canary", "1", 2, State.AWAITING, "CONFIRM, by the link on its run"),
        ("c", "rest", "1", 2, State.FAILED, 'waits for wave "canary"'),
        ("d", "rest", "an empty database", 3, None, 'waits for wave "canary"'),
        ("e", "rest", "The PostgreSQL server cannot be reached.", None, None, "see what is wrong, then: just fleet"),
    ]
    assert fleet_table.counts(table) == {"at head": 1, "pending": 3, "failed": 1, "unknown": 1}


def test_without_a_fleet_the_table_says_how_to_start_one():
    (row,) = fleet_table.rows((Wave(name="rest", targets=("a",)),), None, {}, {}, {"a": Standing(pending=1)})

    assert (row.run, row.next) == (None, "just migrate-fleet")


TARGET = '[targets.{}]\ndatabase_url = "env:URL"\n'


@pytest.fixture
def waves_of(tmp_path):
    def read(text):
        (tmp_path / "pipeline.toml").write_text(text)
        return settings_fleet.read({}, tmp_path)

    return read


def test_a_target_without_a_wave_is_in_the_last_one_and_an_empty_wave_is_none(waves_of):
    text = TARGET.format("one") + TARGET.format("two") + 'wave = "canary"\n' + TARGET.format("three")
    assert waves_of(text) == (Wave(name="canary", targets=("two",)), Wave(name="rest", targets=("one", "three")))
    assert waves_of('[fleet]\nwaves = ["x", "last"]\n' + TARGET.format("one")) == (Wave(name="last", targets=("one",)),)


def test_wrong_waves_of_all_targets_are_said_at_once(waves_of):
    text = TARGET.format("one") + 'wave = "canry"\n' + TARGET.format("two") + "wave = 2\n"
    with pytest.raises(SettingsError) as error:
        waves_of(text)
    assert {key: value for key, value in error.value.evidence.items() if key != "file"} == {
        "targets.one.wave": 'is not known; right: canary or rest; did you mean "canary"?',
        "targets.two.wave": "is no text; right: text in quotes",
    }


@pytest.mark.parametrize(
    ("fleet", "said"),
    [
        ("fleet = 1", {"fleet": "is no table; right: [fleet]"}),
        ("[fleet]\nwave = 1", {"fleet": "has a key that is no setting; right: waves alone"}),
        ("[fleet]\nwaves = []", {"fleet.waves": 'is no list of names; right: waves = ["canary", "rest"], in their order'}),
        ("[fleet]\nwaves = ['a', 'a']", {"fleet.waves": "names a wave twice; right: each once"}),
    ],
)
def test_a_wrong_table_of_waves_is_refused(waves_of, fleet, said):
    with pytest.raises(SettingsError) as error:
        waves_of(f"{fleet}\n" + TARGET.format("one"))
    assert {key: value for key, value in error.value.evidence.items() if key != "file"} == said


def test_without_any_target_there_is_no_fleet(tmp_path):
    with pytest.raises(SettingsError, match="1 setting is wrong; nothing was started"):
        settings_fleet.read({}, tmp_path)
    assert settings_fleet.read({"DATABASE_URL": "postgresql:///x"}, tmp_path) == (Wave(name="rest", targets=("default",)),)
