"""Every state that a wheel that is not there, or is, can be in; each brought about for real."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from piwheels.db import catalog, job_queue, status_queries, target_queries
from piwheels.db.completed_builds import complete_job
from piwheels.db.database import Database
from piwheels.db.history import recent_builds
from piwheels.db.upstream_pages import store_upstream_page
from piwheels.db.upstream_wheels import set_project_policy
from piwheels.model import (
    FailureClass,
    FailureEvidence,
    FreeDisk,
    Job,
    Outcome,
    ProjectStatus,
    RetryDecision,
    UpstreamPage,
    UpstreamWheelPolicy,
    target_words,
)
from piwheels.release_status import ReleaseStatus, StatusContext, explain_with_upstream
from tests.db.scenario import (
    NEWER_OS_TARGETS,
    RULES,
    TARGETS,
    complete_as_built,
    complete_job_with_retry_after,
    make_build,
    make_release,
    make_upstream_wheel,
    make_wheel,
)

CP39, CP311 = TARGETS[0].name, TARGETS[1].name


class Farm:
    """A farm with two targets, and the question."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.served = {CP39, CP311}
        self.paused = False
        self.memory: tuple[int, int] = (0, 0)  # of builders that take jobs, and of all
        self.memory_with: dict[tuple[str, ...], int] = {}  # of builders that have these packages
        self.disk_gib = (1, 4, 8)  # the least, the second most, the most that builders have

    async def release(self, version: str = "1.0", **facts: object) -> None:
        await catalog.add_project(self.db, "demo", "Demo")
        with_sdist = bool(facts.pop("with_sdist", True))
        release = make_release("demo", version, with_sdist=with_sdist, **facts)
        await catalog.add_releases(self.db, [release], RULES)

    async def claim(self, target: str = CP39) -> Job:
        job = await job_queue.claim(self.db, "pi4-kitchen", [target])
        assert job is not None
        return job

    async def fail(self, later: timedelta | None = None) -> None:
        outcome = Outcome.FAILED if later is None else Outcome.FETCH_FAILED
        ended = make_build(await self.claim(), "pi4-kitchen", outcome)
        assert await complete_job_with_retry_after(self.db, ended, [], RULES, later)

    def _free_disk(self) -> FreeDisk:
        least, second, most = (gib << 30 for gib in self.disk_gib)
        return FreeDisk(least_bytes=least, second_bytes=second, most_bytes=most)

    async def explain(
        self, target: str | None = CP39, version: str | None = None
    ) -> tuple[ReleaseStatus, ...]:
        versions = None if version is None else [version]
        targets = None if target is None else [target]
        context = StatusContext(
            served_targets=frozenset(self.served),
            memory_bytes=dict.fromkeys(self.served, self.memory[0]),
            known_memory_bytes=dict.fromkeys(self.served, self.memory[1]),
            memory_with_packages=dict.fromkeys(self.served, self.memory_with),
            free_disk=dict.fromkeys(self.served, self._free_disk()),
            paused=self.paused,
            now=datetime.now(UTC),
        )
        return explain_with_upstream(
            "demo",
            await status_queries.project_status(self.db, "demo", versions, targets),
            context,
            asked_version=version,
            asked_target=target,
        )

    async def assert_status(self, state: str, *words: str, target: str = CP39) -> None:
        """The one answer has this state, and these words in one line."""
        (answer,) = await self.explain(target)
        assert answer.state == state
        assert "\n" not in answer.as_text
        for word in words:
            assert word in answer.as_text


@pytest.fixture
async def farm(database: Database) -> Farm:
    for target in TARGETS[:2]:
        await target_queries.add_target(database, target, RULES)
    await target_queries.recompute_jobs(database)
    return Farm(database)


async def test_a_project_that_was_not_added(farm: Farm) -> None:
    await farm.assert_status("unknown", "piw add demo")


