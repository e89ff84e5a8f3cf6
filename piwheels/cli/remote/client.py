"""What commands over the control socket share: connecting, parsing names, printing replies.

Each command is a function that returns its exit code: 0 for success, 1 if it could not be done or
the answer is no. Errors are raised as PiwheelsError with one line, which the command line prints.
"""

from collections.abc import Iterable

import click
import msgspec

from piwheels import untrusted_names
from piwheels.config import Config
from piwheels.errors import RejectedError, UsageError
from piwheels.model import AuditEvent, BuildSummary
from piwheels.protocol.client import ControlClient


class ReleaseSpec(msgspec.Struct, frozen=True):
    """What a user typed: a project, and perhaps one version of it."""

    project: str
    version: str | None


def parse_release(text: str) -> ReleaseSpec:
    """Parse `PROJECT` or `PROJECT==VERSION`.

    Raises:
        UsageError: it is neither.
    """
    try:
        requirement = untrusted_names.parse_requirement(text)
    except RejectedError:
        raise UsageError(f"{text!r} is not a PROJECT or PROJECT==VERSION") from None
    if requirement.url or requirement.extras or requirement.marker:
        raise UsageError(f"{text!r} is more than PROJECT or PROJECT==VERSION")
    project = untrusted_names.normalize_project(requirement.name)
    specifiers = list(requirement.specifier)
    if not specifiers:
        return ReleaseSpec(project, None)
    if len(specifiers) > 1 or specifiers[0].operator != "==" or "*" in specifiers[0].version:
        raise UsageError(f"{text!r}: name one version, as in {requirement.name}==1.0")
    return ReleaseSpec(project, str(untrusted_names.parse_version(specifiers[0].version)))


def connect(config: Config) -> ControlClient:
    """A client for the configured master, over its Unix socket."""
    return ControlClient(config.master.control_bind)


def builds_json(builds: Iterable[BuildSummary]) -> list[dict[str, object]]:
    """Builds for `--json`, each with its detail."""
    return [msgspec.to_builtins(build) | {"detail": build.detail} for build in builds]


def events_json(events: Iterable[AuditEvent]) -> list[dict[str, object]]:
    """Events for `--json`, each with what happened in one line."""
    return [msgspec.to_builtins(event) | {"what": event.what} for event in events]


def print_json(reply: object) -> None:
    """Print a reply as JSON, for scripts."""
    click.echo(msgspec.json.format(msgspec.json.encode(reply), indent=2).decode())
