"""The page of a build: phases, inputs, why it failed, its last lines, and the ways from it."""

from collections.abc import AsyncIterator
from dataclasses import replace as with_fields
from pathlib import Path

import pytest
from msgspec.structs import replace

from piwheels.model import BuildDetails, BuildPhase, FailureCause, FailureClass
from piwheels.protocol.messages import BuildReply, BuildsReply, ListFailedBuilds, LogTail, ShowBuild
from piwheels.tui.app import DisplayOptions
from piwheels.tui.client.connection import MasterConnection
from piwheels.tui.model.build_page import build_page_lines, cause_words, group_text
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.screens.log import LogScreen
from tests.simfarm import FarmModel, SimFarm
from tests.simfarm.server import control_address
from tests.tui.app_harness import SCREEN_SIZES, AppHarness, run_console
from tests.tui.sample_farm import build_finished, snapshot
from tests.tui.static_source import StaticSource
from tests.tui.test_screens import LOG

pytestmark = pytest.mark.farm  # most run the whole console

CAUSE = FailureCause(
    failure_class=FailureClass.MISSING_PACKAGE,
    missing=("header jpeglib.h",),
    packages=("libjpeg-dev",),
    line_number=81,
)
SUMMARY = replace(
    build_finished(
        4707, "pillow", "failed", "src/part_80.c:12:10: fatal error: jpeglib.h: No such file", 3
    ),
    cause=CAUSE,
)
DETAILS = BuildDetails(
    build=SUMMARY,
    started_at=SUMMARY.ended_at,
    attempt=2,
    sdist="pillow-1.4.2.tar.gz",
    phases=(
        BuildPhase(name="fetching", duration_s=3.0),
        BuildPhase(name="adding libtiff-dev", duration_s=60.0),
        BuildPhase(name="building", duration_s=222.0),
    ),
    build_inputs=("root trixie-arm64", "recipe: packages libtiff-dev", f"{'a' * 64} wheel-1.whl"),
    inputs=7,
    usual_s=100.0,
    group_class="missing-package",
    group_cause="libjpeg-dev",
    group_releases=41,
)


def text(details: BuildDetails) -> list[str]:
    lines = build_page_lines(details, "now", width=70)
    return [f"{line.label}|{line.text}" for line in lines]


def prepared_source() -> StaticSource:
    source = StaticSource(snapshot())
    source.log = LOG
    source.replies[LogTail] = LogTail(offset=0, data=LOG)
    source.replies[BuildReply] = BuildReply(details=DETAILS)
    source.replies[BuildsReply] = BuildsReply(builds=(SUMMARY,))
    return source


async def test_the_pane_shows_the_phases_as_the_page_does() -> None:
    source = prepared_source()
    async with run_console(source, size=(120, 40), first_screen=ScreenName.BUILDS) as stage:
        await stage.wait_until(lambda: "4707" in stage.keys, "it has a row")
        stage.table.table.move_cursor("4707")
        await stage.wait_for_text("adding libtiff-dev")
        assert "Phases" in stage.text
        assert "1m   21%  adding libtiff-dev" in stage.text
        assert [it for it in source.sent if isinstance(it, ShowBuild)][-1] == ShowBuild(build=4707)


async def open_page(stage: AppHarness) -> None:
    await stage.wait_until(lambda: "4707" in stage.keys, "it has a row")
    stage.table.table.move_cursor("4707")
    await stage.press("enter")
    await stage.wait_for_text("on other builders")


def test_a_page_tells_phases_inputs_and_what_is_usual() -> None:
    shown = text(DETAILS)
    for line in (
        "Usual|1m40 on other builders",
        "|41 releases fail so (Enter: them)",
        "|Phases",
        "|    1m   21%  adding libtiff-dev",
        "Sdist|pillow-1.4.2.tar.gz",
        "Attempt|2",
        "|root trixie-arm64",
        "|wheel-1.whl",
        "|and 4 more",
        "Class|missing-package",
    ):
        assert line in shown, "\n".join(shown)


