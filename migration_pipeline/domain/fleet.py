"""What a fleet of Targets does next: wave by wave, and nothing more once a migration failed. It is given the runs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

MOST_NAMED = 5  #: so many Targets a sentence names


class State(StrEnum):
    """Where the newest run of a Target is."""

    QUEUED = "queued"
    RUNNING = "running"
    AWAITING = "waits for CONFIRM"  #: it runs, and asks an operator
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    HELD_BACK = "held back"  #: taken out of the queue by the fleet itself when it stopped; it never began


BUSY = frozenset({State.QUEUED, State.RUNNING, State.AWAITING})


@dataclass(frozen=True, kw_only=True)
class Wave:
    """Targets that are migrated at the same time, as far as workers and limits of the queue allow."""

    name: str
    targets: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FleetRun:
    """One run of the job `migrate` on one Target."""

    run_id: str
    target: str
    state: State
    why: str = ""  #: what its failure says in its first line
    number: int = 1  #: of its Target's runs in the fleet, counted from the first

    @property
    def short_id(self) -> str:
        return self.run_id[:8]


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """A fleet that somebody has started: the waves that it goes through, and whether somebody has stopped it."""

    id: str
    waves: tuple[Wave, ...]
    is_stopped: bool = False

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(target for wave in self.waves for target in wave.targets)


class Phase(StrEnum):
    UNDER_WAY = "under way"
    STOPPED = "stopped"
    DONE = "done"


@dataclass(frozen=True, kw_only=True)
class Move:
    """What is to be done now, and the sentence with the fact that decided it."""

    phase: Phase
    told: str
    wave: str = ""
    submit: tuple[str, ...] = ()  #: Targets of the wave
    hold_back: tuple[FleetRun, ...] = ()  #: runs that wait in the queue and must not begin


def newest_of_each(runs: Sequence[FleetRun]) -> dict[str, FleetRun]:
    """Return the newest run of each Target, of runs that are given newest first."""
    count = Counter(run.target for run in runs)
    newest: dict[str, FleetRun] = {}
    for run in runs:
        newest.setdefault(run.target, replace(run, number=count[run.target]))
    return newest


def next_move(fleet: Fleet, newest: Mapping[str, FleetRun]) -> Move:
    """Return what to do: hold back where it stopped, else submit what the first unfinished wave lacks, else wait."""
    ours = [newest[target] for target in fleet.targets if target in newest]
    if why := _why_stopped(fleet, ours):
        queued = tuple(run for run in ours if run.state is State.QUEUED)
        return Move(phase=Phase.STOPPED, told=why + _still(ours), hold_back=queued)
    for wave in fleet.waves:
        if missing := tuple(target for target in wave.targets if _is_to_run(newest.get(target))):
            told = f'Fleet {fleet.id}, wave "{wave.name}": {_named(missing)} submitted.'
            return Move(phase=Phase.UNDER_WAY, told=told, wave=wave.name, submit=missing)
        under_way = [target for target in wave.targets if newest[target].state is not State.SUCCEEDED]
        if under_way:
            done = f"{len(wave.targets) - len(under_way)} of {len(wave.targets)} Targets are migrated"
            told = f'Fleet {fleet.id}, wave "{wave.name}": {done}; under way: {_named(under_way)}.'
            return Move(phase=Phase.UNDER_WAY, told=told + _asking(ours), wave=wave.name)
    last = f'up to wave "{fleet.waves[-1].name}"' if fleet.waves else "without any wave"
    return Move(phase=Phase.DONE, told=f"Fleet {fleet.id} is done {last}: {len(fleet.targets)} Targets are migrated.")


def _is_to_run(run: FleetRun | None) -> bool:
    return run is None or run.state is State.HELD_BACK


def _why_stopped(fleet: Fleet, ours: Sequence[FleetRun]) -> str:
    for state, verb in ((State.FAILED, "failed"), (State.CANCELLED, "was cancelled")):
        for run in ours:
            if run.state is state:
                why = f": {run.why.rstrip('.')}" if run.why else ""
                then = "re-execute it from failure and the fleet goes on, or: just migrate-fleet."
                what = f'the migration of "{run.target}" {verb}{why}'
                return f"Fleet {fleet.id} stopped: {what}. Next: look at its run {run.short_id}; {then}"
    return f"Fleet {fleet.id} was stopped by an operator. Next: just migrate-fleet." if fleet.is_stopped else ""


def _still(ours: Sequence[FleetRun]) -> str:
    running = [run.target for run in ours if run.state in {State.RUNNING, State.AWAITING}]
    return (f" Still running: {_named(running)}." if running else "") + _asking(ours)


def _asking(ours: Sequence[FleetRun]) -> str:
    asking = [f"{run.target} (run {run.short_id})" for run in ours if run.state is State.AWAITING]
    return f" Waiting for CONFIRM, by the link on the run: {_named(asking)}." if asking else ""


def _named(targets: Sequence[str]) -> str:
    shown = ", ".join(targets[:MOST_NAMED])
    return f"{shown} and {len(targets) - MOST_NAMED} more" if len(targets) > MOST_NAMED else shown
