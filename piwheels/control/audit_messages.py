"""What a command asks for, and what came of it, each in one line of the event list."""

from piwheels.protocol.messages import (
    Add,
    AddReply,
    AddTargets,
    Alias,
    BuilderCommand,
    CommandBuilders,
    CommandFailed,
    ImportWheel,
    Pause,
    Prioritize,
    RegeneratePages,
    Remove,
    ReplyBody,
    RequestBody,
    Resume,
    Retry,
    Skip,
    StopMaster,
)
from piwheels.sanitize import truncate_line

SUCCEEDED = "applied"
_BUILDER_COMMANDS = {
    BuilderCommand.SLEEP: "put to sleep",
    BuilderCommand.WAKE: "wake",
    BuilderCommand.CANCEL_BUILD: "cancel the build of",
    BuilderCommand.DRAIN: "drain",
    BuilderCommand.RESTART: "restart",
    BuilderCommand.KILL: "kill",
}


def describe_command(body: RequestBody) -> str:
    """What a command that changes something asks for."""
    return truncate_line(_describe(body))


def describe_outcome(answer: ReplyBody) -> str:
    """What came of it: applied, perhaps in part, or refused and why."""
    match answer:
        case CommandFailed(reason=reason):
            return truncate_line(f"refused: {reason}")
        case AddReply(added=added):
            problems = [f"{item.requirement}: {item.problem}" for item in added if item.problem]
            if not problems:
                return SUCCEEDED
            how = "refused" if len(problems) == len(added) else "applied in part"
            return truncate_line(f"{how}: {'; '.join(problems)}")
        case _:
            return SUCCEEDED


def _describe(body: RequestBody) -> str:  # noqa: C901 - one case a command
    match body:
        case Pause():
            return "pause the farm"
        case Resume():
            return "resume the farm"
        case StopMaster():
            return "end the master"
        case CommandBuilders():
            return _describe_builder_command(body)
        case Add(requests=wanted):
            return f"add {', '.join(item.requirement for item in wanted)}"
        case AddTargets(targets=targets):
            return f"build for {', '.join(target.name for target in targets)}"
        case Remove(skip=reason):
            kept_out = f", and keep it out: {reason}" if reason is not None else ""
            return f"remove {_release_text(body.project, body.version)}{kept_out}"
        case Skip(reason=None):
            return f"build {_skip_text(body)} again"
        case Skip(reason=reason):
            return f"skip {_skip_text(body)}: {reason}"
        case RegeneratePages(project=project, kind=part):
            what = f"{part} pages" if part else "pages"
            return f"write {f'the {what} of {project}' if project else f'all {what}'} again"
        case Alias(name=name, project=project):
            return f"let {name} lead to {project or 'nothing'}"
        case Retry(built=built):
            what = _release_text(body.project, body.version, body.target)
            return f"build {what} anew" if built else f"retry {what}"
        case Prioritize(advance_s=by_s):
            return f"prioritise {_release_text(body.project, body.version, body.target)} by {by_s:.0f} s"
        case ImportWheel(filename=filename):
            return f"import {filename}"
        case _:
            return type(body).__name__


def _describe_builder_command(command: CommandBuilders) -> str:
    names = ", ".join(command.builders) or "nobody"
    now = " now" if command.immediately else ""
    rolling = f", {command.max_parallel} at a time" if command.max_parallel else ""
    return f"{_BUILDER_COMMANDS[command.command]} {names}{now}{rolling}"


def _release_text(project: str, version: str | None, target: str | None = None) -> str:
    words = f"{project} {version}" if version else project
    return f"{words} for {target}" if target else words


def _skip_text(command: Skip) -> str:
    if command.project:
        return _release_text(command.project, command.version, command.target)
    return f"target {command.target}"
