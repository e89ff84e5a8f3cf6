"""The outcomes of builds in words: as a label, and as what a build did."""

from collections.abc import Mapping
from dataclasses import dataclass

from piwheels.model import Outcome


@dataclass(frozen=True, slots=True)
class OutcomeText:
    """Words for an outcome.

    label: for a table or after a colon.
    verb: what follows "build 7".
    """

    label: str
    verb: str


OUTCOME_TEXTS: Mapping[str, OutcomeText] = {
    Outcome.BUILT: OutcomeText("built", "made a wheel"),
    Outcome.FAILED: OutcomeText("failed", "failed"),
    Outcome.REFUSED: OutcomeText("wheel refused", "made a wheel that was refused"),
    Outcome.TIMED_OUT: OutcomeText("not done in time", "was not done in time"),
    Outcome.OUT_OF_MEMORY: OutcomeText("out of memory", "ran out of memory"),
    Outcome.DISK_FULL: OutcomeText("disk full", "ran out of disk space"),
    Outcome.FETCH_FAILED: OutcomeText("download failed", "could not download what it needs"),
    Outcome.BAD_SDIST: OutcomeText("unusable sdist", "could not use the sdist"),
    Outcome.LOST: OutcomeText("lost", "was lost with its builder"),
    Outcome.CANCELED: OutcomeText("canceled", "was canceled"),
    Outcome.BUILDER_FAILED: OutcomeText("builder failed", "ended because its builder failed"),
}


def outcome_label(outcome: str) -> str:
    """An outcome in one or two words; one that this version does not know stays as it is."""
    text = OUTCOME_TEXTS.get(outcome)
    return text.label if text else outcome


def outcome_verb(outcome: str) -> str:
    """What a build did that ended with an outcome."""
    text = OUTCOME_TEXTS.get(outcome)
    return text.verb if text else f"ended as {outcome}"
