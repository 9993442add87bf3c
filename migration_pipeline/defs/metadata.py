"""Values as Dagster shows them: Markdown, tables and numbers that are plotted over time. Never a row, never a secret."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import dagster as dg

from migration_pipeline import errors
from migration_pipeline.defs import assets
from migration_pipeline.domain import locking, restoration
from migration_pipeline.domain import report as reports
from migration_pipeline.domain.backups import Backup, VerifiedBackup
from migration_pipeline.domain.confirmation import Confirmation
from migration_pipeline.domain.effects import Rehearsal
from migration_pipeline.domain.plan import Plan
from migration_pipeline.domain.prediction import Finding
from migration_pipeline.domain.restoration import Beside, Cost, RestoreConfirmation, Restored
from migration_pipeline.domain.results import PostCheck, Preflight, Pruned, UpgradeResult, Verified
from migration_pipeline.domain.safety import SafetyReport

Metadata = dict[str, Any]
MOST_FINDINGS = 100  #: of a grade
MARKDOWN = re.compile(r"[\\`*_\[\]<>#|]")


def of(value: Any) -> Metadata:
    """Return what is worth looking at of a step's value."""
    shown = SHOWN.get(type(value))
    return shown(value) if shown else {}


def of_preflight(found: Preflight) -> Metadata:
    recent = found.recent_backup
    allowed_by: Metadata = {}
    if recent is not None:
        allowed_by = {"recent backup": recent.id, "taken": dg.MetadataValue.timestamp(recent.manifest.snapshot_time)}
    return {**of_plan(found.plan), **allowed_by, "notes": _list(found.notes)}


def of_plan(plan: Plan) -> Metadata:
    rows = [{"revision": one.id, "title": one.title, "file": one.path} for one in plan.revisions]
    return {"plan": _table(rows), "fingerprint": plan.fingerprint, "route": plan.route}


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
        "effects": _table(reports.effect_rows(rehearsal.revisions)),
        "locks": _table(locking.rows(rehearsal.locks)),
        "rewritten": _list(
            f"{table}: {size:,} bytes" for one in rehearsal.revisions for table, size in one.rewritten_bytes.items()
        ),
    }


def of_report(report: SafetyReport) -> Metadata:
    """Return the three witnesses side by side, and the ledger as the prompt shows it."""
    losses = reports.by_revision(report)
    ledger = "\n\n".join(f"**{revision}**\n{_bullets(lines)}" for revision, lines in losses.items())
    return {
        "ledger": dg.MetadataValue.md(ledger or "nothing is lost"),
        "safety": _table(reports.verdict_rows(report)),
        "protection": _findings(report.protection, nothing="none is lost"),
        "service": _findings(report.service, nothing="no risk is known"),
    }


def _findings(found: Sequence[Finding], nothing: str) -> dg.MetadataValue[Any]:
    """Return findings with the statement of each, and how to do the same without the risk."""
    shown = list(dict.fromkeys(f"- **{one.revision or 'env.py'}** {_plain(one.told)}\n{_sql(one)}" for one in found))
    more = [f"- and {len(shown) - MOST_FINDINGS:,} more"] if len(shown) > MOST_FINDINGS else []
    return dg.MetadataValue.md("\n".join(shown[:MOST_FINDINGS] + more) or nothing)


def _sql(finding: Finding) -> str:
    """Return a block of code within a list. No line of it ends the block: it has none that begins with a fence."""
    form = f"\n-- the safe form:\n{finding.safe_form}" if finding.safe_form else ""
    lines = f"{finding.statement}{form}".split("\n")
    return "\n".join(["  ```sql", *(f"  {errors.printable(line)}" for line in lines), "  ```"])


def of_confirmation(consent: Confirmation) -> Metadata:
    return {"confirmed": consent.how, "plan": consent.plan_fingerprint, "accepted": _list(consent.accepted)}


def of_result(result: UpgradeResult) -> Metadata:
    return {
        "seconds": round(result.seconds, 3),
        "attempts": result.attempts,
        "heads": ", ".join(result.heads),
        "effects": _table(reports.effect_rows(result.revisions)),
        "way back": f"just restore-db {result.backup_id}",
    }


def of_post_check(checked: PostCheck) -> Metadata:
    return {"heads": ", ".join(checked.heads), "schema": checked.schema_fingerprint}


def of_cost(cost: Cost) -> Metadata:
    return {**of_backup(cost.backup), "lost": _list(cost.lines), "age seconds": round(cost.age.total_seconds())}


def of_restore_confirmation(consent: RestoreConfirmation) -> Metadata:
    return {"confirmed": consent.how, "backup": consent.backup_id}


def of_beside(beside: Beside) -> Metadata:
    return {"database": beside.name, "restore seconds": round(beside.seconds, 3), "notes": _list(beside.notes)}


def of_restored(restored: Restored) -> Metadata:
    return {
        "restore seconds": round(restored.seconds, 3),
        "of the estimate": f"{restored.seconds / restoration.ESTIMATE.total_seconds():.1%} of 15 minutes",
        "swap seconds": round(restored.swap_seconds, 3),
        "sessions ended": restored.ended_sessions,
        "backup": restored.backup_id,
        "replaced database": restored.replaced or "there was none",
        "notes": _list(restored.notes),
    }


def of_verified_again(verified: Verified) -> Metadata:
    found = verified.verification
    return {**of_backup(verified.backup), "level": found.level.value, "seconds": round(found.seconds, 3)}


def of_pruned(pruned: Pruned) -> Metadata:
    return {
        "removed": len(pruned.removed),
        "stay": len(pruned.rows) - len(pruned.removed),
        "dry run": pruned.dry_run,
        "backups": _table(pruned.rows),
    }


def of_error(error: errors.MigrationPipelineError) -> Metadata:
    evidence = [{"what": key, "found": value} for key, value in error.evidence.items()]
    return {"evidence": _table(evidence), "next": error.next_step or "none"}


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
        "lost": _list(reports.lost(rehearsal), nothing="nothing"),
    }


def _list(lines: Iterable[str], nothing: str = "none") -> dg.MetadataValue[Any]:
    return dg.MetadataValue.md(_bullets(lines) or nothing)


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_plain(line)}" for line in lines)


def _plain(line: str) -> str:
    """Return a sentence in which no name of a table reads as Markdown."""
    return MARKDOWN.sub(r"\\\g<0>", line)


def _table(rows: list[dict[str, Any]]) -> dg.MetadataValue[Any]:
    if not rows:
        return dg.MetadataValue.text("none")
    return dg.MetadataValue.table([dg.TableRecord({key: str(value) for key, value in row.items()}) for row in rows])


SHOWN: dict[type, Callable[[Any], Metadata]] = {
    Preflight: of_preflight,
    Backup: of_backup,
    VerifiedBackup: of_verified,
    Rehearsal: of_rehearsal,
    SafetyReport: of_report,
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