async def test_a_project_without_releases(farm: Farm) -> None:
    await catalog.add_project(farm.db, "demo", "Demo")
    await farm.assert_status("no-release", "as they appear upstream")
    (answer,) = await farm.explain(version="5.0")
    assert (answer.state, "piw add demo==5.0" in answer.as_text) == ("unknown-release", True)


async def test_an_unknown_target(farm: Farm) -> None:
    await farm.release()
    await farm.assert_status("unknown-target", "no target cp27", target="cp27")


async def test_a_queued_job_has_its_position(farm: Farm) -> None:
    await farm.release()
    await farm.assert_status("queued", "position 1")


async def test_a_job_without_a_builder(farm: Farm) -> None:
    await farm.release()
    farm.served.clear()
    await farm.assert_status("unserved", "no connected builder")


@pytest.mark.parametrize(
    ("memory_gib", "state", "words"),
    [
        ((8, 8), "queued", "for a builder with 4.0 GiB of memory"),
        ((1, 8), "unserved", "waits for a builder with 4.0 GiB of memory"),
        ((1, 2), "queued", "no builder of the farm has 4.0 GiB of memory for it, and the largest"),
        ((0, 0), "queued", "position 1"),
    ],
)
async def test_a_job_that_needs_memory(
    farm: Farm, memory_gib: tuple[int, int], state: str, words: str
) -> None:
    await farm.release()
    await job_queue.set_job_memory(farm.db, "demo", 4 << 30)
    farm.memory = (memory_gib[0] << 30, memory_gib[1] << 30)
    await farm.assert_status(state, words)


async def test_a_job_that_needs_memory_and_packages_that_no_builder_has_together(
    farm: Farm,
) -> None:
    await farm.release()
    await job_queue.set_job_memory(farm.db, "demo", 8 << 30)
    await farm.db.execute("UPDATE jobs SET required_packages = ARRAY['cmake', 'libffi-dev']")
    farm.memory = (16 << 30, 16 << 30)
    await farm.assert_status("queued", "for a builder with 8.0 GiB of memory")
    farm.memory_with = {("cmake", "libffi-dev"): 4 << 30}
    await farm.assert_status(
        "queued",
        "no builder of the farm has 8.0 GiB of memory and has or adds cmake, libffi-dev, and the "
        "largest that does, with 4.0 GiB, tries it",
        "a builder with that memory needs cmake, libffi-dev installed, or roots",
    )


async def test_a_job_that_needs_more_disk_than_some_builders_have(farm: Farm) -> None:
    await farm.release()
    await farm.db.execute("UPDATE jobs SET min_disk_bytes = %(s)s", {"s": 3 << 30})
    await farm.assert_status(
        "queued", "for a builder with 3.0 GiB of free disk, or for any if none of those can take it"
    )
    farm.disk_gib = (1, 2, 8)
    two_have = "for a builder with 2.0 GiB of free disk (its project used 3.0 GiB), or for any"
    await farm.assert_status("queued", two_have)
    await farm.db.execute("UPDATE jobs SET attempts = 1")
    await farm.assert_status("queued", "for a builder with 3.0 GiB of free disk, or for any")
    farm.disk_gib = (3, 4, 8)
    (answer,) = await farm.explain()
    assert "disk" not in answer.as_text


async def test_a_job_that_ran_out_of_memory_needs_more_than_there_was(farm: Farm) -> None:
    await farm.release()
    ended = structs.replace(
        make_build(await farm.claim(), "pi4-kitchen", Outcome.OUT_OF_MEMORY),
        failure_class=FailureClass.OUT_OF_MEMORY,
    )
    decision = RetryDecision(memory_over_bytes=1 << 30)
    assert await complete_job(farm.db, ended, [], RULES, lambda _: decision)
    farm.memory = (1 << 30, 2 << 30)
    await farm.assert_status("unserved", "waits for a builder with more than 1.0 GiB of memory")


