"""Operator commands over the control socket: each function is one verb, and returns an exit code.

0 is success, 1 that it could not be done or the answer is no. Errors are raised as
PiwheelsError with one line, which the command line prints.
"""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import click
import humanize
import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from piwheels.config import Config
from piwheels.errors import ConfigError, PiwheelsError, UsageError
from piwheels.model import Wanted
from piwheels.protocol.client import ANSWER_S, ControlClient
from piwheels.protocol.messages import (
    Accepted,
    Add,
    AddReply,
    Alias,
    Applied,
    BuilderView,
    Explain,
    ExplainReply,
    FollowLog,
    Import,
    ImportChunk,
    ImportFetch,
    LogPiece,
    Pause,
    Rebuild,
    Remove,
    Resume,
    Retry,
    Skip,
    Status,
    StatusReply,
)

_IMPORT_TIMEOUT_S = 600.0


class ReleaseName(msgspec.Struct, frozen=True):
    """What a user typed: a project, and perhaps one version of it."""

    project: str
    version: str | None


def release_name(text: str) -> ReleaseName:
    """Parse `PROJECT` or `PROJECT==VERSION`.

    Raises:
        UsageError: it is neither.
    """
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        raise UsageError(f"{text!r} is neither PROJECT nor PROJECT==VERSION") from None
    if requirement.url or requirement.extras or requirement.marker:
        raise UsageError(f"{text!r} says more than PROJECT or PROJECT==VERSION")
    project = canonicalize_name(requirement.name)
    specifiers = list(requirement.specifier)
    if not specifiers:
        return ReleaseName(project, None)
    if len(specifiers) > 1 or specifiers[0].operator != "==" or "*" in specifiers[0].version:
        raise UsageError(f"{text!r}: name one version, as in {requirement.name}==1.0")
    return ReleaseName(project, str(Version(specifiers[0].version)))


def connect(config: Config) -> ControlClient:
    """A client for the configured master, over its Unix socket."""
    return ControlClient(config.master.control)


async def status(config: Config, *, as_json: bool) -> int:
    """Print builders, queues, the last hour's builds and the disk."""
    async with connect(config) as client:
        reply = await client.ask(Status(), StatusReply)
    if as_json:
        _print_json(reply)
        return 0
    up = humanize.naturaldelta(reply.uptime_s)
    held = "  " + click.style("PAUSED: no jobs are handed out", fg="yellow") if reply.paused else ""
    click.echo(f"piwheels {reply.version}, master up {up}{held}")
    if reply.upstream:
        click.echo(f"upstream: {reply.upstream}")
    click.echo()
    _print_builders(reply)
    click.echo()
    _print_queues(reply)
    click.echo()
    ended = ", ".join(f"{count} {word}" for word, count in sorted(reply.last_hour.items()))
    click.echo(f"last hour: {ended or 'no builds'}")
    click.echo(
        f"in all:    {reply.projects} projects, {reply.releases} releases, {reply.builds} builds, "
        f"{reply.files} wheels ({_size(reply.files_bytes)}), "
        f"database {_size(reply.database_bytes)}"
    )
    host = reply.host
    click.echo(
        f"disk:      {_size(host.disk_free)} of {_size(host.disk_total)} free; "
        f"{reply.stale_pages} pages to write"
    )
    return 0


def _print_builders(reply: StatusReply) -> None:
    rows = [
        (
            view.label,
            _coloured(view.state),
            ", ".join(view.targets),
            _doing(view),
            f"{view.host.load:.1f}",
            _size(view.host.memory_free),
            _size(view.host.disk_free),
            f"{view.built}/{view.failed}",
        )
        for view in reply.builders
    ]
    if not rows:
        click.echo("no builders are connected")
        return
    table(("builder", "state", "targets", "doing", "load", "memory", "disk", "built/failed"), rows)


def _print_queues(reply: StatusReply) -> None:
    rows = [
        (
            queue.target,
            str(queue.pending),
            str(queue.claimed),
            str(queue.deferred),
            humanize.naturaldelta(queue.oldest_s) if queue.oldest_s is not None else "-",
            "" if queue.served or not queue.pending else click.style("nobody serves it", fg="red"),
        )
        for queue in reply.queues
    ]
    if not rows:
        click.echo("no targets yet: they come with the first builder")
        return
    table(("target", "pending", "claimed", "deferred", "oldest", ""), rows)


def _doing(view: BuilderView) -> str:
    if view.build is None:
        return view.reason
    spent = humanize.naturaldelta(view.phase_s)
    return f"{view.project} {view.version_built} for {view.target}: {view.phase}, {spent}"


async def add(config: Config, wanted: Sequence[Wanted], *, as_json: bool) -> int:
    """Follow projects and queue what was asked of them."""
    async with connect(config) as client:
        reply = await client.ask(Add(wanted=tuple(wanted)), AddReply, timeout_s=600.0)
    if as_json:
        _print_json(reply)
    else:
        print_added(reply)
    return 1 if any(added.problem for added in reply.added) else 0


