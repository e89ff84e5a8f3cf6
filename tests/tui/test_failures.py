"""The failures screen: what it shows, and the commands that it sends for a group."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from piwheels.protocol.messages import (
    BuildsReply,
    FailuresReply,
    ListFailedBuilds,
    RetryReleases,
    SkipReleases,
)
from piwheels.tui.app import DisplayOptions
from piwheels.tui.client.connection import MasterConnection
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.screens.dialogs import ConfirmDialog
from tests.simfarm import FarmModel, SimFarm
from tests.simfarm.failures import open_failures
from tests.simfarm.server import control_address
from tests.tui.app_harness import AppHarness, run_console
from tests.tui.sample_farm import FAILURES, build_finished, snapshot
from tests.tui.static_source import StaticSource

pytestmark = pytest.mark.farm  # each runs the whole console

FAILED = BuildsReply(
    builds=tuple(
        build_finished(4707 - place, name, "failed", "fatal error: libpq-fe.h: No such file", place)
        for place, name in enumerate(("psycopg2", "pgcopy"))
    )
)


def prepared_source(report: FailuresReply = FAILURES) -> StaticSource:
    source = StaticSource(snapshot())
    source.replies[FailuresReply] = report
    source.replies[BuildsReply] = FAILED
    return source


async def test_groups_are_shown_with_what_the_row_under_the_cursor_is_about() -> None:
    async with run_console(prepared_source(), first_screen=ScreenName.FAILURES) as stage:
        await stage.wait_for_text("214 releases for 31 causes")
        await stage.wait_for_text("Built before: greenlet 2.0.1, gevent 22.10, lxml 4.9 and 6 more")
        await stage.press("down")
        await stage.wait_for_text("Build 4707: ./psycopg/psycopg.h:30:10: fatal error: libpq-fe.h")
        assert "Built before" not in stage.text
        libpq = next(line for line in stage.text.splitlines() if "missing-package" in line)
        assert libpq.split() == [
            ">×", "missing-package", "header", "libpq-fe.h", "41", "3", "0", "4m10", "libpq-dev",
        ]  # fmt: skip
        assert "queued" in next(it for it in stage.text.splitlines() if "index-fault" in it)


async def test_nothing_fails_and_an_answer_that_is_missing_are_told_apart() -> None:
    nothing = FailuresReply(groups=(), causes=0, releases=0)
    async with run_console(prepared_source(nothing), first_screen=ScreenName.FAILURES) as stage:
        await stage.wait_for_text("Nothing fails: every release that was tried has its wheels")
    source = StaticSource(snapshot())  # which answers no query
    async with run_console(source, first_screen=ScreenName.FAILURES) as stage:
        await stage.wait_for_text("nothing is known of that")
        assert "Nothing fails" not in stage.text


async def test_in_ascii_every_cell_is_ascii() -> None:
    options = DisplayOptions(ascii_only=True)
    async with run_console(
        prepared_source(), first_screen=ScreenName.FAILURES, display_options=options
    ) as stage:
        await stage.wait_for_text("x compiler-error")
        assert stage.text.isascii()


async def test_enter_lists_the_builds_of_the_group_and_escape_returns() -> None:
    source = prepared_source()
    async with run_console(source, first_screen=ScreenName.FAILURES) as stage:
        await stage.wait_for_text("libpq-dev")
        await stage.press("down", "enter")
        await stage.wait_until(lambda: stage.keys == ["4707", "4706"], "its builds are listed")
        asked = ListFailedBuilds(failure_class="missing-package", cause="libpq-dev")
        assert asked in source.sent
        assert "missing-package: header libpq-fe.h only" in stage.text
        await stage.press("escape")
        await stage.wait_for_text("queued")


async def test_a_group_whose_builds_are_gone_says_so() -> None:
    source = prepared_source()
    source.replies[BuildsReply] = BuildsReply(builds=())
    async with run_console(source, first_screen=ScreenName.FAILURES) as stage:
        await stage.wait_for_text("libpq-dev")
        await stage.press("down", "enter")
        await stage.wait_for_text("The builds of this group were built or queued again.")


# --- commands ---


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[SimFarm]:
    async with SimFarm(
        control_address(tmp_path), FarmModel(builders=8, fail_share=0.9), hz=0
    ) as farm:
        yield farm


@pytest.fixture
async def stage(farm: SimFarm) -> AsyncIterator[AppHarness]:
    async with run_console(
        MasterConnection(farm.address, operator_name="ada@here"), first_screen=ScreenName.FAILURES
    ) as stage:
        await stage.wait_for_text("libssl-dev")
        yield stage


async def ask_about_openssl(
    farm: SimFarm, stage: AppHarness, key: str
) -> set[tuple[str, str, str]]:
    """Press a key on the group that lacks libssl; returns the group's releases."""
    stage.table.table.move_cursor("missing-package\nlibssl-dev")
    await stage.pilot.pause()
    builds = open_failures(farm.model.builds)["missing-package", "libssl-dev"]
    await stage.press(key)
    await stage.wait_until(lambda: isinstance(stage.console.screen, ConfirmDialog), "it asks")
    return {(build.project, build.version, build.target) for build in builds}


async def test_the_whole_group_is_retried_as_it_was_confirmed(
    farm: SimFarm, stage: AppHarness
) -> None:
    releases = await ask_about_openssl(farm, stage, "y")
    assert len(releases) > 1
    assert f"Retry all {len(releases)} releases of missing-package: libssl-dev" in stage.text
    assert "They failed as " in stage.text
    while farm.model.builds:  # the group has changed on the master meanwhile
        farm.model.builds.pop()
    await stage.press("right", "enter")
    await stage.wait_until(lambda: farm.received_commands, "the master received a command")
    (received,) = farm.received_commands
    assert isinstance(received.body, RetryReleases)
    assert set(received.body.releases) == releases
    assert received.operator == "ada@here"
    await stage.wait_until(
        lambda: next(iter(stage.console.command_history)).state == "applied", "it is applied"
    )


async def test_the_whole_group_is_skipped_with_a_reason(farm: SimFarm, stage: AppHarness) -> None:
    releases = await ask_about_openssl(farm, stage, "i")
    await stage.press(*"no ssl", "enter")
    await stage.wait_until(lambda: farm.received_commands, "the master received a command")
    body = farm.received_commands[0].body
    assert isinstance(body, SkipReleases)
    assert (set(body.releases), body.reason) == (releases, "no ssl")
    await stage.wait_until(
        lambda: stage.table.action_target("missing-package\nlibssl-dev") is None,
        "the group is gone",
    )


async def test_cancel_sends_nothing(farm: SimFarm, stage: AppHarness) -> None:
    await ask_about_openssl(farm, stage, "y")
    await stage.press("escape")
    await stage.wait_until(
        lambda: not isinstance(stage.console.screen, ConfirmDialog), "the dialog is closed"
    )
    assert not farm.received_commands


async def test_without_the_groups_releases_nothing_is_sent() -> None:
    source = prepared_source()
    del source.replies[BuildsReply]
    async with run_console(source, first_screen=ScreenName.FAILURES) as stage:
        await stage.wait_for_text("libpq-dev")
        await stage.press("y")
        await stage.wait_for_text("Retry all: not sent: nothing is known of that")
        assert not any(isinstance(body, RetryReleases) for body in source.sent)
