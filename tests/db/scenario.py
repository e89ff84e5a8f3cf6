"""A farm's database under random operations, and what its jobs ought to be."""

import hashlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from piwheels.db import catalog, completed_builds, job_queue, mirrored_wheels, target_queries
from piwheels.db.database import Database
from piwheels.db.mirrored_wheels import WheelToMirror
from piwheels.db.rows import from_row
from piwheels.db.upstream_wheels import (
    ListedWheel,
    MirrorSource,
    UpstreamWheel,
    policy_of,
    set_project_policy,
    store_upstream_wheels,
)
from piwheels.model import (
    LONG_BUILD_S,
    MIRROR_MAKER,
    Build,
    CompatibilityRules,
    Job,
    Outcome,
    ProjectStatus,
    Release,
    RetryDecision,
    Sdist,
    Target,
    UpstreamWheelPolicy,
    WheelCompatibility,
    WheelFile,
)
from piwheels.scheduler import imported_wheels
from piwheels.wheel.tags import PackagingRules, compatibility_of, make_target

RULES = PackagingRules()
BUILD_TIME = datetime(2026, 1, 1, tzinfo=UTC)

TARGETS = [
    make_target(
        python_full=f"3.{minor}.1",
        implementation="cp",
        abi=f"cp3{minor}{variant}",
        arch="aarch64",
        os="bookworm",
        glibc="2.36",
    )
    for minor, variant in ((9, ""), (11, ""), (13, ""), (13, "t"))
]
#: The same interpreters on a newer Debian, in the random walk.
NEWER_OS_TARGETS = [
    make_target(
        python_full=f"3.{minor}.1",
        implementation="cp",
        abi=f"cp3{minor}",
        arch="aarch64",
        os="trixie",
        glibc="2.41",
    )
    for minor in (11, 13)
]
PROJECTS = ["alpha", "beta", "gamma"]
VERSIONS = ["1.0", "2.0"]
SPECIFIERS = ["", ">=3.11", "<3.11", ">=4", "not a specifier"]
#: Tags that a build for an ABI can come out with; {abi} is the target's own.
_TAGS = [
    "py3-none-any",
    "{abi}-{abi}-manylinux_2_34_aarch64",
    "{abi}-{abi}-linux_aarch64",
    "cp39-abi3-linux_aarch64",
    "cp311-abi3-linux_aarch64",
    "py2-none-any",
    "{abi}-{abi}-linux_x86_64",
]


#: Tags of wheels that the upstream has.
_UPSTREAM_TAGS = [
    "py3-none-any",
    "cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64",
    "cp313-cp313-manylinux_2_39_aarch64",
    "cp39-abi3-manylinux_2_28_aarch64",
    "cp313-cp313t-manylinux_2_28_x86_64",
]


def make_upstream_wheel(
    project: str, version: str, tags: str, requires_python: str = "", *, mirrored: bool = False
) -> UpstreamWheel:
    """A wheel that the upstream has of a release."""
    filename = f"{project}-{version}-{tags}.whl"
    source = MirrorSource(
        url=f"https://upstream/{filename}",
        sha256=hashlib.sha256(filename.encode()).hexdigest(),
        size_bytes=1,
        uploaded_at=None,
        attestations_url="",
    )
    return UpstreamWheel(
        project=project,
        version=version,
        filename=filename,
        compatibility=compatibility_of(filename),
        requires_python=requires_python,
        source=source if mirrored else None,
    )


def make_sdist(project: str, version: str) -> Sdist:
    """An sdist that is never downloaded."""
    filename = f"{project}-{version}.tar.gz"
    return Sdist(filename=filename, url=f"http://upstream/{filename}", sha256="0" * 64)


def make_release(
    project: str, version: str = "1.0", *, with_sdist: bool = True, **facts: Any
) -> Release:
    """A release of a project."""
    return Release(
        project=project,
        version=version,
        released_at=BUILD_TIME,
        sdist=make_sdist(project, version) if with_sdist else None,
        **facts,
    )


