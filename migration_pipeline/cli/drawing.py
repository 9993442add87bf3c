"""What the terminal shows of a value: one line for a step, tables for a plan, a ledger and backups, and the JSON of each."""

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from migration_pipeline import errors
from migration_pipeline.cli import drawing_backups
from migration_pipeline.cli.wording import ago, bytes_in_words, counted, plain
from migration_pipeline.domain import locking
from migration_pipeline.domain import report as reports
from migration_pipeline.domain.backups import Backup, VerifiedBackup
from migration_pipeline.domain.confirmation import Confirmation
from migration_pipeline.domain.effects import Rehearsal
from migration_pipeline.domain.plan import Plan
from migration_pipeline.domain.report_results import Classified, KeptReport, Outlook, RehearsedOn
from migration_pipeline.domain.restoration import Beside, Cost, RestoreConfirmation, Restored
from migration_pipeline.domain.results import PostCheck, Preflight, Preview, Pruned, UpgradeResult, Verified
from migration_pipeline.domain.safety import SafetyReport
from migration_pipeline.settings import Environment, Target

MOST_FINDINGS = 10  #: drawn of a report; the plan shows all of them
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
    line = LINES.get(type(value), lambda _: "")(value)
    below = _notes(value.notes) if isinstance(value, UpgradeResult | Restored) else []
    if isinstance(value, SafetyReport):
        below = _findings(value)
    if isinstance(value, Classified):
        below = [*_findings(value.report), *_kept(value.kept, is_refused=bool(value.report.refused))]
    if isinstance(value, Outlook) and value.report.needs_confirmation:
        below = [ledger(value.plan, value.report)]
    if isinstance(value, Rehearsal):
        below = [*_notes(value.why_not_atomic), *_locks(value)]
    if isinstance(value, Confirmation):
        below = _notes([f"accepted: {one}" for one in value.accepted])
    if isinstance(value, Pruned):
        below = [drawing_backups.retention(value)]
    return errors.printable(line), below


def _kept(kept: KeptReport, *, is_refused: bool) -> list[RenderableType]:
    """Return where the report is; a refusal names it among its evidence."""
    if kept.location is None:
        return _notes([kept.note or ""])
    return [] if is_refused else [plain(f"    report: {kept.location}", "dim")]


def _rehearsed_on(value: RehearsedOn) -> str:
    if value.why_new:
        return f"{drawing_backups.backup(value.backup)}; a new one, for {value.why_new}"
    return f"{value.backup.id} again, taken {ago(value.age)} ago: revision and schema are still the same"


def _outlook(value: Outlook) -> str:
    does = "ask for CONFIRM" if value.report.needs_confirmation else "go on without a question"
    return f"`just migrate` would {does}; nothing was changed"


def _rehearsal(value: Rehearsal) -> str:
    statements = counted(sum(len(one.statements) for one in value.revisions), "statement")
    return f"{counted(len(value.revisions), 'revision')}, {statements}, {value.seconds:.1f} s of SQL; {_road(value)}"


def _road(value: Rehearsal) -> str:
    if not value.why_not_atomic:
        return "rolled back"
    return f"in {len(value.segments)} parts, for it cannot be rolled back as a whole"


def _upgraded(value: UpgradeResult) -> str:
    tries = f" after {value.attempts} tries" if value.attempts > 1 else ""
    return f"committed in {value.seconds:.1f} s{tries}; the database is at {', '.join(value.heads)}"


def _preflight(value: Preflight) -> tuple[str, list[RenderableType]]:
    notes = _notes(value.notes)
    if value.plan.is_empty:
        return errors.printable(f"nothing is pending; the database is at {', '.join(value.plan.current) or 'no revision'}"), notes
    line = errors.printable(f"{counted(len(value.plan.revisions), 'revision')} pending, from {value.plan.route}")
    return line, [*notes, plan_table(value.plan)]


def _notes(notes: Sequence[str]) -> list[RenderableType]:
    return [plain(f"    note: {note}", "yellow") for note in notes]


def _findings(report: SafetyReport) -> list[RenderableType]:
    """Return what loses protection and what risks the service: nobody is asked about it, so it is told."""
    told = list(dict.fromkeys((one.revision or "env.py", one.told_in_full) for one in (*report.protection, *report.service)))
    lines: list[RenderableType] = []
    for revision, text in told[:MOST_FINDINGS]:
        lines.append(Text.assemble(plain(f"    {revision} ", "cyan"), _predicted(text, indent=8)))
    more = len(told) - MOST_FINDINGS
    return [*lines, *([plain(f"    and {more:,} more: `just plan` shows them all", "dim")] if more > 0 else [])]


