"""The tries of one job: how the next one builds, and which failure says how the job ended."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from piwheels.builder.build_errors import BuildFailedError
from piwheels.builder.build_system import BuildSystem
from piwheels.builder.build_tries import FailedTry, Try, TryRules, deciding_try, next_try
from piwheels.builder.download_errors import NoUploadTimesError
from piwheels.builder.period_tools import compiler_released_on, period_days
from piwheels.builder.process_runner import ProcessResult
from piwheels.builder.undeclared import undeclared_project
from piwheels.model import FailureClass, Interpreter, Job, Recipe


@dataclass(frozen=True, slots=True)
class TryFailure:
    """A try that failed, with what describes it."""

    failed: FailedTry
    error: BuildFailedError
    result: ProcessResult | None


@dataclass(slots=True)
class JobTries:
    """The tries of one job."""

    rules: TryRules
    current: Try = field(default_factory=Try)
    failures: list[TryFailure] = field(default_factory=list)
    have_ended: bool = False

    def begin_next(
        self, error: BuildFailedError, result: ProcessResult | None, system: BuildSystem
    ) -> Try | None:
        """The next try after a failure that no package repairs; None if nothing more can help."""
        failed = FailedTry(
            tried=self.current,
            failure_class=error.failure_class or FailureClass.UNKNOWN,
            undeclared=_undeclared(error),
            packages=system.inputs,
            day_refused=isinstance(error.__cause__, NoUploadTimesError),
        )
        self.failures.append(TryFailure(failed, error, result))
        following = next_try([each.failed for each in self.failures], self.rules)
        self.current, self.have_ended = following or self.current, following is None
        return following

    def deciding(self) -> TryFailure:
        """The failure that says how the job ended."""
        return self.failures[deciding_try([each.failed for each in self.failures])]

    def describe(self) -> Iterator[str]:
        """Every try, for the build's record, if there were several."""
        if not self.failures or (self.have_ended and len(self.failures) == 1):
            return
        for number, failure in enumerate(self.failures, 1):
            yield f"try {number}: {failure.failed.tried}: {failure.failed.failure_class}"
        if not self.have_ended:
            yield f"try {len(self.failures) + 1}: {self.current}"


def _undeclared(error: BuildFailedError) -> str:
    if error.failure_class is not FailureClass.UNDECLARED_REQUIREMENT or error.cause is None:
        return ""
    return undeclared_project(error.cause.missing)


def try_rules(
    job: Job, recipe: Recipe | None, interpreter: Interpreter, system: BuildSystem
) -> TryRules:
    """What the tries of a job depend on."""
    mount, released_on = system.mount, job.released_at.date()
    compiler = compiler_released_on(mount.root if mount else Path("/"))
    is_fixed = recipe is not None and recipe.tools_date is not None
    days = period_days(interpreter.version, released_on, datetime.now(UTC).date())
    return TryRules(
        days=() if is_fixed else days,
        emulated=mount is not None and mount.emulated,
        older_than_compiler=compiler is not None and released_on < compiler,
    )