def make_build(
    job: Job, builder: str, outcome: Outcome = Outcome.BUILT, *, without_compiler: bool = False
) -> Build:
    """How a claimed job ended."""
    return Build(
        build_id=job.build_id,
        project=job.project,
        version=job.version,
        target=job.target,
        builder=builder,
        outcome=outcome,
        reason="" if outcome is Outcome.BUILT else "it broke",
        started_at=BUILD_TIME,
        duration_s=1.0,
        attempt=job.attempt,
        without_compiler=without_compiler,
    )


def make_wheel(
    job: Job, tags: str, glibc: str = "", *, number: int | None = None, requires_python: str = ""
) -> WheelFile:
    """A wheel that came out of a job, under a name of its own."""
    tag = job.build_id if number is None else f"{number}b{job.build_id}"
    filename = f"{job.project.replace('-', '_')}-{job.version}-{tag}-{tags}.whl"
    return WheelFile(
        filename=filename,
        sha256=f"{job.build_id:064x}",
        size_bytes=1,
        metadata_sha256="0" * 64,
        compatibility=compatibility_of(filename, glibc),
        requires_python=requires_python,
    )


async def complete_job_with_retry_after(
    db: Database,
    build: Build,
    files: Sequence[WheelFile],
    rules: CompatibilityRules,
    retry_after: timedelta | None,
) -> bool:
    """Record how a job ended; `retry_after` is when a failure is tried again, None makes it final."""
    delay_s = 0.0 if retry_after is None else retry_after.total_seconds()
    decision = RetryDecision(is_final=retry_after is None, delay_s=delay_s)
    return await completed_builds.complete_job(db, build, files, rules, lambda _: decision)


async def mark_yanked(db: Database, project: str, version: str, reason: str | None) -> None:
    """Mark a release as yanked (PEP 592), or as not yanked if the reason is None."""
    async with db.transaction():
        await catalog.lock_projects(db, [project])
        await db.execute(
            "UPDATE releases SET yanked = %(reason)s"
            " WHERE project = %(project)s AND version = %(version)s",
            {"project": project, "version": version, "reason": reason},
        )


async def complete_as_built(
    db: Database,
    job: Job,
    builder: str,
    *files: WheelFile,
    without_compiler: bool = False,
    duration_s: float = 1.0,
    peak_disk_bytes: int = 0,
) -> bool:
    """Settle a job as built."""
    for file in files:
        assert await catalog.reserve_filename(db, file.filename, file.sha256)
    build = replace(
        make_build(job, builder, without_compiler=without_compiler),
        duration_s=duration_s,
        peak_disk_bytes=peak_disk_bytes,
    )
    return await complete_job_with_retry_after(db, build, files, RULES, None)


@dataclass(frozen=True)
class PublishedWheel:
    """A published wheel, as the oracle sees it."""

    compatibility: WheelCompatibility
    requires_python: str
    ended_at: datetime  # of its build
    build_tag: int
    built_for: str
    rebuild_requested: bool
    without_compiler: bool
    mirrored_from: str | None

    def rank(self, target: Target) -> tuple[int, int] | None:
        """How an installer ranks it, the best first; None if it does not accept it."""
        preference = RULES.tag_rank(self.compatibility, target)
        if preference is None or not RULES.allows_python(self.requires_python, target):
            return None
        return preference, -self.build_tag


@dataclass(frozen=True)
class ActiveTarget:
    """A target that is not skipped."""

    target: Target
    has_builder: bool
    has_compiler: bool

    def is_covered(self, files: list[PublishedWheel]) -> bool:
        """Whether what installers take here loads, and is not to be built again."""
        name = self.target.name
        ranks = {file: rank for file in files if (rank := file.rank(self.target)) is not None}
        broken = [file for file in ranks if not RULES.is_loadable(file.compatibility, self.target)]
        return any(
            RULES.is_loadable(file.compatibility, self.target)
            and not file.rebuild_requested
            and not (file.without_compiler and self.has_compiler)
            and not any(
                ranks[other] < rank
                and not (file.built_for == name and file.ended_at > other.ended_at)
                for other in broken
            )
            for file, rank in ranks.items()
        )


