"""THE STORY: what a migration is, one function a step. Read it from top to bottom.

    preflight → backup → verify_backup → rehearse → classify_safety → confirm → upgrade → post_check

Each step takes the values of the steps before it. `upgrade` cannot be called without a VerifiedBackup and a Confirmation,
and both must be for the very plan that it runs.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

from migration_pipeline import errors
from migration_pipeline.adapters import comparison, database_facts, dump, pending, plan_runs, postgres, readings, snapshot
from migration_pipeline.adapters import preflight as conditions
from migration_pipeline.adapters.plan_runs import OnCopy, OnLive
from migration_pipeline.adapters.upgrade_watch import UpgradeWatch
from migration_pipeline.domain import backups, by_hand, confirmation, ledger, locking, safety, statements
from migration_pipeline.domain.backups import (
    Backup,
    Layout,
    Level,
    Manifest,
    Migration,
    Outcome,
    Rejected,
    Verification,
    VerifiedBackup,
)
from migration_pipeline.domain.confirmation import Confirmation
from migration_pipeline.domain.effects import Rehearsal, Tolerance
from migration_pipeline.domain.plan import Plan
from migration_pipeline.domain.results import PostCheck, Preflight, Preview, Shown, UpgradeResult
from migration_pipeline.domain.safety import SafetyReport
from migration_pipeline.settings import Environment
from migration_pipeline.workplace import Workplace


def preflight(place: Workplace, revision: str, *, without_concurrently: bool = False) -> Preflight:
    """Look at server, role, tools and plan; demand a recent, verified, intact backup of this database (D1)."""
    server = conditions.examine(place.live)
    if place.target.backups.system is None:
        place.programs(server.major)
    plan = pending.plan(place.project, place.live, place.identity(server), revision)
    plan = replace(plan, without_concurrently=without_concurrently)
    notes = (*place.history.notes(plan), *pending.notes(plan, place.live))
    if plan.is_empty:
        place.sweep_if_nobody_runs()
        return Preflight(plan=plan, recent_backup=None, notes=notes)
    _examine_scratch(place, server)
    return Preflight(plan=plan, recent_backup=newest_backup(place, plan), notes=notes)


def preview(place: Workplace, revision: str) -> Preview:
    """Show what is pending: nothing is written, and no backup is needed."""
    server = conditions.examine(place.live)
    plan, sent, complete = pending.preview(place.project, place.live, place.identity(server), revision)
    report = safety.classify(
        annotations=pending.annotations_of(plan, place.target.safety_file),
        files={one.id: one.path for one in plan.revisions},
        statements=sent,
        measured=None,
        version_table=plan.qualified_version_table,
        sources=pending.sources(plan),
        columns=pending.columns(place.live, sent),
    )
    roads = statements.roads(sent)
    shown = {
        verdict.revision: Shown(
            declares=verdict.declared or f"refused: {verdict.annotation.problem}",
            predicts=tuple(one.told_in_full for one in verdict.predicted)
            + ((roads[verdict.revision],) if verdict.revision in roads else ())
            + (() if verdict.revision in complete else ("needs a rehearsal to be known",)),
        )
        for verdict in report.verdicts
    }
    return Preview(plan=plan, shown=shown)


def newest_backup(place: Workplace, plan: Plan) -> Backup:
    """Return the newest backup that counts for this database now, or raise NoRecentBackup with what was found instead."""
    found, rejected = place.store.entries()
    now = place.server_time()
    for entry in found:
        reason = backups.why_not(entry, plan.identity, now, place.target.max_backup_age)
        if reason is None:
            backup = place.store.read(entry.id)
            if place.is_intact(backup):
                return backup
        rejected.append(Rejected(id=entry.id, reason=reason or "damaged: its bytes are not those of its manifest"))
    evidence = {one.id: one.reason for one in rejected[:5]}
    raise errors.NoRecentBackup(evidence=evidence or {"backups": f"none in {place.store.where}"})


def backup(place: Workplace, plan: Plan, *, protects: bool) -> Backup:
    """Dump the database and record in the same snapshot what the dump holds (D2)."""
    place.hold_lock()
    place.sweep()
    if place.target.backups.system is not None:
        return _backup_by_own_system(place, plan, protects=protects)
    place.store.check_room(place.room_for_a_dump())
    version_table = (plan.version_table_schema, plan.version_table)
    form = place.target.backups.form
    with snapshot.exported(place.live) as moment, place.store.new(place.clock) as new:
        if protects:
            _check_current(plan, postgres.version_rows(moment.session, *version_table))
        server = postgres.server(moment.session)
        ordered = place.dump(moment.name, server.major, new)
        sequences = snapshot.sequences(moment.session)
        started = time.monotonic()
        with dump.in_background(ordered) as dumping:
            contents = snapshot.contents(moment.session, version_table, hashed=place.target.backups.level is Level.ROWS)
            facts, database_sql = database_facts.of(moment.session)
            roles_sql = dump.roles(place.live, ordered.programs)
            files = dumping.result()
        manifest = Manifest(
            id=new.id,
            identity=place.identity(server),
            server_version=str(server.version),
            client_version=dump.version(ordered.programs),
            snapshot_time=moment.time,
            heads=contents.heads,
            version_table=plan.version_table,
            version_table_schema=plan.version_table_schema,
            layout=form.layout,
            recipients=form.recipients,
            files=(
                *files,
                dump.beside(ordered, backups.GLOBALS, roles_sql),
                dump.beside(ordered, backups.DATABASE, database_sql.encode()),
            ),
            seconds=time.monotonic() - started,
            rows=contents.rows,
            row_hashes=contents.row_hashes,
            sequences=sequences,
            large_objects=contents.large_objects,
            database_bytes=server.database_bytes,
            schema=contents.schema,
            schema_fingerprint=contents.schema.fingerprint,
            extensions=contents.extensions,
            roles=contents.roles,
            database=facts,
            by_hand=by_hand.commands(new.id, form, server.database, facts, major=server.major),
            protects=plan.fingerprint if protects else None,
        )
        return place.store.publish(new, manifest)


def _backup_by_own_system(place: Workplace, plan: Plan, *, protects: bool) -> Backup:
    """Let the Target's own backup system take it, and record between which readings of the database it lies."""
    version_table = (plan.version_table_schema, plan.version_table)
    with postgres.session(place.live, purpose="backup") as opened:
        server = postgres.server(opened)
        if protects:
            _check_current(plan, postgres.version_rows(opened, *version_table))
    started = time.monotonic()
    taken = place.own_system().take(version_table)
    contents = taken.before.contents
    with place.store.new(place.clock) as new:
        return place.store.publish(
            new,
            Manifest(
                id=new.id,
                identity=place.identity(server),
                server_version=str(server.version),
                client_version="none: a backup system of its own",
                snapshot_time=taken.before.time,
                heads=contents.heads,
                version_table=plan.version_table,
                version_table_schema=plan.version_table_schema,
                layout=Layout.OWN_SYSTEM,
                files=(),
                seconds=time.monotonic() - started,
                rows=contents.rows,
                large_objects=contents.large_objects,
                database_bytes=server.database_bytes,
                schema=contents.schema,
                schema_fingerprint=contents.schema.fingerprint,
                extensions=contents.extensions,
                roles=contents.roles,
                kept_as=taken.found.id,
                kept_bytes=taken.found.bytes,
                bounds=taken.bounds,
                transactions=taken.transactions,
                protects=plan.fingerprint if protects else None,
            ),
        )


