"""Atom feeds (RFC 4287) of builds: a project's, and all failures of what was built before."""

from collections.abc import Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from piwheels.model import EndedBuild, ProjectFacts
from piwheels.site import text
from piwheels.site.content import Site

_ATOM = "http://www.w3.org/2005/Atom"
#: A feed without entries was never updated, and has to say when it was.
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def project_feed(site: Site, facts: ProjectFacts, builds: Sequence[EndedBuild]) -> bytes:
    """A project's builds."""
    here = f"{site.url}project/{text.path(facts.project)}/"
    return _feed(
        site, builds, title=f"Builds of {facts.display}", page=here, itself=f"{here}feed.xml"
    )


def failures_feed(site: Site, builds: Sequence[EndedBuild]) -> bytes:
    """Failures of what had been built before, of all projects."""
    return _feed(
        site,
        builds,
        title="Failures of what was built before",
        page=f"{site.url}stats.html",
        itself=f"{site.url}failures.xml",
    )


def _feed(site: Site, builds: Sequence[EndedBuild], *, title: str, page: str, itself: str) -> bytes:
    feed = ET.Element("feed", xmlns=_ATOM)
    _add(feed, "id", itself)
    _add(feed, "title", title)
    _add(feed, "updated", text.instant(max((b.ended_at for b in builds), default=_NEVER)))
    _add(ET.SubElement(feed, "author"), "name", "piwheels")
    ET.SubElement(feed, "link", rel="self", type="application/atom+xml", href=itself)
    ET.SubElement(feed, "link", rel="alternate", type="text/html", href=page)
    for build in builds:
        _entry(site, feed, build)
    ET.indent(feed)
    document: bytes = ET.tostring(feed, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _entry(site: Site, feed: ET.Element, build: EndedBuild) -> None:
    log = f"{site.url}{text.log_path(build.build)}"
    entry = ET.SubElement(feed, "entry")
    _add(entry, "id", log)
    _add(entry, "title", f"{build.project} {build.version} for {build.target}: {build.outcome}")
    _add(entry, "updated", text.instant(build.ended_at))
    ET.SubElement(entry, "link", rel="alternate", type="text/plain", href=log)
    ET.SubElement(entry, "category", term=text.visible(build.outcome))
    took = f"It took {text.duration(build.duration_s)}."
    said = ", ".join(build.files) or build.reason
    _add(entry, "summary", f"{said}. {took}" if said else took)


def _add(parent: ET.Element, tag: str, content: str) -> None:
    ET.SubElement(parent, tag).text = text.visible(content)