def expected_targets(
    requires_python: str,
    targets: list[ActiveTarget],
    files: list[PublishedWheel],
    failures: dict[str, list[dict[str, Any]]],
    upstream: Sequence[dict[str, Any]] = (),
    *,
    glibcs: Mapping[str, str] = MappingProxyType({}),
) -> set[str]:
    """The coverage rules as DESIGN words them, without SQL: the oracle of these tests.

    Args:
        requires_python: of a release that may be built.
        targets: the active ones for which it is not skipped, in position order.
        files: its published wheels.
        failures: its failed builds by target.
        upstream: its wheels of the upstream that count.
        glibcs: what the mirrored ones need, by name.
    """
    wanted, holding = set(), set()
    one_by_one = not any(
        not file.rebuild_requested and not file.without_compiler and file.mirrored_from is None
        for file in files
    )
    for active in targets:
        target = active.target
        counting = [
            build
            for build in failures.get(target.name, [])
            if not (build["without_compiler"] and active.has_compiler)
        ]
        final = any(not build["will_retry"] for build in counting)
        if any(_upstream_wheel_covers(wheel, target, glibcs) for wheel in upstream):
            continue
        if not RULES.allows_python(requires_python, target) or active.is_covered(files) or final:
            continue
        group = () if one_by_one else (target.abi, target.arch)
        if counting or group not in holding:
            wanted.add(target.name)
        if active.has_builder and not counting:
            holding.add(group)
    return wanted


def _upstream_wheel_covers(
    wheel: dict[str, Any], target: Target, glibcs: Mapping[str, str]
) -> bool:
    compatibility = WheelCompatibility(tags=wheel["tags"], glibc=wheel["glibc"])
    accepts = RULES.tag_rank(compatibility, target) is not None
    if (glibc := glibcs.get(wheel["filename"])) is not None:
        own = WheelCompatibility(tags=wheel["tags"], glibc=glibc)
        accepts = accepts and RULES.is_loadable(own, target)
    return accepts and RULES.allows_python(wheel["requires_python"], target)


async def expected_jobs(db: Database) -> set[tuple[str, str, str]]:
    """Every job that there ought to be, worked out from the tables of facts alone."""
    every = await _active_targets(db)
    files = await db.rows(
        "SELECT f.*, k.tags, k.glibc, b.target AS built_for, b.without_compiler, b.ended_at "
        "FROM files f JOIN wheel_compatibilities k USING (compatibility_id) "
        "JOIN builds b USING (build_id)"
    )
    glibcs = {row["filename"]: row["glibc"] for row in files if row["mirrored_from"]}
    files = [row for row in files if row["yanked"] is None and row["missing_since"] is None]
    failed = await db.rows("SELECT * FROM builds WHERE outcome <> 'built'")
    skips = await db.rows("SELECT * FROM target_skips")
    upstream = await db.rows(
        "SELECT w.*, k.tags, k.glibc FROM upstream_wheels w "
        "JOIN wheel_compatibilities k USING (compatibility_id) JOIN projects p USING (project) "
        "WHERE p.upstream_wheel_policy IS DISTINCT FROM 'build'"
    )
    releases = await db.rows(
        "SELECT r.* FROM releases r JOIN projects p USING (project) "
        "WHERE r.sdist_url IS NOT NULL AND r.skip_reason IS NULL AND p.skip_reason IS NULL "
        "AND r.missing_since IS NULL AND p.status <> 'quarantined'"
    )
    wanted = set()
    for release in releases:
        key = (release["project"], release["version"])
        own = [_published_wheel(row) for row in _of_release(files, key)]
        failures: dict[str, list[dict[str, Any]]] = {}
        for row in _of_release(failed, key):
            failures.setdefault(row["target"], []).append(row)
        skipped = {
            row["target"]
            for row in skips
            if row["project"] == key[0] and row["version"] in {"", key[1]}
        }
        targets = [active for active in every if active.target.name not in skipped]
        theirs = _of_release(upstream, key)
        found = expected_targets(
            release["requires_python"], targets, own, failures, theirs, glibcs=glibcs
        )
        wanted |= {(*key, name) for name in found}
    return wanted


