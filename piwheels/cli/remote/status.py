"""`piw status` and `piw builder list`. `status --json` is all that the console shows."""

from collections.abc import Sequence
from datetime import UTC, datetime

import click
import msgspec
from msgspec.structs import replace

from piwheels.cli.remote.alerts import alert_json, print_active
from piwheels.cli.remote.client import builds_json, connect, events_json, print_json
from piwheels.config import Config
from piwheels.formatting import format_duration, format_size, pluralize
from piwheels.model import (
    AwaitedPackage,
    BucketProgress,
    FirstCopy,
    LiveDownloads,
    QueueStatus,
    RefusedKey,
    WaitingAccesses,
    short_target_name,
)
from piwheels.output import print_table
from piwheels.protocol.client import unexpected_reply
from piwheels.protocol.messages import (
    STALE_COUNTS_S,
    BuilderState,
    BuilderView,
    Snapshot,
    Status,
    StatusReply,
    Subscribe,
    no_jobs_text,
)
from piwheels.sanitize import strip_controls

_COLORS = {
    BuilderState.BUILDING: "green",
    BuilderState.UPLOADING: "green",
    BuilderState.PAUSED: "yellow",
    BuilderState.ASLEEP: "yellow",
    BuilderState.DRAINING: "yellow",
    BuilderState.OVERDUE: "red",
    BuilderState.SILENT: "red",
    BuilderState.LOST: "red",
    BuilderState.QUARANTINED: "red",
    BuilderState.ENDED: "bright_black",
}
_LAG_WARNING_S = 3600.0


async def status(config: Config, *, as_json: bool) -> int:
    """Print alerts, builders, queues, the last hour's builds and the disk."""
    if as_json:
        return await _print_snapshot(config)
    async with connect(config) as client:
        reply = await client.request(Status(), StatusReply)
    _print_header(reply)
    click.echo()
    print_active(reply.alerts)
    _print_builders(reply)
    click.echo()
    _print_queues(reply)
    for awaited in reply.awaited_packages:
        click.echo(awaited_package_text(awaited))
    click.echo()
    _print_totals(reply)
    return 0


async def list_builders(config: Config, *, as_json: bool) -> int:
    """Print the builders that are connected, or were lost or ended a while ago."""
    async with connect(config) as client:
        reply = await client.request(Status(), StatusReply)
    if as_json:
        print_json(reply.builders)
    else:
        _print_builders(reply)
    return 0


async def _print_snapshot(config: Config) -> int:
    """Print the status and recent builds and events, as the console shows them."""
    async with connect(config) as client, client.stream(Subscribe()) as stream:
        snapshot = await stream.next()
    if not isinstance(snapshot, Snapshot):
        raise unexpected_reply(snapshot)
    others = tuple(it for it in snapshot.status.operators if it.session != snapshot.session)
    status: dict[str, object] = msgspec.to_builtins(replace(snapshot.status, operators=others))
    recent = {
        "alerts": [alert_json(alert) for alert in snapshot.status.alerts],
        "recent_builds": builds_json(snapshot.builds),
        "recent_events": events_json(snapshot.events),
    }
    print_json(status | recent)
    return 0


def _print_header(reply: StatusReply) -> None:
    up = format_duration(reply.uptime_s)
    by = f" by {strip_controls(reply.paused_by)}" if reply.paused_by else ""
    paused = click.style(f"PAUSED{by}: no jobs are assigned", fg="yellow")
    held = f"  {paused}" if reply.paused else ""
    click.echo(f"piwheels {reply.version}, master up {up}{held}")
    if reply.database:
        click.echo(click.style(f"database: {strip_controls(reply.database)}", fg="red"))
    if reply.replication:
        click.secho(f"database: {strip_controls(reply.replication)}", fg="yellow")
    if reply.counts_age_s > STALE_COUNTS_S:
        age = format_duration(reply.counts_age_s)
        click.echo(click.style(f"counts are {age} old: the database is slow", fg="red"))
    if reply.waits:
        click.secho(strip_controls(no_jobs_text(reply.waits)), fg="red")
    if reply.upstream_status_text:
        click.echo(
            f"upstream: {strip_controls(reply.upstream_status_text)}"
            f"{_lag_text(reply.upstream_lag_s)}"
        )


def _lag_text(lag_s: float | None) -> str:
    if lag_s is None or lag_s < _LAG_WARNING_S:
        return ""
    late = f"last read completely {format_duration(lag_s)} ago"
    return "  " + click.style(late, fg="red")


def _print_builders(reply: StatusReply) -> None:
    farm = _targets(reply)
    rows = [
        (
            view.label,
            _colored_state(view.state),
            ", ".join(short_target_name(target, farm) for target in view.targets),
            _activity(view, farm),
            *_measured(view),
        )
        for view in reply.builders
    ]
    if rows:
        _print_builder_table(rows)
    else:
        click.echo("no builders are connected")
    _print_waiting(reply.refused_keys)


def _print_waiting(refused: Sequence[RefusedKey]) -> None:
    """The builders that wait for an operator; others of these keys are consoles'."""
    for each in refused:
        if each.role == "builder":
            name = strip_controls(each.name)
            at = f" at {strip_controls(each.address)}" if each.address else ""
            how = name or f"{each.public[:8]} NAME"
            click.echo(
                f"{name or 'a builder'} with the key {each.public[:16]}{at} waits: "
                f"piw builder authorize {how}"
            )


