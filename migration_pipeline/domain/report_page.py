"""The safety report as a page: what the HTML file shows, in words and numbers. Nothing is decided here, and no row is in it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from migration_pipeline.domain import ledger, locking, report_answer, report_refusals, report_timeline, rules
from migration_pipeline.domain.backups import words
from migration_pipeline.domain.confirmation import DIGITS
from migration_pipeline.domain.effects import Loss, Rehearsal, RevisionEffects, RowChange
from migration_pipeline.domain.locking import LockBudget
from migration_pipeline.domain.plan import Plan
from migration_pipeline.domain.prediction import Finding
from migration_pipeline.domain.report_answer import Outcome
from migration_pipeline.domain.report_refusals import OUTSIDE, Refusal
from migration_pipeline.domain.report_timeline import Timeline
from migration_pipeline.domain.report_times import Time
from migration_pipeline.domain.report_times import of as times_of
from migration_pipeline.domain.rule import Grade
from migration_pipeline.domain.safety import SafetyReport, Verdict

MOST_STATEMENTS = 200  #: of a revision; the rest is counted
MOST_FINDINGS = 200  #: of a grade, or of a revision
PREDICTED = "predicted"  #: how a loss is known that the rehearsal had no rows for
MAY_LOSE = frozenset({Grade.LOSES_DATA, Grade.UNKNOWN})


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where and under which limits a plan was rehearsed; no secret is in it."""

    where: str  #: database, server and role
    environment: str
    guards_protection: bool  #: whether lost protection is refused here
    made: datetime
    backup_taken: datetime | None  #: None: its manifest could not be read again
    transaction_limit: timedelta
    budget: LockBudget


@dataclass(frozen=True, kw_only=True)
class Lost:
    """One line of the ledger."""

    revision: str
    told: str
    how: str = ""
    rows: int | None = None
    values: int | None = None
    is_data: bool = True

    @property
    def clause(self) -> str:
        return f"{self.revision} itself loses data ({self.told})" if self.how == PREDICTED else self.told


@dataclass(frozen=True, kw_only=True)
class Part:
    """One revision with its three witnesses."""

    id: str
    title: str
    file: str
    verdict: Verdict
    outcome: Outcome
    predicted: tuple[Finding, ...]
    more_predicted: int
    measured: tuple[str, ...]
    settled: frozenset[Finding]  #: predicted as a possible loss, and settled by the measurement
    rows: tuple[RowChange, ...]
    statements: tuple[str, ...]
    more_statements: int


@dataclass(frozen=True, kw_only=True)
class Page:
    """Everything that the file shows, in its order."""

    plan: Plan
    setting: Setting
    outcome: Outcome
    answer: str  #: one sentence
    refusals: tuple[Refusal, ...]
    facts: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...]
    lost: tuple[Lost, ...]
    protection: tuple[Finding, ...]
    service: tuple[Finding, ...]
    outside: tuple[Finding, ...]  #: what env.py sends, outside any revision
    timeline: Timeline
    locks: tuple[dict[str, str], ...]
    times: tuple[Time, ...]
    unmeasured: tuple[tuple[str, str], ...]

    @property
    def short_fingerprint(self) -> str:
        return self.plan.fingerprint[:DIGITS]

    def instead(self, finding: Finding) -> str:
        """Return what to do instead, as a clause: for what has no safe form of its own."""
        return rules.BY_CODE[finding.rule].instead


def of(plan: Plan, rehearsal: Rehearsal, report: SafetyReport, setting: Setting) -> Page:
    """Prepare the page of a plan that was rehearsed."""
    refusals = tuple(report_refusals.of(rehearsal, report, setting.budget, guards_protection=setting.guards_protection))
    outcome = _outcome(refusals, report)
    lost = (*(line for verdict in report.verdicts for line in _ledger(verdict)), *_ledger_outside(rehearsal.outside, report))
    parts = (*rehearsal.revisions, rehearsal.outside)
    return Page(
        plan=plan,
        setting=setting,
        outcome=outcome,
        answer=report_answer.sentence(
            report, [one.clause for one in lost if one.is_data], rehearsal.locks, outcome, [one.option for one in refusals]
        ),
        refusals=refusals,
        facts=tuple(_facts(plan, rehearsal, setting)),
        parts=tuple(_part(plan, verdict, rehearsal) for verdict in report.verdicts),
        lost=lost,
        protection=_first(report.protection),
        service=_first(report.service),
        outside=_first(report.outside),
        timeline=report_timeline.of(rehearsal.locks, setting.budget, _titles(rehearsal)),
        locks=tuple(locking.rows(rehearsal.locks)),
        times=times_of(rehearsal, setting.transaction_limit, setting.budget),
        unmeasured=tuple((one.revision, sentence) for one in parts for sentence in one.unmeasured),
    )


