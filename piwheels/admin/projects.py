"""Projects: added, removed, skipped, tried again, and explained."""

from collections.abc import Sequence

import click

from piwheels.admin.asking import ReleaseName, apply, connect, print_json, release_name, seconds
from piwheels.config import Config
from piwheels.lines import plain
from piwheels.model import target_word
from piwheels.protocol.messages import (
    Add,
    AddReply,
    Alias,
    Explain,
    ExplainReply,
    Prioritise,
    Rebuild,
    Remove,
    Retry,
    Skip,
    Status,
    StatusReply,
)
from piwheels.requirements import Asked, Environment, environments


async def add(config: Config, asked: Asked, *, latest: int, as_json: bool) -> int:
    """Follow projects and queue what was asked of them, by markers for the farm's targets."""
    async with connect(config) as client:
        targets: list[Sequence[Environment]] = []
        if asked.has_markers:
            status = await client.ask(Status(), StatusReply)
            targets = [environments(queue.target) for queue in status.queues]
        wanted = asked.wanted(targets, latest=latest)
        print_notes(asked)
        if not wanted:
            click.echo("Nothing is left to build.", err=True)
        reply = AddReply(added=())
        if wanted:
            reply = await client.ask(Add(wanted=tuple(wanted)), AddReply, timeout_s=600.0)
    if as_json:
        print_json(reply)
    else:
        print_added(reply)
    return 1 if any(added.problem for added in reply.added) else 0


def print_notes(asked: Asked) -> None:
    """A line for each line of a requirements file that was passed over."""
    for note in asked.notes:
        click.echo(f"note: {plain(note)}", err=True)


def print_added(reply: AddReply) -> None:
    """One line for each requirement: what will be built, or why nothing will."""
    for added in reply.added:
        if added.problem:
            click.echo(plain(f"{added.requirement}: {added.problem}"), err=True)
        else:
            click.echo(f"{added.project}: {', '.join(added.versions)}")


async def remove(
    config: Config, text: str, *, skip: str | None, yes: bool, as_json: bool = False
) -> int:
    """Remove a project or a release, with its files, after a question."""
    name = release_name(text)
    what = name.project if name.version is None else f"{name.project} {name.version}"
    if not yes:
        click.confirm(f"Remove {what} and its wheels from the index?", abort=True, err=True)
    return await apply(
        config, Remove(project=name.project, version=name.version, skip=skip), as_json=as_json
    )


async def skip(
    config: Config, text: str | None, target: str | None, reason: str | None, *, as_json: bool
) -> int:
    """Skip a project, a release, either for one target, or a target; a reason of None lifts it."""
    name = release_name(text) if text else ReleaseName("", None)
    body = Skip(project=name.project or None, version=name.version, target=target, reason=reason)
    return await apply(config, body, as_json=as_json)


async def rebuild(config: Config, project: str | None, part: str, *, as_json: bool) -> int:
    """Write pages again: a part of them, those of a project, or all."""
    name = release_name(project).project if project else None
    return await apply(config, Rebuild(project=name, part=part), as_json=as_json)


async def alias(config: Config, name: str, project: str | None, *, as_json: bool) -> int:
    """Let a name lead to a project's page, or to none."""
    target = release_name(project).project if project else None
    return await apply(config, Alias(name=name, project=target), as_json=as_json)


async def retry(
    config: Config, text: str, target: str | None, *, built: bool, as_json: bool
) -> int:
    """Queue again what failed, or with `built` what was built."""
    name = release_name(text)
    body = Retry(project=name.project, version=name.version, target=target, built=built)
    return await apply(config, body, as_json=as_json)


async def prioritise(
    config: Config, text: str, by: str, *, target: str | None = None, as_json: bool
) -> int:
    """Let what waits of a project or release be due earlier than it was queued, or later."""
    name = release_name(text)
    body = Prioritise(project=name.project, version=name.version, target=target, by_s=seconds(by))
    return await apply(config, body, as_json=as_json)


async def explain(config: Config, text: str, target: str | None, *, as_json: bool) -> int:
    """Say why a wheel is there or not, and what happens next."""
    name = release_name(text)
    body = Explain(project=name.project, version=name.version, target=target)
    async with connect(config) as client:
        reply = await client.ask(body, ExplainReply)
    if as_json:
        print_json(reply)
        return 0
    for answer in reply.answers:
        target = target_word(answer.target, reply.targets)
        where = " ".join(filter(None, (answer.project, answer.version, target)))
        click.echo(f"{click.style(plain(where), bold=True)}: {plain(answer.text)}")
    return 0
