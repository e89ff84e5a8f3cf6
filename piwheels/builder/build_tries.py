"""What is tried next within one job after a try of its build failed (pure).

Packages are added before (`package_rounds`): a try that they repaired is none of these.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from piwheels.builder.period_tools import CompilerDefault
from piwheels.model import FailureClass as C

#: Failures that the release may have no part in: their policies decide about the job.
_PASSING = frozenset(
    {
        C.LIMIT, C.TIMED_OUT, C.OUT_OF_MEMORY, C.DISK_FULL, C.KILLED, C.CRASHED, C.INDEX_FAULT,
        C.FILE_GONE, C.DAMAGED_DOWNLOAD, C.BUILDER_FAULT, C.MASTER_FAULT, C.LOST, C.CANCELED,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Try:
    """How a build is tried."""

    day: date | None = None  # at whose end the index is shown; None: as it is
    requirements: tuple[str, ...] = ()  # projects added to its build requirements
    compiler_options: tuple[str, ...] = ()
    generates: bool = False  # C files that an old Cython generated, by another one

    def __str__(self) -> str:
        index = f"index as of {self.day}" if self.day else "index of today"
        options = (f"CFLAGS={option}" for option in self.compiler_options)
        generated = ("generated C files",) if self.generates else ()
        return " and ".join((index, *self.requirements, *options, *generated))


@dataclass(frozen=True, slots=True)
class FailedTry:
    """A try that failed."""

    tried: Try
    failure_class: C
    undeclared: str = ""  # the project of the module that it imports and does not declare
    compiler_option: str = ""  # that older compilers had by default, and its C sources need
    is_generated: bool = False  # a Cython older than this Python generated its C sources
    packages: tuple[str, ...] = ()  # that were added to its system before
    day_refused: bool = False  # the index has no upload times


@dataclass(frozen=True, slots=True)
class TryRules:
    """What the tries of one job depend on."""

    days: tuple[date, ...]  # of period tools, in order; empty where a recipe names the day
    emulated: bool = False
    older_than_compiler: bool = False  # the release
    changed_defaults: tuple[CompilerDefault, ...] = ()  # since the release


def next_try(failures: Sequence[FailedTry], rules: TryRules) -> Try | None:
    """The next try of a job, after these in this order; None if nothing more can help."""
    last = failures[-1]
    if rules.emulated and last.failure_class is C.UNKNOWN and not _failed_before(failures):
        return last.tried
    if last.failure_class in _PASSING or last.day_refused:
        return None
    return _next_source(failures, rules) or _next_day(failures, rules)


def _next_source(failures: Sequence[FailedTry], rules: TryRules) -> Try | None:
    """The next try that builds what failed in another way."""
    last = failures[-1]
    tried, option = last.tried, last.compiler_option
    if last.undeclared and not any(each.tried.requirements for each in failures):
        return replace(tried, requirements=(last.undeclared,))
    if option and option not in tried.compiler_options:
        return replace(tried, compiler_options=(*tried.compiler_options, option))
    if last.is_generated and not any(each.tried.generates for each in failures):
        return replace(tried, generates=True, day=next(iter(rules.days), tried.day))
    return None


def _failed_before(failures: Sequence[FailedTry]) -> bool:
    """Whether an earlier try failed without telling why."""
    return any(each.failure_class is C.UNKNOWN for each in failures[:-1])


def _next_day(failures: Sequence[FailedTry], rules: TryRules) -> Try | None:
    last, current = failures[-1], _last_of_today(failures)
    days = _days_for(current.failure_class, rules)
    tried = {each.tried.day for each in failures}
    for day in days:
        if day not in tried:
            return replace(last.tried, day=day)
    changed = (last.packages, last.tried.requirements) != (
        current.packages,
        current.tried.requirements,
    )
    return replace(last.tried, day=None) if last.tried.day and changed else None


def _days_for(failure_class: C, rules: TryRules) -> tuple[date, ...]:
    """The days that can help with what failed with the tools of today."""
    if failure_class is C.TOOLS_TOO_NEW:
        return rules.days
    if failure_class is C.COMPILER_ERROR and rules.older_than_compiler:
        return rules.days[:1]
    return ()


def _last_of_today(failures: Sequence[FailedTry]) -> FailedTry:
    return next(each for each in reversed(failures) if each.tried.day is None)


def deciding_try(failures: Sequence[FailedTry]) -> int:
    """Which of a job's failed tries says how the job ended, as its position.

    One that the release may have no part in, else one that lacks packages, which a builder with
    them may build, else the last one with the index of today.
    """
    if failures[-1].failure_class in _PASSING:
        return len(failures) - 1
    numbers = range(len(failures))
    lacking = [number for number in numbers if failures[number].failure_class.lacks_packages]
    of_today = [number for number in numbers if _is_informative(failures[number])]
    return (lacking or of_today)[-1]


def _is_informative(failed: FailedTry) -> bool:
    """Whether it was tried with the index of today, and what was added to it could be had."""
    unavailable = failed.failure_class is C.BUILD_REQUIREMENT and failed.tried.requirements
    return failed.tried.day is None and not unavailable
