"""A failed build in words: what was wrong, and what happens next.

The only place that turns a failure class into a sentence: `piw explain`, pages, JSON and feeds use
it.
"""

from collections.abc import Iterable, Mapping, Sequence

from piwheels.causes.class_texts import CLASS_TEXTS
from piwheels.causes.missing import MissingKind
from piwheels.formatting import join_words
from piwheels.model import FailureCause, FailureClass

_MAX_SHOWN = 5
_KIND_WORDS: Mapping[str, str] = {
    MissingKind.PKG_CONFIG: "pkg-config file",
    MissingKind.CMAKE: "CMake configuration",
    MissingKind.MODULE: "Python module",
    MissingKind.REQUIREMENT: "build requirement",
}


def describe_cause(cause: FailureCause) -> str:
    """What was wrong, as a clause: class, missing things and Debian packages in words."""
    missing = _shown(_name_thing(each) for each in cause.missing if not _is_downloader(each))
    text = CLASS_TEXTS[cause.failure_class].cause
    if missing and cause.failure_class.lacks_packages:  # "ffi.h (header) is missing" says all
        text = f"{join_words(missing)} {'is' if len(cause.missing) == 1 else 'are'} missing"
    elif missing:
        text = f"{text}: {join_words(missing)}"
    if programs := [each for each in cause.missing if _is_downloader(each)]:
        text = f"{text}, by {join_words([each.partition(' ')[2] for each in programs])}"
    if not cause.packages:
        return text
    pronoun = "them" if len(cause.missing) > 1 else "it"
    return f"{text}; Debian has {pronoun} in {join_words(_shown(cause.packages))}"


def next_step(cause: FailureCause | None, *, will_retry: bool) -> str:
    """What the farm does next, as a clause; if nothing, why that is final and what can help."""
    texts = CLASS_TEXTS[cause.failure_class] if cause else None
    if will_retry:
        return (texts and texts.retried) or "it is built again"
    return f"final: {texts.final}" if texts and texts.final else "it is not retried automatically"


def describe_build(cause: FailureCause | None, reason: str) -> str:
    """A failed build in one clause, with the line of its log that tells."""
    if cause is None or cause.failure_class is FailureClass.UNKNOWN:
        return reason
    where = f"line {cause.line_number} of its log" if cause.line_number else ""
    told = ": ".join(filter(None, (where, reason)))
    return f"{describe_cause(cause)} ({told})" if told else describe_cause(cause)


def summarize_build(cause: FailureCause | None, reason: str) -> str:
    """A failed build for a table: what was missing, else the line of the log that tells."""
    if cause is None or cause.failure_class is FailureClass.UNKNOWN:
        return reason
    return reason if reason and not cause.missing else describe_cause(cause)


def _is_downloader(text: str) -> bool:
    return text.partition(" ")[0] == MissingKind.DOWNLOADER


def _name_thing(text: str) -> str:
    """`ffi.h (header)` of "header ffi.h", as `Missing` writes it."""
    kind, _, name = text.partition(" ")
    return f"{name} ({_KIND_WORDS.get(kind, kind)})" if name else text


def _shown(names: Iterable[str]) -> Sequence[str]:
    every = list(dict.fromkeys(names))
    rest = len(every) - _MAX_SHOWN
    return [*every[:_MAX_SHOWN], f"{rest} more"] if rest > 0 else every
