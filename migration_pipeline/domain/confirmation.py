"""What needs a human, and whether an answer fits this very plan."""

from dataclasses import dataclass

from migration_pipeline import errors

PROMPT = "This migration is DESTRUCTIVE. Type 'CONFIRM' to proceed:"
WORD = "CONFIRM"
DIGITS = 8


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """One consent to one plan: given by a human, or not needed because nothing is lost."""

    plan_fingerprint: str
    #: How it came about: "not needed", "at the prompt", "in the run's config"
    how: str
    #: What would have been refused, and was let pass by an option: a sentence each.
    accepted: tuple[str, ...] = ()


def phrase(plan_fingerprint: str) -> str:
    """Return what must be typed where the answer is given away from the ledger, as job config."""
    return f"{WORD} {plan_fingerprint[:DIGITS]}"


def not_needed(plan_fingerprint: str) -> Confirmation:
    return Confirmation(plan_fingerprint=plan_fingerprint, how="not needed")


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
