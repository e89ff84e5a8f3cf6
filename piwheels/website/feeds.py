"""Atom feeds (RFC 4287): the builds of a project, new wheels and failures of all projects."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from xml.sax.saxutils import escape

from piwheels import formatting
from piwheels.causes.class_texts import CLASS_TEXTS
from piwheels.causes.explanation import describe_build, next_step
from piwheels.causes.outcome_texts import outcome_label
from piwheels.model import BuildSummary, Outcome, ProjectStatusRow, target_words
from piwheels.website import filters
from piwheels.website.log_links import build_log_path
from piwheels.website.page_data import Site

_QUOTE = '"'
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
    updated = formatting.format_rfc3339(max((b.ended_at for b in builds), default=_EPOCH))
    lines = [
        "<?xml version='1.0' encoding='utf-8'?>",
        f'<feed xmlns="{_ATOM}">',
        f"  {_text('id', self_url)}",
        f"  {_text('title', title)}",
        f"  {_text('updated', updated)}",
        "  <author>",
        f"    {_text('name', site.name)}",
        "  </author>",
        f"  {_empty('link', rel='self', type='application/atom+xml', href=self_url)}",
        f"  {_empty('link', rel='alternate', type='text/html', href=page_url)}",
        *(line for build in builds for line in _entry(site, build)),
        "</feed>\n",
    ]
    return "\n".join(lines).encode()


def _entry(site: Site, build: BuildSummary) -> Iterator[str]:
    kind = "text/plain" if build.outcome == Outcome.BUILT else "text/html"
    page = f"{site.url}{build_log_path(build)}"
    yield "  <entry>"
    yield f"    {_text('id', f'{site.url}{filters.log_path(build.build_id)}')}"
    label = outcome_label(build.outcome)
    title = f"{build.project} {build.version} for {target_words(build.target)}: {label}"
    yield f"    {_text('title', title)}"
    yield f"    {_text('updated', formatting.format_rfc3339(build.ended_at))}"
    yield f"    {_empty('link', rel='alternate', type=kind, href=page)}"
    yield f"    {_empty('category', term=build.outcome, label=label)}"
    if build.cause is not None:
        words = CLASS_TEXTS[build.cause.failure_class].cause
        yield f"    {_empty('category', term=build.cause.failure_class, label=words)}"
    duration = f"Duration: {formatting.spell_duration(build.duration_s)}."
    yield f"    {_text('summary', ' '.join([*_outcome_sentences(build), duration]))}"
    yield "  </entry>"


def _outcome_sentences(build: BuildSummary) -> Iterator[str]:
    """The wheels, or why there are none and what follows."""
    told = ", ".join(build.files) or describe_build(build.cause, build.reason)
    if told:
        yield f"{told}."
    if build.cause is not None and build.will_retry is not None:
        following = next_step(build.cause, will_retry=build.will_retry)
        yield f"{following[0].upper()}{following[1:]}."


def _text(tag: str, content: str) -> str:
    """An element with text."""
    text = _escape(content)
    return f"<{tag}>{text}</{tag}>" if text else f"<{tag} />"


def _empty(tag: str, **attributes: str) -> str:
    """An element with attributes alone."""
    written = "".join(
        f' {name}="{_escape(value).replace(_QUOTE, "&quot;")}"'
        for name, value in attributes.items()
    )
    return f"<{tag}{written} />"


def _escape(text: str) -> str:
    return escape(filters.mark_invisible(text))