def _print_builder_table(rows: Sequence[tuple[str, ...]]) -> None:
    print_table(
        (
            "builder",
            "state",
            "targets",
            "activity",
            "load",
            "memory",
            "disk",
            "built/failed per hour",
        ),
        rows,
    )


def _measured(view: BuilderView) -> tuple[str, str, str, str]:
    """Load, free memory and disk, and results; of one that has ended, nothing."""
    if view.state is BuilderState.ENDED:
        return ("-", "-", "-", "-")
    return (
        f"{view.host.load:.1f}",
        format_size(view.host.memory_free),
        format_size(view.host.disk_free),
        f"{view.built_last_hour}/{view.failed_last_hour}",
    )


def _targets(reply: StatusReply) -> list[str]:
    return [queue.target for queue in reply.queues]


def _activity(view: BuilderView, farm: list[str]) -> str:
    if view.build is None:
        ended = view.state is BuilderState.ENDED
        ago = f", {format_duration(view.state_s)} ago" if ended else ""
        return strip_controls(f"{view.reason}{ago}")
    limit = f" of {format_duration(view.limit_s)}" if view.limit_s else ""
    spent = f"{format_duration(view.build_s)}{limit}"
    reason = f"; {view.reason}" if view.reason else ""
    what = f"{view.project} {view.release_version} for {short_target_name(view.target, farm)}"
    return strip_controls(f"{what}: {view.phase}, {spent}{reason}")


def _print_queues(reply: StatusReply) -> None:
    farm = _targets(reply)
    rows = [
        (
            short_target_name(queue.target, farm),
            str(queue.pending),
            str(queue.claimed),
            str(queue.deferred),
            str(queue.built_last_hour),
            _drain_time(queue),
            format_duration(queue.oldest_s) if queue.oldest_s is not None else "-",
            "" if queue.has_builder or not queue.pending else click.style("no builder", fg="red"),
        )
        for queue in reply.queues
    ]
    if not rows:
        click.echo("no targets yet: the first builder adds them")
        return
    print_table(
        ("target", "queued", "claimed", "deferred", "built per hour", "drains in", "oldest", ""),
        rows,
    )


def awaited_package_text(awaited: AwaitedPackage) -> str:
    """How many releases wait for a builder that has a package."""
    verb = "waits" if awaited.releases == 1 else "wait"
    return f"{awaited.package}: {pluralize(awaited.releases, 'release')} {verb}"


def _drain_time(queue: QueueStatus) -> str:
    """When the queue is empty at the rate of the last hour."""
    if not queue.pending or not queue.built_last_hour:
        return "-"
    return format_duration(queue.pending / queue.built_last_hour * 3600.0)


def _print_totals(reply: StatusReply) -> None:
    ended = ", ".join(f"{count} {word}" for word, count in sorted(reply.last_hour.items()))
    click.echo(f"last hour: {ended or 'no builds'}")
    if reply.downloads.connected:
        click.echo(f"downloads: {_download_text(reply.downloads)}")
    age = format_duration(reply.totals_age_s)
    counted = f"; counted {age} ago" if reply.totals_age_s > STALE_COUNTS_S else ""
    click.echo(
        f"total:     {reply.projects} projects, {reply.releases} releases, {reply.builds} builds, "
        f"{reply.files} wheels ({format_size(reply.files_bytes)}), "
        f"database {format_size(reply.database_bytes)}{counted}"
    )
    if reply.operators:
        names = dict.fromkeys(strip_controls(each.name) for each in reply.operators)
        click.echo(f"consoles:  {', '.join(names)}")
    host = reply.host
    click.echo(
        f"disk:      {format_size(host.disk_free)} of {format_size(host.disk_total)} free; "
        f"{reply.stale_pages} pages to write"
    )
    if reply.bucket is not None:
        text = _bucket_text(reply.bucket, reply.bucket_problem, datetime.now(UTC))
        click.echo(f"bucket:    {strip_controls(text)}")
    if reply.waiting_accesses is not None:
        text = _waiting_text(reply.waiting_accesses, datetime.now(UTC))
        click.echo(f"accesses:  {strip_controls(text)}")


def _waiting_text(waiting: WaitingAccesses, now: datetime) -> str:
    """The single accesses that stay in the database."""
    age = format_duration((now - waiting.since).total_seconds())
    return f"{format_size(waiting.bytes)} wait for {age} to be moved to files; {waiting.problem}"


def _bucket_text(bucket: BucketProgress, problem: str, now: datetime) -> str:
    """How far the copy of the web root in object storage is."""
    if bucket.first_copy is not FirstCopy.DONE:
        what = "comparing all" if bucket.is_comparison else "first copy"
        why = " because too many changes waited" if bucket.is_comparison else ""
        told = f"{what} of the {bucket.first_copy}{why}, {bucket.fraction:.0%}"
    elif bucket.waiting:
        told = pluralize(bucket.waiting, "change") + " to copy"
    else:
        told = "up to date"
    if bucket.oldest_at is not None:
        told += f", oldest {format_duration((now - bucket.oldest_at).total_seconds())}"
    return f"{bucket.target}: {told}{f'; {problem}' if problem else ''}"


def _download_text(downloads: LiveDownloads) -> str:
    record = (
        f", record {downloads.record_day:,} on {downloads.record_date}"
        if downloads.record_day
        else ""
    )
    return f"{downloads.today:,} today, {downloads.rate_per_s:.1f}/s now{record}"


def _colored_state(state: BuilderState) -> str:
    color = _COLORS.get(state)
    return click.style(state, fg=color) if color else state
