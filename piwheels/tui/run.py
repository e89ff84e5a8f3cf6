"""`piw tui`: runs the console, or draws a picture of it."""

import asyncio
import gc
import locale
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from textual.pilot import Pilot
from textual.worker import Worker, WorkerCancelled

from piwheels.errors import ConfigError, PiwheelsError, UsageError
from piwheels.tui.app import Console, DisplayOptions
from piwheels.tui.client.contexts import context_of
from piwheels.tui.client.recording import RecordingSource
from piwheels.tui.client.replay import Replay
from piwheels.tui.farm_contexts import ContextResolver, record_to
from piwheels.tui.model.key_names import rename_actions, validate_keys
from piwheels.tui.model.web_links import shows_links
from piwheels.tui.settings import RingSettings, ViewSettings, settings_file, view_file
from piwheels.tui.terminal.alert_signals import RESTORE_TITLE
from piwheels.tui.terminal.terminal_hangup import exit_on_hangup
from piwheels.tui.themes import PLAIN_THEME

#: The size of a picture where no terminal reports another.
DEFAULT_SNAPSHOT_SIZE = (120, 36)
_SNAPSHOT_TIMEOUT_S = 20.0
#: How long the garbage collector waits for the first frame, and for it to be drawn.
_MAX_START_S = 10.0
_DRAWING_S = 1.0
#: Terminals without the glyphs, such as Linux's virtual console.
_ASCII_TERMS = ("vt", "linux")


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command line."""

    contexts: ContextResolver
    low_bandwidth: bool = False
    ascii_only: bool = False
    mouse: bool = True
    record: Path | None = None
    replay: Path | None = None
    snapshot: Path | None = None
    started_by_up: bool = False  # `piw up` asks about the farm when the console quits
    ring: RingSettings | None = None  # None: as in the settings


def run(options: Options) -> int:
    """Run the console until it quits; returns the exit code.

    Raises:
        PiwheelsError: the console cannot start; nothing was drawn yet.
    """
    if options.snapshot is None and (missing := _missing_terminal_feature()) is not None:
        raise UsageError(
            f"the console requires a terminal{missing}; without one, use `piw status` or "
            "`piw tui --snapshot FILE.svg`"
        )
    return asyncio.run(_run(options))


async def _run(options: Options) -> int:
    file, view_store = settings_file(), view_file()
    settings, problem = file.load()
    view, view_problem = view_store.load()
    contexts, invalid = options.contexts.contexts(settings.contexts)
    replay = Replay(options.replay) if options.replay else None
    context = context_of(replay) if replay else options.contexts.first(contexts, view.context)
    keys, renamed = rename_actions(settings.keys)
    console = Console(
        record_to(options.record, context.open()),
        _display_options(options, settings.theme),
        settings=msgspec.structs.replace(settings, keys=keys),
        save_settings=file.save,
        context=context,
        contexts=() if replay else tuple(contexts.values()),
        first_screen=view.screen if options.snapshot is None else "",
    )
    console.can_show_links = (
        shows_links(os.environ) and not options.low_bandwidth and not console.ascii_only
    )
    if options.snapshot is None:
        console.table_views = dict(view.tables)
    replay_problem = replay.problem if replay else ""
    lines = (problem, view_problem, "; ".join(invalid), renamed or validate_keys(keys))
    _show_problems(console, (*lines, replay_problem))
    if options.snapshot is not None:
        return await _write_snapshot(console, options.snapshot)
    # Text outside the terminal's encoding must not end the writer thread.
    sys.stderr.reconfigure(errors="replace")  # type: ignore[union-attr]
    exit_on_hangup(sys.stdin.fileno())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, console.exit)
    gc_task = asyncio.create_task(_enable_gc(console.first_frame))
    try:
        await console.run_async(mouse=options.mouse)
    finally:
        gc_task.cancel()
        if console.alert_signals.changes_title:
            sys.stderr.write(RESTORE_TITLE)
            sys.stderr.flush()
    last_context = console.context.name if console.context.name in contexts else view.context
    view_store.save(
        ViewSettings(screen=console.last_screen, context=last_context, tables=console.table_views)
    )
    return console.return_code or 0


async def _enable_gc(first_frame: asyncio.Event) -> None:
    """Collect garbage from now on, but not among what the start has made."""
    with suppress(TimeoutError):
        await asyncio.wait_for(first_frame.wait(), _MAX_START_S)
    await asyncio.sleep(_DRAWING_S)
    gc.collect()
    gc.freeze()
    gc.enable()


def _show_problems(console: Console, problems: Iterable[str]) -> None:
    """Show problems of the console's files in the console."""

    def show(line: str) -> None:
        console.notify(line, severity="warning", timeout=10, markup=False)

    if isinstance(console.source, RecordingSource):
        console.source.recorder.on_failure = show
    if line := "; ".join(filter(None, problems)):  # only the last message is shown
        console.call_later(show, line)