async def test_a_paused_farm(farm: Farm) -> None:
    await farm.release()
    farm.paused = True
    await farm.assert_status("paused", "piw resume")


async def test_a_later_target_waits_for_the_first(farm: Farm) -> None:
    await farm.release()
    await farm.assert_status("waiting", "waiting for an earlier target", target=CP311)


async def test_a_running_build_names_its_builder(farm: Farm) -> None:
    await farm.release()
    job = await farm.claim()
    await farm.assert_status("building", "pi4-kitchen", f"piw log {job.build_id} -f")


async def test_a_transient_failure_has_the_time_of_its_retry(farm: Farm) -> None:
    await farm.release()
    await farm.fail(timedelta(minutes=30, seconds=30))
    await farm.assert_status(
        "deferred", "build 1 could not download what it needs: it broke", "retried in 30 minutes"
    )


async def test_a_failure_is_told_by_its_class_what_was_missing_and_what_follows(
    farm: Farm,
) -> None:
    await farm.release()
    failed = structs.replace(
        make_build(await farm.claim(), "pi4-kitchen", Outcome.FAILED),
        failure_class=FailureClass.MISSING_PACKAGE,
        evidence=FailureEvidence(
            missing=("header libpq-fe.h",), packages=("libpq-dev",), line_number=231
        ),
    )
    assert await complete_job_with_retry_after(farm.db, failed, [], RULES, None)
    await farm.assert_status(
        "failed",
        "libpq-fe.h (header) is missing; Debian has it in libpq-dev "
        "(line 231 of its log: it broke)",
        "final: no package is known that helps",
        "(Failure class missing-package.)",
    )
    (answer,) = await farm.explain()
    assert answer.cause == failed.cause
    (summary,) = await recent_builds(farm.db, limit=1)
    assert (summary.cause, summary.will_retry) == (failed.cause, False)


async def test_a_final_failure_has_its_reason_and_a_solution(farm: Farm) -> None:
    await farm.release()
    await farm.fail()
    await farm.assert_status(
        "failed", "it broke", "piw log", f"piw retry demo==1.0 --target {CP39}"
    )
    await job_queue.retry(farm.db, "demo")
    await farm.assert_status("queued", "it broke")


async def test_a_published_wheel(farm: Farm) -> None:
    await farm.release()
    job = await farm.claim()
    await complete_as_built(farm.db, job, "pi4-kitchen", make_wheel(job, "py3-none-any"))
    await farm.assert_status("covered", "py3-none-any.whl is published")
    await farm.assert_status("covered", "py3-none-any.whl is published", target=CP311)


async def test_a_wheel_that_is_to_be_rebuilt(farm: Farm) -> None:
    await farm.release()
    job = await farm.claim()
    await complete_as_built(farm.db, job, "pi4-kitchen", make_wheel(job, "py3-none-any"))
    await job_queue.retry(farm.db, "demo", rebuild_published=True)
    await farm.assert_status("queued", "a rebuild was requested")


async def test_a_python_excluded_by_the_release(farm: Farm) -> None:
    await farm.release(requires_python=">=3.10")
    await farm.assert_status("excluded", ">=3.10")


async def test_a_release_without_an_sdist(farm: Farm) -> None:
    await farm.release(with_sdist=False)
    await farm.assert_status("no-sdist", "if one appears")


async def test_a_skipped_release_project_and_target(farm: Farm) -> None:
    await farm.release()
    await catalog.skip_release(farm.db, "demo", "1.0", "broken")
    await farm.assert_status("skipped", "broken", "piw unskip demo==1.0")
    await catalog.skip_project(farm.db, "demo", "opted out")
    await farm.assert_status("skipped", "opted out", "piw unskip demo")
    await catalog.skip_project(farm.db, "demo", None)
    await catalog.skip_release(farm.db, "demo", "1.0", None)
    await target_queries.skip_target(farm.db, CP39, "out of use")
    await target_queries.recompute_jobs(farm.db)
    await farm.assert_status("target-skipped", "out of use", f"piw unskip --target {CP39}")


