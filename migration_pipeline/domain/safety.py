"""The verdict on each revision from three witnesses: what it declares, what its SQL predicts, what the rehearsal measured.

Declared DESTRUCTIVE is never refused for being too careful. Declared NON_DESTRUCTIVE is refused when prediction or
measurement shows lost data; what no rule understands counts as lost until everything was measured.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from migration_pipeline import errors
from migration_pipeline.domain import acquittal, effects, ledger, rules
from migration_pipeline.domain.annotations import MISSING, Annotation, Declared, Source, line
from migration_pipeline.domain.old_types import Column
from migration_pipeline.domain.prediction import Finding, predict
from migration_pipeline.domain.rules import RULES, Grade, Rule

__all__ = ["RULES", "Finding", "Grade", "Rule", "SafetyReport", "Verdict", "classify", "predict"]

MOST_LINES = 10  #: of one kind of evidence in a message


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the three witnesses say about one revision, and what follows."""

    revision: str
    file: str
    annotation: Annotation
    predicted: tuple[Finding, ...]
    #: None: the plan was not rehearsed, or this revision did not run in the rehearsal.
    lost: tuple[effects.Loss, ...] | None
    rows: tuple[effects.RowChange, ...] = ()
    unmeasured: tuple[str, ...] = ()
    refusal: str | None  #: one sentence
    needs_confirmation: bool

    @property
    def declared(self) -> Declared | None:
        return self.annotation.declared

    @property
    def loses_data(self) -> bool:
        """Whether prediction or measurement shows lost data, whatever is declared."""
        return bool(self.counted) or bool(self.ledger)

    @property
    def counted(self) -> tuple[Finding, ...]:
        """The findings that count as lost data, given what was measured."""
        return tuple(
            finding for finding in self.predicted if acquittal.counts(finding, self.lost, self.rows, unmeasured=self.unmeasured)
        )

    @property
    def ledger(self) -> tuple[str, ...]:
        """What the rehearsal lost, as sentences."""
        return ledger.data_lost(self.lost or (), self.rows)


@dataclass(frozen=True, kw_only=True)
class SafetyReport:
    """The verdicts of a plan, in its order."""

    verdicts: tuple[Verdict, ...]
    #: What `env.py` itself sends, outside any revision.
    outside: tuple[Finding, ...] = ()

    @property
    def refused(self) -> tuple[Verdict, ...]:
        return tuple(verdict for verdict in self.verdicts if verdict.refusal is not None)

    @property
    def needs_confirmation(self) -> bool:
        """Whether an operator must be asked. Data that `env.py` loses has no file to declare it in: that is asked too."""
        return bool(self.lost_outside) or any(verdict.needs_confirmation for verdict in self.verdicts)

    @property
    def lost_outside(self) -> tuple[str, ...]:
        """The data that `env.py` itself loses, as predicted; what was measured of it is refused before."""
        lost = (one.told for one in self.outside if one.grade is Grade.LOSES_DATA and one.certain)
        return tuple(dict.fromkeys(lost))

    @property
    def protection(self) -> tuple[Finding, ...]:
        """The findings of lost protection, those outside any revision too. They make no plan DESTRUCTIVE."""
        return self._of(Grade.LOSES_PROTECTION)

    @property
    def service(self) -> tuple[Finding, ...]:
        """The findings of a risk for the service, as `protection`."""
        return self._of(Grade.RISKS_SERVICE)

    def _of(self, grade: Grade) -> tuple[Finding, ...]:
        found = (*(finding for verdict in self.verdicts for finding in verdict.predicted), *self.outside)
        return tuple(finding for finding in found if finding.grade is grade)

    def raise_if_refused(self) -> None:
        """Raise one error for all the refused revisions: NotClassified if any of them declares nothing valid."""
        refused = sorted(self.refused, key=lambda verdict: verdict.declared is not None)
        if not refused:
            return
        first, *others = refused
        evidence, next_step = _not_classified(first) if first.declared is None else _loss_not_declared(first)
        if others:
            evidence["refused too"] = "\n".join(f"{verdict.refusal} ({verdict.file})" for verdict in others)
        error = errors.NotClassified if first.declared is None else errors.LossNotDeclared
        raise error(first.refusal, evidence=evidence, next_step=next_step)


def classify(
    *,
    annotations: Mapping[str, Annotation],
    files: Mapping[str, str],
    statements: Sequence[effects.Statement],
    measured: Sequence[effects.RevisionEffects] | None,
    version_table: str,
    sources: Mapping[str, str] | None = None,
    columns: Sequence[Column] = (),
    sent_outside: Sequence[effects.Statement] = (),
) -> SafetyReport:
    """Judge a plan: one verdict for each revision of `files` (revision → path), in their order.

    `measured` is what the rehearsal did, None for a plan that was not rehearsed. `sources` and `columns` as for `predict`.
    `sent_outside` is what `env.py` sent, its place unknown: it is judged by itself, and acquits no revision.
    """
    predicted = predict(statements, version_table=version_table, sources=sources, columns=columns)
    by_revision = {one.revision: one for one in measured or ()}
    verdicts = [
        _judge(
            revision,
            file,
            annotation=annotations.get(revision) or NOTHING_DECLARED,
            predicted=tuple(finding for finding in predicted if finding.revision == revision),
            measured=_without(by_revision.get(revision), version_table) if measured is not None else None,
            was_rehearsed=measured is not None,
        )
        for revision, file in files.items()
    ]
    outside = (*(one for one in predicted if one.revision not in files), *predict(sent_outside, version_table=version_table))
    return SafetyReport(verdicts=tuple(verdicts), outside=outside)


