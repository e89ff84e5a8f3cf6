"""What fails on the simulated farm, grouped as a master does it."""

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta

from piwheels.errors import RejectedError
from piwheels.model import BuildDetails, BuildPhase, BuildSummary, FailureGroup
from piwheels.protocol.messages import FailuresReply
from tests.simfarm.model import FarmModel
from tests.simfarm.standing_failures import standing_of

_POSITION = re.compile(r"^\S+?:\d+(:\d+)?:\s+")
#: Groups with a class and a package of their own, by a word of their line.
_CAUSES = (
    ("openssl/", "missing-package", "libssl-dev"),
    ("Rust compiler", "missing-toolchain", "rustc"),
    ("No module named", "undeclared-requirement", ""),
)

GroupKey = tuple[str, str]


def group_of(build: BuildSummary) -> GroupKey:
    """The class and the cause of a failed build."""
    if standing := standing_of(build):
        names = ", ".join(standing.packages or standing.missing)
        return standing.failure_class, names or _POSITION.sub("", standing.line)
    for word, failure_class, package in _CAUSES:
        if word in build.reason:
            return failure_class, package or build.reason
    return str(build.outcome), _POSITION.sub("", build.reason)


def open_failures(builds: Iterable[BuildSummary]) -> dict[GroupKey, list[BuildSummary]]:
    """The last builds of releases without a wheel, the newest first, by their group."""
    last: dict[tuple[str, str, str], BuildSummary] = {}
    for build in builds:
        last.pop(key := (build.project, build.version, build.target), None)
        last[key] = build
    groups: dict[GroupKey, list[BuildSummary]] = {}
    for build in reversed(last.values()):
        if build.outcome not in {"built", "canceled"}:
            groups.setdefault(group_of(build), []).append(build)
    return groups


def report(
    builds: Iterable[BuildSummary], retried: Iterable[tuple[str, str, str]]
) -> FailuresReply:
    """The answer to ListFailures; `retried` are releases that are queued again."""
    found = sorted(
        _groups(list(builds), set(retried)), key=lambda it: (-it.regressions, -it.releases)
    )
    return FailuresReply(
        groups=tuple(found), causes=len(found), releases=sum(group.releases for group in found)
    )


def _groups(
    builds: list[BuildSummary], retried: set[tuple[str, str, str]]
) -> Iterator[FailureGroup]:
    built = {(build.project, build.target) for build in builds if build.outcome == "built"}
    for (failure_class, cause), failed in open_failures(builds).items():
        regressions = [build for build in failed if (build.project, build.target) in built]
        standing = next(filter(None, map(standing_of, failed)), None)
        if standing and not regressions:
            regressions = failed[-standing.regressions :] if standing.regressions else []
        example = (regressions or failed)[0]
        waiting = [it for it in failed if (it.project, it.version, it.target) in retried]
        names = sorted({f"{build.project} {build.version}" for build in regressions})
        yield FailureGroup(
            failure_class=failure_class,
            cause=cause,
            reason=example.reason,
            missing=standing.missing if standing else (),
            packages=(cause,) if cause.endswith(("-dev", "rustc")) else (),
            releases=len({(build.project, build.version) for build in failed}),
            targets=len({build.target for build in failed}),
            regressions=len(names),
            retrying=len({(build.project, build.version) for build in waiting}),
            retried=len({(build.project, build.version) for build in waiting}),
            last_at=failed[0].ended_at,
            example_build=example.build_id,
            example_project=example.project,
            example_version=example.version,
            example_target=example.target,
            regressed=tuple(names[:3]),
        )


def build_details(model: FarmModel, build: int) -> BuildDetails:
    """The answer to ShowBuild.

    Raises:
        RejectedError: there is no such build.
    """
    summary = next((it for it in model.all_builds if it.build_id == build), None)
    if summary is None:
        raise RejectedError(f"build {build} is not recorded")
    group_class, cause = ("", "") if summary.outcome == "built" else group_of(summary)
    alike = open_failures(model.all_builds).get((group_class, cause), ())
    return BuildDetails(
        build=summary,
        started_at=summary.ended_at - timedelta(seconds=summary.duration_s),
        attempt=1,
        sdist=f"{summary.project}-{summary.version}.tar.gz",
        phases=(
            BuildPhase(name="fetching", duration_s=summary.duration_s / 10),
            BuildPhase(name="building", duration_s=summary.duration_s * 0.9),
        ),
        build_inputs=("root trixie-arm64", f"{'0' * 64} setuptools-84.2.1-py3-none-any.whl"),
        inputs=2,
        group_class=group_class,
        group_cause=cause,
        group_releases=len({(it.project, it.version) for it in alike}),
    )
