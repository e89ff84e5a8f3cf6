"""What happened: builds that ended, their logs, and who did what."""

import codecs
import json
import sys
from datetime import datetime

import click
import humanize

from piwheels.cli.remote.client import (
    connect,
    parse_duration,
    parse_release,
    print_json,
    print_table,
)
from piwheels.config import Config
from piwheels.model import short_target_name
from piwheels.protocol.client import REPLY_TIMEOUT_S
from piwheels.protocol.messages import (
    BuildsReply,
    EventsReply,
    FollowLog,
    ListBuilds,
    ListEvents,
    LogPiece,
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
    """Print the builds that ended last, the newest at the bottom."""
    body = ListBuilds(
        limit=limit,
        project=parse_release(project).project if project else None,
        failed=failed,
        slower_than_s=parse_duration(slower_than) if slower_than else 0.0,
    )
    async with connect(config) as client:
        reply = await client.request(body, BuildsReply)
    if as_json:
        print_json(reply)
        return 0
    rows = [
        (
            _format_time(build.at),
            str(build.build),
            f"{build.project} {build.version}",
            short_target_name(build.target, reply.targets),
            build.builder,
            click.style(build.outcome, fg="green" if build.outcome == "built" else "red"),
            humanize.naturaldelta(build.duration_s),
            strip_controls(build.detail),
        )
        for build in reversed(reply.builds)
    ]
    if not rows:
        click.echo("no such builds")
        return 0
    print_table(("ended", "build", "release", "target", "builder", "outcome", "took", ""), rows)
    return 0


async def events(config: Config, *, limit: int, before: int | None, as_json: bool) -> int:
    """Print who did what, and what the farm did of itself, the newest at the bottom."""
    async with connect(config) as client:
        reply = await client.request(ListEvents(limit=limit, before=before), EventsReply)
    if as_json:
        print_json(reply)
        return 0
    rows = [
        (
            _format_time(event.at),
            str(event.event),
            strip_controls(event.who),
            strip_controls(event.what),
            click.style(strip_controls(event.outcome), fg="red")
            if event.outcome.startswith("refused")
            else strip_controls(event.outcome),
        )
        for event in reversed(reply.events)
    ]
    print_table(("when", "event", "who", "what", "outcome"), rows)
    return 0


def _format_time(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


async def log(config: Config, build: int, *, follow: bool, as_json: bool = False) -> int:
    """Print a build's log, and with `follow` what is added to it until it ends.

    As JSON, each piece is a line of its own. A terminal gets no more than text: a build can print
    what a terminal would obey. A file or a pipe gets the log's own bytes.
    """
    request = FollowLog(build=build, follow=follow)
    text = codecs.getincrementaldecoder("utf-8")("replace")
    async with connect(config) as client, client.stream(request) as talk:
        while True:
            piece = await talk.next(None if follow else REPLY_TIMEOUT_S)
            if not isinstance(piece, LogPiece):
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
