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
from piwheels.protocol.channels import KeyPair
from piwheels.protocol.client import socket_is_there
from piwheels.tui.actions import wrong_keys
from piwheels.tui.hangup import end_with_terminal
from piwheels.tui.recording import Recorder, Recording
from piwheels.tui.replay import Replay
from piwheels.tui.settings import load, save, settings_file
from piwheels.tui.source import Source

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from piwheels.tui.app import Console, Look

#: A picture is of this size where no terminal tells another.
PICTURE_CELLS = (120, 36)
_PICTURE_S = 20.0
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
    run_by_up: bool = False  # `piw up` started it, and asks about the farm afterwards


def run(options: Options) -> int:
    """Run the console until it is left; returns the exit code.

    Raises:
        PiwheelsError: the console cannot be; nothing was drawn yet.
    """
    if options.snapshot is None and (lacking := _lacking()) is not None:
        raise UsageError(
            f"the console needs a terminal{lacking}; `piw tui --snapshot FILE.svg` draws a "
            "picture without one, and `piw status` prints"
        )
    return asyncio.run(_run(options))


async def _run(options: Options) -> int:
    source = _source(options)
    from piwheels.tui.app import Console  # noqa: PLC0415 - the address is judged before

    file = settings_file()
    loaded = load(file)
    console = Console(
        source,
        _look(options, loaded.settings.theme),
        settings=loaded.settings,
        keep=partial(save, file),
    )
    _tell_problems(console, source, loaded.problem or wrong_keys(loaded.settings.keys))
    if options.snapshot is not None:
        return await _picture(console, options.snapshot)
    # What does not fit the terminal's encoding must not end the thread that writes.
    sys.stderr.reconfigure(errors="replace")  # type: ignore[union-attr]
    end_with_terminal(sys.stdin.fileno())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, console.exit)
    await console.run_async(mouse=options.mouse)
    return console.return_code or 0


def _source(options: Options) -> Source:
    if options.replay is not None:
        return Replay(options.replay)
    from piwheels.tui.link import Link  # noqa: PLC0415 - a recording needs no link

    socket_is_there(options.address)  # or may not be had: waiting would not change that
    link = Link(
        options.address,
        key=options.key,
        server_key=options.master_key,
        read_only=options.read_only,
    )
    if options.record is None:
        return link
    return Recording(link, Recorder(options.record, now=link.now))


def _tell_problems(console: "Console", source: Source, problem: str) -> None:
    """What is wrong with a file of ours is told in the console, where it is seen."""

    def tell(line: str) -> None:
        console.notify(line, severity="warning", timeout=10, markup=False)

    if isinstance(source, Recording):
        source.recorder.failed = tell
    of_replay = source.problem if isinstance(source, Replay) else ""
    for line in filter(None, (problem, of_replay)):
        console.call_later(tell, line)


def _look(options: Options, theme: str) -> "Look":
    from piwheels.tui.app import Look  # noqa: PLC0415
    from piwheels.tui.themes import PLAIN  # noqa: PLC0415

    no_color = "NO_COLOR" in os.environ
    plain = no_color or options.low_bandwidth or few_colours()
    return Look(
        ascii_only=options.ascii_only or ascii_terminal(),
        low_bandwidth=options.low_bandwidth,
        theme=PLAIN if plain else theme or "piwheels",
        no_color=no_color,
        run_by_up=options.run_by_up,
    )


async def _picture(console: "Console", file: Path) -> int:
    """Draw one frame of what the master says into a file.

    Raises:
        PiwheelsError: no master answers in time, or the file cannot be written.
    """
    size = shutil.get_terminal_size(PICTURE_CELLS)
    drawn: list[str] = []

    async def draw(pilot: "Pilot[object]") -> None:
        try:
            async with asyncio.timeout(_PICTURE_S):
                await console.first_frame.wait()
        except TimeoutError:
            console.exit()
            return
        await pilot.pause()
        drawn.append(_self_contained(console.export_screenshot(title=console.TITLE)))
        console.exit()

    await console.run_async(headless=True, size=(size.columns, size.lines), auto_pilot=draw)
    if not drawn:
        raise PiwheelsError(console.waiting_text.splitlines()[0] + " None answered in time.")
    try:
        file.write_text(drawn[0], encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    return 0


def _self_contained(svg: str) -> str:
    """The picture without fonts from elsewhere: a viewer's own will do."""
    return re.sub(r"\s*@font-face\s*\{[^}]*\}", "", svg)


def _lacking() -> str | None:
    """What of a terminal is not there, in words; None when all is."""
    # Either may be closed; what is drawn goes to standard error.
    if not all(stream and stream.isatty() for stream in (sys.stdin, sys.stderr)):
        return ""
    term = os.environ.get("TERM", "")
    if term in {"", "dumb", "unknown"}:
        return f" whose cursor can be moved (TERM is {term or 'not set'})"
    return None


def ascii_terminal() -> bool:
    """Whether the locale, or the terminal's font, has no more than ASCII, as far as can be told.

    Python's own UTF-8 mode, which it takes on in the locale C, says nothing of the terminal.
    """
    encoding = locale.getencoding().lower().replace("-", "")
    return encoding != "utf8" or os.environ.get("TERM", "").startswith(_ASCII_TERMS)


def few_colours() -> bool:
    """Whether the terminal tells of 16 colours or fewer."""
    term = os.environ.get("TERM", "")
    if os.environ.get("COLORTERM"):
        return False
    return not any(sign in term for sign in ("256", "direct", "kitty", "ghostty", "alacritty"))
