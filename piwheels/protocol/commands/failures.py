"""Commands about a group of failures: they name its releases, as an operator has seen them."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from piwheels.protocol.commands.definition import (
    CommandDefinition,
    Confirm,
    ConsoleAction,
    Requirement,
    release_text,
)
from piwheels.protocol.commands.projects import DEFAULT_REASON, REASON_PROMPT
from piwheels.protocol.message_base import CommandMessage, LongText, ShortText

#: The most releases that one command names.
MAX_RELEASES = 2000
#: The audit log names so many.
_MAX_NAMES_SHOWN = 3

#: A release for a target: project, version, target.
NamedRelease = tuple[ShortText, ShortText, ShortText]
ReleaseNames = Annotated[tuple[NamedRelease, ...], Meta(min_length=1, max_length=MAX_RELEASES)]

__all__ = [
    "RetryReleases",
    "SkipReleases",
]  # the messages: they are exported by `protocol.messages`


class RetryReleases(CommandMessage, frozen=True, kw_only=True):
    """Queue the failed builds of these releases again, each for its target."""

    releases: ReleaseNames


class SkipReleases(CommandMessage, frozen=True, kw_only=True):
    """Do not build these releases, each for its target, for this reason."""

    releases: ReleaseNames
    reason: LongText


def _summary(releases: Sequence[tuple[str, str, str]]) -> str:
    names = [release_text(*release) for release in releases[:_MAX_NAMES_SHOWN]]
    more = len(releases) - len(names)
    # The count comes first: a list shows the beginning of a long text.
    return f"{len(releases)} releases: {', '.join(names)} ..." if more else ", ".join(names)


RETRY_RELEASES = CommandDefinition(
    name="",
    message=RetryReleases,
    summary="Queue the failed builds of several releases again.",
    build=lambda inputs: RetryReleases(releases=inputs.releases),
    audit=lambda body: f"retry {_summary(body.releases)}",
    console=(
        ConsoleAction(
            name="retry_group",
            key="y",
            label="Retry all",
            help="Queue all failed builds of the group again.",
            requires=Requirement.FAILURES,
            confirm=Confirm.ALWAYS,
        ),
    ),
)

SKIP_RELEASES = CommandDefinition(
    name="",
    message=SkipReleases,
    summary="Stop building several releases for the targets on which they fail.",
    build=lambda inputs: SkipReleases(
        releases=inputs.releases, reason=(inputs.text or DEFAULT_REASON).strip()
    ),
    audit=lambda body: f"skip {_summary(body.releases)}: {body.reason}",
    console=(
        ConsoleAction(
            name="skip_group",
            key="i",
            label="Skip all",
            help="Stop building the releases of the group for these targets, with a reason.",
            requires=Requirement.FAILURES,
            confirm=Confirm.ALWAYS,
            prompt=REASON_PROMPT,
        ),
    ),
)

DEFINITIONS = (RETRY_RELEASES, SKIP_RELEASES)