def plan_for_backup(place: Workplace) -> Plan:
    """Return the plan of a backup without a migration: which database, and which table holds its revision."""
    server = conditions.examine(place.live)
    with contextlib.suppress(conditions.NoRoom):  # it can be taken all the same
        _examine_scratch(place, server)
    return pending.plan_or_default(place.project, place.live, place.identity(server))


def why_not_by_restore(place: Workplace) -> str | None:
    """Return why a backup of this database cannot be verified by a restore, if the scratch server has no room for a copy."""
    try:
        _examine_scratch(place, conditions.examine(place.live))
    except conditions.NoRoom as error:
        return error.evidence["disk"]
    return None


def _examine_scratch(place: Workplace, server: postgres.Server) -> None:
    if place.target.backups.system is not None:
        return  # it restores where it can
    conditions.examine_scratch(
        place.scratch_server,
        place.live,
        place.target.maintenance_database,
        needed_bytes=server.database_bytes,
        major=server.major,
    )


def reuse_backup(place: Workplace, plan: Plan, recent: Backup) -> Backup:
    """Return the backup that D1 found, if the database still is what it was then: same revision, same schema."""
    place.hold_lock()
    place.sweep()
    manifest = recent.manifest
    changed = comparison.of_live(place.live, manifest.schema)
    if changed or manifest.heads != plan.current:
        raise errors.Stale(
            f'Backup "{recent.id}" cannot be reused: the database has changed since.',
            evidence=changed or {"revision then": ", ".join(manifest.heads), "now": ", ".join(plan.current)},
            next_step="just migrate, without --reuse-recent-backup",
        )
    return place.store.rewrite(replace(place.store.read(recent.id).manifest, protects=plan.fingerprint))


