"""Commands about the Debian packages that the builds of a project need."""

from typing import Annotated

from msgspec import Meta

from piwheels.protocol.commands.definition import (
    MAX_PACKAGES,
    CommandDefinition,
    Confirm,
    ConsoleAction,
    Kind,
    Parameter,
    Prompt,
    Requirement,
)
from piwheels.protocol.commands.failures import MAX_RELEASES, NamedRelease
from piwheels.protocol.message_base import MAX_NAMES, CommandMessage, ShortText

#: The audit log names so many projects.
_MAX_NAMES_SHOWN = 3

__all__ = [
    "AddPackages",
    "DropPackages",
]  # the messages: they are exported by `protocol.messages`


class AddPackages(CommandMessage, frozen=True, kw_only=True):
    """Add Debian packages to all further builds of projects, and queue failed builds again.

    Of the projects of `releases` only these releases are queued again, of `projects` all.
    """

    packages: Annotated[tuple[ShortText, ...], Meta(min_length=1, max_length=MAX_PACKAGES)]
    projects: Annotated[tuple[ShortText, ...], Meta(max_length=MAX_NAMES)] = ()
    releases: Annotated[tuple[NamedRelease, ...], Meta(max_length=MAX_RELEASES)] = ()


class DropPackages(CommandMessage, frozen=True, kw_only=True):
    """Remove what AddPackages added to a project's builds."""

    project: ShortText


def _audit(body: AddPackages) -> str:
    names = sorted({*body.projects, *(project for project, _, _ in body.releases)})
    what = ", ".join(names) if len(names) <= _MAX_NAMES_SHOWN else f"{len(names)} projects"
    return f"add {', '.join(body.packages)} to the builds of {what}"


_PROJECT = Parameter("project", Kind.PROJECT, metavar="PROJECT")

ADD_PACKAGES = CommandDefinition(
    name="recipe add",
    message=AddPackages,
    summary="Add Debian packages to a project's builds, and queue its failed builds again.",
    details="Builders with roots add them as layers; on other builders they have to be installed.",
    examples=("piw recipe add psycopg2 libpq-dev",),
    parameters=(_PROJECT, Parameter("packages", Kind.PACKAGES, metavar="PACKAGE...")),
    build=lambda inputs: AddPackages(
        packages=inputs.packages,
        projects=() if inputs.releases else (inputs.project,),
        releases=inputs.releases,
    ),
    audit=_audit,
    console=(
        ConsoleAction(
            name="add_packages",
            key="A",
            label="Add package",
            help="Add Debian packages to the builds of the group's projects, and queue its failed "
            "builds again.",
            requires=Requirement.FAILURES,
            confirm=Confirm.ALWAYS,
            prompt=Prompt("Debian packages", "", Kind.PACKAGES),
        ),
    ),
)

DROP_PACKAGES = CommandDefinition(
    name="recipe drop",
    message=DropPackages,
    summary="Remove the Debian packages that operators added to a project's builds.",
    examples=("piw recipe drop psycopg2",),
    parameters=(_PROJECT,),
    build=lambda inputs: DropPackages(project=inputs.project),
    audit=lambda body: f"drop the packages that were added to the builds of {body.project}",
)

DEFINITIONS = (ADD_PACKAGES, DROP_PACKAGES)
