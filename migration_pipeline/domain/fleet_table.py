"""The whole fleet as one table: where each Target is, what is pending, how its last migration ended, and what comes next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from migration_pipeline.domain.fleet import Fleet, FleetRun, Move, Phase, State, Wave, next_move

#: what comes next where the newest run decides it
AFTER_RUN = {
    State.QUEUED: "its run begins",
    State.RUNNING: "its run goes on",
    State.AWAITING: "CONFIRM, by the link on its run",
    State.FAILED: "look at its run, then re-execute it",
    State.CANCELLED: "re-execute its run, or: just migrate-fleet",
}


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a Target's database is, as looked at now."""

    at: tuple[str, ...] = ()
    pending: int = 0
    problem: str = ""  #: why it could not be looked at


@dataclass(frozen=True, kw_only=True)
class Row:
    """One Target in the table."""

    target: str
    wave: str
    at: str
    pending: int | None  #: None: it could not be looked at
    run: FleetRun | None
    next: str

    @property
    def as_dict(self) -> dict[str, object]:
        run = {"run": self.run.run_id, "state": self.run.state.value, "why": self.run.why} if self.run else {}
        return {"target": self.target, "wave": self.wave, "at": self.at, "pending": self.pending, **run, "next": self.next}


def rows(
    waves: Sequence[Wave],
    fleet: Fleet | None,
    runs: Mapping[str, FleetRun],
    elsewhere: Mapping[str, FleetRun],
    standings: Mapping[str, Standing],
) -> list[Row]:
    """Return a row for each Target. `runs` are the newest ones of the fleet, `elsewhere` those that somebody else started."""
    move = next_move(fleet, runs) if fleet else None
    found = []
    for wave in waves:
        for target in wave.targets:
            is_of_fleet = fleet is not None and target in fleet.targets
            run = runs.get(target)
            decides = run if is_of_fleet and move is not None and move.phase is not Phase.DONE else run or elsewhere.get(target)
            found.append(
                _row(
                    target,
                    wave.name,
                    run or elsewhere.get(target),
                    standings[target],
                    _next(move if is_of_fleet else None, decides, standings[target]),
                )
            )
    return found


def counts(table: Sequence[Row]) -> dict[str, int]:
    """Return how many Targets are at their newest revision, have some pending, have failed, could not be looked at."""
    return {
        "at head": sum(row.pending == 0 for row in table),
        "pending": sum(bool(row.pending) for row in table),
        "failed": sum(row.run is not None and row.run.state is State.FAILED for row in table),
        "unknown": sum(row.pending is None for row in table),
    }


def _row(target: str, wave: str, run: FleetRun | None, standing: Standing, then: str) -> Row:
    return Row(
        target=target,
        wave=wave,
        at=standing.problem or ", ".join(standing.at) or "an empty database",
        pending=None if standing.problem else standing.pending,
        run=run,
        next=then,
    )


def _next(move: Move | None, run: FleetRun | None, standing: Standing) -> str:
    if (
        run is not None
        and run.state in AFTER_RUN
        and (standing.pending or standing.problem or run.state in {State.RUNNING, State.AWAITING})
    ):
        return AFTER_RUN[run.state]
    if standing.problem:
        return "see what is wrong, then: just fleet"
    if not standing.pending:
        return "nothing"
    if move is None or move.phase is Phase.DONE or (run is not None and run.state is State.SUCCEEDED):
        return "just migrate-fleet"
    return "waits: the fleet has stopped" if move.phase is Phase.STOPPED else f'waits for wave "{move.wave}"'