def verify_backup(place: Workplace, backup: Backup, plan: Plan) -> VerifiedBackup:
    """Restore the backup into a scratch database and compare it with what the manifest recorded."""
    verified, passed = verify(place, backup, place.target.backups.level)
    return VerifiedBackup(
        backup=verified,
        verification=passed,
        plan_fingerprint=plan.fingerprint,
        age=place.server_time() - backup.manifest.snapshot_time,
    )


def verify(place: Workplace, backup: Backup, level: Level) -> tuple[Backup, Verification]:
    """Prove a backup up to a level, and record in its manifest what came of it. Raise VerificationFailed."""
    place.hold_lock()
    started = time.monotonic()
    if backup.manifest.layout is Layout.OWN_SYSTEM:
        level = Level.RESTORE  # no more, and no less, is ever proved of it
    try:
        seconds = _prove(place, backup, level)
    except errors.VerificationFailed as error:
        seconds = time.monotonic() - started
        try:
            record(place, backup, Verification(level=level, at=place.clock(), seconds=seconds, passed=False, detail=error.what))
        except errors.MigrationPipelineError as other:
            error.evidence["not recorded"] = other.what
        error.next_step = error.next_step or "just backup-db; the live database is as it was"
        raise
    passed = Verification(level=level, at=place.clock(), seconds=seconds, passed=True)
    return record(place, backup, passed), passed


def _prove(place: Workplace, backup: Backup, level: Level) -> float:
    """Prove a backup; return the seconds that it took to have its files, or its restored copy. Raise VerificationFailed."""
    started = time.monotonic()
    if level is Level.CHECKSUM:
        with place.store.fetched(backup):
            return time.monotonic() - started
    copy, seconds = place.restored(backup)
    if backup.manifest.layout is Layout.OWN_SYSTEM:
        readings.check_copy(backup.manifest, copy)
    else:
        comparison.check_copy(backup.manifest, copy, level)
    return seconds


def verify_without_room(place: Workplace, backup: Backup, why_not: str) -> None:
    """Prove the bytes of a backup that is too large for the scratch server; it is stored, and never called verified."""
    verify(place, backup, Level.CHECKSUM)
    raise errors.VerificationFailed(
        f'Backup "{backup.id}" is stored, but not verified by restore: no migration will rely on it.',
        evidence={"scratch server": why_not, "store": backup.location},
        next_step=f"give the scratch server room, then: just verify-backup {backup.id}",
    )


def record(place: Workplace, backup: Backup, verification: Verification) -> Backup:
    """Add a verification to the manifest, as it is in the store now."""
    newest = place.store.read(backup.id).manifest
    return place.store.rewrite(replace(newest, verifications=(*newest.verifications, verification)))


