"""Values as Dagster shows them: Markdown, tables and numbers that are plotted over time. Never a row, never a secret."""

from typing import Any

import dagster as dg

from migration_pipeline import errors
from migration_pipeline.domain import report as reports
from migration_pipeline.domain.backups import Backup, VerifiedBackup
from migration_pipeline.domain.confirmation import Confirmation
from migration_pipeline.domain.effects import Rehearsal
from migration_pipeline.domain.plan import Plan
from migration_pipeline.domain.safety import SafetyReport
from migration_pipeline.steps import PostCheck, Preflight, UpgradeResult

Metadata = dict[str, Any]


def of(value: Any) -> Metadata:
    """Return what is worth looking at of a step's value."""
    match value:
        case Preflight():
            return {**of_plan(value.plan), "notes": dg.MetadataValue.md("\n".join(f"- {note}" for note in value.notes) or "none")}
        case Backup():
            return of_backup(value)
        case VerifiedBackup():
            return {**of_backup(value.backup), "restore seconds": value.verification.seconds}
        case Rehearsal():
            return {"seconds": value.seconds, "effects": _table(reports.effect_rows(value.revisions))}
        case SafetyReport():
            return {"safety": _table(reports.verdict_rows(value)), "ledger": dg.MetadataValue.md(_ledger(value))}
        case Confirmation():
            return {"confirmed": value.how, "plan": value.plan_fingerprint}
        case UpgradeResult():
            return {"seconds": value.seconds, "attempts": value.attempts, "heads": ", ".join(value.heads)}
        case PostCheck():
            return {"heads": ", ".join(value.heads), "schema": value.schema_fingerprint}
        case _:
            return {}


def of_plan(plan: Plan) -> Metadata:
    rows = [{"revision": one.id, "title": one.title, "file": one.path} for one in plan.revisions]
    return {"plan": _table(rows), "fingerprint": plan.fingerprint, "route": plan.route}


def of_backup(backup: Backup) -> Metadata:
    manifest = backup.manifest
    return {
        "id": backup.id,
        "location": dg.MetadataValue.path(backup.location),
        "bytes": manifest.bytes,
        "dump seconds": manifest.seconds,
        "rows": sum(manifest.rows.values()),
        "tables": len(manifest.rows),
        "snapshot": dg.MetadataValue.timestamp(manifest.snapshot_time),
        "revision": ", ".join(manifest.heads) or "none",
    }


def of_error(error: errors.MigrationPipelineError) -> Metadata:
    evidence = [{"what": key, "found": value} for key, value in error.evidence.items()]
    return {"evidence": _table(evidence), "next": error.next_step or "none"}


def materialized_backup(backup: Backup) -> dg.AssetMaterialization:
    restored = backup.manifest.restored
    more = {"restore seconds": restored.seconds} if restored else {}
    return dg.AssetMaterialization([backup.manifest.identity.target, "backup"], metadata={**of_backup(backup), **more})


def materialized_schema(plan: Plan, result: UpgradeResult) -> dg.AssetMaterialization:
    changed = {
        "values lost": sum(loss.values or 0 for one in result.revisions for loss in one.lost),
        "revisions": len(plan.revisions),
    }
    return dg.AssetMaterialization([plan.identity.target, "schema"], metadata={**of(result), **changed})


def _ledger(report: SafetyReport) -> str:
    return "\n".join(f"- {line}" for line in reports.lines(report)) or "nothing is lost"


def _table(rows: list[dict[str, Any]]) -> dg.MetadataValue[Any]:
    if not rows:
        return dg.MetadataValue.text("none")
    return dg.MetadataValue.table([dg.TableRecord({key: str(value) for key, value in row.items()}) for row in rows])

