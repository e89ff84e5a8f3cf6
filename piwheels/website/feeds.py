"""Atom feeds (RFC 4287): the builds of a project, new wheels and failures of all projects."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from piwheels import formatting
from piwheels.causes.class_texts import CLASS_TEXTS
from piwheels.causes.explanation import describe_build, next_step
from piwheels.causes.outcome_texts import outcome_label
from piwheels.model import BuildSummary, Outcome, ProjectStatusRow, target_words
from piwheels.website import filters
from piwheels.website.log_links import build_log_path
from piwheels.website.page_data import Site

_ATOM = "http://www.w3.org/2005/Atom"
#: When a feed without entries was updated: Atom requires a time.
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def project_feed(site: Site, facts: ProjectStatusRow, builds: Sequence[BuildSummary]) -> bytes:
    """A project's builds."""
    here = f"{site.url}project/{filters.url_segment(facts.project)}/"
    return _feed(
        site,
        builds,
        title=f"Builds of {facts.display_name}",
        page_url=here,
        self_url=f"{here}feed.atom",
    )


def failures_feed(site: Site, builds: Sequence[BuildSummary]) -> bytes:
    """Final failures of projects that had been built for the same target before."""
    return _feed(
        site,
        builds,
        title="New build failures",
        page_url=f"{site.url}stats.html",
        self_url=f"{site.url}failures.atom",
    )


def wheels_feed(site: Site, builds: Sequence[BuildSummary]) -> bytes:
    """Builds that made wheels."""
    return _feed(
        site,
        builds,
        title="New wheels",
        page_url=f"{site.url}packages.html",
        self_url=f"{site.url}wheels.atom",
    )


def _feed(
    site: Site, builds: Sequence[BuildSummary], *, title: str, page_url: str, self_url: str
) -> bytes:
    feed = ET.Element("feed", xmlns=_ATOM)
    _add_text(feed, "id", self_url)
    _add_text(feed, "title", title)
    _add_text(
        feed,
        "updated",
        formatting.format_rfc3339(max((b.ended_at for b in builds), default=_EPOCH)),
    )
    _add_text(ET.SubElement(feed, "author"), "name", site.name)
    ET.SubElement(feed, "link", rel="self", type="application/atom+xml", href=self_url)
    ET.SubElement(feed, "link", rel="alternate", type="text/html", href=page_url)
    for build in builds:
        _entry(site, feed, build)
    ET.indent(feed)
    document: bytes = ET.tostring(feed, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _entry(site: Site, feed: ET.Element, build: BuildSummary) -> None:
    log = f"{site.url}{filters.log_path(build.build_id)}"
    entry = ET.SubElement(feed, "entry")
    _add_text(entry, "id", log)
    _add_text(
        entry,
        "title",
        f"{build.project} {build.version} for {target_words(build.target)}: "
        f"{outcome_label(build.outcome)}",
    )
    _add_text(entry, "updated", formatting.format_rfc3339(build.ended_at))
    kind = "text/plain" if build.outcome == Outcome.BUILT else "text/html"
    page = f"{site.url}{build_log_path(build)}"
    ET.SubElement(entry, "link", rel="alternate", type=kind, href=page)
    label = filters.mark_invisible(outcome_label(build.outcome))
    term = filters.mark_invisible(build.outcome)
    ET.SubElement(entry, "category", term=term, label=label)
    duration_text = f"Duration: {formatting.spell_duration(build.duration_s)}."
    if build.cause is not None:
        failure_class = build.cause.failure_class
        words = CLASS_TEXTS[failure_class].cause
        ET.SubElement(entry, "category", term=failure_class, label=words)
    told = [*_outcome_sentences(build), duration_text]
    _add_text(entry, "summary", " ".join(told))


def _outcome_sentences(build: BuildSummary) -> Iterator[str]:
    """The wheels, or why there are none and what follows."""
    told = ", ".join(build.files) or describe_build(build.cause, build.reason)
    if told:
        yield f"{told}."
    if build.cause is not None and build.will_retry is not None:
        following = next_step(build.cause, will_retry=build.will_retry)
        yield f"{following[0].upper()}{following[1:]}."


def _add_text(parent: ET.Element, tag: str, content: str) -> None:
    ET.SubElement(parent, tag).text = filters.mark_invisible(content)