def _titles(rehearsal: Rehearsal) -> dict[str, str]:
    """Return the titles of the revisions, each with its segment where there are several: the clock starts anew in each."""
    several = len(rehearsal.segments) > 1
    return {
        one.id: f"{one.title} (segment {number})" if several else one.title
        for number, part in enumerate(rehearsal.segments, 1)
        for one in part.segment.plan.revisions
    }


def _outcome(refusals: Sequence[Refusal], report: SafetyReport) -> Outcome:
    if refusals:
        return Outcome.UNTIL_ACCEPTED if all(one.option for one in refusals) else Outcome.REFUSED
    return Outcome.ASKS if report.needs_confirmation else Outcome.PASSES


def _facts(plan: Plan, rehearsal: Rehearsal, setting: Setting) -> Iterator[tuple[str, str]]:
    identity = plan.identity
    yield "Target", identity.target
    yield "Environment", setting.environment
    yield "Database", setting.where
    yield "Identity", f"cluster {identity.system_identifier}, database OID {identity.oid}"
    yield "From", ", ".join(plan.current) or "an empty database"
    yield "To", ", ".join(plan.heads)
    statements = sum(len(one.statements) for one in rehearsal.revisions)
    took = report_timeline.in_words(rehearsal.seconds)
    yield "Pending", f"{_counted(len(plan.revisions), 'revision')}, {_counted(statements, 'statement')}, {took} of SQL on a copy"
    yield "Plan", plan.fingerprint
    yield "Rehearsed on", rehearsal.backup_id
    number = len(rehearsal.segments)
    whole = "one: all of it or nothing" if number == 1 else f"none: {number} segments, and it can end half-way"
    yield "Transaction", f"{whole}; CONCURRENTLY is left out" if plan.without_concurrently else whole
    if setting.backup_taken:
        age = max(setting.made - setting.backup_taken, timedelta(0))
        yield "Its data are of", f"{moment(setting.backup_taken)}, {words(age)} before this report"
    yield "Report made", moment(setting.made)


def _part(plan: Plan, verdict: Verdict, rehearsal: Rehearsal) -> Part:
    revision = plan.named(verdict.revision)
    effects = next((one for one in rehearsal.revisions if one.revision == verdict.revision), None)
    statements = tuple(one.sql for one in effects.statements) if effects else ()
    passed = Outcome.ASKS if verdict.needs_confirmation else Outcome.PASSES
    return Part(
        id=revision.id,
        title=revision.title,
        file=verdict.file,
        verdict=verdict,
        outcome=Outcome.REFUSED if verdict.refusal else passed,
        predicted=_first(verdict.predicted),
        more_predicted=max(0, len(dict.fromkeys(verdict.predicted)) - MOST_FINDINGS),
        measured=verdict.ledger,
        settled=frozenset(one for one in verdict.predicted if one.grade in MAY_LOSE) - frozenset(verdict.counted),
        rows=tuple(replace(row, table=_name(row.table)) for row in verdict.rows if row.inserted or row.updated or row.deleted),
        statements=statements[:MOST_STATEMENTS],
        more_statements=max(0, len(statements) - MOST_STATEMENTS),
    )


def _ledger(verdict: Verdict) -> Iterator[Lost]:
    return _lines(verdict.revision, verdict.lost or (), verdict.rows)


def _ledger_outside(measured: RevisionEffects, report: SafetyReport) -> Iterator[Lost]:
    """Yield what env.py itself lost, and what its statements lose on other rows."""
    yield from _lines(OUTSIDE, measured.lost, measured.rows)
    yield from (Lost(revision=OUTSIDE, told=told, how=PREDICTED) for told in report.lost_outside)


def _lines(revision: str, lost: Sequence[Loss], rows: Sequence[RowChange]) -> Iterator[Lost]:
    """Yield what is lost: data first, then what is merely gone with it."""
    data = [one for one in lost if ledger.is_data(one)]
    yield from (_line(revision, one) for one in data)
    yield from (Lost(revision=revision, told=told, how="deleted") for told in ledger.data_lost(lost, rows)[len(data) :])
    yield from (_line(revision, one) for one in lost if not ledger.is_data(one))


def _line(revision: str, loss: Loss) -> Lost:
    is_data = ledger.is_data(loss)
    told = ledger.data_lost((loss,), ())[0] if is_data else f"the {loss.kind} {_name(loss.name)} is gone; it held no data"
    return Lost(revision=revision, told=told, how=loss.how, rows=loss.rows, values=loss.values, is_data=is_data)


def moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _first(found: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(dict.fromkeys(found))[:MOST_FINDINGS]


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _name(name: str) -> str:
    return ledger.short(name)