def print_added(reply: AddReply) -> None:
    """One line for each requirement: what will be built, or why nothing will."""
    for added in reply.added:
        if added.problem:
            click.echo(f"{added.requirement}: {added.problem}", err=True)
        else:
            click.echo(f"{added.project}: {', '.join(added.versions)}")


async def remove(
    config: Config, text: str, *, skip: str | None, yes: bool, as_json: bool = False
) -> int:
    """Remove a project or a release, with its files, after a question."""
    name = release_name(text)
    what = name.project if name.version is None else f"{name.project} {name.version}"
    if not yes:
        click.confirm(f"Remove {what} and its wheels from the index?", abort=True)
    return await _apply(
        config, Remove(project=name.project, version=name.version, skip=skip), as_json
    )


async def skip(
    config: Config, text: str | None, target: str | None, reason: str | None, *, as_json: bool
) -> int:
    """Build a project, a release or a target no more, or again when the reason is None."""
    name = release_name(text) if text else ReleaseName("", None)
    body = Skip(project=name.project or None, version=name.version, target=target, reason=reason)
    return await _apply(config, body, as_json)


async def rebuild(config: Config, project: str | None, part: str, *, as_json: bool) -> int:
    """Write pages again: a part of them, those of a project, or all."""
    name = release_name(project).project if project else None
    return await _apply(config, Rebuild(project=name, part=part), as_json)


async def alias(config: Config, name: str, project: str | None, *, as_json: bool) -> int:
    """Let a name lead to a project's page, or to none."""
    target = release_name(project).project if project else None
    return await _apply(config, Alias(name=name, project=target), as_json)


async def retry(
    config: Config, text: str, target: str | None, *, built: bool, as_json: bool
) -> int:
    """Queue again what failed, or with `built` what was built."""
    name = release_name(text)
    body = Retry(project=name.project, version=name.version, target=target, built=built)
    return await _apply(config, body, as_json)


async def pause(config: Config, *, paused: bool, as_json: bool) -> int:
    """Hold jobs back, or hand them out again."""
    return await _apply(config, Pause() if paused else Resume(), as_json)


async def _apply(config: Config, body: Any, as_json: bool) -> int:
    async with connect(config) as client:
        applied = await client.ask(body, Applied)
    if as_json:
        _print_json(applied)
    else:
        click.echo(applied.text)
    return 0


async def explain(config: Config, text: str, target: str | None, *, as_json: bool) -> int:
    """Say why a wheel is there or not, and what happens next."""
    name = release_name(text)
    body = Explain(project=name.project, version=name.version, target=target)
    async with connect(config) as client:
        reply = await client.ask(body, ExplainReply)
    if as_json:
        _print_json(reply)
        return 0
    for answer in reply.answers:
        where = " ".join(filter(None, (answer.project, answer.version, answer.target)))
        click.echo(f"{click.style(where, bold=True)}: {answer.text}")
    return 0


async def log(config: Config, build: int, *, follow: bool) -> int:
    """Print a build's log, and with `follow` what is added to it until it ends."""
    request = FollowLog(build=build, follow=follow)
    async with connect(config) as client, client.stream(request) as talk:
        while True:
            piece = await talk.next(None if follow else ANSWER_S)
            if not isinstance(piece, LogPiece):
                continue
            sys.stdout.buffer.write(piece.data)
            sys.stdout.flush()
            if piece.finished:
                return 0


async def import_wheels(config: Config, paths: Sequence[Path], *, as_json: bool) -> int:
    """Publish wheels that were built elsewhere."""
    async with connect(config) as client:
        for path in paths:
            applied = await _import(client, path)
            if as_json:
                _print_json(applied)
            else:
                click.echo(applied.text)
    return 0


async def _import(client: ControlClient, path: Path) -> Applied:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
            body = Import(filename=path.name, size_bytes=size, sha256=digest)
            return await _serve_import(client, body, file)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None


async def _serve_import(client: ControlClient, body: Import, file: BinaryIO) -> Applied:
    async with client.stream(body) as talk:
        while True:
            match await talk.next(_IMPORT_TIMEOUT_S):
                case ImportFetch(offset=offset, length=length):
                    file.seek(offset)
                    await talk.tell(ImportChunk(offset=offset, data=file.read(length)))
                case Accepted():
                    continue
                case Applied() as applied:
                    return applied
                case other:
                    raise PiwheelsError(f"the master answered with {type(other).__name__}; odd")


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns as wide as their widest cell."""
    lines = [tuple(headers), *[tuple(row) for row in rows]]
    widths = [max(len(click.unstyle(line[i])) for line in lines) for i in range(len(headers))]
    for number, line in enumerate(lines):
        cells = [
            cell + " " * (width - len(click.unstyle(cell)))
            for cell, width in zip(line, widths, strict=True)
        ]
        text = "  ".join(cells).rstrip()
        click.echo(click.style(text, dim=True) if number == 0 else text)


def _coloured(state: str) -> str:
    colours = {"building": "green", "uploading": "green", "silent": "red", "paused": "yellow"}
    return click.style(state, fg=colours[state]) if state in colours else state


def _size(size_bytes: int) -> str:
    return humanize.naturalsize(size_bytes, binary=True)


def _print_json(reply: msgspec.Struct) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(reply), indent=2).decode())
