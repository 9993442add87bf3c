"""Values as Dagster shows them: Markdown, tables and numbers that are plotted over time. Never a row, never a secret."""

from collections.abc import Callable
from typing import Any

import dagster as dg

from migration_pipeline import errors
from migration_pipeline.defs import assets, metadata_report
from migration_pipeline.defs.metadata_values import Metadata, listed, table
from migration_pipeline.domain import locking, restoration
from migration_pipeline.domain import report as reports
from migration_pipeline.domain.backups import Backup, VerifiedBackup
from migration_pipeline.domain.confirmation import Confirmation
from migration_pipeline.domain.effects import Rehearsal
from migration_pipeline.domain.plan import Plan
from migration_pipeline.domain.report_results import Classified, Outlook, RehearsedOn
from migration_pipeline.domain.restoration import Beside, Cost, RestoreConfirmation, Restored
from migration_pipeline.domain.results import PostCheck, Preflight, Pruned, UpgradeResult, Verified
from migration_pipeline.domain.safety import SafetyReport


def of(value: Any) -> Metadata:
    """Return what is worth looking at of a step's value."""
    shown = SHOWN.get(type(value))
    return shown(value) if shown else {}


def of_preflight(found: Preflight) -> Metadata:
    recent = found.recent_backup
    allowed_by: Metadata = {}
    if recent is not None:
        allowed_by = {"recent backup": recent.id, "taken": dg.MetadataValue.timestamp(recent.manifest.snapshot_time)}
    return {**of_plan(found.plan), **allowed_by, "notes": listed(found.notes)}


def of_plan(plan: Plan) -> Metadata:
    rows = [{"revision": one.id, "title": one.title, "file": one.path} for one in plan.revisions]
    return {"plan": table(rows), "fingerprint": plan.fingerprint, "route": plan.route}


def of_backup(backup: Backup) -> Metadata:
    manifest = backup.manifest
    return {
        "id": backup.id,
        "location": dg.MetadataValue.path(backup.location),
        "bytes": manifest.bytes,
        "dump seconds": round(manifest.seconds, 3),
        "rows": sum(manifest.rows.values()),
        "tables": len(manifest.rows),
        "snapshot": dg.MetadataValue.timestamp(manifest.snapshot_time),
        "revision": ", ".join(manifest.heads) or "none",
    }


def of_rehearsed_on(found: RehearsedOn) -> Metadata:
    return {**of_backup(found.backup), "taken anew": found.why_new or "no: it is the recent one"}


def of_verified(verified: VerifiedBackup) -> Metadata:
    found = verified.verification
    return {
        **of_backup(verified.backup),
        "restore seconds": round(found.seconds, 3),
        "verified": dg.MetadataValue.timestamp(found.at),
    }


def of_rehearsal(rehearsal: Rehearsal) -> Metadata:
    return {
        "seconds": round(rehearsal.seconds, 3),
        **_lost(rehearsal),
        "effects": table(reports.effect_rows(rehearsal.revisions)),
        "locks": table(locking.rows(rehearsal.locks)),
        "lock timeline": dg.MetadataValue.md(metadata_report.lock_chart(rehearsal)),
        "rewritten": listed(
            f"{name}: {size:,} bytes" for one in rehearsal.revisions for name, size in one.rewritten_bytes.items()
        ),
    }


def of_confirmation(consent: Confirmation) -> Metadata:
    return {"confirmed": consent.how, "plan": consent.plan_fingerprint, "accepted": listed(consent.accepted)}


def of_result(result: UpgradeResult) -> Metadata:
    return {
        "seconds": round(result.seconds, 3),
        "attempts": result.attempts,
        "heads": ", ".join(result.heads),
        "effects": table(reports.effect_rows(result.revisions)),
        "way back": f"just restore-db {result.backup_id}",
    }


def of_post_check(checked: PostCheck) -> Metadata:
    return {"heads": ", ".join(checked.heads), "schema": checked.schema_fingerprint}


def of_cost(cost: Cost) -> Metadata:
    return {**of_backup(cost.backup), "lost": listed(cost.lines), "age seconds": round(cost.age.total_seconds())}


def of_restore_confirmation(consent: RestoreConfirmation) -> Metadata:
    return {"confirmed": consent.how, "backup": consent.backup_id}


def of_beside(beside: Beside) -> Metadata:
    return {"database": beside.name, "restore seconds": round(beside.seconds, 3), "notes": listed(beside.notes)}


def of_restored(restored: Restored) -> Metadata:
    return {
        "restore seconds": round(restored.seconds, 3),
        "of the estimate": f"{restored.seconds / restoration.ESTIMATE.total_seconds():.1%} of 15 minutes",
        "swap seconds": round(restored.swap_seconds, 3),
        "sessions ended": restored.ended_sessions,
        "backup": restored.backup_id,
        "replaced database": restored.replaced or "there was none",
        "notes": listed(restored.notes),
    }


def of_verified_again(verified: Verified) -> Metadata:
    found = verified.verification
    return {**of_backup(verified.backup), "level": found.level.value, "seconds": round(found.seconds, 3)}


def of_pruned(pruned: Pruned) -> Metadata:
    return {
        "removed": len(pruned.removed),
        "stay": len(pruned.rows) - len(pruned.removed),
        "dry run": pruned.dry_run,
        "backups": table(pruned.rows),
    }


def of_error(error: errors.MigrationPipelineError) -> Metadata:
    evidence = [{"what": key, "found": value} for key, value in error.evidence.items()]
    report = {"report": dg.MetadataValue.path(error.evidence["report"])} if "report" in error.evidence else {}
    return {"evidence": table(evidence), **report, "next": error.next_step or "none"}


def materialized_backup(verified: VerifiedBackup) -> dg.AssetMaterialization:
    target = verified.backup.manifest.identity.target
    return dg.AssetMaterialization(assets.backup_key(target), description=verified.backup.id, metadata=of_verified(verified))


def materialized_schema(plan: Plan, rehearsal: Rehearsal, result: UpgradeResult) -> dg.AssetMaterialization:
    """Return what a migration left. What is lost is the rehearsal's count: the live run was held against it."""
    return dg.AssetMaterialization(
        assets.schema_key(plan.identity.target),
        description=plan.route,
        metadata={
            "upgrade seconds": round(result.seconds, 3),
            "rehearsal seconds": round(rehearsal.seconds, 3),
            "revisions": len(plan.revisions),
            **_lost(rehearsal),
            "heads": ", ".join(result.heads),
            "plan": plan.fingerprint,
            "backup": result.backup_id,
        },
    )


def _lost(rehearsal: Rehearsal) -> Metadata:
    return {
        "rows lost": sum(loss.rows or 0 for loss in rehearsal.lost),
        "values lost": sum(loss.values or 0 for loss in rehearsal.lost),
        "lost": listed(reports.lost(rehearsal), nothing="nothing"),
    }


SHOWN: dict[type, Callable[[Any], Metadata]] = {
    Preflight: of_preflight,
    Backup: of_backup,
    VerifiedBackup: of_verified,
    Rehearsal: of_rehearsal,
    SafetyReport: metadata_report.of_report,
    Classified: metadata_report.of_classified,
    RehearsedOn: of_rehearsed_on,
    Outlook: metadata_report.of_outlook,
    Confirmation: of_confirmation,
    UpgradeResult: of_result,
    PostCheck: of_post_check,
    Cost: of_cost,
    RestoreConfirmation: of_restore_confirmation,
    Beside: of_beside,
    Restored: of_restored,
    Verified: of_verified_again,
    Pruned: of_pruned,
}
