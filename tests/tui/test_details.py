"""The details of builders and builds, beside their tables or in their place."""

import pytest
from msgspec.structs import replace

from piwheels.model import BuilderPage, FailureCause, FailureClass, Outcome
from piwheels.protocol.messages import BuilderReply, ShowBuilder
from piwheels.tui.app import DisplayOptions
from piwheels.tui.model.detail_lines import DetailLine
from piwheels.tui.model.details import build_details
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.state import Builder
from tests.tui.app_harness import run_console
from tests.tui.sample_farm import BUILDERS, build_finished, snapshot
from tests.tui.static_source import NOON, StaticSource

LIBPQ = replace(
    build_finished(4707, "psycopg2", "failed", "./a.h:30:10: fatal error: libpq-fe.h: No such", 3),
    builder="pi5-kitchen",
    cause=FailureCause(
        failure_class=FailureClass.MISSING_PACKAGE,
        missing=("header libpq-fe.h",),
        packages=("libpq-dev",),
        line_number=212,
    ),
    will_retry=False,
)
KITCHEN = Builder(BUILDERS[0], NOON, (0.5, 4.0, 2.0), NOON)


def text(lines: list[DetailLine]) -> str:
    return "\n".join(f"{line.label}|{line.text}" for line in lines)


def test_a_failed_build_is_told_with_what_was_missing_and_its_line() -> None:
    shown = text(build_details(LIBPQ, "12:00", width=48))
    for line in (
        "Outcome|× failed",
        "Class|missing-package",
        "Missing|header libpq-fe.h",
        "Packages|libpq-dev",
        "Next|it is not built again",
        "|Line 212 of its log",
    ):
        assert line in shown, shown
    built = replace(LIBPQ, outcome=Outcome.BUILT, cause=None, reason="", files=("a.whl", "b.whl"))
    assert "|2 files\n|a.whl\n|b.whl" in text(build_details(built, "12:00", width=48))


def test_lines_fit_and_untrusted_text_is_harmless() -> None:
    odd = replace(LIBPQ, reason="\x1b[31mred " + "x" * 900, project="p" * 99)
    lines = build_details(odd, "12:00", width=48, ascii_only=True)
    assert all(line.text.isascii() and line.text.isprintable() for line in lines)
    assert all(len(line.text) <= 48 for line in lines[1:])


# --- the pane ---


@pytest.mark.farm
async def test_from_120_columns_the_row_under_the_cursor_is_told_beside_the_table() -> None:
    source = StaticSource(snapshot())
    page = BuilderPage(builds=(replace(LIBPQ, builder="pi4-hall"),))
    source.replies[BuilderReply] = BuilderReply(page=page)
    async with run_console(source, size=(120, 40)) as stage:
        await stage.wait_for_text("pi5-roof")
        stage.table.table.move_cursor("pi4-hall")
        query = ShowBuilder(builder="pi4-hall")
        await stage.wait_until(lambda: query in source.sent, "its page is requested")
        await stage.wait_for_text("psycopg2 1.4.2")
        assert "pi5-roof" in stage.text  # the table is beside it
        await stage.press("d")
        assert "psycopg2 1.4.2" not in stage.text
        await stage.press("d", "3")
        stage.table.table.move_cursor("4707")
        await stage.wait_for_text("Deciding line")
        await stage.press("2")
        await stage.wait_for_text("psycopg2 1.4.2")


@pytest.mark.farm
async def test_on_a_narrow_terminal_details_take_the_place_of_the_table() -> None:
    source = StaticSource(snapshot())
    options = DisplayOptions(ascii_only=True)
    async with run_console(
        source, size=(80, 24), display_options=options, first_screen=ScreenName.BUILDERS
    ) as stage:
        await stage.wait_for_text("pi5-roof")
        stage.table.table.move_cursor("pi4-loft")
        await stage.press("d")
        await stage.wait_for_text("no space left on device")
        assert "pi5-roof" not in stage.text
        assert stage.text.isascii()
        await stage.press("escape")
        await stage.wait_for_text("pi5-roof")
        assert stage.table.table.cursor == "pi4-loft"
