"""The page of a failed build's log: numbered lines with anchors, the deciding one marked.

It is written once, when a page that links to it is written, and stored compressed only, beside the
log. Logs of builds that made wheels are served as text.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

from markupsafe import Markup, escape

from piwheels.model import BuildSummary, FailureCause, Outcome, Struct, TargetStatusRow
from piwheels.webroot import Webroot, replace_file
from piwheels.website import assets, html
from piwheels.website.log_excerpt import LogExcerpt, read_excerpt
from piwheels.website.page_data import ProjectData, Site

_ROOT = "../../../"
_RENDER_VERSION = 1
_HEAD_BYTES = 10  # of a gzip file without optional fields


class FailedBuild(Struct, frozen=True, kw_only=True):
    """A failed build as the page of its log describes it."""

    build_id: int
    project: str
    version: str
    target: str
    outcome: str
    reason: str
    cause: FailureCause | None

    @property
    def deciding_line(self) -> int:
        """The number of the line that tells the cause; 0 if unknown."""
        return self.cause.line_number if self.cause else 0


def failed_builds(builds: Iterable[BuildSummary]) -> Iterator[FailedBuild]:
    """Those of some builds whose logs have pages."""
    for build in builds:
        if build.outcome != Outcome.BUILT:
            yield FailedBuild(
                build_id=build.build_id,
                project=build.project,
                version=build.version,
                target=build.target,
                outcome=build.outcome,
                reason=build.reason,
                cause=build.cause,
            )


def failed_build_of(project: str, version: str, target: TargetStatusRow) -> FailedBuild | None:
    """The last build of a release for a target, if it failed."""
    if target.last_build_id is None or target.last_outcome in {None, Outcome.BUILT}:
        return None
    return FailedBuild(
        build_id=target.last_build_id,
        project=project,
        version=version,
        target=target.target,
        outcome=target.last_outcome or "",
        reason=target.last_reason or "",
        cause=target.last_cause,
    )


def linked_builds(content: ProjectData) -> Iterator[FailedBuild]:
    """The failed builds whose logs the pages of a project link to."""
    project = content.facts.project
    yield from failed_builds(content.builds)
    for release in content.facts.releases:
        for target in release.targets:
            build = failed_build_of(project, release.version, target)
            if build is not None:
                yield build


def write_log_pages(webroot: Webroot, site: Site, builds: Iterable[FailedBuild]) -> int:
    """Write the pages that are missing or mark another line; returns their number.

    A build whose log is not there gets no page.

    Raises:
        OSError: a page cannot be written.
    """
    written = 0
    for build in {build.build_id: build for build in builds}.values():
        path = webroot.log_page_path(build.build_id)
        marker = _marker(build)
        if _starts_with(path, marker):
            continue
        excerpt = _read(webroot.log_path(build.build_id), build.deciding_line)
        if excerpt is not None:
            replace_file(path, _compressed(render_log(site, build, excerpt), marker))
            written += 1
    return written


def render_log(site: Site, build: FailedBuild, excerpt: LogExcerpt) -> bytes:
    """The page of a log."""
    parts = excerpt.parts
    shown = sum(map(len, parts))
    return html.render(
        "log.html",
        root=_ROOT,
        site=site,
        build=build,
        total=excerpt.total,
        omitted=excerpt.total - shown,
        deciding_line=build.deciding_line if build.deciding_line in excerpt.lines else 0,
        log_file=f"{build.build_id}.txt",
        parts=[(part[0][0], part[-1][0], _lines(part, build.deciding_line)) for part in parts],
    )


def _lines(part: list[tuple[int, str]], deciding_line: int) -> Markup:
    """The lines of a part; a template would take ten times as long."""
    found = []
    for number, text in part:
        mark = ' class="deciding"' if number == deciding_line else ""
        found.append(
            f'<li id="L{number}"{mark}><a href="#L{number}">{number}</a>'
            f"<code>{escape(text)}</code></li>"
        )
    return Markup("\n".join(found))  # noqa: S704 - the texts are escaped


def _read(path: Path, deciding_line: int) -> LogExcerpt | None:
    try:
        with gzip.open(path) as log:
            return read_excerpt(log, deciding_line)
    except FileNotFoundError:
        return None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return LogExcerpt(lines={}, total=0)


def _marker(build: FailedBuild) -> bytes:
    """What a page was written with, as the name in its gzip header (RFC 1952, 2.3.1)."""
    style = assets.hashed_names()["style.css"]
    return f"{_RENDER_VERSION} {build.deciding_line} {style}".encode()


def _compressed(page: bytes, marker: bytes) -> bytes:
    buffer = BytesIO()
    with gzip.GzipFile(marker.decode(), "wb", 6, buffer, mtime=0) as file:
        file.write(page)
    return buffer.getvalue()


def _starts_with(path: Path, marker: bytes) -> bool:
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(_HEAD_BYTES + len(marker) + 1)[_HEAD_BYTES:] == marker + b"\0"
    except FileNotFoundError:
        return False