def _display_options(options: Options, theme: str) -> DisplayOptions:
    no_color = "NO_COLOR" in os.environ
    plain = no_color or options.low_bandwidth or has_few_colors()
    return DisplayOptions(
        ascii_only=options.ascii_only or is_ascii_terminal(),
        low_bandwidth=options.low_bandwidth,
        theme=PLAIN_THEME if plain else theme or "piwheels",
        no_color=no_color,
        started_by_up=options.started_by_up,
        ring=options.ring,
    )


async def _write_snapshot(console: Console, file: Path) -> int:
    """Draw one frame into a file.

    Raises:
        PiwheelsError: no master answered in time, or the file cannot be written.
    """
    size = shutil.get_terminal_size(DEFAULT_SNAPSHOT_SIZE)
    drawn: list[str] = []

    async def draw(pilot: Pilot[object]) -> None:
        try:
            async with asyncio.timeout(_SNAPSHOT_TIMEOUT_S):
                await console.first_frame.wait()
                while requests := _requests(console):
                    # One that is asked for again is canceled, and another takes its place.
                    with suppress(WorkerCancelled):
                        await console.workers.wait_for_complete(requests)
        except TimeoutError:
            console.exit()
            return
        await pilot.pause()
        drawn.append(_without_web_fonts(console.export_screenshot(title=console.TITLE)))
        console.exit()

    await console.run_async(headless=True, size=(size.columns, size.lines), auto_pilot=draw)
    if not drawn:
        raise PiwheelsError(console.waiting_message.splitlines()[0] + " No answer in time.")
    try:
        file.write_text(drawn[0], encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    return 0


def _requests(console: Console) -> list[Worker[Any]]:
    """What the screen has asked for and not got."""
    return [
        worker
        for worker in console.workers
        if worker.node is console.current_screen and not worker.is_finished
    ]


def _without_web_fonts(svg: str) -> str:
    """The picture without web fonts: the viewer's own are used."""
    return re.sub(r"\s*@font-face\s*\{[^}]*\}", "", svg)


def _missing_terminal_feature() -> str | None:
    """What the terminal lacks, for an error message; None when nothing is missing."""
    # Either may be closed; the console is drawn to standard error.
    if not all(stream and stream.isatty() for stream in (sys.stdin, sys.stderr)):
        return ""
    term = os.environ.get("TERM", "")
    if term in {"", "dumb", "unknown"}:
        return f" with cursor movement (TERM is {term or 'not set'})"
    return None


def is_ascii_terminal() -> bool:
    """Whether the locale or the terminal's font is known to have only ASCII.

    Python's UTF-8 mode, which the C locale enables, says nothing about the terminal.
    """
    encoding = locale.getencoding().lower().replace("-", "")
    return encoding != "utf8" or os.environ.get("TERM", "").startswith(_ASCII_TERMS)


def has_few_colors() -> bool:
    """Whether the terminal reports 16 colors or fewer."""
    term = os.environ.get("TERM", "")
    if os.environ.get("COLORTERM"):
        return False
    return not any(name in term for name in ("256", "direct", "kitty", "ghostty", "alacritty"))
