"""Several farms: which one the console opens, and that nothing of one is left in another."""

import asyncio
import os
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from piwheels.errors import ConfigError, UsageError
from piwheels.tui.client.connection import MasterConnection
from piwheels.tui.client.contexts import Context
from piwheels.tui.client.recording import Reader, Recorder, RecordingSource
from piwheels.tui.client.source import EventSource
from piwheels.tui.farm_contexts import ContextResolver, MasterAddress
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.screens.dialogs import ConfirmDialog
from piwheels.tui.settings import ContextSettings
from piwheels.tui.widgets.bar_styles import BAR_STYLES
from tests.simfarm import FarmModel, SimFarm
from tests.tui.app_harness import AppHarness, run_console
from tests.tui.pty_session import PtySession
from tests.tui.sample_farm import builder, snapshot
from tests.tui.static_source import StaticSource

FARMS = {
    "main": ContextSettings(address="ipc:///run/main", color="green"),
    "lab": ContextSettings(address="ssh://pi@lab", color="red", read_only=True),
}


def resolver(**options: object) -> ContextResolver:
    """A command line; its configuration's master is at ipc:///run/configured."""
    return ContextResolver(
        configured=lambda: MasterAddress("ipc:///run/configured"),
        with_keys=lambda context: MasterAddress(context.address),
        **options,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("options", "last", "address"),
    [
        ({}, "", "ipc:///run/configured"),
        ({}, "lab", "ssh://pi@lab"),
        ({}, "gone", "ipc:///run/configured"),
        ({"ignores_last": True}, "lab", "ipc:///run/configured"),
        ({"chosen": "main"}, "lab", "ipc:///run/main"),
        ({"connect": MasterAddress("ipc:///run/typed")}, "lab", "ipc:///run/typed"),
    ],
)
def test_the_first_farm_is_the_chosen_one_else_the_last_else_the_configured(
    options: dict[str, object], last: str, address: str
) -> None:
    resolved = resolver(**options)
    contexts, problems = resolved.contexts(FARMS)
    assert problems == []
    assert resolved.first(contexts, last).address == address


def test_an_unknown_context_names_those_that_exist() -> None:
    resolved = resolver(chosen="prod")
    with pytest.raises(UsageError, match=r"'prod' is not a context of console.toml \(lab, main\)"):
        resolved.first(resolved.contexts(FARMS)[0], "")


def test_a_context_with_an_invalid_address_is_one_line_and_ignored() -> None:
    odd = {"odd": ContextSettings(address="frob://x"), "a\nb": ContextSettings(address="ipc:///x")}
    contexts, problems = resolver().contexts(FARMS | odd)
    assert list(contexts) == list(FARMS)
    assert len(problems) == 2
    assert problems[0].startswith("contexts.odd is ignored: 'frob://x' is not an address")
    assert not any("\n" in problem for problem in problems)


def test_a_context_that_cannot_be_opened_says_which_it_is() -> None:
    def missing(_: ContextSettings) -> MasterAddress:
        raise ConfigError("no key in keys/console.secret")

    resolved = ContextResolver(configured=lambda: MasterAddress(""), with_keys=missing)
    with pytest.raises(UsageError, match=r"context main: no key in keys/console.secret"):
        resolved.contexts(FARMS)[0]["main"].open()


def test_read_only_is_of_the_context_or_of_the_command_line() -> None:
    contexts, _ = resolver().contexts(FARMS)
    assert contexts["lab"].open().read_only
    assert not contexts["main"].open().read_only
    assert resolver(read_only=True).contexts(FARMS)[0]["main"].open().read_only


def test_every_color_of_a_context_is_a_style() -> None:
    colors = ContextSettings.__annotations__["color"].__args__
    assert {f"context-{color}" for color in colors} <= set(BAR_STYLES)


# --- switching ---


class Farms:
    """Two farms of a test: `main` is shown first."""

    def __init__(self, main: EventSource, lab: EventSource) -> None:
        self.main = Context("main", "green", main.address, lambda: main)
        self.lab = Context("lab", "red", lab.address, lambda: lab)
        self.first = main

    @asynccontextmanager
    async def console(self, size: tuple[int, int] = (120, 40)) -> AsyncIterator[AppHarness]:
        contexts = (self.main, self.lab)
        async with run_console(
            self.first, size=size, context=self.main, contexts=contexts
        ) as stage:
            await stage.wait_until(lambda: stage.console.farm.has_snapshot, "main is known")
            yield stage


