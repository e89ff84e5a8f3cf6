"""What a command asks for, and what came of it, each in one line of the event list."""

from piwheels.lines import one_line
from piwheels.protocol.messages import (
    Add,
    AddReply,
    AddTargets,
    Alias,
    Body,
    Import,
    Order,
    OrderBuilders,
    Pause,
    Prioritise,
    Problem,
    Quit,
    Rebuild,
    Remove,
    ReplyBody,
    Resume,
    Retry,
    Skip,
)

APPLIED = "applied"
_ORDERS = {
    Order.SLEEP: "put to sleep",
    Order.WAKE: "wake",
    Order.SKIP: "drop the build of",
    Order.DRAIN: "drain",
    Order.KILL: "kill",
}


def asked(body: Body) -> str:
    """What a command that changes something asks for."""
    return one_line(_asked(body))


def came_of(answer: ReplyBody) -> str:
    """What came of it: applied, perhaps in part, or refused and why."""
    match answer:
        case Problem(reason=reason):
            return one_line(f"refused: {reason}")
        case AddReply(added=added):
            problems = [f"{item.requirement}: {item.problem}" for item in added if item.problem]
            if not problems:
                return APPLIED
            how = "refused" if len(problems) == len(added) else "applied in part"
            return one_line(f"{how}: {'; '.join(problems)}")
        case _:
            return APPLIED


def _asked(body: Body) -> str:  # noqa: C901 - one case a command
    match body:
        case Pause():
            return "pause the farm"
        case Resume():
            return "resume the farm"
        case Quit():
            return "end the master"
        case OrderBuilders():
            return _ordered(body)
        case Add(wanted=wanted):
            return f"add {', '.join(item.requirement for item in wanted)}"
        case AddTargets(targets=targets):
            return f"build for {', '.join(target.name for target in targets)}"
        case Remove(skip=reason):
            kept_out = f", and keep it out: {reason}" if reason is not None else ""
            return f"remove {_release(body.project, body.version)}{kept_out}"
        case Skip(reason=None):
            return f"build {_skipped(body)} again"
        case Skip(reason=reason):
            return f"skip {_skipped(body)}: {reason}"
        case Rebuild(project=project, part=part):
            what = f"{part} pages" if part else "pages"
            return f"write {f'the {what} of {project}' if project else f'all {what}'} again"
        case Alias(name=name, project=project):
            return f"let {name} lead to {project or 'nothing'}"
        case Retry(built=built):
            what = _release(body.project, body.version, body.target)
            return f"build {what} anew" if built else f"retry {what}"
        case Prioritise(by_s=by_s):
            return f"prioritise {_release(body.project, body.version, body.target)} by {by_s:.0f} s"
        case Import(filename=filename):
            return f"import {filename}"
        case _:
            return type(body).__name__


def _ordered(command: OrderBuilders) -> str:
    names = ", ".join(command.builders) or "nobody"
    now = " now" if command.at_once else ""
    rolling = f", {command.rolling} at a time" if command.rolling else ""
    return f"{_ORDERS[command.order]} {names}{now}{rolling}"


def _release(project: str, version: str | None, target: str | None = None) -> str:
    words = f"{project} {version}" if version else project
    return f"{words} for {target}" if target else words


def _skipped(command: Skip) -> str:
    if command.project:
        return _release(command.project, command.version, command.target)
    return f"target {command.target}"
