"""The command that has published wheels built again, to compare them."""

from piwheels.protocol.commands.definition import (
    CommandDefinition,
    ConsoleAction,
    Requirement,
    Scope,
    release_text,
)
from piwheels.protocol.message_base import CommandMessage, ShortText

__all__ = ["Reproduce"]  # the messages: they are exported by `protocol.messages`


class Reproduce(CommandMessage, frozen=True, kw_only=True):
    """Build the wheels of a release again, or those for one target, and compare them."""

    project: ShortText
    version: ShortText | None = None  # None is rejected: it names too much
    target: ShortText | None = None


REPRODUCE = CommandDefinition(
    name="reproduce",
    message=Reproduce,
    summary="Build a release's wheels again, on another builder where there is one, and compare.",
    details="What is published stays as it is. The new build gets the same source and build "
    "requirements. The command waits for the result; the exit code is 0 if every byte "
    "is the same, 1 if something differs, and 3 if a wheel could not be built again.",
    examples=(
        "piw reproduce markupsafe==3.0.2",
        "piw reproduce markupsafe==3.0.2 --target cp313 --json",
    ),
    audit=lambda body: f"reproduce {release_text(body.project, body.version, body.target)}",
    console=(
        ConsoleAction(
            name="reproduce",
            key="",
            label="Reproduce",
            help="Build the release's published wheel again, and compare both.",
            requires=Requirement.PROJECT,
            scope=Scope.RELEASE_FOR_TARGET,
            build=lambda inputs: Reproduce(
                project=inputs.project, version=inputs.version, target=inputs.target
            ),
        ),
    ),
)

DEFINITIONS = (REPRODUCE,)