async def test_a_quarantined_project(farm: Farm) -> None:
    await farm.release()
    await catalog.set_project_status(farm.db, "demo", ProjectStatus.QUARANTINED, "malware")
    await farm.assert_status("quarantined", "malware")


async def test_a_yank_is_reported_beside_the_state(farm: Farm) -> None:
    await farm.release(yanked="too slow")
    await farm.assert_status("queued", "yanked upstream: too slow")


async def test_without_a_version_the_newest_is_explained_for_every_target(
    farm: Farm,
) -> None:
    await farm.release("1.9")
    await farm.release("1.10")
    answers = await farm.explain(None)
    assert [(answer.version, answer.target) for answer in answers] == [
        ("1.10", CP39),
        ("1.10", CP311),
    ]


async def test_a_skipped_project_without_builds(farm: Farm) -> None:
    await catalog.add_project(farm.db, "demo", "Demo")
    await catalog.skip_project(farm.db, "demo", "opted out")
    await farm.assert_status("skipped", "opted out", "piw unskip demo")


async def test_wheels_of_a_skipped_project_are_kept(farm: Farm) -> None:
    await farm.release()
    job = await farm.claim()
    await complete_as_built(farm.db, job, "pi4-kitchen", make_wheel(job, "py3-none-any"))
    await catalog.skip_project(farm.db, "demo", "opted out")
    assert [answer.state for answer in await farm.explain()] == ["skipped", "covered"]


async def test_wheels_of_a_quarantined_project_are_not_installable(farm: Farm) -> None:
    await farm.release()
    job = await farm.claim()
    await complete_as_built(farm.db, job, "pi4-kitchen", make_wheel(job, "py3-none-any"))
    await catalog.set_project_status(farm.db, "demo", ProjectStatus.QUARANTINED, "malware")
    await farm.assert_status("quarantined", "its files are not listed")


async def test_a_changed_target_is_reported(farm: Farm) -> None:
    await farm.release()
    await target_queries.skip_target(farm.db, CP39, "out of use")
    await farm.assert_status("target-skipped", "is being recomputed")
    await target_queries.recompute_jobs(farm.db)
    (answer,) = await farm.explain()
    assert "recomputed" not in answer.as_text


async def explain_last_check(farm: Farm, **seen: Any) -> str:
    """The note of `explain` about the project's upstream page; "" without one."""
    page = {"newest_version": "1.0", "newest_at": None, "newest_has_sdist": True} | seen
    await store_upstream_page(farm.db, "demo", UpstreamPage(**page))
    answers = await farm.explain()
    return " ".join(answer.as_text for answer in answers if answer.state == "upstream")


async def test_a_newer_release_upstream_is_named(farm: Farm) -> None:
    await farm.release("1.0")
    assert await explain_last_check(farm) == "", "the farm has it"
    message = await explain_last_check(farm, newest_version="2.0")
    assert "2.0, which this farm does not have; `piw add demo==2.0` adds it" in message
    assert "no sdist" in await explain_last_check(
        farm, newest_version="2.0", newest_has_sdist=False
    )
    assert "not yanked" in await explain_last_check(farm, newest_version=None)
    assert len(await farm.explain(version="1.0")) == 1, "it is about the project as a whole"


