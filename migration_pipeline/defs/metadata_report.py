"""The safety report as Dagster shows it: the witnesses as a table, the ledger as Markdown, the locks as a chart of text."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from migration_pipeline import errors
from migration_pipeline.defs.metadata_values import Metadata, bullets, plain, table
from migration_pipeline.domain import report as reports
from migration_pipeline.domain.effects import Rehearsal
from migration_pipeline.domain.prediction import Finding
from migration_pipeline.domain.report_results import Classified, KeptReport, Outlook
from migration_pipeline.domain.safety import SafetyReport

MOST_FINDINGS = 100  #: of a grade


def of_report(report: SafetyReport) -> Metadata:
    """Return the three witnesses side by side, and the ledger as the prompt shows it."""
    losses = reports.by_revision(report)
    ledger = "\n\n".join(f"**{revision}**\n{bullets(lines)}" for revision, lines in losses.items())
    return {
        "ledger": dg.MetadataValue.md(ledger or "nothing is lost"),
        "safety": table(reports.verdict_rows(report)),
        "protection": _findings(report.protection, nothing="none is lost"),
        "service": _findings(report.service, nothing="no risk is known"),
    }


def of_classified(found: Classified) -> Metadata:
    return {**of_report(found.report), "report": _kept(found.kept)}


def _kept(kept: KeptReport) -> dg.MetadataValue[Any]:
    return dg.MetadataValue.path(kept.location) if kept.location else dg.MetadataValue.text(kept.note or "")


def of_outlook(found: Outlook) -> Metadata:
    return {"needs CONFIRM": found.report.needs_confirmation, "plan": found.plan.fingerprint}


def lock_chart(rehearsal: Rehearsal) -> str:
    """Return the lock timeline as a block of code, which Dagster shows in one width."""
    lines = reports.lock_chart(rehearsal.locks)
    return "\n".join(["```text", *map(errors.printable, lines), "```"]) if lines else "none"


def _findings(found: Sequence[Finding], nothing: str) -> dg.MetadataValue[Any]:
    """Return findings with the statement of each, and how to do the same without the risk."""
    shown = list(dict.fromkeys(f"- **{one.revision or 'env.py'}** {plain(one.told)}\n{_sql(one)}" for one in found))
    more = [f"- and {len(shown) - MOST_FINDINGS:,} more"] if len(shown) > MOST_FINDINGS else []
    return dg.MetadataValue.md("\n".join(shown[:MOST_FINDINGS] + more) or nothing)


def _sql(finding: Finding) -> str:
    """Return a block of code within a list. No line of it ends the block: it has none that begins with a fence."""
    form = f"\n-- the safe form:\n{finding.safe_form}" if finding.safe_form else ""
    lines = f"{finding.statement}{form}".split("\n")
    return "\n".join(["  ```sql", *(f"  {errors.printable(line)}" for line in lines), "  ```"])