NOTHING_DECLARED = Annotation(problem=MISSING)
NOT_REHEARSED = "the revision did not run in the rehearsal"


def _without(measured: effects.RevisionEffects | None, version_table: str) -> effects.RevisionEffects | None:
    """Leave out Alembic's own rows."""
    if measured is None:
        return None
    rows = tuple(change for change in measured.rows if not ledger.is_same_table(change.table, version_table))
    lost = tuple(loss for loss in measured.lost if loss.kind not in {"rows", "values"} or not ledger.is_of(loss, version_table))
    return replace(measured, rows=rows, lost=lost)


def _judge(
    revision: str,
    file: str,
    *,
    annotation: Annotation,
    predicted: tuple[Finding, ...],
    measured: effects.RevisionEffects | None,
    was_rehearsed: bool,
) -> Verdict:
    verdict = Verdict(
        revision=revision,
        file=file,
        annotation=annotation,
        predicted=predicted,
        lost=measured.lost if measured else () if was_rehearsed else None,
        rows=measured.rows if measured else (),
        unmeasured=measured.unmeasured if measured else (NOT_REHEARSED,) if was_rehearsed else (),
        refusal=None,
        needs_confirmation=annotation.declared is Declared.DESTRUCTIVE,
    )
    return replace(verdict, refusal=_refusal(verdict))


def _refusal(verdict: Verdict) -> str | None:
    quoted = f'Revision "{verdict.revision}"'
    if verdict.annotation.is_missing:
        return f"{quoted} has no safety annotation."
    if verdict.declared is None:
        return f"{quoted} has no valid safety annotation."
    if verdict.declared is Declared.NON_DESTRUCTIVE and verdict.loses_data:
        known = verdict.ledger or any(finding.grade is Grade.LOSES_DATA for finding in verdict.counted)
        return f"{quoted} is annotated NON_DESTRUCTIVE, but it {'loses' if known else 'may lose'} data."
    return None


Parts = tuple[dict[str, str], str]  #: a message's evidence and its next step


def _not_classified(verdict: Verdict) -> Parts:
    evidence = {"problem": verdict.annotation.problem or MISSING, **_witnesses(verdict), "file": verdict.file}
    if verdict.annotation.fix is not None:
        return evidence, f"{verdict.annotation.fix}."
    declared, other = Declared.DESTRUCTIVE, ""
    data = [finding for finding in verdict.predicted if finding.grade in {Grade.LOSES_DATA, Grade.UNKNOWN}]
    was_measured = verdict.lost is not None and not verdict.unmeasured
    if not verdict.loses_data and (was_measured or not data):
        declared = Declared.NON_DESTRUCTIVE
    elif not verdict.ledger and not any(finding.certain and finding.grade is Grade.LOSES_DATA for finding in data):
        other = f', or "{line(Declared.NON_DESTRUCTIVE)}" if it loses no data'
    return evidence, f'add the line "{line(declared)}" to {verdict.file}{other}.'


def _loss_not_declared(verdict: Verdict) -> Parts:
    evidence = {**_witnesses(verdict), "file": verdict.file}
    blamed = _blamed(verdict)
    instead = rules.BY_CODE[blamed[0].rule].instead if blamed else ledger.keep(verdict.lost or ())
    change = f'change the comment to "{line(Declared.DESTRUCTIVE)}"'
    if verdict.annotation.source is Source.SAFETY_FILE:
        change = f'change the value of "{verdict.revision}" in safety.toml to "{Declared.DESTRUCTIVE}"'
    return evidence, f"{change}, or {instead}."


def _blamed(verdict: Verdict) -> tuple[Finding, ...]:
    """Return the findings that explain a loss: those that count, and those about something that was measured as lost."""
    names = {ledger.short(loss.name) for loss in verdict.lost or () if ledger.is_data(loss)}
    about = (
        finding
        for finding in verdict.predicted
        if finding.grade is Grade.LOSES_DATA and names & {ledger.short(name) for name in finding.objects}
    )
    return tuple(dict.fromkeys((*about, *verdict.counted)))


def _witnesses(verdict: Verdict) -> dict[str, str]:
    """Return what was predicted and measured as evidence: the statements first, then what they lose."""
    blamed = _blamed(verdict)
    evidence = {}
    if blamed:
        evidence["statement"] = lines(finding.statement for finding in blamed)
    elif verdict.ledger:
        evidence["statement"] = "none that a rule knows: a trigger, a cascade or a function did it"
    if verdict.ledger:
        evidence["measured"] = lines(verdict.ledger)
    elif blamed:
        evidence["predicted"] = lines(f"{', '.join(one.objects)}: {rules.BY_CODE[one.rule].effect}" for one in blamed)
        if verdict.lost is not None and not verdict.unmeasured:
            evidence["measured"] = "no loss in the rehearsal; what this statement would lose on other rows counts all the same"
    if verdict.unmeasured and blamed:
        evidence["not measured"] = lines(verdict.unmeasured)
    return evidence


def lines(told_lines: Iterable[str]) -> str:
    """Return one kind of evidence: each line once, the first ten of them, and how many more there are."""
    told = list(dict.fromkeys(told_lines))
    more = [f"and {len(told) - MOST_LINES:,} more"] if len(told) > MOST_LINES else []
    return "\n".join(told[:MOST_LINES] + more)