async def test_the_policy_of_a_project_for_wheels_of_the_upstream_is_told(farm: Farm) -> None:
    await farm.release("1.0")
    wheels = [make_upstream_wheel("demo", "1.0", "py3-none-any")]
    await set_project_policy(farm.db, "demo", UpstreamWheelPolicy.MISSING, wheels, RULES)
    covered, policy = await farm.explain()
    assert covered.state == "upstream-wheel"
    assert "upstream has demo-1.0-py3-none-any.whl, which covers it" in covered.as_text
    assert "that is the policy missing, set for the project." in covered.as_text
    assert "policy missing of its own: nothing is built for a target" in policy.as_text
    await set_project_policy(farm.db, "demo", UpstreamWheelPolicy.BUILD, [], RULES)
    queued, policy = await farm.explain()
    assert queued.state != "upstream-wheel"
    assert "policy build of its own: every target is built" in policy.as_text
    assert "`piw policy demo default` returns to that of the farm" in policy.as_text
    await set_project_policy(farm.db, "demo", None, [], RULES)
    assert len(await farm.explain()) == 1


async def test_malformed_entries_of_a_page_are_reported(farm: Farm) -> None:
    await farm.release("1.0")
    message = await explain_last_check(farm, problem_count=7, problems=("entry 3 has no url",))
    assert "7 invalid entries on its page there: entry 3 has no url" in message


async def test_an_unchanged_page_is_not_reported(farm: Farm) -> None:
    await farm.release("1.0")
    page = UpstreamPage(
        newest_version="1.0", newest_at=None, newest_has_sdist=True, problem_count=1,
        problems=("entry 3 has no url",),
    )  # fmt: skip
    assert await store_upstream_page(farm.db, "demo", page)
    assert not await store_upstream_page(farm.db, "demo", page)
    assert not await store_upstream_page(farm.db, "nobody", page)


async def test_files_that_a_wheel_lacks_are_reported(farm: Farm) -> None:
    await farm.release("1.0")
    job = await farm.claim()
    wheel = make_wheel(job, "py3-none-any")
    await catalog.reserve_filename(farm.db, wheel.filename, wheel.sha256)
    built = structs.replace(
        make_build(job, "pi4-kitchen"), reason="the wheel lacks _fast, which demo has"
    )
    assert await complete_job_with_retry_after(farm.db, built, [wheel], RULES, None)
    (answer,) = await farm.explain(job.target)
    assert "(The wheel lacks _fast, which demo has.)" in answer.as_text


async def test_debian_packages_have_their_names_on_the_targets_own_system(farm: Farm) -> None:
    """A wheel that was built on an older Debian needs packages of the newer one there."""
    newer = NEWER_OS_TARGETS[0]
    await target_queries.add_target(farm.db, newer, RULES)
    await farm.release("1.0")
    job = await farm.claim()
    wheel = structs.replace(
        make_wheel(job, "py3-none-linux_aarch64"), debian_packages=("libpq5", "libssl3")
    )
    assert await complete_as_built(farm.db, job, "pi4-kitchen", wheel)
    (answer,) = await farm.explain(newer.name)
    assert "It needs Debian packages: `sudo apt install libpq5 libssl3t64`" in answer.as_text


async def test_packages_that_another_system_lacks_are_named_for_the_build(farm: Farm) -> None:
    newer = NEWER_OS_TARGETS[0]
    await target_queries.add_target(farm.db, newer, RULES)
    await farm.release("1.0")
    job = await farm.claim()
    wheel = structs.replace(
        make_wheel(job, "py3-none-linux_aarch64"), debian_packages=("libicu72",)
    )
    assert await complete_as_built(farm.db, job, "pi4-kitchen", wheel)
    (answer,) = await farm.explain(newer.name)
    built_for = target_words(job.target)
    text = f"It was built for {built_for} and needs Debian packages that are named libicu72 there"
    assert text in answer.as_text


async def test_debian_packages_are_named_for_the_platform_of_the_build(farm: Farm) -> None:
    await farm.release("1.0")
    job = await farm.claim()
    wheel = structs.replace(make_wheel(job, "py3-none-linux_aarch64"), debian_packages=("libssl3",))
    assert await complete_as_built(farm.db, job, "pi4-kitchen", wheel)
    (answer,) = await farm.explain(job.target)
    assert "It needs Debian packages: `sudo apt install libssl3`" in answer.as_text