def _locks(rehearsal: Rehearsal) -> list[RenderableType]:
    """Return the longest lock of each revision that an application would notice."""
    worst = ((one.revision, locking.told(one.locks)[:1]) for one in rehearsal.revisions)
    return [Text.assemble(plain(f"    {revision} ", "cyan"), plain(line, "dim")) for revision, lines in worst for line in lines]


def _predicted(text: str, indent: int = 2) -> Text:
    """Return a prediction, and below it, dim, how to do the same without the risk."""
    first, *form = text.split("\n")
    return Text.assemble(plain(first), *(Text.assemble("\n", " " * indent, plain(line, "dim")) for line in form))


def plan_table(plan: Plan, declared: dict[str, str] | None = None) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for revision in plan.revisions:
        table.add_row(plain(revision.id, "cyan"), plain(revision.title), plain((declared or {}).get(revision.id, "")))
    return Padding(table, (0, 0, 0, 4))


def ledger(plan: Plan, report: SafetyReport) -> RenderableType:
    """Return what will be lost, revision by revision, and by env.py itself."""
    lines: list[RenderableType] = [Text()]
    titles = {one.id: one.title for one in plan.revisions}
    for revision, losses in reports.by_revision(report).items():
        title = titles.get(revision, "outside any revision")
        lines.append(Text.assemble(plain(f"  {revision} ", "cyan"), plain(title, "bold")))
        lines += [plain(f"      {line}", "red") for line in losses]
    lines.append(Text(f"  plan {plan.fingerprint[:8]}", style="dim"))
    lines.append(Text())
    return Group(*lines)


def preview(value: Preview) -> RenderableType:
    """Return the pending revisions with what they declare."""
    if value.plan.is_empty:
        return plain(f"Nothing is pending; the database is at {', '.join(value.plan.current) or 'no revision'}.")
    table = Table("revision", "title", "declares", "its SQL predicts", box=None, padding=(0, 3, 0, 0), header_style="dim")
    for revision in value.plan.revisions:
        shown = value.shown[revision.id]
        predicts = Text("\n").join(_predicted(line) for line in shown.predicts)
        table.add_row(plain(revision.id, "cyan"), plain(revision.title), _declared(shown.declares), predicts)
    return Group(
        table, Text(), plain(f"from {value.plan.route} · plan {value.plan.fingerprint[:8]} · nothing was changed", "dim")
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
    return plain(text, styles.get(text, "yellow"))


def amount(done: int, total: int | None) -> str:
    """Return how far a dump or a restore is."""
    if not done:
        return ""
    return bytes_in_words(done) + (f" of {bytes_in_words(total)}" if total else "")


def result(value: Any) -> dict[str, Any]:
    """Return what a step adds to the JSON result."""
    return RESULTS.get(type(value), lambda _: {})(value)


def _preflight_result(value: Preflight) -> dict[str, Any]:
    pending = [revision.id for revision in value.plan.revisions]
    return {"plan": value.plan.fingerprint, "from": value.plan.current, "pending": pending, "notes": value.notes}


LINES: dict[type, Callable[[Any], str]] = {
    Backup: drawing_backups.backup,
    VerifiedBackup: drawing_backups.verified,
    Rehearsal: _rehearsal,
    SafetyReport: reports.summary,
    Classified: lambda value: reports.summary(value.report),
    RehearsedOn: _rehearsed_on,
    Outlook: _outlook,
    Confirmation: lambda value: value.how,
    UpgradeResult: _upgraded,
    PostCheck: lambda _: "the database is what the rehearsal said it would be",
    Cost: drawing_backups.weighed,
    RestoreConfirmation: lambda value: value.how,
    Beside: drawing_backups.beside,
    Restored: drawing_backups.restored,
    Verified: drawing_backups.verified_again,
    Pruned: drawing_backups.pruned,
    str: str,
}
RESULTS: dict[type, Callable[[Any], dict[str, Any]]] = {
    Preflight: _preflight_result,
    VerifiedBackup: lambda value: {"backup": drawing_backups.entry_result(value.backup.entry)},
    Rehearsal: lambda value: {
        "lost": reports.lost(value),
        "rehearsal_seconds": value.seconds,
        "locks": {one.revision: locking.told(one.locks) for one in value.revisions if locking.told(one.locks)},
    },
    Classified: lambda value: {"report": value.kept.location},
    Outlook: lambda value: {"needs_confirmation": value.report.needs_confirmation},
    Confirmation: lambda value: {"confirmed": value.how, **({"accepted": value.accepted} if value.accepted else {})},
    UpgradeResult: lambda value: {
        "revision": value.heads,
        "upgrade_seconds": value.seconds,
        "attempts": value.attempts,
    },
    PostCheck: lambda value: {"schema_fingerprint": value.schema_fingerprint},
    Cost: drawing_backups.cost_result,
    Restored: drawing_backups.restored_result,
    Verified: drawing_backups.verified_result,
    Pruned: drawing_backups.pruned_result,
}
