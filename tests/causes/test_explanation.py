"""Failure classes in words: every class has a sentence and a next step."""

import re

import pytest

from piwheels.causes.class_texts import CLASS_TEXTS
from piwheels.causes.explanation import (
    describe_build,
    describe_cause,
    next_step,
    summarize_build,
)
from piwheels.model import FailureCause, FailureClass, FailureEvidence, PastFailure
from piwheels.retry_policy import Failure, RetryOptions, decide

CLASSES = list(FailureClass)
LIBPQ = FailureCause(
    failure_class=FailureClass.MISSING_PACKAGE,
    missing=("header libpq-fe.h",),
    packages=("libpq-dev",),
    line_number=231,
)
LINE = "a.c:1:10: fatal error: libpq-fe.h: No such file or directory"


def clause(text: str) -> bool:
    """Whether it fits between other words: no capital at its start, no period at its end."""
    return bool(re.fullmatch(r"[a-z].*[^.;: ]", text))


@pytest.mark.parametrize("failure_class", CLASSES)
def test_every_class_has_a_sentence_and_a_next_step(failure_class: FailureClass) -> None:
    cause = FailureCause(failure_class=failure_class)
    assert clause(describe_cause(cause))
    assert clause(next_step(cause, will_retry=True))
    assert clause(next_step(cause, will_retry=False))


def test_no_two_classes_are_described_by_the_same_words() -> None:
    texts = [describe_cause(FailureCause(failure_class=each)) for each in CLASSES]
    assert len(set(texts)) == len(CLASSES)


def ends_finally(failure_class: FailureClass) -> bool:
    """Whether the policy gives up a release that fails so again and again."""
    evidence = FailureEvidence(
        stop="memory", limit_s=60.0, memory_limit_bytes=1, disk_free_bytes=2**60, digest="x"
    )
    past = PastFailure(builder="pi1", failure_class=failure_class, evidence=evidence)
    failure = Failure(
        failure_class=failure_class,
        builder="pi2",
        evidence=evidence,
        attempt=9,
        earlier=[past] * 9,
        other_builders=True,
        largest_memory_bytes=1,
    )
    return decide(failure, RetryOptions()).is_final


@pytest.mark.parametrize("failure_class", CLASSES)
def test_what_the_policy_can_end_has_a_text_of_why(failure_class: FailureClass) -> None:
    texts = CLASS_TEXTS[failure_class]
    if ends_finally(failure_class):
        assert texts.final
    else:
        assert texts.retried


def test_missing_things_and_their_packages_are_named() -> None:
    assert describe_cause(LIBPQ) == "libpq-fe.h (header) is missing; Debian has it in libpq-dev"
    assert describe_build(LIBPQ, LINE) == (
        f"libpq-fe.h (header) is missing; Debian has it in libpq-dev (line 231 of its log: {LINE})"
    )
    several = FailureCause(
        failure_class=FailureClass.MISSING_PACKAGE,
        missing=("pkg-config libxml-2.0 2.9", "program swig"),
        packages=("libxml2-dev", "swig"),
    )
    assert describe_cause(several) == (
        "libxml-2.0 2.9 (pkg-config file) and swig (program) are missing; Debian has them in "
        "libxml2-dev and swig"
    )


def test_what_no_package_has_follows_the_words_of_its_class() -> None:
    removed = FailureCause(failure_class=FailureClass.PYTHON_TOO_NEW, missing=("module imp",))
    assert describe_cause(removed) == (
        "the source uses what this Python no longer has: imp (Python module)"
    )
    assert next_step(removed, will_retry=False).startswith("final: for this Python and newer")


@pytest.mark.parametrize(
    ("missing", "text"),
    [
        (("host github.com", "downloader git"), ": github.com (host), by git"),
        (("downloader Python (urllib)",), ", by Python (urllib)"),
        ((), ""),
    ],
)
def test_a_download_is_told_with_its_host_and_program(missing: tuple[str, ...], text: str) -> None:
    cause = FailureCause(failure_class=FailureClass.NEEDS_NETWORK, missing=missing)
    assert describe_cause(cause) == CLASS_TEXTS[FailureClass.NEEDS_NETWORK].cause + text


def test_a_long_list_is_cut() -> None:
    cause = FailureCause(
        failure_class=FailureClass.MISSING_PACKAGE,
        missing=tuple(f"header {number}.h" for number in range(20)),
    )
    assert describe_cause(cause).endswith("4.h (header) and 15 more are missing")


def test_an_unknown_class_is_told_by_its_line() -> None:
    unknown = FailureCause(failure_class=FailureClass.UNKNOWN, line_number=3)
    assert describe_build(unknown, "it broke") == "it broke"
    assert describe_build(None, "") == ""
    assert next_step(unknown, will_retry=False) == "final: the log tells more"


def test_a_table_shows_what_was_missing_or_else_the_line() -> None:
    assert summarize_build(LIBPQ, LINE) == describe_cause(LIBPQ)
    refused = FailureCause(failure_class=FailureClass.REFUSED)
    assert summarize_build(refused, "use scikit-learn instead") == "use scikit-learn instead"
    assert summarize_build(refused, "") == describe_cause(refused)
    assert summarize_build(None, "a wheel") == "a wheel"
