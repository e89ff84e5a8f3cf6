"""What happened: builds that ended, their logs, and who did what."""

import codecs
import json
import sys
from datetime import datetime

import click
import humanize

from piwheels.admin.asking import connect, print_json, release_name, seconds, table
from piwheels.config import Config
from piwheels.lines import plain, plain_lines
from piwheels.model import target_word
from piwheels.protocol.client import ANSWER_S
from piwheels.protocol.messages import (
    BuildsReply,
    EventsReply,
    FollowLog,
    ListBuilds,
    ListEvents,
    LogPiece,
)


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
        project=release_name(project).project if project else None,
        failed=failed,
        slower_than_s=seconds(slower_than) if slower_than else 0.0,
    )
    async with connect(config) as client:
        reply = await client.ask(body, BuildsReply)
    if as_json:
        print_json(reply)
        return 0
    rows = [
        (
            _clock(build.at),
            str(build.build),
            f"{build.project} {build.version}",
            target_word(build.target, reply.targets),
            build.builder,
            click.style(build.outcome, fg="green" if build.outcome == "built" else "red"),
            humanize.naturaldelta(build.duration_s),
            plain(build.detail),
        )
        for build in reversed(reply.builds)
    ]
    if not rows:
        click.echo("no such builds")
        return 0
    table(("ended", "build", "release", "target", "builder", "outcome", "took", ""), rows)
    return 0


async def events(config: Config, *, limit: int, before: int | None, as_json: bool) -> int:
    """Print who did what, and what the farm did of itself, the newest at the bottom."""
    async with connect(config) as client:
        reply = await client.ask(ListEvents(limit=limit, before=before), EventsReply)
    if as_json:
        print_json(reply)
        return 0
    rows = [
        (
            _clock(event.at),
            str(event.event),
            plain(event.who),
            plain(event.what),
            click.style(plain(event.outcome), fg="red")
            if event.outcome.startswith("refused")
            else plain(event.outcome),
        )
        for event in reversed(reply.events)
    ]
    table(("when", "event", "who", "what", "outcome"), rows)
    return 0


def _clock(at: datetime) -> str:
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
            piece = await talk.next(None if follow else ANSWER_S)
            if not isinstance(piece, LogPiece):
                continue
            if as_json:
                line = {"build": piece.build, "text": text.decode(piece.data, piece.finished)}
                click.echo(json.dumps({**line, "finished": piece.finished}))
            elif sys.stdout.isatty():
                shown = plain_lines(text.decode(piece.data, piece.finished))
                sys.stdout.buffer.write(shown.encode(sys.stdout.encoding, "replace"))
            else:
                sys.stdout.buffer.write(piece.data)
            sys.stdout.flush()
            if piece.finished:
                return 0
