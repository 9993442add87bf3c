"""What the terminal shows of a value: one line for a step, tables for a plan, a ledger and backups, and the JSON of each."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from migration_pipeline import errors
from migration_pipeline.domain import report as reports
from migration_pipeline.domain.backups import Backup, Rejected, VerifiedBackup, words
from migration_pipeline.domain.confirmation import Confirmation
from migration_pipeline.domain.effects import Rehearsal
from migration_pipeline.domain.plan import Plan
from migration_pipeline.domain.results import PostCheck, Preflight, Preview, UpgradeResult
from migration_pipeline.domain.safety import SafetyReport
from migration_pipeline.settings import Environment, Target

#: The table of backups asks no server: this machine's clock may stand a little before the one that stamped them.
CLOCKS_MAY_DIFFER = timedelta(minutes=5)
COLOURS = {Environment.PRODUCTION: "bold red", Environment.STAGING: "bold yellow", Environment.DEVELOPMENT: "bold green"}


def headline(target: Target) -> Text:
    """Return where this runs."""
    given = "" if target.environment_is_given else " (MIGRATION_ENVIRONMENT says nothing, so it is production)"
    return Text.assemble(
        (str(target.connection.where), "bold"), " · ", (target.environment.value, COLOURS[target.environment]), (given, "dim")
    )


def error(told: errors.MigrationPipelineError) -> Text:
    """Return an error as its three parts."""
    first, *rest = str(told).split("\n")
    text = Text(first, style="bold red")
    for line in rest:
        text.append("\n" + line, style="bold" if line.startswith("Next:") else "not bold default")
    return text


def found(value: Any) -> tuple[str, list[RenderableType]]:
    """Return what a step found: a line, and what is drawn below it."""
    if isinstance(value, Preflight):
        return _preflight(value)
    return errors.printable(_line(value)), _notes(value.notes) if isinstance(value, UpgradeResult) else []


def _line(value: Any) -> str:
    match value:
        case Backup(manifest=manifest):
            rows = f"{sum(manifest.rows.values()):,} rows in {_count(len(manifest.rows), 'table')}"
            line = f"{value.id}: {bytes_in_words(manifest.bytes)}, {rows}"
        case VerifiedBackup():
            line = _verified(value)
        case Rehearsal():
            statements = _count(sum(len(one.statements) for one in value.revisions), "statement")
            line = f"{_count(len(value.revisions), 'revision')}, {statements}, {value.seconds:.1f} s of SQL; rolled back"
        case SafetyReport():
            line = reports.summary(value)
        case Confirmation():
            line = value.how
        case UpgradeResult():
            tries = f" after {value.attempts} tries" if value.attempts > 1 else ""
            line = f"committed in {value.seconds:.1f} s{tries}; the database is at {', '.join(value.heads)}"
        case PostCheck():
            line = "the database is what the rehearsal said it would be"
        case _:
            line = ""
    return line


def _preflight(value: Preflight) -> tuple[str, list[RenderableType]]:
    notes = _notes(value.notes)
    if value.plan.is_empty:
        return errors.printable(f"nothing is pending; the database is at {', '.join(value.plan.current) or 'no revision'}"), notes
    line = errors.printable(f"{_count(len(value.plan.revisions), 'revision')} pending, from {value.plan.route}")
    return line, [*notes, plan_table(value.plan)]


def _notes(notes: Sequence[str]) -> list[RenderableType]:
    return [_plain(f"    note: {note}", "yellow") for note in notes]


def _verified(value: VerifiedBackup) -> str:
    seconds = value.verification.seconds
    about = f"{seconds:.1f}" if seconds < 10 else f"{seconds:.0f}"  # noqa: PLR2004 - below, a second is a lot
    return f"a restore takes about {about} s and loses what was written in the last {words(value.age)}"


def plan_table(plan: Plan, declared: dict[str, str] | None = None) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for revision in plan.revisions:
        table.add_row(_plain(revision.id, "cyan"), _plain(revision.title), _plain((declared or {}).get(revision.id, "")))
    return Padding(table, (0, 0, 0, 4))


def ledger(plan: Plan, report: SafetyReport) -> RenderableType:
    """Return what will be lost, revision by revision."""
    lines: list[RenderableType] = [Text()]
    for revision, losses in reports.by_revision(report).items():
        lines.append(Text.assemble(_plain(f"  {revision} ", "cyan"), _plain(plan.named(revision).title, "bold")))
        lines += [_plain(f"      {line}", "red") for line in losses]
    lines.append(Text(f"  plan {plan.fingerprint[:8]}", style="dim"))
    lines.append(Text())
    return Group(*lines)


def preview(value: Preview) -> RenderableType:
    """Return the pending revisions with what they declare."""
    if value.plan.is_empty:
        return _plain(f"Nothing is pending; the database is at {', '.join(value.plan.current) or 'no revision'}.")
    table = Table("revision", "title", "declares", "its SQL predicts", box=None, padding=(0, 3, 0, 0), header_style="dim")
    for revision in value.plan.revisions:
        shown = value.shown[revision.id]
        predicts = Text("\n").join(_plain(line) for line in shown.predicts)
        table.add_row(_plain(revision.id, "cyan"), _plain(revision.title), _declared(shown.declares), predicts)
    return Group(
        table, Text(), _plain(f"from {value.plan.route} · plan {value.plan.fingerprint[:8]} · nothing was changed", "dim")
    )


def preview_result(value: Preview) -> dict[str, Any]:
    return {
        "current": value.plan.current,
        "fingerprint": value.plan.fingerprint,
        "revisions": [
            {
                "id": one.id,
                "title": one.title,
                "file": one.path,
                "declares": value.shown[one.id].declares,
                "predicts": value.shown[one.id].predicts,
            }
            for one in value.plan.revisions
        ],
    }


def _declared(text: str) -> Text:
    styles = {"DESTRUCTIVE": "bold red", "NON_DESTRUCTIVE": "green"}
    return _plain(text, styles.get(text, "yellow"))


def _plain(text: str, style: str = "") -> Text:
    """Return what a file or a database says as it is: no markup of rich, and nothing that the terminal would obey."""
    return Text(errors.printable(text), style=style)


def backups(found_backups: Sequence[Backup], rejected: Sequence[Rejected], now: datetime) -> RenderableType:
    if not found_backups and not rejected:
        return Text("No backups yet. Next: just backup-db")
    table = Table("backup", "age", "size", "revision", "verified", box=None, padding=(0, 3, 0, 0), header_style="dim")
    for one in found_backups:
        manifest = one.manifest
        age = now - manifest.snapshot_time
        in_future = age < -CLOCKS_MAY_DIFFER
        table.add_row(
            Text(one.id, style="cyan", no_wrap=True),
            Text("in the future", style="red") if in_future else _ago(age),
            bytes_in_words(manifest.bytes),
            _plain(", ".join(manifest.heads) or "none"),
            _verification(one, now),
        )
    lines = [_plain(f"{one.id}: {one.reason}", "red") for one in rejected]
    return Group(table, *lines)


def _ago(age: timedelta) -> str:
    return words(max(age, timedelta(0)))


def _verification(backup: Backup, now: datetime) -> Text:
    restored = backup.manifest.restored
    if restored is None:
        failed = backup.manifest.verifications
        return _plain(f"no: {failed[-1].detail}" if failed else "not yet", "red" if failed else "yellow")
    return Text(f"by restore, {_ago(now - restored.at)} ago, in {restored.seconds:.1f} s", style="green")


def backups_result(found_backups: Sequence[Backup], rejected: Sequence[Rejected]) -> dict[str, Any]:
    return {
        "backups": [_backup_result(one) for one in found_backups],
        "rejected": [{"id": one.id, "reason": one.reason} for one in rejected],
    }


def _backup_result(backup: Backup) -> dict[str, Any]:
    manifest = backup.manifest
    restored = manifest.restored
    return {
        "id": backup.id,
        "location": backup.location,
        "snapshot_time": manifest.snapshot_time.isoformat(),
        "bytes": manifest.bytes,
        "rows": sum(manifest.rows.values()),
        "revision": manifest.heads,
        "verified": restored.at.isoformat() if restored else None,
        "restore_seconds": restored.seconds if restored else None,
    }


def result(value: Any) -> dict[str, Any]:  # noqa: PLR0911 - one a kind of value
    """Return what a step adds to the JSON result."""
    match value:
        case Preflight():
            pending = [revision.id for revision in value.plan.revisions]
            return {"plan": value.plan.fingerprint, "from": value.plan.current, "pending": pending, "notes": value.notes}
        case VerifiedBackup():
            return {"backup": _backup_result(value.backup)}
        case Rehearsal():
            return {"lost": reports.lost(value), "rehearsal_seconds": value.seconds}
        case Confirmation():
            return {"confirmed": value.how}
        case UpgradeResult():
            return {"revision": value.heads, "upgrade_seconds": value.seconds, "attempts": value.attempts}
        case PostCheck():
            return {"schema_fingerprint": value.schema_fingerprint}
        case _:
            return {}


def amount(done: int, total: int | None) -> str:
    """Return how far a dump or a restore is."""
    if not done:
        return ""
    return bytes_in_words(done) + (f" of {bytes_in_words(total)}" if total else "")


def bytes_in_words(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:  # noqa: PLR2004 - decimal units
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
