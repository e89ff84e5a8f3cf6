"""The addresses of the farm's web pages, for links in the terminal (OSC 8)."""

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

from piwheels.errors import PiwheelsError
from piwheels.tui.model.action_types import ActionTarget
from piwheels.untrusted_names import normalize_project, parse_version

#: An address that has nothing a terminal or a browser would read otherwise.
_SITE = re.compile(r"https?://[A-Za-z0-9.:\[\]-]{1,255}(/[A-Za-z0-9._~/%-]{0,500})?")
_INDEX_PATH = "simple/"
#: The columns whose cells name a release, and the one that numbers its build.
_NAMES = frozenset({"release", "of"})
_BUILD = "build"
#: Terminals that print the sequence, or swallow what follows it.
_TERMINALS_WITHOUT = re.compile(r"linux|dumb|vt\d|cons25|$")


def shows_links(environ: Mapping[str, str]) -> bool:
    """Whether the terminal takes links, or at least ignores them."""
    return _TERMINALS_WITHOUT.match(environ.get("TERM", "")) is None


class WebLinks(NamedTuple):
    """The pages of a site; without one (site: "") no page has an address."""

    site: str = ""

    @classmethod
    def of_index(cls, index_url: str) -> "WebLinks":
        """The pages beside an index, whose address the master has told."""
        site = index_url.removesuffix(_INDEX_PATH)
        known = index_url.endswith(f"/{_INDEX_PATH}") and _SITE.fullmatch(site)
        return cls(site if known else "")

    def release(self, project: str, version: str = "") -> str:
        """The page of a project, at the files of a release; "" for invalid names."""
        if not self.site or not project:
            return ""
        try:
            page = f"{self.site}project/{quote(normalize_project(project), safe='')}/"
            return f"{page}#{quote(str(parse_version(version)), safe='')}" if version else page
        except PiwheelsError:
            return ""

    def failed_log(self, build: int) -> str:
        """The page of a failed build's log."""
        digits = f"{build:08d}"
        return f"{self.site}logs/{digits[:-4]}/{digits[-4:]}/{build}.html" if self.site else ""

    def of_cell(self, target: ActionTarget | None, column: str) -> str:
        """What a cell of a row is about, if that has a page."""
        if target is None or not self.site:
            return ""
        if column in _NAMES:
            return self.release(target.project, target.version)
        failed = target.has_failed and not target.is_building
        if column == _BUILD and failed and target.build is not None:
            return self.failed_log(target.build)
        return ""