def rehearse(place: Workplace, plan: Plan, verified: VerifiedBackup) -> Rehearsal:
    """Run the plan on the restored copy, measure everything, and roll it back there, as far as one transaction holds it."""
    place.hold_lock()  # a run that goes on from here, after a failure, has not taken it yet
    copy, _ = place.restored(verified.backup)
    pending.check_files(plan)
    place.forget_copy()  # what is rehearsed may stay on it
    ran = plan_runs.rehearse(
        OnCopy(
            project=place.project,
            copy=copy,
            manifest=verified.backup.manifest,
            limits=place.limits,
            progress=place.show_revision,
            role=place.rehearses,
        ),
        plan,
    )
    if len(ran) == 1 and not ran[0].segment.alone:
        place.keep_copy(verified.backup, copy)
    rehearsal = Rehearsal(plan_fingerprint=plan.fingerprint, backup_id=verified.backup.id, segments=ran)
    outside = rehearsal.outside
    if lost := ledger.data_lost(outside.lost, outside.rows):
        raise errors.LossNotDeclared(
            "env.py itself loses data, outside any revision that could declare it; nothing was changed.",
            evidence={"measured": "\n".join(lost), "statements": "\n".join(one.sql for one in outside.statements)},
            next_step="move it into a revision with its own safety annotation, then: just migrate",
        )
    return rehearsal


def classify_safety(place: Workplace, plan: Plan, rehearsal: Rehearsal | None) -> SafetyReport:
    """Hold the three witnesses together: what each revision declares, what its SQL predicts, what was measured (D3)."""
    sent = [one for measured in rehearsal.revisions for one in measured.statements] if rehearsal else []
    return safety.classify(
        annotations=pending.annotations_of(plan, place.target.safety_file),
        files={revision.id: revision.path for revision in plan.revisions},
        statements=sent,
        measured=rehearsal.revisions if rehearsal else None,
        version_table=plan.qualified_version_table,
        sources=pending.sources(plan),
        columns=pending.columns(place.live, sent),
        sent_outside=rehearsal.outside.statements if rehearsal else (),
    )


def weigh_locks(place: Workplace, rehearsal: Rehearsal, *, accept: bool) -> tuple[str, ...]:
    """Return the locks over the Target's budget, once the operator accepts them; raise LocksTooLong otherwise."""
    too_long = locking.over_budget(rehearsal.locks, place.target.lock_budget)
    if not accept:
        _refuse_locks(too_long)
    return too_long


def weigh_atomicity(rehearsal: Rehearsal, *, accept: bool) -> tuple[str, ...]:
    """Return why the plan cannot be rolled back as a whole, once the operator accepts it; raise NotAtomic otherwise (D4)."""
    if not accept:
        _refuse_parts(rehearsal.why_not_atomic)
    return rehearsal.why_not_atomic


def weigh_protection(place: Workplace, report: SafetyReport, *, accept: bool) -> tuple[str, ...]:
    """Return what a plan takes away of what protects the data of a production Target, once the operator accepts it.

    Raise ProtectionLost otherwise. CONFIRM does not ask about it: that question is about lost data alone, and always true.
    """
    if place.target.environment is not Environment.PRODUCTION:
        return ()
    lost = tuple(dict.fromkeys(f"{one.revision or 'env.py'}: {one.told}" for one in report.protection))
    if lost and not accept:
        raise errors.ProtectionLost(
            evidence={"predicted": safety.lines(lost)},
            next_step="leave what protects the data in its place, or accept it: just migrate --accept-protection-loss",
        )
    return lost


def confirm(
    plan: Plan, report: SafetyReport, answer: Callable[[str], Confirmation], *, accepted: tuple[str, ...] = ()
) -> Confirmation:
    """Let a plan without loss pass; ask for the others. `answer` gets the plan's fingerprint (D3).

    `accepted` is what the operator let pass by an option, and is kept with the consent.
    """
    report.raise_if_refused()
    if report.needs_confirmation:
        return replace(answer(plan.fingerprint), accepted=accepted)
    why = confirmation.why_not_needed(len(report.verdicts), measured=sum(not one.unmeasured for one in report.verdicts))
    return replace(confirmation.not_needed(plan.fingerprint, why), accepted=accepted)


