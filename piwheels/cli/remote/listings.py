"""`piw builds`, `events` and `log`: recent builds, the audit log, and build logs."""

import codecs
import json
import sys
from datetime import datetime

import click
import msgspec

from piwheels.cli.options import given_duration
from piwheels.cli.remote.client import (
    builds_json,
    connect,
    events_json,
    parse_release,
    print_json,
)
from piwheels.config import Config
from piwheels.formatting import format_count, format_duration, pluralize
from piwheels.model import Outcome, short_target_name
from piwheels.output import print_table
from piwheels.protocol.client import REPLY_TIMEOUT_S
from piwheels.protocol.messages import (
    BuilderHistory,
    BuilderHistoryReply,
    BuildsReply,
    EventsReply,
    FailuresReply,
    FollowLog,
    ListBuilds,
    ListEvents,
    ListFailures,
    LogChunk,
)
from piwheels.sanitize import strip_controls, strip_controls_multiline


async def builds(
    config: Config,
    project: str | None,
    *,
    failed: bool,
    slower_than: str | None,
    limit: int,
    as_json: bool,
) -> int:
    """Print recent builds, the newest at the bottom."""
    body = ListBuilds(
        limit=limit,
        project=parse_release(project).project if project else None,
        failed=failed,
        slower_than_s=given_duration(slower_than) if slower_than else 0.0,
    )
    async with connect(config) as client:
        reply = await client.request(body, BuildsReply)
    if as_json:
        print_json(msgspec.to_builtins(reply) | {"builds": builds_json(reply.builds)})
        return 0
    rows = [
        (
            _format_time(build.ended_at),
            str(build.build_id),
            f"{build.project} {build.version}",
            short_target_name(build.target, reply.targets),
            build.builder,
            click.style(build.outcome, fg="green" if build.outcome is Outcome.BUILT else "red"),
            format_duration(build.duration_s),
            strip_controls(build.detail),
        )
        for build in reversed(reply.builds)
    ]
    if not rows:
        click.echo("no such builds")
        return 0
    print_table(("ended", "build", "release", "target", "builder", "outcome", "took", ""), rows)
    return 0


async def failures(config: Config, *, as_json: bool) -> int:
    """Print what fails on the whole farm, by cause, the regressions at the top."""
    async with connect(config) as client:
        reply = await client.request(ListFailures(), FailuresReply)
    if as_json:
        print_json(reply)
        return 0
    rows = [
        (
            group.failure_class,
            strip_controls(group.cause),
            format_count(group.releases),
            format_count(group.targets),
            format_count(group.regressions) if group.regressions else "",
            _format_time(group.last_at),
            strip_controls(", ".join(group.packages)),
            str(group.example_build),
        )
        for group in reply.groups
    ]
    if not rows:
        click.echo("nothing fails")
        return 0
    header = ("class", "cause", "releases", "targets", "regressions", "last", "packages", "build")
    print_table(header, rows)
    releases, causes = pluralize(reply.releases, "release"), pluralize(reply.causes, "cause")
    click.echo(f"{releases} failed and not built since, for {causes}")
    return 0


async def events(config: Config, *, limit: int, before: int | None, as_json: bool) -> int:
    """Print the audit log and automatic events, the newest at the bottom."""
    async with connect(config) as client:
        reply = await client.request(ListEvents(limit=limit, before=before), EventsReply)
    if as_json:
        print_json(msgspec.to_builtins(reply) | {"events": events_json(reply.events)})
        return 0
    rows = [
        (
            _format_time(event.at),
            str(event.event_id),
            strip_controls(event.who),
            strip_controls(event.what),
            click.style(strip_controls(event.outcome), fg="red")
            if event.outcome.startswith(
                ("rejected", "refused")
            )  # refused: recorded by earlier versions
            else strip_controls(event.outcome),
        )
        for event in reversed(reply.events)
    ]
    print_table(("when", "event", "who", "what", "outcome"), rows)
    return 0


async def builder_history(config: Config, label: str, *, as_json: bool) -> int:
    """Print a builder's state transitions, the newest at the bottom."""
    async with connect(config) as client:
        reply = await client.request(BuilderHistory(builder=label), BuilderHistoryReply)
    if as_json:
        print_json(reply)
        return 0
    if not reply.transitions:
        click.echo(f"{strip_controls(label)} has not connected since the master was started")
        return 1
    rows = [
        (
            _format_time(transition.at),
            strip_controls(transition.event),
            transition.before,
            transition.after,
            str(transition.build or ""),
            strip_controls(transition.reason),
        )
        for transition in reply.transitions
    ]
    print_table(("time", "event", "before", "after", "build", "reason"), rows)
    return 0


def _format_time(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


async def log(config: Config, build: int, *, follow: bool, as_json: bool = False) -> int:
    """Print a build's log; with `follow`, also what is added until the build ends.

    As JSON, each chunk is a line. A terminal gets text without control characters, which a build
    may print to harm it. A file or a pipe gets the log's own bytes.
    """
    request = FollowLog(build=build, follow=follow)
    text = codecs.getincrementaldecoder("utf-8")("replace")
    async with connect(config) as client, client.stream(request) as stream:
        while True:
            piece = await stream.next(None if follow else REPLY_TIMEOUT_S)
            if not isinstance(piece, LogChunk):
                continue
            if as_json:
                line = {"build": piece.build, "text": text.decode(piece.data, piece.finished)}
                click.echo(json.dumps({**line, "finished": piece.finished}))
            elif sys.stdout.isatty():
                shown = strip_controls_multiline(text.decode(piece.data, piece.finished))
                sys.stdout.buffer.write(shown.encode(sys.stdout.encoding, "replace"))
            else:
                sys.stdout.buffer.write(piece.data)
            sys.stdout.flush()
            if piece.finished:
                return 0
