"""What is tried next after a try failed."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from piwheels.builder.build_tries import FailedTry, Try, TryRules, deciding_try, next_try
from piwheels.builder.period_tools import changed_defaults, compiler_released_on, period_days
from piwheels.model import FailureClass as C

PERIOD, OLD = date(2023, 2, 28), date(2021, 8, 31)
TODAY = date(2026, 11, 29)
NOW, THEN, LONG_AGO = Try(), Try(day=PERIOD), Try(day=OLD)
RULES = TryRules(days=(PERIOD, OLD))
OLDER = TryRules(days=(PERIOD, OLD), older_than_compiler=True)
EMULATED = TryRules(days=(), emulated=True)


def failed(
    tried: Try,
    failure_class: C,
    *packages: str,
    undeclared: str = "",
    option: str = "",
    generated: bool = False,
) -> FailedTry:
    return FailedTry(tried, failure_class, undeclared, option, generated, packages)


TOO_NEW = failed(NOW, C.TOOLS_TOO_NEW)
NUMPY, CYTHON = Try(requirements=("numpy",)), Try(requirements=("Cython",))
COMMON = Try(compiler_options=("-fcommon",))
AGAIN = Try(day=PERIOD, requirements=("Cython",), generates=True)


@pytest.mark.parametrize(
    ("failures", "rules", "expected"),
    [
        # The ladder of days
        ([TOO_NEW], RULES, THEN),
        ([TOO_NEW, failed(THEN, C.BUILD_REQUIREMENT)], RULES, LONG_AGO),
        ([TOO_NEW, failed(THEN, C.TOOLS_TOO_NEW), failed(LONG_AGO, C.UNKNOWN)], RULES, None),
        ([TOO_NEW], TryRules(days=()), None),
        # Today again only if something was added since
        ([TOO_NEW, failed(THEN, C.UNKNOWN), failed(LONG_AGO, C.UNKNOWN, "deb a")], RULES, NOW),
        (
            [
                TOO_NEW, failed(THEN, C.UNKNOWN), failed(LONG_AGO, C.UNKNOWN, "deb a"),
                failed(NOW, C.TOOLS_TOO_NEW, "deb a"),
            ],
            RULES,
            None,
        ),
        # Errors of the compiler: one day, if the release is older than the compiler
        ([failed(NOW, C.COMPILER_ERROR)], OLDER, THEN),
        ([failed(NOW, C.COMPILER_ERROR), failed(THEN, C.COMPILER_ERROR)], OLDER, None),
        ([failed(NOW, C.COMPILER_ERROR)], RULES, None),
        # What no tool repairs
        ([failed(NOW, C.PYTHON_TOO_NEW)], OLDER, None),
        ([failed(NOW, C.MISSING_PACKAGE)], OLDER, None),
        ([failed(NOW, C.BUILD_REQUIREMENT)], OLDER, None),
        ([failed(NOW, C.UNKNOWN)], OLDER, None),
        # What the release may have no part in ends the job as it is
        ([TOO_NEW, failed(THEN, C.INDEX_FAULT)], RULES, None),
        ([TOO_NEW, failed(THEN, C.OUT_OF_MEMORY)], RULES, None),
        # Undeclared requirements: once, and kept
        ([failed(NOW, C.UNDECLARED_REQUIREMENT, undeclared="numpy")], RULES, NUMPY),
        ([failed(NOW, C.UNDECLARED_REQUIREMENT)], RULES, None),
        (
            [
                failed(NOW, C.UNDECLARED_REQUIREMENT, undeclared="numpy"),
                failed(NUMPY, C.UNDECLARED_REQUIREMENT, undeclared="Cython"),
            ],
            RULES,
            None,
        ),
        (
            [
                failed(NOW, C.UNDECLARED_REQUIREMENT, undeclared="numpy"),
                failed(NUMPY, C.TOOLS_TOO_NEW),
            ],
            RULES,
            Try(day=PERIOD, requirements=("numpy",)),
        ),
        # Old sources: each way once, with what was changed before
        ([failed(NOW, C.COMPILER_ERROR, option="-fcommon")], OLDER, COMMON),
        ([failed(THEN, C.COMPILER_ERROR, option="-fcommon")], OLDER, replace(COMMON, day=PERIOD)),
        (
            [
                failed(NOW, C.COMPILER_ERROR, option="-fcommon"),
                failed(COMMON, C.COMPILER_ERROR, option="-fcommon"),
            ],
            OLDER,
            replace(COMMON, day=PERIOD),
        ),
        ([failed(CYTHON, C.PYTHON_TOO_NEW, generated=True)], RULES, AGAIN),
        (
            [failed(CYTHON, C.PYTHON_TOO_NEW, generated=True)],
            TryRules(days=()),
            replace(CYTHON, generates=True),
        ),
        (
            [
                failed(CYTHON, C.PYTHON_TOO_NEW, generated=True),
                failed(AGAIN, C.PYTHON_TOO_NEW, generated=True),
            ],
            RULES,
            None,
        ),
        # Failures under emulation that no line explains: once
        ([failed(NOW, C.UNKNOWN)], EMULATED, NOW),
        ([failed(NOW, C.UNKNOWN), failed(NOW, C.UNKNOWN)], EMULATED, None),
        ([failed(NOW, C.COMPILER_ERROR)], EMULATED, None),
    ],
)  # fmt: skip
def test_the_next_try_follows_from_all_that_failed(
    failures: Sequence[FailedTry], rules: TryRules, expected: Try | None
) -> None:
    assert next_try(failures, rules) == expected


def test_an_index_without_upload_times_ends_the_days() -> None:
    refused = FailedTry(THEN, C.BUILD_REQUIREMENT, day_refused=True)
    assert next_try([TOO_NEW, refused], RULES) is None
    assert deciding_try([TOO_NEW, refused]) == 0


@pytest.mark.parametrize("failure_class", C)
@pytest.mark.parametrize("rules", [OLDER, EMULATED])
def test_every_job_ends(failure_class: C, rules: TryRules) -> None:
    failures: list[FailedTry] = []
    following: Try | None = Try()
    while following is not None:
        packages = tuple(f"deb {number}" for number in range(min(len(failures), 5)))
        failures.append(
            failed(
                following,
                failure_class,
                *packages,
                undeclared="numpy",
                option="-fcommon",
                generated=True,
            )
        )
        assert len(failures) < 12
        following = next_try(failures, rules)


@pytest.mark.parametrize(
    ("failures", "deciding"),
    [
        ([TOO_NEW], 0),
        ([TOO_NEW, failed(THEN, C.UNKNOWN), failed(LONG_AGO, C.COMPILER_ERROR)], 0),
        ([TOO_NEW, failed(THEN, C.MISSING_PACKAGE), failed(LONG_AGO, C.UNKNOWN)], 1),
        ([TOO_NEW, failed(THEN, C.INDEX_FAULT)], 1),
        ([failed(NOW, C.UNDECLARED_REQUIREMENT), failed(NUMPY, C.COMPILER_ERROR)], 1),
        ([failed(NOW, C.UNDECLARED_REQUIREMENT), failed(NUMPY, C.BUILD_REQUIREMENT)], 0),
        ([TOO_NEW, failed(THEN, C.UNKNOWN), failed(NOW, C.COMPILER_ERROR, "deb a")], 2),
    ],
)
def test_one_try_says_how_the_job_ended(failures: Sequence[FailedTry], deciding: int) -> None:
    assert deciding_try(failures) == deciding


# --- days ---


@pytest.mark.parametrize(
    ("python", "released_on", "days"),
    [
        ("3.11.7", date(2015, 1, 1), (PERIOD, OLD)),
        ("3.11.7", date(2023, 5, 1), (date(2023, 5, 31),)),
        ("3.9.2", date(2021, 3, 1), (date(2021, 3, 31), OLD)),
        # Its tools of before 2021-09 cannot run on this Python
        ("3.13.1", date(2015, 1, 1), (date(2025, 2, 28),)),
        # Today's index is no other day
        ("3.13.1", TODAY - timedelta(days=30), ()),
        ("3.99.0", date(2015, 1, 1), ()),
    ],
)
def test_days_follow_the_release_and_its_python(
    python: str, released_on: date, days: tuple[date, ...]
) -> None:
    assert period_days(python, released_on, TODAY) == days


def test_the_age_of_a_compiler_is_known_by_its_name(tmp_path: Path) -> None:
    program = tmp_path / "usr/bin/gcc"
    program.parent.mkdir(parents=True)
    assert compiler_released_on(tmp_path) is None
    for target, expected in (
        ("gcc-12", date(2022, 5, 6)),
        ("/usr/bin/aarch64-linux-gnu-gcc-14", date(2024, 5, 7)),
        ("clang", None),
        ("gcc-99", None),
    ):
        program.unlink(missing_ok=True)
        program.symlink_to(target)
        assert compiler_released_on(tmp_path) == expected


@pytest.mark.parametrize(
    ("gcc", "released_on", "options"),
    [
        (12, date(2020, 5, 6), ["-fcommon"]),
        (12, date(2020, 5, 7), []),
        (9, date(2015, 1, 1), []),
    ],
)
def test_a_compiler_that_is_newer_than_a_release_has_other_defaults(
    tmp_path: Path, gcc: int, released_on: date, options: list[str]
) -> None:
    assert changed_defaults(tmp_path, released_on) == ()
    program = tmp_path / "usr/bin/gcc"
    program.parent.mkdir(parents=True)
    program.symlink_to(f"gcc-{gcc}")
    assert [each.option for each in changed_defaults(tmp_path, released_on)] == options
