"""`piw tui`: from the command line to a console, or to a picture of one."""

import asyncio
import locale
import os
import re
import shutil
import signal
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from piwheels.errors import ConfigError, PiwheelsError, UsageError
from piwheels.protocol.client import check_socket
from piwheels.protocol.sockets import KeyPair
from piwheels.tui.client.recording import Recorder, RecordingSource
from piwheels.tui.client.replay import Replay
from piwheels.tui.client.source import EventSource
from piwheels.tui.model.actions import validate_keys
from piwheels.tui.settings import load_settings, save_settings, settings_path
from piwheels.tui.terminal.terminal_hangup import exit_on_hangup

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from piwheels.tui.app import Console, DisplayOptions

#: A picture is of this size where no terminal tells another.
DEFAULT_SNAPSHOT_SIZE = (120, 36)
_SNAPSHOT_TIMEOUT_S = 20.0
#: Terminals without the glyphs; the font of Linux's own console has no room for them.
_ASCII_TERMS = ("vt", "linux")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said."""

    address: str
    key: KeyPair | None = None  # for an address of TCP, as is the master's
    master_key: str = ""
    read_only: bool = False
    low_bandwidth: bool = False
    ascii_only: bool = False
    mouse: bool = True
    record: Path | None = None
    replay: Path | None = None
    snapshot: Path | None = None
    started_by_up: bool = False  # `piw up` started it, and asks about the farm afterwards


def run(options: Options) -> int:
    """Run the console until it is left; returns the exit code.

    Raises:
        PiwheelsError: the console cannot be; nothing was drawn yet.
    """
    if options.snapshot is None and (lacking := _missing_terminal_feature()) is not None:
        raise UsageError(
            f"the console needs a terminal{lacking}; `piw tui --snapshot FILE.svg` draws a "
            "picture without one, and `piw status` prints"
        )
    return asyncio.run(_run(options))


async def _run(options: Options) -> int:
    source = _open_source(options)
    from piwheels.tui.app import Console  # noqa: PLC0415 - the address is judged before

    file = settings_path()
    loaded = load_settings(file)
    console = Console(
        source,
        _display_options(options, loaded.settings.theme),
        settings=loaded.settings,
        save_settings=partial(save_settings, file),
    )
    _show_problems(console, source, loaded.problem or validate_keys(loaded.settings.keys))
    if options.snapshot is not None:
        return await _write_snapshot(console, options.snapshot)
    # What does not fit the terminal's encoding must not end the thread that writes.
    sys.stderr.reconfigure(errors="replace")  # type: ignore[union-attr]
    exit_on_hangup(sys.stdin.fileno())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, console.exit)
    await console.run_async(mouse=options.mouse)
    return console.return_code or 0


def _open_source(options: Options) -> EventSource:
    if options.replay is not None:
        return Replay(options.replay)
    from piwheels.tui.client.connection import MasterConnection  # noqa: PLC0415 - a recording needs no link

    check_socket(options.address)  # or may not be had: waiting would not change that
    link = MasterConnection(
        options.address,
        key=options.key,
        server_key=options.master_key,
        read_only=options.read_only,
    )
    if options.record is None:
        return link
    return RecordingSource(link, Recorder(options.record, now=link.now))


def _show_problems(console: "Console", source: EventSource, problem: str) -> None:
    """What is wrong with a file of ours is told in the console, where it is seen."""

    def tell(line: str) -> None:
        console.notify(line, severity="warning", timeout=10, markup=False)

    if isinstance(source, RecordingSource):
        source.recorder.on_failure = tell
    of_replay = source.problem if isinstance(source, Replay) else ""
    for line in filter(None, (problem, of_replay)):
        console.call_later(tell, line)


def _display_options(options: Options, theme: str) -> "DisplayOptions":
    from piwheels.tui.app import DisplayOptions  # noqa: PLC0415
    from piwheels.tui.themes import PLAIN_THEME  # noqa: PLC0415

    no_color = "NO_COLOR" in os.environ
    plain = no_color or options.low_bandwidth or has_few_colors()
    return DisplayOptions(
        ascii_only=options.ascii_only or is_ascii_terminal(),
        low_bandwidth=options.low_bandwidth,
        theme=PLAIN_THEME if plain else theme or "piwheels",
        no_color=no_color,
        started_by_up=options.started_by_up,
    )


async def _write_snapshot(console: "Console", file: Path) -> int:
    """Draw one frame of what the master says into a file.

    Raises:
        PiwheelsError: no master answers in time, or the file cannot be written.
    """
    size = shutil.get_terminal_size(DEFAULT_SNAPSHOT_SIZE)
    drawn: list[str] = []

    async def draw(pilot: "Pilot[object]") -> None:
        try:
            async with asyncio.timeout(_SNAPSHOT_TIMEOUT_S):
                await console.first_frame.wait()
        except TimeoutError:
            console.exit()
            return
        await pilot.pause()
        drawn.append(_without_web_fonts(console.export_screenshot(title=console.TITLE)))
        console.exit()

    await console.run_async(headless=True, size=(size.columns, size.lines), auto_pilot=draw)
    if not drawn:
        raise PiwheelsError(console.waiting_message.splitlines()[0] + " None answered in time.")
    try:
        file.write_text(drawn[0], encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    return 0


def _without_web_fonts(svg: str) -> str:
    """The picture without fonts from elsewhere: a viewer's own will do."""
    return re.sub(r"\s*@font-face\s*\{[^}]*\}", "", svg)


def _missing_terminal_feature() -> str | None:
    """What of a terminal is not there, in words; None when all is."""
    # Either may be closed; what is drawn goes to standard error.
    if not all(stream and stream.isatty() for stream in (sys.stdin, sys.stderr)):
        return ""
    term = os.environ.get("TERM", "")
    if term in {"", "dumb", "unknown"}:
        return f" whose cursor can be moved (TERM is {term or 'not set'})"
    return None


def is_ascii_terminal() -> bool:
    """Whether the locale, or the terminal's font, has no more than ASCII, as far as can be told.

    Python's own UTF-8 mode, which it takes on in the locale C, says nothing of the terminal.
    """
    encoding = locale.getencoding().lower().replace("-", "")
    return encoding != "utf8" or os.environ.get("TERM", "").startswith(_ASCII_TERMS)


def has_few_colors() -> bool:
    """Whether the terminal tells of 16 colours or fewer."""
    term = os.environ.get("TERM", "")
    if os.environ.get("COLORTERM"):
        return False
    return not any(sign in term for sign in ("256", "direct", "kitty", "ghostty", "alacritty"))
