"""`piw add` and `piw explain`."""

from collections.abc import Sequence

import click

from piwheels.cli.remote.client import connect, parse_release, print_json
from piwheels.config import Config
from piwheels.formatting import format_needs
from piwheels.model import short_target_name, target_words
from piwheels.output import print_added, print_notes
from piwheels.protocol.messages import (
    Add,
    AddReply,
    Explain,
    ExplainReply,
    Status,
    StatusReply,
)
from piwheels.requirements import Environment, ParsedRequirements, target_environments
from piwheels.sanitize import strip_controls


async def add(
    config: Config, requirements: ParsedRequirements, *, latest: int, as_json: bool
) -> int:
    """Follow projects and queue their releases; markers are evaluated for the farm's targets."""
    async with connect(config) as client:
        targets: list[Sequence[Environment]] = []
        if requirements.has_markers:
            status = await client.request(Status(), StatusReply)
            targets = [target_environments(queue.target) for queue in status.queues]
        requests = requirements.build_requests(targets, latest=latest)
        print_notes(requirements)
        if not requests:
            click.echo("Nothing to build.", err=True)
        reply = AddReply(added=())
        if requests:
            reply = await client.request(Add(requests=tuple(requests)), AddReply, timeout_s=600.0)
    if as_json:
        print_json(reply)
    else:
        print_added(reply)
    return 1 if any(added.problem for added in reply.added) else 0


async def explain(config: Config, text: str, target: str | None, *, as_json: bool) -> int:
    """Print why a wheel exists or not, and what happens next."""
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
        heading = click.style(strip_controls(where), bold=True)
        words = f" ({target_words(answer.target)})" if answer.target else ""
        click.echo(f"{heading}{strip_controls(words)}: {strip_controls(answer.text)}")
    known = reply.needs
    if needs := format_needs(known.min_memory_bytes, known.min_disk_bytes, known.expected_build_s):
        click.echo(f"{click.style(name.project, bold=True)}: a build needs {needs}")
    return 0