async def _active_targets(db: Database) -> list[ActiveTarget]:
    """The targets that are built for, in the order in which a release's first one is chosen."""
    rows = await db.rows("SELECT * FROM targets WHERE skip_reason IS NULL")
    every = [
        ActiveTarget(
            Target(name=row["target"], **{key: row[key] for key in (
                "python", "python_full", "implementation", "abi", "arch", "os", "glibc")}),
            row["has_builder"],
            row["has_compiler"],
        )
        for row in rows
    ]  # fmt: skip
    return sorted(every, key=lambda each: (RULES.sort_order(each.target), each.target.name))


def _published_wheel(row: Mapping[str, Any]) -> PublishedWheel:
    fields = {
        name: row[name] for name in PublishedWheel.__dataclass_fields__ if name != "compatibility"
    }
    compatibility = WheelCompatibility(tags=row["tags"], glibc=row["glibc"])
    return PublishedWheel(compatibility=compatibility, **fields)


def _of_release(rows: Sequence[dict[str, Any]], key: tuple[str, str]) -> list[dict[str, Any]]:
    """The rows of a project and version."""
    return [row for row in rows if (row["project"], row["version"]) == key]


async def unlike_their_projects(db: Database) -> list[dict[str, Any]]:
    """The jobs that lack what was learned of their project."""
    return await db.rows(
        """
        SELECT j.project, j.version, j.target FROM jobs j JOIN projects p ON p.project = j.project
         WHERE (j.is_long, j.min_disk_bytes, j.is_pure)
               IS DISTINCT FROM (p.is_long, p.min_disk_bytes, p.is_pure)
        """
    )


async def check_jobs(db: Database) -> None:
    """The view is the oracle; the jobs are the view, except those that builders have claimed."""
    view = {tuple(row.values()) for row in await db.rows("SELECT * FROM wanted_jobs")}
    assert view == await expected_jobs(db)
    queue = {
        (row["project"], row["version"], row["target"]): row["claimed_by"]
        for row in await db.rows("SELECT project, version, target, claimed_by FROM jobs")
    }
    assert view <= queue.keys(), "a job is missing"
    assert all(queue[job] for job in queue.keys() - view), "a job that nobody wants is claimable"
    assert await unlike_their_projects(db) == []


@dataclass
class RemovalCounts:
    """How often each project or one of its releases was removed."""

    begun: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)