def look_again(place: Workplace, plan: Plan, verified: VerifiedBackup) -> timedelta:
    """Make sure that a plan still is what it was, before somebody is asked about it; return how long its backup will do.

    A run that goes on after a failure has not taken the lock, and a day may have passed. Raise Locked, Stale.
    """
    place.hold_lock()
    pending.check_files(plan)
    with postgres.session(place.live, purpose="looks") as opened:
        _check_current(plan, postgres.version_rows(opened, plan.version_table_schema, plan.version_table))
    return _check_backup(place, verified)


def upgrade(
    place: Workplace,
    plan: Plan,
    verified: VerifiedBackup,
    rehearsal: Rehearsal,
    consent: Confirmation,
    *,
    say: Callable[[str], None] = lambda _how_far: None,
) -> UpgradeResult:
    """Run the plan on the live database, one transaction a segment, compare with the rehearsal, commit (D4).

    `say` is told from another thread how far it is, every few seconds.
    """
    _check_same_plan(plan, verified, rehearsal, consent)
    _check_accepted(place, rehearsal, consent)
    place.hold_lock()
    pending.check_files(plan)
    _check_backup(place, verified)

    def between_segments() -> None:
        place.hold_lock()
        pending.check_files(plan)
        comparison.check_age(verified.backup, now=place.server_time(), limit=place.target.max_backup_age_at_upgrade)

    tolerance = Tolerance(factor=place.target.effects_tolerance_factor, rows=place.target.effects_tolerance_rows)
    begun = place.history.begin(plan, verified.backup.id, consent.how, place.clock(), accepted=consent.accepted)
    watch = UpgradeWatch(
        place.live,
        place.target.name,
        rehearsal,
        limit=place.target.queue_limit,
        say=say,
        show=lambda where: place.progress(where, 0, None),
    )
    with _ended_where_it_is(place, plan, begun, in_parts=bool(rehearsal.why_not_atomic)), watch:
        done = plan_runs.upgrade(
            OnLive(
                project=place.project,
                live=place.live,
                limits=place.limits,
                tolerance=tolerance,
                tries=place.target.lock_attempts,
                watch=watch,
                backup_id=verified.backup.id,
                compares_views=consent.how.startswith("not needed"),
                between=between_segments,
            ),
            plan,
            rehearsal,
        )
    result = UpgradeResult(
        plan_fingerprint=plan.fingerprint,
        backup_id=verified.backup.id,
        heads=done.heads,
        seconds=done.seconds,
        attempts=done.attempts,
        revisions=done.revisions,
    )
    return _recorded(place, begun, result)


def _check_accepted(place: Workplace, rehearsal: Rehearsal, consent: Confirmation) -> None:
    """Raise LocksTooLong or NotAtomic for what was rehearsed and nobody has accepted."""
    too_long = locking.over_budget(rehearsal.locks, place.target.lock_budget)
    _refuse_locks(tuple(one for one in too_long if one not in consent.accepted))
    _refuse_parts(tuple(one for one in rehearsal.why_not_atomic if one not in consent.accepted))


def _recorded(place: Workplace, begun: Migration, result: UpgradeResult) -> UpgradeResult:
    """Record a migration as committed; where that fails, the upgrade stays, and that is what must be told."""
    try:
        place.history.end(begun, Outcome.COMMITTED, at=place.clock(), heads=result.heads)
    except errors.MigrationPipelineError as error:
        return replace(result, notes=(f"the record of this migration could not be kept: {error.what}",))
    return result


@contextlib.contextmanager
def _ended_where_it_is(place: Workplace, plan: Plan, begun: Migration, *, in_parts: bool) -> Iterator[None]:
    """Record a migration as failed where the database is seen to be as before, or a part of the plan to be applied.

    Otherwise nobody knows, and it stays begun.
    """
    try:
        yield
    except BaseException:
        with contextlib.suppress(errors.MigrationPipelineError):
            heads = comparison.heads_now(place.live, plan)
            applied = None if heads is None else plan.applied(heads)
            if heads is not None and applied is not None and (in_parts or not applied):
                outcome = Outcome.PARTLY if applied else Outcome.FAILED
                if applied == len(plan.revisions):
                    outcome = Outcome.COMMITTED
                place.history.end(begun, outcome, at=place.clock(), heads=heads, applied=applied)
        raise


