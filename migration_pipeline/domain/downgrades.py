"""What a check of downgrades found: one result for each revision, and each finding with what would mend it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from migration_pipeline import errors


class Kind(StrEnum):
    """What is wrong with a revision, the gravest first."""

    UPGRADE_FAILS = "upgrade fails"
    RAISES = "raises"  #: the downgrade does
    REFUSES = "refuses"  #: the downgrade raises on purpose, and no comment says so
    LOST = "lost"  #: an object, rows or values that were there before
    RESIDUE = "residue"  #: something that was not there before
    CHANGED = "changed"
    AGAIN = "second upgrade"  #: it fails after the downgrade, or leads elsewhere than the first
    UNEXPECTED = "unexpected"  #: the schema is not the one that is committed
    COMMENT = "comment"  #: the DOWNGRADE: comment is wrong


OK = "ok"
IRREVERSIBLE = "irreversible"
NOT_REACHED = "not reached"

KINDS = tuple(Kind)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong; `what` is a line without values of rows."""

    kind: Kind
    what: str
    add: tuple[str, ...] = ()  #: what to add to the downgrade, a statement a line
    fix: str | None = None  #: what else to do about it

    @property
    def advice(self) -> list[str]:
        return [*(f"add to downgrade(): {statement}" for statement in self.add), *([self.fix] if self.fix else [])]

    @property
    def lines(self) -> list[str]:
        return [f"{self.kind}: {self.what}", *(f"  {line}" for line in self.advice)]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The result of one revision."""

    revision: str
    title: str
    file: str  #: as it is shown
    line: int  #: of its downgrade function
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()  #: what is to be known, and no fault
    reason: str | None = None  #: why its downgrade is irreversible, as it says itself
    is_reached: bool = True
    seconds: float = 0.0

    @property
    def result(self) -> str:
        if not self.is_reached:
            return NOT_REACHED
        if self.findings:
            return min((one.kind for one in self.findings), key=KINDS.index)
        return OK if self.reason is None else IRREVERSIBLE

    @property
    def is_failed(self) -> bool:
        return bool(self.findings) or not self.is_reached

    @property
    def text(self) -> str:
        """The whole message: what, evidence, where."""
        lines = [f'Revision "{self.revision}": {HEADLINES[self.result]}']
        lines += [f"  {line}" for one in self.findings for line in one.lines]
        lines += [f"  note: {note}" for note in self.notes]
        lines.append(f"  file: {self.file}, line {self.line}")
        return "\n".join(errors.printable(line) for line in lines)


HEADLINES: dict[str, str] = {
    OK: "its downgrade brings back what was there before.",
    IRREVERSIBLE: "its downgrade is declared irreversible.",
    NOT_REACHED: "it was not reached.",
    Kind.UPGRADE_FAILS: "its upgrade fails, so its downgrade cannot be tested.",
    Kind.RAISES: "its downgrade raises.",
    Kind.REFUSES: "its downgrade refuses, and no comment says that this is meant.",
    Kind.LOST: "its downgrade does not bring back all that was there before.",
    Kind.RESIDUE: "its downgrade leaves something behind.",
    Kind.CHANGED: "its downgrade does not bring back what was there before as it was.",
    Kind.AGAIN: "after its downgrade, a second upgrade does not lead to where the first one did.",
    Kind.UNEXPECTED: "the schema after its upgrade is not the one that is committed.",
    Kind.COMMENT: "its DOWNGRADE: comment is wrong.",
}


@dataclass(frozen=True, kw_only=True)
class Report:
    """All results of one check."""

    revisions: tuple[Checked, ...]
    unchecked: int = 0  #: revisions that were only brought up
    drift: tuple[str, ...] | None = None  #: what the models have otherwise; None: nobody asked
    notes: tuple[str, ...] = ()  #: what is to be known of the check itself
    ended_by: str | None = None  #: what ended the check before its end
    seconds: float = 0.0

    @property
    def failed(self) -> Sequence[Checked]:
        return [one for one in self.revisions if one.is_failed]

    @property
    def is_ok(self) -> bool:
        return not self.failed and not self.drift and self.ended_by is None

    @property
    def summary(self) -> str:
        """Count the results, in one line."""
        number = len(self.revisions)
        counts: dict[str, int] = {}
        for one in self.revisions:
            counts[one.result] = counts.get(one.result, 0) + 1
        order = [OK, IRREVERSIBLE, *KINDS, NOT_REACHED]
        told = ", ".join(f"{counts[result]:,} {result}" for result in order if result in counts) or "nothing was checked"
        before = f", {self.unchecked:,} brought up before without a check" if self.unchecked else ""
        drift = "" if self.drift is None else f"; {len(self.drift):,} differences to the models"
        early = "" if self.ended_by is None else "; the check did not come to its end"
        return f"{number:,} revision{'' if number == 1 else 's'} in {self.seconds:.1f} s: {told}{before}{drift}{early}."