def static_farms() -> tuple[Farms, StaticSource, StaticSource]:
    main, lab = (
        StaticSource(snapshot(builders=(builder(name, "idle"), builder("pi-both", "idle"))))
        for name in ("pi-main", "pi-lab")
    )
    return Farms(main, lab), main, lab


async def switch(stage: AppHarness) -> None:
    """Switch from main to lab by key."""
    await stage.press("F")
    await stage.wait_for_text("Farm")
    await stage.press("down", "enter")
    await stage.wait_until(lambda: stage.console.context.name == "lab", "lab is shown")


@pytest.mark.farm
async def test_a_switch_ends_the_recording_and_says_so(tmp_path: Path) -> None:
    _, main, lab = static_farms()
    file = tmp_path / "rec"
    farms = Farms(RecordingSource(main, Recorder(file, now=main.now)), lab)
    async with farms.console() as stage:
        await stage.wait_for_text("pi-main")
        await switch(stage)
        await stage.wait_for_text("The recording has ended, another farm is shown")
    assert Reader(file).blocks, "what was recorded before can be played"


@pytest.mark.farm
async def test_a_switch_shows_the_other_farm_and_forgets_marks_filter_and_history() -> None:
    farms, main, lab = static_farms()
    async with farms.console() as stage:
        await stage.wait_for_text("pi-main")
        await stage.press("space", "3", "2", "slash", *"pi-b", "enter")
        assert stage.table.table.marks
        await stage.press("p")
        assert len(stage.console.command_history) == 1
        await switch(stage)
        await stage.wait_for_text("pi-lab")
        assert stage.console.current_screen.screen_name is ScreenName.BUILDERS
        assert sorted(stage.keys) == ["pi-both", "pi-lab"]
        assert "pi-main" not in stage.text
        assert not stage.table.table.marks
        assert stage.table.filter_text == ""
        assert list(stage.console.command_history) == []
        await stage.press("escape")
        assert stage.console.current_screen.screen_name is ScreenName.BUILDERS
        main.emit_update(snapshot(builders=(builder("pi-late", "idle"),)))
        await stage.press("1", "2")
        assert sorted(stage.keys) == ["pi-both", "pi-lab"]
        await stage.press("p")
        assert len(main.commands) == len(lab.commands) == 1


@pytest.mark.farm
@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_header_has_the_name_and_the_finder_the_other_farms(
    size: tuple[int, int],
) -> None:
    farms, _, _ = static_farms()
    async with farms.console(size) as stage:
        await stage.wait_for_text("pi-main")
        assert " main" in stage.text.splitlines()[0]
        await stage.press("ctrl+k", *"lab")
        await stage.wait_for_text("leave main, and show lab")
        await stage.press("enter")
        await stage.wait_for_text("pi-lab")
        assert " lab" in stage.text.splitlines()[0]


@pytest.mark.farm
async def test_a_dialog_of_the_farm_that_is_left_sends_nothing() -> None:
    farms, main, lab = static_farms()
    async with farms.console() as stage:
        await stage.wait_for_text("pi-main")
        await stage.press("asterisk", "K")
        await stage.wait_until(lambda: isinstance(stage.console.screen, ConfirmDialog), "it asks")
        dialog = stage.console.screen
        stage.console.switch_context("lab")
        await stage.wait_for_text("pi-lab")
        assert dialog not in stage.console.screen_stack
        assert main.commands == lab.commands == []


@pytest.mark.farm
async def test_a_farm_that_cannot_be_opened_leaves_the_one_that_is_shown() -> None:
    farms, _, _ = static_farms()

    def fails() -> EventSource:
        raise UsageError("context lab: no key")

    farms.lab = farms.lab._replace(open=fails)
    async with farms.console() as stage:
        await stage.press("F", "down", "enter")
        await stage.wait_for_text("context lab: no key")
        assert stage.console.context.name == "main"
        assert "pi-main" in stage.text


