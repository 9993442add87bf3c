"""Runs a whole plan, segment by segment: the rehearsal on a copy, where it finds out the segments, and the upgrade.

Most plans are one segment: one transaction, rolled back on the copy. Where there are more, each is committed on the copy
before the next is rehearsed, as it will be on the live database.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from migration_pipeline import errors
from migration_pipeline.adapters import (
    attempts,
    attempts_alone,
    comparison,
    explanation,
    losses,
    pending,
    postgres,
    runner_process,
    sequences,
)
from migration_pipeline.adapters.attempts import Cut, Done
from migration_pipeline.adapters.execution import Ran, Show
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.adapters.transaction import Limits
from migration_pipeline.adapters.upgrade_watch import UpgradeWatch
from migration_pipeline.domain import segments
from migration_pipeline.domain.backups import Manifest
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.effects import Loss, Rehearsal, Rehearsed, RevisionEffects, Tolerance
from migration_pipeline.domain.plan import Plan
from migration_pipeline.domain.segments import Cuts, Segment

RUNS_A_CUT = 5  # of the project, that one transaction would not need: what is before it, it, what follows; two of them live


@dataclass(frozen=True, kw_only=True)
class OnCopy:
    """A restored copy of a backup, and how a plan runs on it."""

    project: Project
    copy: Connection
    manifest: Manifest
    limits: Limits
    progress: Show
    role: str | None  #: to become, where the copy is reached under another name than the live database


def rehearse(on: OnCopy, plan: Plan) -> tuple[Rehearsed, ...]:
    """Rehearse a plan; where it comes out as more than one segment, the copy is no longer what was restored.

    Raise CannotRollBack, NotAllowed or RehearsalFailed.
    """
    done: list[Rehearsed] = []
    cuts = Cuts()
    while len(done) < len(found := segments.cut(plan, cuts)):
        segment = found[len(done)]
        pending.check_files(segment.plan)
        try:
            rehearsed = _rehearse(on, plan, segment)
        except Cut as at:
            cuts = cuts.with_alone(at.revision, at.command) if at.command else cuts.with_before(at.revision)
            runner_process.spares.expect_more(on.project, RUNS_A_CUT)
            continue
        done.append(_later(rehearsed, sum(one.seconds for one in done)))
    return tuple(done)


def _rehearse(on: OnCopy, plan: Plan, segment: Segment) -> Rehearsed:
    if segment.alone:
        return attempts_alone.rehearse(on.project, on.copy, segment, on.limits, on.progress, role=on.role)
    is_part = segment.plan.revisions != plan.revisions
    more_follows = segment.plan.revisions[-1] != plan.revisions[-1]
    places = sequences.read(on.copy) if more_follows else {}
    ran, seconds = attempts.rehearse(
        on.project, on.copy, segment, on.limits, on.progress, role=on.role, is_part=is_part, more_follows=more_follows
    )
    *revisions, outside = _effects(on, plan, ran)
    if more_follows and not ran.is_committed:
        sequences.set_back(on.copy, places)
        attempts.commit_on_copy(on.project, on.copy, segment, on.limits, role=on.role)
    return Rehearsed(
        segment=segment,
        revisions=tuple(revisions),
        outside=outside,
        schema_after=ran.schema,
        heads_after=ran.heads,
        seconds=seconds,
    )


def _effects(on: OnCopy, plan: Plan, ran: Ran) -> list[RevisionEffects]:
    """Return the effects of each revision and of env.py; what is lost is counted on the copy as it was."""
    with postgres.session(on.copy, purpose="counts") as opened:
        counted = losses.effects(ran.parts, ran.base, lambda query: postgres.catalog_query(opened, query), plan.is_version_table)
    return [
        replace(
            effects,
            **part.held_up(plan.is_version_table, on.manifest),
            put_back=(*effects.put_back, *_empty_ones(effects, on.manifest)),
        )
        for effects, part in zip(counted, ran.parts, strict=True)
    ]


def _empty_ones(effects: RevisionEffects, manifest: Manifest) -> list[Loss]:
    """Return the tables without a row whose storage was replaced: a live one may have got some, and TRUNCATE takes them."""
    told = {loss.name for loss in (*effects.lost, *effects.put_back)}
    return [
        Loss(kind="rows", name=name, how="put back", path=tuple(name.split(".", 1)), rows=0)
        for name in effects.rewritten
        if manifest.rows.get(name) == 0 and name not in told
    ]


def _later(rehearsed: Rehearsed, seconds: float) -> Rehearsed:
    """Return a segment with its locks as much later: their times are those of the whole plan."""

    def shifted(effects: RevisionEffects) -> RevisionEffects:
        locks = (replace(one, taken=one.taken + seconds, released=one.released + seconds) for one in effects.locks)
        return replace(effects, locks=tuple(locks))

    return replace(rehearsed, revisions=tuple(map(shifted, rehearsed.revisions)), outside=shifted(rehearsed.outside))


@dataclass(frozen=True, kw_only=True)
class OnLive:
    """The live database, and how a plan runs on it."""

    project: Project
    live: Connection
    limits: Limits
    tolerance: Tolerance
    tries: int
    watch: UpgradeWatch
    backup_id: str
    compares_views: bool  #: whether nobody has consented to losing data
    between: Callable[[], None]  #: called before each segment but the first: what was checked before that may have changed


def upgrade(on: OnLive, plan: Plan, rehearsal: Rehearsal) -> Done:
    """Run a plan on the live database as it was rehearsed. Raise UpgradeFailed, Stale, with what is applied."""
    parts: list[Done] = []
    for rehearsed in rehearsal.segments:
        try:
            if parts:
                on.between()
            parts.append(_upgrade(on, rehearsed, is_part=len(rehearsal.segments) > 1))
        except errors.MigrationPipelineError as error:
            on.watch.explain(error)
            if len(rehearsal.segments) > 1:
                _say_how_far(error, on, plan)
            raise
    return Done(
        heads=parts[-1].heads,
        seconds=sum(one.seconds for one in parts),
        attempts=max(one.attempts for one in parts),
        revisions=tuple(effects for one in parts for effects in one.revisions),
    )


def _upgrade(on: OnLive, rehearsed: Rehearsed, *, is_part: bool) -> Done:
    if rehearsed.segment.alone:
        return attempts_alone.upgrade(
            on.project,
            on.live,
            rehearsed,
            limits=on.limits,
            tries=on.tries,
            progress=on.watch.progress,
            backup_id=on.backup_id,
        )
    return attempts.upgrade(
        on.project,
        on.live,
        rehearsed,
        limits=on.limits,
        tolerance=on.tolerance,
        tries=on.tries,
        progress=on.watch.progress,
        backup_id=on.backup_id,
        is_part=is_part,
        compares_views=on.compares_views,
    )


def _say_how_far(error: errors.MigrationPipelineError, on: OnLive, plan: Plan) -> None:
    """Add to a failure which revisions are applied, as looked at now, and both ways on."""
    heads = comparison.heads_now(on.live, plan)
    count = plan.applied(heads) if heads is not None else None
    if not count:
        return
    applied = [one.id for one in plan.revisions[:count]]
    error.what = error.what.replace("; nothing was changed", "")
    target = plan.heads[0] if len(plan.heads) == 1 else plan.target
    error.evidence = {
        **error.evidence,
        "applied": f"{count} of {len(plan.revisions)} revisions: {', '.join(applied)}",
        "safe": f"{explanation.safe(on.backup_id)}, holds the database as it was before the first of them",
    }
    if count == len(plan.revisions):
        error.next_step = f"mend what is named above; or go back to before all of it: just restore-db {on.backup_id}"
        return
    mend = (error.next_step or "").partition("just migrate")[0].removesuffix(", then: ") or "mend what is named above"
    error.next_step = (
        f"{mend}, then resume: just migrate {target} --accept-non-transactional; "
        f"or go back, and lose what was written since: just restore-db {on.backup_id}"
    )
