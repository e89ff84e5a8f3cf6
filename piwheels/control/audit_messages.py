"""What the audit log says about a command, in one line each: what it does, and its outcome."""

from piwheels.protocol.commands import definition_of
from piwheels.protocol.messages import (
    AddReply,
    AuthorizeBuilder,
    CommandFailed,
    CommandSucceeded,
    Message,
    RejectBuilder,
    ReplyBody,
)
from piwheels.sanitize import truncate_line

SUCCEEDED = "applied"


def describe_command(body: Message) -> str:
    """What a command does."""
    definition = definition_of(body)
    return truncate_line(definition.audit(body) if definition else type(body).__name__)


def describe_outcome(body: Message, reply: ReplyBody) -> str:
    """Whether it was applied, perhaps in part, or rejected, and why."""
    match reply:
        case CommandFailed(reason=reason):
            return truncate_line(f"rejected: {reason}")
        case AddReply(added=added):
            problems = [f"{item.requirement}: {item.problem}" for item in added if item.problem]
            if not problems:
                return SUCCEEDED
            how = "rejected" if len(problems) == len(added) else "applied in part"
            return truncate_line(f"{how}: {'; '.join(problems)}")
        case CommandSucceeded(text=text) if isinstance(body, AuthorizeBuilder | RejectBuilder):
            return truncate_line(f"{SUCCEEDED}: {text}")  # which key it was
        case _:
            return SUCCEEDED
