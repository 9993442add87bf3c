"""What needs a human, and whether an answer fits this very plan."""

from dataclasses import dataclass
from datetime import timedelta

from migration_pipeline import errors
from migration_pipeline.domain.backups import words

PROMPT = "This migration is DESTRUCTIVE. Type 'CONFIRM' to proceed:"
WORD = "CONFIRM"
DIGITS = 8
#: How a run goes on from the question, its backup and rehearsal kept.
AGAIN = '"Re-execute from failure" (the arrow beside "Re-execute all" on the run\'s page)'


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """One consent to one plan: given by a human, or not needed because nothing is lost."""

    plan_fingerprint: str
    #: How it came about: "not needed: …", "at the prompt", "in the run's config", "in Dagster's UI, by run …"
    how: str
    #: What would have been refused, and was let pass by an option: a sentence each.
    accepted: tuple[str, ...] = ()


def phrase(plan_fingerprint: str) -> str:
    """Return what must be typed where the answer is given away from the ledger, as job config."""
    return f"{WORD} {plan_fingerprint[:DIGITS]}"


def not_needed(plan_fingerprint: str, why: str = "no data is lost") -> Confirmation:
    return Confirmation(plan_fingerprint=plan_fingerprint, how=f"not needed: {why}")


def why_not_needed(revisions: int, *, measured: int) -> str:
    """Return why a plan needs no consent: how many revisions it has, and of how many everything was measured."""
    counted = "1 revision" if revisions == 1 else f"{revisions} revisions"
    told = ("measured" if revisions == 1 else "all measured") if measured == revisions else f"{measured} measured in full"
    return f"no data is lost ({counted}, {told})"


def from_prompt(answer: str | None, plan_fingerprint: str) -> Confirmation:
    """Accept `CONFIRM`, typed under the ledger of this very plan. End of input (None) and anything else decline."""
    if answer is None or answer.strip() != WORD:
        raise errors.Declined(
            "The migration was not confirmed; nothing was changed.",
            evidence={"expected": WORD, "answer": "end of input" if answer is None else "something else"},
            next_step="just migrate, and type CONFIRM at the prompt",
        )
    return Confirmation(plan_fingerprint=plan_fingerprint, how="at the prompt")


def from_config(answer: str, plan_fingerprint: str) -> Confirmation:
    """Accept `CONFIRM <first 8 of the fingerprint>`: a bare CONFIRM could have been meant for another plan."""
    expected = phrase(plan_fingerprint)
    if answer.strip() == expected:
        return Confirmation(plan_fingerprint=plan_fingerprint, how="in the run's config")
    if answer.strip().startswith(WORD + " "):
        raise errors.Stale(
            "The confirmation was given for another plan; nothing was changed.",
            evidence={"expected": expected},
            next_step=f'read the ledger of this run, then launch it again with confirmation: "{expected}"',
        )
    raise errors.Declined(
        f"{PROMPT} The run's config does not confirm this plan; nothing was changed.",
        evidence={"expected": expected},
        next_step=f'read the ledger of this run, then launch it again with confirmation: "{expected}"',
    )


def from_ui(answer: str, plan_fingerprint: str, *, by_run: str) -> Confirmation:
    """Accept `CONFIRM`, as a run of its own gave it to a run that shows the ledger of this very plan."""
    if answer.strip() != WORD:
        raise errors.Declined(
            "The migration was not confirmed; nothing was changed.",
            evidence={"expected": WORD, "answer": "something else", "run": by_run},
            next_step=f"{AGAIN}, and answer {WORD}; or just migrate",
        )
    return Confirmation(plan_fingerprint=plan_fingerprint, how=f"in Dagster's UI, by run {by_run}")


def timed_out(plan_fingerprint: str, waited: timedelta, *, backup_too_old: bool) -> errors.Declined:
    """Return what ends a run that nobody answered. From here it can go on, unless its backup has become too old for that."""
    why = {"backup": "it is too old to upgrade on now"} if backup_too_old else {}
    return errors.Declined(
        f"Nobody confirmed the migration within {words(waited)}; nothing was changed.",
        evidence={"expected": phrase(plan_fingerprint), **why},
        next_step="just migrate"
        if backup_too_old
        else f"{AGAIN}, which looks at everything once more and asks again; or just migrate",
    )
