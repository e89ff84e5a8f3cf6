"""Follows a folder or a git repository of recipes: what changes there is stored and built."""

import asyncio
import logging
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from piwheels.child_process import kill_process_group
from piwheels.db.database import Database
from piwheels.db.recipe_store import changed_recipes, load_recipes, store_recipe
from piwheels.errors import ConfigError, TransientError
from piwheels.formatting import pluralize
from piwheels.model import RecipeOrigin
from piwheels.recipes import load_folder
from piwheels.sanitize import truncate_line

log = logging.getLogger(__name__)

_GIT_TIMEOUT_S = 120.0
_GIT_URL = re.compile(r"[a-z+]+://.+|[^/]+@[^/]+:.+|.+\.git/?")


@dataclass(slots=True)
class RecipeWatch:
    """Reads the recipes periodically; `record_event` writes into the audit log.

    `source` is a folder or the address of a git repository, "" for none; `clone_dir` is where
    that repository is kept.
    """

    db: Database
    source: str
    interval_s: float
    clone_dir: Path
    record_event: Callable[[str], Awaitable[None]]
    _reported: set[str] = field(default_factory=set)

    async def run(self) -> None:
        """Follow the source; return at once if there is none."""
        while self.source:
            await self.check()
            await asyncio.sleep(self.interval_s)

    async def check(self) -> None:
        """Read the source once, and store what changed. Problems become events, each one once."""
        try:
            folder = await self._folder()
            stored = await load_recipes(self.db, RecipeOrigin.WRITTEN)
            loaded = await asyncio.to_thread(load_folder, folder, stored)
        except (ConfigError, TransientError) as error:
            await self._report({f"the recipes cannot be read: {error}"})
            return
        for project, recipe in changed_recipes(stored, loaded.recipes).items():
            count = await store_recipe(self.db, RecipeOrigin.WRITTEN, project, recipe)
            queued = f"; {pluralize(count, 'build')} queued again" if count else ""
            what = "changed" if recipe else "was removed"
            await self.record_event(f"the recipe of {project} {what}{queued}")
        await self._report({f"faulty recipe: {fault}" for fault in loaded.faults})

    async def _report(self, problems: set[str]) -> None:
        for text in sorted(problems - self._reported):
            await self.record_event(truncate_line(text))
        self._reported = problems

    async def _folder(self) -> Path:
        if not _GIT_URL.fullmatch(self.source):
            return Path(self.source)
        if not (self.clone_dir / ".git").is_dir():
            await _run_git("clone", "--quiet", "--depth=1", "--", self.source, str(self.clone_dir))
        else:
            inside = ("-C", str(self.clone_dir))
            await _run_git(*inside, "fetch", "--quiet", "--depth=1", "--", self.source, "HEAD")
            await _run_git(*inside, "reset", "--quiet", "--hard", "FETCH_HEAD")
        return self.clone_dir


async def _run_git(*arguments: str) -> None:
    """Run git; TransientError with the last line that it printed if it fails."""
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}
    try:
        process = await asyncio.create_subprocess_exec(
            "git",
            *arguments,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise TransientError(f"git: {error.strerror}") from None
    try:
        async with asyncio.timeout(_GIT_TIMEOUT_S):
            _, output = await process.communicate()
    except TimeoutError:
        await kill_process_group(process)
        raise TransientError(f"git: no answer in {_GIT_TIMEOUT_S:.0f} s") from None
    except asyncio.CancelledError:
        await kill_process_group(process)
        raise
    if process.returncode != 0:
        lines = output.decode(errors="replace").split("\n")
        raise TransientError(f"git: {next((line for line in reversed(lines) if line), 'failed')}")