def test_what_is_not_known_of_an_old_build_is_left_out() -> None:
    shown = text(replace(DETAILS, phases=(), usual_s=None, group_releases=1, attempt=1))
    assert not {"|Phases", "Attempt|2"} & set(shown)
    assert group_text(replace(DETAILS, group_releases=1)) == ""


def test_a_cause_is_one_line() -> None:
    assert cause_words(CAUSE) == "missing-package: header jpeglib.h, in libjpeg-dev"
    assert cause_words(FailureCause(failure_class=FailureClass.TIMED_OUT)) == "timed-out"


@pytest.mark.parametrize("size", SCREEN_SIZES, ids=str)
async def test_enter_on_a_build_opens_its_page_and_l_its_log(size: tuple[int, int]) -> None:
    source = prepared_source()
    async with run_console(source, size=size, first_screen=ScreenName.BUILDS) as stage:
        await open_page(stage)
        assert "pillow 1.4.2" in stage.text
        await stage.press("end")
        await stage.wait_for_text("error: command 'gcc' failed")
        assert ShowBuild(build=4707) in source.sent
        await stage.press("l")
        await stage.wait_for_text("of 82")
        screen = stage.console.current_screen
        assert isinstance(screen, LogScreen)
        await stage.press("escape")
        await stage.wait_until(
            lambda: stage.console.current_screen.screen_name is ScreenName.BUILD, "it is back"
        )


@pytest.mark.parametrize("first", ["page", "log"])
async def test_enter_lists_the_builds_that_fail_for_the_same_cause(first: str) -> None:
    source = prepared_source()
    async with run_console(source, first_screen=ScreenName.BUILDS) as stage:
        await open_page(stage)
        if first == "log":
            await stage.press("l")
            await stage.wait_for_text("missing-package: header jpeglib.h, in libjpeg-dev")
            await stage.wait_for_text("41 releases fail so (Enter: them)")
        await stage.press("enter")
        await stage.wait_until(
            lambda: (
                source.sent[-1]
                == ListFailedBuilds(failure_class="missing-package", cause="libjpeg-dev")
            ),
            "the master is asked for them",
        )
        await stage.wait_for_text("missing-package: libjpeg-dev")


async def test_a_build_that_the_console_does_not_know_is_told_by_the_master() -> None:
    source = prepared_source()
    old = replace(DETAILS, build=replace(SUMMARY, build_id=12))
    source.replies[BuildReply] = BuildReply(details=old)
    async with run_console(source) as stage:
        await stage.wait_until(lambda: stage.console.farm.has_snapshot, "the farm is known")
        scope = with_fields(stage.console.current_screen.screen_filter, build=12)
        stage.console.navigate(ScreenName.LOG, scope)
        await stage.wait_for_text("pillow 1.4.2")
        await stage.wait_for_text("missing-package: header jpeglib.h")
        await stage.press("e")
        await stage.wait_for_text(">   81 ")


async def test_in_ascii_every_cell_is_ascii() -> None:
    options = DisplayOptions(ascii_only=True)
    async with run_console(
        prepared_source(), first_screen=ScreenName.BUILDS, display_options=options
    ) as stage:
        await open_page(stage)
        assert stage.text.isascii()


# --- with the simulated farm ---


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[SimFarm]:
    model = FarmModel(builders=8, fail_share=0.9)
    async with SimFarm(control_address(tmp_path), model, hz=0) as farm:
        yield farm


async def test_a_running_build_and_one_that_has_ended_have_pages(farm: SimFarm) -> None:
    source = MasterConnection(farm.address)
    async with run_console(source, first_screen=ScreenName.BUILDS) as stage:
        await stage.wait_until(lambda: bool(stage.keys), "there are builds")
        running = next(
            str(it.view.build) for it in stage.console.farm.builders.values() if it.view.build
        )
        stage.table.table.move_cursor(running)
        await stage.press("enter")
        await stage.wait_for_text(f"build {running}")
        await stage.wait_for_text("Log, last lines")
        await stage.press("escape")
        stage.table.table.move_cursor(str(farm.model.builds[-1].build_id))
        await stage.press("enter")
        await stage.wait_for_text("Phases")