@dataclass
class RandomWalk:
    """Does to a farm at random what followers, builders and operators do to it."""

    db: Database
    random: random.Random
    label: str = "walker"
    #: Claimed jobs, each with how many removals of its project had ended when it was claimed.
    claimed: list[tuple[Job, int]] = field(default_factory=list)
    #: Of all walkers together: only a removal takes a claimed job away from its builder.
    removals: RemovalCounts = field(default_factory=RemovalCounts)

    async def step(self) -> str:
        """Do one thing; returns its name."""
        deeds: list[tuple[int, Callable[[], Awaitable[object]]]] = [
            (6, self.claim),
            (6, self.complete_job),
            (4, self.release),
            (2, self.unclaim),
            (2, self.retry),
            (1, self.requeue_due_jobs),
            (1, self.skip_project),
            (1, self.skip_release),
            (1, self.quarantine),
            (1, self.yank),
            (1, self.hide),
            (1, self.remove),
            (1, self.target),
            (1, self.presence),
            (1, self.skip_for_target),
            (2, self.upstream_wheels),
            (2, self.mirror),
            (1, self.take_back),
            (1, self.set_policy),
        ]
        weights = [weight for weight, _ in deeds]
        deed = self.random.choices([deed for _, deed in deeds], weights)[0]
        await deed()
        return deed.__name__

    async def release(self) -> None:
        project = self.random.choice(PROJECTS)
        await catalog.add_project(self.db, project, project)
        await catalog.add_releases(
            self.db,
            [
                make_release(
                    name,
                    version,
                    with_sdist=self.random.random() < 0.8,
                    requires_python=self.random.choice(SPECIFIERS),
                )
                for name in await catalog.existing_projects(
                    self.db, [project, self.random.choice(PROJECTS)]
                )
                for version in self.random.sample(VERSIONS, 1)
            ],
            RULES,
        )

    async def target(self) -> None:
        target = self.random.choice(TARGETS + NEWER_OS_TARGETS)
        if self.random.random() < 0.6:
            await target_queries.add_target(self.db, target, RULES)
        else:
            await target_queries.skip_target(self.db, target.name, "out of use")
        await target_queries.recompute_jobs(self.db)

    async def presence(self) -> None:
        names = [target.name for target in TARGETS + NEWER_OS_TARGETS]
        served = self.random.sample(names, self.random.randint(0, len(names)))
        equipped = self.random.sample(served, self.random.randint(0, len(served)))
        elapsed_s = self.random.choice([60.0, target_queries.ABSENCE_THRESHOLD_S])
        await target_queries.record_presence(self.db, served, equipped, elapsed_s)
        await target_queries.recompute_jobs(self.db)

    async def skip_for_target(self) -> None:
        await catalog.skip_for_target(
            self.db,
            self.random.choice(PROJECTS),
            self.random.choice([None, *VERSIONS]),
            self.random.choice(TARGETS + NEWER_OS_TARGETS).name,
            self.random.choice([None, "broken there"]),
        )

    async def upstream_wheels(self) -> None:
        """A page says which wheels the upstream has: some, or none any more."""
        project = self.random.choice(PROJECTS)

        async def store() -> None:
            await catalog.lock_projects(self.db, [project])
            policy = await policy_of(self.db, project, UpstreamWheelPolicy.MISSING)
            wheels = self._upstream_wheels_of(project, policy)
            await store_upstream_wheels(self.db, [project], wheels, RULES)

        await self.db.in_transaction(store)

    async def mirror(self) -> None:
        """A wheel of the upstream is published here; it may need a newer glibc than it says."""
        rows = await self.db.rows("SELECT * FROM wheels_to_mirror ORDER BY filename")
        targets = await target_queries.targets(self.db)
        if not rows or not targets:
            return
        wheel = from_row(
            WheelToMirror, self.random.choice(rows), is_wanted=True, name_is_taken=False
        )
        target = self.random.choice(targets)
        number = await completed_builds.next_build_id(self.db)
        build = imported_wheels.build_of(number, wheel.project, wheel.version, target, MIRROR_MAKER)
        glibc = self.random.choice(["2.17", "2.39"])
        file = WheelFile(
            filename=wheel.filename,
            sha256=wheel.sha256,
            size_bytes=1,
            metadata_sha256="0" * 64,
            compatibility=compatibility_of(wheel.filename, glibc),
            requires_python=self.random.choice(SPECIFIERS),
            mirrored_from=wheel.url,
        )
        await catalog.reserve_filename(self.db, file.filename, file.sha256)
        await mirrored_wheels.publish_mirrored(self.db, wheel, build, file, RULES)

    async def take_back(self) -> None:
        """A page lists some of the mirrored wheels, or says that they are yanked."""
        project = self.random.choice(PROJECTS)
        rows = await self.db.rows(
            "SELECT filename, sha256 FROM files WHERE project = %(project)s ORDER BY filename",
            {"project": project},
        )
        listed = [
            ListedWheel(
                filename=row["filename"],
                sha256=row["sha256"],
                yanked=self.random.choice([None, "broken"]),
                uploaded_at=None,
                attestations_url="",
            )
            for row in rows
            if self.random.random() < 0.7
        ]

        async def store() -> None:
            await catalog.lock_projects(self.db, [project])
            await mirrored_wheels.update_from_page(self.db, project, listed)

        await self.db.in_transaction(store)

    def _upstream_wheels_of(self, project: str, policy: UpstreamWheelPolicy) -> list[UpstreamWheel]:
        if policy is UpstreamWheelPolicy.BUILD:
            return []
        return [
            make_upstream_wheel(
                project,
                version,
                tags,
                self.random.choice(SPECIFIERS),
                mirrored=policy is UpstreamWheelPolicy.MIRROR,
            )
            for version in self.random.sample(VERSIONS, self.random.randint(0, 2))
            for tags in self.random.sample(_UPSTREAM_TAGS, self.random.randint(1, 2))
        ]

    async def set_policy(self) -> None:
        """An operator changes the policy of a project, on a farm that builds what is missing."""
        project = self.random.choice(PROJECTS)
        policy = self.random.choice([None, *UpstreamWheelPolicy])
        wheels = self._upstream_wheels_of(project, policy or UpstreamWheelPolicy.MISSING)
        await set_project_policy(self.db, project, policy, wheels, RULES)

    async def claim(self) -> None:
        names = [target.name for target in TARGETS + NEWER_OS_TARGETS if self.random.random() < 0.7]
        before = self.removals.ended.copy()
        without_compiler = [name for name in names if self.random.random() < 0.3]
        job = await job_queue.claim(self.db, self.label, names, without_compiler)
        if job is not None:
            self.claimed.append((job, before[job.project]))

    async def complete_job(self) -> None:
        if not self.claimed:
            return
        job, removals = self.claimed.pop(self.random.randrange(len(self.claimed)))
        without_compiler = self.random.random() < 0.2
        if self.random.random() < 0.5:
            file = self._file(job)
            done = await complete_as_built(
                self.db,
                job,
                self.label,
                file,
                without_compiler=without_compiler,
                duration_s=9 * LONG_BUILD_S if job.build_id % 2 else 1.0,
                peak_disk_bytes=job.build_id << 20,
            )
        else:
            outcome = self.random.choice([Outcome.FAILED, Outcome.LOST, Outcome.FETCH_FAILED])
            later = self.random.choice([None, timedelta(0), timedelta(hours=1)])
            failed = make_build(job, self.label, outcome, without_compiler=without_compiler)
            done = await complete_job_with_retry_after(self.db, failed, [], RULES, later)
        assert done or self.removals.begun[job.project] > removals, "a claim was lost"

    def _file(self, job: Job) -> WheelFile:
        tags = self.random.choice(_TAGS).format(abi=job.target.split("-")[0])
        return make_wheel(
            job,
            tags,
            self.random.choice(["", "2.34", "2.38"]) if "linux" in tags else "",
            number=self.random.randint(0, 3),
            requires_python=self.random.choice(SPECIFIERS),
        )

    async def unclaim(self) -> None:
        if not self.claimed:
            return
        job, removals = self.claimed.pop(self.random.randrange(len(self.claimed)))
        done = await job_queue.unclaim(self.db, self.label, job.build_id)
        assert done or self.removals.begun[job.project] > removals, "a claim was lost"

    async def retry(self) -> None:
        built = self.random.random() < 0.3
        await job_queue.retry(self.db, self.random.choice(PROJECTS), rebuild_published=built)

    async def requeue_due_jobs(self) -> None:
        await job_queue.requeue_due_jobs(self.db)

    async def skip_project(self) -> None:
        reason = self.random.choice([None, "opted out"])
        await catalog.skip_project(self.db, self.random.choice(PROJECTS), reason)

    async def skip_release(self) -> None:
        reason = self.random.choice([None, "broken"])
        project, version = self.random.choice(PROJECTS), self.random.choice(VERSIONS)
        await catalog.skip_release(self.db, project, version, reason)

    async def quarantine(self) -> None:
        status = self.random.choice([ProjectStatus.ACTIVE, ProjectStatus.QUARANTINED])
        await catalog.set_project_status(self.db, self.random.choice(PROJECTS), status)

    async def yank(self) -> None:
        project, version = self.random.choice(PROJECTS), self.random.choice(VERSIONS)
        await mark_yanked(self.db, project, version, self.random.choice([None, "", "bad"]))

    async def hide(self) -> None:
        project = self.random.choice(PROJECTS)
        listed = self.random.sample(VERSIONS, self.random.randint(0, 2))
        await catalog.update_listed_releases(self.db, project, listed)

    async def remove(self) -> None:
        project = self.random.choice(PROJECTS)
        self.removals.begun[project] += 1
        if self.random.random() < 0.5:
            await catalog.remove_project(self.db, project)
        else:
            await catalog.remove_release(self.db, project, self.random.choice(VERSIONS))
        self.removals.ended[project] += 1
