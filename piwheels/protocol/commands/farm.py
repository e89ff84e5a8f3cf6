"""Commands to the whole farm: pause, resume, stop the master, its targets and pages."""

from typing import Annotated

from msgspec import Meta

from piwheels.model import Target
from piwheels.protocol.commands.definition import (
    CommandDefinition,
    Confirm,
    ConsoleAction,
    Inputs,
    Kind,
    Parameter,
)
from piwheels.protocol.control_roles import ControlRole
from piwheels.protocol.message_base import MAX_TARGETS, CommandMessage, ShortText

__all__ = [
    "AddTargets",
    "Pause",
    "RegeneratePages",
    "Resume",
    "StopMaster",
]  # the messages: they are exported by `protocol.messages`


class Pause(CommandMessage, frozen=True, kw_only=True):
    """Stop assigning jobs."""


class Resume(CommandMessage, frozen=True, kw_only=True):
    """Assign jobs again."""


class StopMaster(CommandMessage, frozen=True, kw_only=True):
    """Stop the master; builders finish their builds and reconnect to the next one."""


class AddTargets(CommandMessage, frozen=True, kw_only=True):
    """Build for these targets from now on."""

    targets: Annotated[tuple[Target, ...], Meta(max_length=MAX_TARGETS)]


class RegeneratePages(CommandMessage, frozen=True, kw_only=True):
    """Write pages again: one kind (db.page_queue.PageKind), those of one project, or all."""

    project: ShortText | None = None
    kind: ShortText = ""


_PAUSE_HELP = "Stop assigning jobs; running builds continue."
_STOP_CONSEQUENCE = (
    "No jobs are assigned and no pages are written until a master runs again; running builds "
    "continue."
)

PAUSE = CommandDefinition(
    name="pause",
    message=Pause,
    summary=_PAUSE_HELP,
    examples=("piw pause",),
    build=lambda _: Pause(),
    audit=lambda _: "pause the farm",
    console=(
        ConsoleAction(
            name="pause",
            key="p",
            label="Pause",
            help=_PAUSE_HELP,
        ),
    ),
)

RESUME = CommandDefinition(
    name="resume",
    message=Resume,
    summary="Assign jobs again after `piw pause`.",
    examples=("piw resume",),
    build=lambda _: Resume(),
    audit=lambda _: "resume the farm",
    console=(ConsoleAction(name="resume", key="r", label="Resume", help="Assign jobs again."),),
)

STOP_MASTER = CommandDefinition(
    name="master stop",
    role=ControlRole.ADMINISTER,
    message=StopMaster,
    summary="Stop the master (systemd restarts it). Builders finish their builds and reconnect.",
    examples=("piw master stop",),
    build=lambda _: StopMaster(),
    audit=lambda _: "stop the master",
    discards_work=lambda _: True,
    question="Stop the master?",
    consequence=_STOP_CONSEQUENCE,
    console=(
        ConsoleAction(
            name="stop_master",
            key="",
            label="Stop master",
            help="Stop the master.",
            confirm=Confirm.ALWAYS,
            consequence=_STOP_CONSEQUENCE,
            confirm_word="stop",
        ),
    ),
)

ADD_TARGETS = CommandDefinition(
    name="",
    role=ControlRole.ADMINISTER,
    message=AddTargets,
    summary="Build for these targets from now on (sent by `piw up`).",
    audit=lambda body: f"build for {', '.join(target.name for target in body.targets)}",
)

#: What `piw pages rebuild --kind` accepts; "projects" with a project is that project's page.
PAGE_KINDS = ("simple", "projects", "home", "stats", "search", "sitemaps", "failures", "static")


def _regenerate(inputs: Inputs) -> RegeneratePages:
    kind = inputs.text or ""
    if inputs.project and kind == "projects":
        kind = "project"
    return RegeneratePages(project=inputs.project or None, kind=kind)


def _pages_audit(body: RegeneratePages) -> str:
    pages = f"{body.kind} pages" if body.kind else "pages"
    return f"rebuild {f'the {pages} of {body.project}' if body.project else f'all {pages}'}"


REBUILD_PAGES = CommandDefinition(
    name="pages rebuild",
    message=RegeneratePages,
    summary="Write the pages of a project, or all pages, again.",
    details="To build wheels again, use `piw rebuild`.",
    examples=("piw pages rebuild numpy", "piw pages rebuild --kind simple"),
    parameters=(
        Parameter("project", Kind.PROJECT, required=False),
        Parameter("--kind", Kind.CHOICE, "Rebuild only these pages.", choices=PAGE_KINDS),
    ),
    build=_regenerate,
    audit=_pages_audit,
)

DEFINITIONS = (PAUSE, RESUME, STOP_MASTER, ADD_TARGETS, REBUILD_PAGES)
