"""What has failed on the simulated farm for days, as a large farm has it.

Causes have what a build may say: escape codes, markup, and a wheel with an impossible name.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from piwheels.model import BuildSummary, FailureCause, FailureClass, Outcome
from tests.simfarm.scenario_builders import PROJECTS, SIM_TARGETS

#: Their builds have numbers from this one on, below those of the farm's other builds.
FIRST_BUILD = 1


class FailureScenario(NamedTuple):
    """A cause: its line, how many releases for how many targets, and how many were built before."""

    failure_class: FailureClass
    line: str
    releases: int
    targets: int
    regressions: int
    minutes: int
    missing: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    @property
    def cause(self) -> FailureCause:
        """As a master tells it."""
        return FailureCause(
            failure_class=self.failure_class, missing=self.missing, packages=self.packages
        )


_LIBPQ = "./psycopg/psycopg.h:30:10: fatal error: libpq-fe.h: No such file or directory"
_F = FailureClass
STANDING = (
    FailureScenario(_F.COMPILER_ERROR, "'PyThreadState' has no member named 'use_tracing'", 23, 1, 9, 11),
    FailureScenario(_F.TIMED_OUT, "3h in Building CXX object", 12, 2, 5, 38),
    FailureScenario(_F.MISSING_TOOLCHAIN, "rustc 1.85 or newer is required", 7, 2, 3, 1_500, ("rustc",)),
    FailureScenario(
        _F.MISSING_PACKAGE, _LIBPQ, 41, 3, 2, 4, ("header libpq-fe.h",), ("libpq-dev",)
    ),
    FailureScenario(_F.OUT_OF_MEMORY, "cc1plus: killed at 3.6 GiB", 9, 3, 1, 180),
    FailureScenario(_F.PYTHON_TOO_NEW, "ModuleNotFoundError: No module named 'imp'", 38, 2, 0, 120),
    FailureScenario(
        _F.MISSING_PACKAGE, "Package libffi was not found in the pkg-config search path",
        17, 4, 0, 60, ("pkg-config libffi",), ("libffi-dev",),
    ),
    FailureScenario(_F.NEEDS_NETWORK, "fatal: unable to access 'https://git.example.org/'", 8, 6, 0, 540),
    FailureScenario(
        _F.UNKNOWN, "\x1b[31merror\x1b[0m: [red]markup[/red] \x1b]0;title\x07 \u202egnorw\u202c",
        3, 2, 0, 900,
    ),
    FailureScenario(
        _F.WRONG_NAME, "nu[bold]mpy-2.3.5-\x1b[2Jcp311-../../x.whl is not the name of a wheel",
        2, 1, 0, 2_000,
    ),
    FailureScenario(_F.SEVERAL_WHEELS, "2 wheels: a-1.0.whl, b-1.0-py3-none-any.whl", 3, 6, 0, 2_880),
)  # fmt: skip


def standing_builds(now: datetime) -> Iterator[BuildSummary]:
    """The builds that failed so, the oldest first: those of a cause differ by release or target."""
    number = FIRST_BUILD
    for standing in sorted(STANDING, key=lambda it: -it.minutes):
        for place in range(max(standing.releases, standing.targets)):
            project, version = _release(standing, place % standing.releases)
            yield BuildSummary(
                ended_at=now - timedelta(minutes=standing.minutes + standing.releases - place),
                builder=f"pi{1 + place % 30:03}",
                build_id=number,
                project=project,
                version=version,
                target=SIM_TARGETS[place % standing.targets].target,
                outcome=Outcome.FAILED,
                duration_s=41.0 + place,
                reason=standing.line,
                cause=standing.cause,
            )
            number += 1


def _release(standing: FailureScenario, place: int) -> tuple[str, str]:
    if standing.packages == ("libpq-dev",) and place == 0:
        return "psycopg2", "2.9.11"
    project, _ = PROJECTS[place % len(PROJECTS)]
    return f"{project}-{len(standing.line)}-{place}", f"1.{place}"


def standing_of(build: BuildSummary) -> FailureScenario | None:
    """The cause of one of these builds."""
    return next((it for it in STANDING if it.line == build.reason), None)