def post_check(place: Workplace, plan: Plan, rehearsal: Rehearsal, result: UpgradeResult) -> PostCheck:
    """Look at the live database once more: the planned heads, the rehearsed schema, nothing invalid."""
    try:
        with postgres.session(place.live, purpose="post-check", autocommit=False) as opened:
            heads = postgres.version_rows(opened, plan.version_table_schema, plan.version_table)
            after = snapshot.schema_of(opened)
            invalid = [row[0] for row in postgres.rows(opened, postgres.INVALID_INDEXES)]
    except errors.Failure as error:
        raise errors.PostCheckFailed(
            "The upgrade is committed, but the database could not be looked at again.",
            evidence=error.evidence,
            next_step="once the server answers: just plan",
        ) from None
    problems: dict[str, str] = {}
    if heads != rehearsal.heads_after:
        problems["version table"] = f"{', '.join(heads) or 'empty'}, planned: {', '.join(rehearsal.heads_after)}"
    problems |= comparison.of_schemas(rehearsal.schema_after.as_restored, after.as_restored)
    if invalid:
        problems["invalid indexes"] = ", ".join(invalid)
    if problems:
        raise errors.PostCheckFailed(
            evidence={"state": f"the upgrade is committed; the database is at {', '.join(heads)}", **problems},
            next_step=f"mend what is named above, or go back: just restore-db {result.backup_id}",
        )
    return PostCheck(heads=heads, schema_fingerprint=after.fingerprint)


def _check_current(plan: Plan, heads: tuple[str, ...]) -> None:
    """Raise Stale when somebody has migrated the database between the plan and the lock."""
    if heads != plan.current:
        raise errors.Stale(
            "The database was migrated after the plan was made; this run changed nothing.",
            evidence={"planned from": ", ".join(plan.current) or "no revision", "now": ", ".join(heads) or "no revision"},
            next_step="just plan, which shows what is left to do",
        )


def _check_backup(place: Workplace, verified: VerifiedBackup) -> timedelta:
    """Raise Stale unless an upgrade can rely on the backup now; return for how long it will be young enough."""
    now, limit = place.server_time(), place.target.max_backup_age_at_upgrade
    comparison.check_still_valid(place.live, verified.backup, now=now, limit=limit)
    return verified.backup.manifest.snapshot_time + limit - now


def _check_same_plan(plan: Plan, verified: VerifiedBackup, rehearsal: Rehearsal, consent: Confirmation) -> None:
    for what, fingerprint in (
        ("backup", verified.plan_fingerprint),
        ("rehearsal", rehearsal.plan_fingerprint),
        ("confirmation", consent.plan_fingerprint),
    ):
        if fingerprint != plan.fingerprint:
            raise errors.Stale(f"The {what} belongs to another plan; nothing was changed.", next_step="just migrate")


def _refuse_parts(why: tuple[str, ...]) -> None:
    """Raise NotAtomic for a plan that can end half-way."""
    if why:
        told = {"rehearsed": safety.lines(why)}
        if all("CONCURRENTLY" in one for one in why):
            told["in one transaction"] = "just migrate --without-concurrently; tables are locked meanwhile"
        raise errors.NotAtomic(
            evidence=told, next_step="accept that the backup is the way back: just migrate --accept-non-transactional"
        )


def _refuse_locks(too_long: tuple[str, ...]) -> None:
    """Raise LocksTooLong for what the rehearsal saw locked for longer than the Target's budget."""
    if too_long:
        raise errors.LocksTooLong(
            evidence={"measured": safety.lines(too_long)},
            next_step="split the revision, write it with weaker locks, or accept them: just migrate --accept-locks",
        )