@pytest.mark.farm
async def test_a_switch_ends_the_old_connection_and_tells_the_pending_commands_end(
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as stack:
        one, other = [
            await stack.enter_async_context(
                SimFarm(f"ipc://{tmp_path}/{count}", FarmModel(builders=count))
            )
            for count in (3, 5)
        ]
        one.replies_allowed.clear()
        sources = [MasterConnection(farm.address) for farm in (one, other)]
        async with Farms(*sources).console() as stage:
            await stage.press("p")
            await stage.wait_until(lambda: one.received_commands, "main has the command")
            await switch(stage)
            await stage.wait_until(lambda: len(stage.console.farm.builders) == 5, "lab is known")
            await stage.wait_for_text("main: pause: result unknown")
            assert list(stage.console.command_history) == []
            await stage.press("p")
            await stage.wait_until(lambda: other.received_commands, "lab has its command")
            assert len(one.received_commands) == 1
            await asyncio.to_thread(one.replies_allowed.set)
        assert sources[0]._session is None


# --- the command ---


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Two simulated farms of 3 and 5 builders, in processes of their own."""
    folder = tmp_path_factory.mktemp("farms")
    farms = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.simfarm"),
                *("--builders", str(count), "--socket", str(folder / str(count))),
            ],
            stdout=subprocess.DEVNULL,
        )
        for count in (3, 5)
    ]
    yield [f"ipc://{folder}/{count}" for count in (3, 5)]
    for farm in farms:
        farm.terminate()
    for farm in farms:
        farm.wait()


def write_contexts(folder: Path, addresses: list[str]) -> dict[str, str]:
    """console.toml with a bad entry beside two good ones; returns the environment."""
    file = folder / "config" / "piwheels" / "console.toml"
    file.parent.mkdir(parents=True)
    file.write_text(
        f'[contexts]\nmain = {{ address = "{addresses[0]}" }}\n'
        f'lab = {{ address = "{addresses[1]}", color = "red" }}\nodd = {{ address = 3 }}\n'
    )
    return {"XDG_CONFIG_HOME": f"{folder}/config", "XDG_STATE_HOME": f"{folder}/state"}


@pytest.mark.farm
def test_the_farm_and_the_screen_that_were_shown_last_are_shown_again(
    addresses: list[str], tmp_path: Path
) -> None:
    environ = write_contexts(tmp_path, addresses)
    command = [sys.executable, "-m", "piwheels", "tui"]
    with PtySession([*command, "--context", "main"], width=100, environ=environ) as terminal:
        terminal.wait_for_text("Builders 3")
        terminal.wait_for_text("contexts.odd")

        def is_recorded(lines: list[str]) -> bool:
            """Whether a past moment is shown; the first is kept when the farm next changes."""
            if any("RECORDED" in line for line in lines):
                return True
            terminal.press("<")
            return False

        terminal.wait_for(is_recorded)

        def press_until(key: str, shown: Callable[[list[str]], bool]) -> None:
            """Press a key again with each change of the screen: an Esc may end a notice first."""

            def is_shown(lines: list[str]) -> bool:
                if not shown(lines):
                    terminal.press(key)
                return shown(lines)

            terminal.wait_for(is_shown)

        press_until("\x1b", lambda lines: not any("RECORDED" in line for line in lines))
        press_until("4", lambda lines: any("4 QUEUES" in line for line in lines))
        terminal.press("F")
        terminal.wait_for_text("lab")
        terminal.press("\x1b[B\r")
        terminal.wait_for_text("/5 busy")
        terminal.press("q")
        assert terminal.end() == 0
    kept = tomllib.loads((tmp_path / "state" / "piwheels" / "console.toml").read_text())
    assert kept == {"screen": "queues", "context": "lab"}
    with PtySession(command, environ=environ) as terminal:
        terminal.wait_for_text("/5 busy")
        terminal.wait_for_text("Empty in")
        terminal.press("q")
        assert terminal.end() == 0


def test_the_shell_completes_the_names_of_contexts(tmp_path: Path) -> None:
    environ = os.environ | write_contexts(tmp_path, ["ipc:///a", "ipc:///b"])
    environ |= {"_PIW_COMPLETE": "bash_complete", "COMP_WORDS": "piw tui --context m"}
    piw = Path(sys.executable).with_name("piw")
    done = subprocess.run(
        [piw], env=environ | {"COMP_CWORD": "3"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["plain,main"]
