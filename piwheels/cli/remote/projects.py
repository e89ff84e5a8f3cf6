"""Projects: added, removed, skipped, tried again, and explained."""

from collections.abc import Sequence

import click

from piwheels.cli.remote.client import (
    ReleaseSpec,
    connect,
    parse_duration,
    parse_release,
    print_json,
    send_command,
)
from piwheels.config import Config
from piwheels.local.progress import print_added, print_notes
from piwheels.model import short_target_name
from piwheels.protocol.messages import (
    Add,
    AddReply,
    Alias,
    Explain,
    ExplainReply,
    Prioritize,
    RegeneratePages,
    Remove,
    Retry,
    Skip,
    Status,
    StatusReply,
)
from piwheels.requirements import Environment, ParsedRequirements, target_environments
from piwheels.sanitize import strip_controls


async def add(
    config: Config, requirements: ParsedRequirements, *, latest: int, as_json: bool
) -> int:
    """Follow projects and queue what was asked of them, by markers for the farm's targets."""
    async with connect(config) as client:
        targets: list[Sequence[Environment]] = []
        if requirements.has_markers:
            status = await client.request(Status(), StatusReply)
            targets = [target_environments(queue.target) for queue in status.queues]
        wanted = requirements.build_requests(targets, latest=latest)
        print_notes(requirements)
        if not wanted:
            click.echo("Nothing is left to build.", err=True)
        reply = AddReply(added=())
        if wanted:
            reply = await client.request(Add(requests=tuple(wanted)), AddReply, timeout_s=600.0)
    if as_json:
        print_json(reply)
    else:
        print_added(reply)
    return 1 if any(added.problem for added in reply.added) else 0


async def remove(
    config: Config, text: str, *, skip: str | None, yes: bool, as_json: bool = False
) -> int:
    """Remove a project or a release, with its files, after a question."""
    name = parse_release(text)
    what = name.project if name.version is None else f"{name.project} {name.version}"
    if not yes:
        click.confirm(f"Remove {what} and its wheels from the index?", abort=True, err=True)
    return await send_command(
        config, Remove(project=name.project, version=name.version, skip=skip), as_json=as_json
    )


async def skip(
    config: Config, text: str | None, target: str | None, reason: str | None, *, as_json: bool
) -> int:
    """Skip a project, a release, either for one target, or a target; a reason of None lifts it."""
    name = parse_release(text) if text else ReleaseSpec("", None)
    body = Skip(project=name.project or None, version=name.version, target=target, reason=reason)
    return await send_command(config, body, as_json=as_json)


async def regenerate_pages(config: Config, project: str | None, part: str, *, as_json: bool) -> int:
    """Write pages again: a part of them, those of a project, or all."""
    name = parse_release(project).project if project else None
    return await send_command(config, RegeneratePages(project=name, kind=part), as_json=as_json)


async def alias(config: Config, name: str, project: str | None, *, as_json: bool) -> int:
    """Let a name lead to a project's page, or to none."""
    target = parse_release(project).project if project else None
    return await send_command(config, Alias(name=name, project=target), as_json=as_json)


async def retry(
    config: Config, text: str, target: str | None, *, built: bool, as_json: bool
) -> int:
    """Queue again what failed, or with `built` what was built."""
    name = parse_release(text)
    body = Retry(project=name.project, version=name.version, target=target, built=built)
    return await send_command(config, body, as_json=as_json)


async def prioritize(
    config: Config, text: str, by: str, *, target: str | None = None, as_json: bool
) -> int:
    """Let what waits of a project or release be due earlier than it was queued, or later."""
    name = parse_release(text)
    body = Prioritize(
        project=name.project, version=name.version, target=target, advance_s=parse_duration(by)
    )
    return await send_command(config, body, as_json=as_json)


async def explain(config: Config, text: str, target: str | None, *, as_json: bool) -> int:
    """Say why a wheel is there or not, and what happens next."""
    name = parse_release(text)
    body = Explain(project=name.project, version=name.version, target=target)
    async with connect(config) as client:
        reply = await client.request(body, ExplainReply)
    if as_json:
        print_json(reply)
        return 0
    for answer in reply.answers:
        target = short_target_name(answer.target, reply.targets)
        where = " ".join(filter(None, (answer.project, answer.version, target)))
        click.echo(
            f"{click.style(strip_controls(where), bold=True)}: {strip_controls(answer.text)}"
        )
    return 0
